"""Fitted estimators survive skops, which creates only objects of trusted types."""

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    CORAL,
    KLIEP,
    KMM,
    ULSIF,
    AutoencoderFeatures,
    DEVScorer,
    DomainClassifierWeights,
    FineTunedClassifier,
    FineTunedRegressor,
    ImportanceWeighted,
    ImportanceWeightedScorer,
    LabelShiftWeights,
    MeanAlignment,
    NearestNeighborWeights,
    OptimalTransport,
    PretrainedFeatures,
    PrototypeClassifier,
    SubspaceAlignment,
    TargetDomain,
    TransferComponentAnalysis,
    ZeroShotClassifier,
)
from tests import small_networks

sio = pytest.importorskip("skops.io")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
T = RNG.normal(0.7, 0.5, size=(50, 3))
Y = np.array(["a", "b", "c"])[X[:, :3].argmax(axis=1)]
BOTH = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int)
# Types of scikit-learn that skops does not trust; all others must be types of this package.
SKLEARN = ("sklearn.calibration.", "sklearn.metrics.", "sklearn.model_selection.")
SKLEARN += ("sklearn.utils._bunch.",)


def logistic():
    return LogisticRegression()


def scaled():
    return make_pipeline(StandardScaler(), logistic())


def search(estimator, **options):
    name = "C" if isinstance(estimator, LogisticRegression) else "logisticregression__C"
    return GridSearchCV(estimator, {name: [0.1, 1]}, cv=2, **options)


def loaded(estimator):
    """Return a fitted estimator after skops; few types, all ours, have to be trusted."""
    content = sio.dumps(estimator)
    names = sio.get_untrusted_types(data=content)
    others = [name for name in names if not name.startswith("sklearn_transfer.")]
    assert all(name.startswith(SKLEARN) for name in others), others
    assert len(names) - len(others) <= 4
    return sio.loads(content, trusted=names)


WEIGHTERS = [
    KMM,
    KLIEP,
    ULSIF,
    DomainClassifierWeights,
    NearestNeighborWeights,
    LabelShiftWeights,
]


@pytest.mark.parametrize("kind", WEIGHTERS)
def test_weighters_survive(kind):
    fitted = kind().fit(X, Y, X_target=T)
    again = loaded(fitted)
    np.testing.assert_array_equal(again.weights_, fitted.weights_)
    if hasattr(fitted, "predict_weights") and kind is not LabelShiftWeights:
        np.testing.assert_array_equal(again.predict_weights(T), fitted.predict_weights(T))


ALIGNERS = [
    CORAL,
    MeanAlignment,
    SubspaceAlignment,
    TransferComponentAnalysis,
    OptimalTransport,
]


@pytest.mark.parametrize("kind", ALIGNERS)
def test_aligners_survive(kind):
    if kind is OptimalTransport:
        pytest.importorskip("ot")
    fitted = kind().fit(X, Y, X_target=T)
    np.testing.assert_array_equal(loaded(fitted).transform(T), fitted.transform(T))


def test_prototypes_survive():
    fitted = PrototypeClassifier().fit(X, Y)
    np.testing.assert_array_equal(loaded(fitted).predict_proba(T), fitted.predict_proba(T))


def test_classes_without_samples_survive():
    attributes = {"a": [1, 0, 0], "b": [0, 1, 0], "c": [0, 0, 1], "d": [1, 1, 0]}
    fitted = ZeroShotClassifier().fit(X, Y, attributes=attributes)
    np.testing.assert_array_equal(loaded(fitted).predict(T), fitted.predict(T))


WEIGHTED = {
    "linear": logistic(),
    "pipeline": scaled(),
    "search": search(logistic()),
    "search of pipelines": search(scaled(), scoring="accuracy"),
    "search by several scores": search(
        scaled(), scoring=["accuracy", "f1_macro"], refit="accuracy"
    ),
    "search in a pipeline": make_pipeline(StandardScaler(), search(logistic())),
    "stack": StackingClassifier([("a", logistic()), ("b", GaussianNB())], cv=2),
    "vote": VotingClassifier([("a", logistic()), ("b", GaussianNB())]),
    "bag": BaggingClassifier(logistic(), n_estimators=2, random_state=0),
    "calibrated": CalibratedClassifierCV(logistic(), cv=2),
    "one against the rest": OneVsRestClassifier(logistic()),
    "several penalties": LogisticRegressionCV(Cs=2, cv=2),
    "selected": make_pipeline(SelectFromModel(logistic()), logistic()),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("kind", WEIGHTED)
def test_weighted_estimators_survive(kind, routing):
    with config_context(enable_metadata_routing=routing):
        fitted = ImportanceWeighted(WEIGHTED[kind]).fit(X, Y, X_target=T)
        again = loaded(fitted)
        np.testing.assert_array_equal(again.predict(T), fitted.predict(T))
        np.testing.assert_array_equal(again.weights_, fitted.weights_)


@pytest.mark.parametrize("kind", [MultiOutputClassifier, ClassifierChain])
def test_weighted_estimators_of_several_outputs_survive(kind):
    fitted = ImportanceWeighted(kind(logistic())).fit(X, BOTH, X_target=T)
    np.testing.assert_array_equal(loaded(fitted).predict(T), fitted.predict(T))


def test_weights_from_a_representation_survive():
    fitted = ImportanceWeighted(
        logistic(), DomainClassifierWeights(), representation=StandardScaler()
    ).fit(X, Y, X_target=T)
    np.testing.assert_array_equal(loaded(fitted).predict(T), fitted.predict(T))


@pytest.mark.parametrize("kind", [CalibratedClassifierCV, GridSearchCV])
def test_what_holds_weighted_estimators_survives(kind):
    more = {"param_grid": {"estimator__C": [1, 2]}} if kind is GridSearchCV else {}
    fitted = kind(ImportanceWeighted(logistic()), **more, cv=2)
    fitted.fit(X, Y, X_target=TargetDomain(T))
    np.testing.assert_array_equal(loaded(fitted).predict(T), fitted.predict(T))


@pytest.mark.parametrize("kind", [ImportanceWeightedScorer, DEVScorer])
def test_searches_by_scores_of_the_target_survive(kind):
    options = {} if kind is DEVScorer else {"weighter": KMM()}
    fitted = search(logistic(), scoring=kind("accuracy", X_target=T, **options)).fit(X, Y)
    np.testing.assert_array_equal(loaded(fitted).predict(T), fitted.predict(T))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", WEIGHTED)
def test_no_request_is_left_on_what_was_fitted(kind):
    fitted = ImportanceWeighted(WEIGHTED[kind]).fit(X, Y, X_target=T)
    assert b"_metadata_request" not in pickle.dumps(fitted)


def test_requests_of_the_user_stay():
    with config_context(enable_metadata_routing=True):
        inner = logistic().set_fit_request(sample_weight=True)
        fitted = ImportanceWeighted(make_pipeline(StandardScaler(), inner))
        fitted.fit(X, Y, X_target=T)
        step = fitted.estimator_[-1]
        request = step.get_metadata_routing()
        assert request.fit.requests["sample_weight"] is True
        assert not hasattr(fitted.estimator_[0], "_metadata_request")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("kind", WEIGHTED)
def test_scores_take_weights_wherever_the_estimator_is(kind, routing):
    """Integer weights count as repeated rows, and the estimator is left without requests."""
    counts = np.random.default_rng(1).integers(0, 3, len(X))
    with config_context(enable_metadata_routing=routing):
        fitted = ImportanceWeighted(WEIGHTED[kind]).fit(X, Y, X_target=T)
        repeated = fitted.score(np.repeat(X, counts, axis=0), np.repeat(Y, counts))
        assert fitted.score(X, Y, sample_weight=counts) == pytest.approx(repeated)
        loaded(fitted)


def test_cross_validated_predictions_are_as_before():
    """Removing requests changes no fit: the fit of a fold equals a direct fit."""
    model = ImportanceWeighted(scaled())
    folds = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    found = cross_val_predict(
        model, X, Y, cv=folds, params={"X_target": TargetDomain(T)}, method="predict_proba"
    )
    weights = KMM().fit(X[:30], X_target=T).weights_
    scaler = StandardScaler().fit(X[:30])
    expected = logistic().fit(scaler.transform(X[:30]), Y[:30], sample_weight=weights)
    np.testing.assert_allclose(
        found[30:], expected.predict_proba(scaler.transform(X[30:])), rtol=1e-5
    )


def test_estimators_are_parts_of_the_check():
    """The estimators tested above are all that the package has."""
    from sklearn_transfer import alignment, heads, weighting

    tested = {*WEIGHTERS, *ALIGNERS, PrototypeClassifier, ZeroShotClassifier}
    public = {
        getattr(stage, name)
        for stage in (alignment, heads, weighting)
        for name in stage.__all__
    }
    estimators = {
        kind for kind in public if isinstance(kind, type) and issubclass(kind, BaseEstimator)
    }
    tested |= {ImportanceWeighted, ImportanceWeightedScorer, DEVScorer}
    assert estimators == tested


IMAGES = RNG.integers(0, 255, (12, 32, 32, 3)).astype(np.uint8)
LABELS = np.array(["dark", "light"])[np.arange(12) % 2]
FINE_TUNED = "sklearn_transfer.finetuning.FineTunedClassifier"
NAMED = {"weights": None, "input_size": 32}


def visual(model="test_resnet", **options):
    defaults = {"freeze": "deep", "max_epochs": 1, "batch_size": 6, "engine": "torch"}
    given = NAMED if isinstance(model, str) else {}
    return FineTunedClassifier(model, **{**defaults, **given, **options})


def tabular(kind=FineTunedClassifier, **options):
    defaults = {"preprocess": None, "freeze": None, "max_epochs": 1}
    return kind(small_networks.perceptron, **{**defaults, **options})


TUNED = {
    "last stage": visual,
    "head": lambda: visual(freeze="all"),
    "whole": lambda: visual(freeze=None, early_stopping=True),
    "pulled": lambda: visual(l2_sp=0.1),
    "low rank": lambda: visual("test_vit", freeze=None, lora_rank=2),
    "nested": lambda: visual(PretrainedFeatures("test_resnet", **NAMED)),
    "in a pipeline": lambda: make_pipeline(visual()),
    "features in a pipeline": lambda: make_pipeline(visual(), StandardScaler(), logistic()),
    "codes in a pipeline": lambda: make_pipeline(codes(), StandardScaler(), logistic()),
}


def codes(**options):
    return AutoencoderFeatures(3, max_epochs=1, **options)


@pytest.mark.parametrize("case", TUNED)
def test_fine_tuned_networks_survive(case):
    fitted = TUNED[case]().fit(IMAGES, LABELS)
    again = loaded(fitted)
    found, expected = again.predict_proba(IMAGES), fitted.predict_proba(IMAGES)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(loaded(again).predict_proba(IMAGES), expected)


@pytest.mark.parametrize("case", ["last stage", "nested", "codes in a pipeline"])
def test_types_to_trust_are_the_documented_ones(case):
    content = sio.dumps(TUNED[case]().fit(IMAGES, LABELS))
    expected = {
        "last stage": [FINE_TUNED],
        "nested": ["sklearn_transfer.extraction.PretrainedFeatures", FINE_TUNED],
        "codes in a pipeline": ["sklearn_transfer.finetuning.AutoencoderFeatures"],
    }
    assert sio.get_untrusted_types(data=content) == expected[case]


MANY = np.column_stack([Y, np.array(["x", "y"])[np.arange(60) % 2]])
TARGETS = {
    "labels": (FineTunedClassifier, Y),
    "whole numbers": (FineTunedClassifier, np.arange(60) % 3 + 5),
    "several labels": (FineTunedClassifier, BOTH),
    "tasks": (FineTunedClassifier, MANY),
    "numbers": (FineTunedRegressor, 1e4 * X[:, 0]),
    "several numbers": (FineTunedRegressor, X[:, :2]),
}


@pytest.mark.parametrize("sort", TARGETS)
def test_a_factory_of_the_user_is_to_be_trusted(sort):
    kind, y = TARGETS[sort]
    fitted = make_pipeline(StandardScaler(), tabular(kind)).fit(X, y)
    content = sio.dumps(fitted)
    names = sio.get_untrusted_types(data=content)
    assert [name for name in names if not name.startswith("sklearn_transfer.")] == [
        "tests.small_networks.perceptron"
    ]
    again = sio.loads(content, trusted=names)
    np.testing.assert_array_equal(again.predict(T), fitted.predict(T))
    assert again.predict(T).dtype == fitted.predict(T).dtype
    assert again[-1].history_ == fitted[-1].history_


def test_training_goes_on_after_skops():
    fitted = visual(l2_sp=0.1).fit(IMAGES, LABELS)
    again = loaded(fitted)
    assert len(again.net_.history) == 1
    fitted, other = (pickle.loads(pickle.dumps(m)) for m in (fitted, again))
    fitted.partial_fit(IMAGES, LABELS)
    other.partial_fit(IMAGES, LABELS)
    found, expected = other.predict_proba(IMAGES), fitted.predict_proba(IMAGES)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("nested", [False, True])
def test_modules_are_refused(nested):
    model = small_networks.staged()
    fitted = visual(PretrainedFeatures(model) if nested else model).fit(IMAGES, LABELS)
    with pytest.raises(TypeError, match=r"class Staged as model: give a name, or a function"):
        sio.dumps(fitted)


def test_mappings_of_tensors_are_refused():
    given = small_networks.staged_net(3).state_dict()
    fitted = visual(small_networks.staged_net, weights=given).fit(IMAGES, LABELS)
    with pytest.raises(TypeError, match="as weights: give the path of a file"):
        sio.dumps(fitted)


MAPS = RNG.normal(size=(20, 2, 8, 8)).astype(np.float32)
LAYERS = {
    "images": ({}, IMAGES),
    "dense layers of images": ({"architecture": "dense"}, IMAGES),
    "few blocks": ({"hidden": (5,)}, IMAGES),
    "tables": ({"preprocess": None}, X),
    "several blocks": ({"preprocess": None, "hidden": (7, 6, 5), "mask": 0.2}, X),
    "maps": ({"preprocess": None}, MAPS),
    "dense layers of maps": ({"preprocess": None, "architecture": "dense"}, MAPS),
}


@pytest.mark.parametrize("case", LAYERS)
def test_autoencoders_survive(case):
    options, samples = LAYERS[case]
    fitted = codes(**options).fit(samples)
    fitted.set_params(n_components=9, hidden=(2,), architecture="auto")  # from a later fit
    again = loaded(fitted)
    np.testing.assert_array_equal(again.transform(samples), fitted.transform(samples))
    np.testing.assert_array_equal(again.reconstruct(samples), fitted.reconstruct(samples))
    assert str(again.encoder_) == str(fitted.encoder_)
    expected = getattr(fitted.encoder_, "pretrained_cfg", None)
    assert getattr(again.encoder_, "pretrained_cfg", None) == expected


@pytest.mark.parametrize("make", [visual, tabular, codes])
def test_unfitted_networks_survive(make):
    content = sio.dumps(make())
    again = sio.loads(content, trusted=sio.get_untrusted_types(data=content))
    assert again.get_params() == make().get_params()
