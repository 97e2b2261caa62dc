"""The list of trusted types: nothing is missing, and nothing is in it that no file needs."""

import importlib
import inspect

import numpy as np
import pandas as pd
import pytest
import sklearn
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.fixes import parse_version

import sklearn_transfer
from sklearn_transfer import (
    KLIEP,
    ULSIF,
    DEVScorer,
    DomainClassifierWeights,
    FineTunedClassifier,
    FineTunedFeatures,
    MultimodalVectorizer,
    PretrainedAudioFeatures,
    PretrainedFeatures,
    PretrainedTextFeatures,
    check_untrusted_samples,
    get_trusted_types,
)
from sklearn_transfer.finetuning import objectives

sio = pytest.importorskip("skops.io")

RNG = np.random.default_rng(0)
IMAGES = list(RNG.integers(0, 255, (12, 32, 32, 3)).astype(np.uint8))
LABELS = np.array(["dark", "light"])[np.arange(12) % 2]
TABLE = RNG.normal(size=(12, 2))
SMALL = {"weights": None, "input_size": 32, "engine": "torch"}
TUNER = FineTunedClassifier("test_resnet", **SMALL, freeze="all", max_epochs=1)
TRUSTED = get_trusted_types()


def list_needed(estimator):
    return set(sio.get_untrusted_types(data=sio.dumps(estimator)))


def load(estimator):
    return sio.loads(sio.dumps(estimator), trusted=TRUSTED)


def list_public_classes():
    """Stage and class of all that a stage or the module of objectives lists."""
    for stage in [*sklearn_transfer.__all__, "finetuning.objectives"]:
        if inspect.ismodule(getattr(sklearn_transfer, stage, objectives)):
            module = importlib.import_module(f"sklearn_transfer.{stage}")
            for name in module.__all__:
                if isinstance(getattr(module, name), type):
                    yield module.__name__, getattr(module, name)


def make_unfitted(kind):
    target = {"X_target": [[0.0]]}
    if kind.__name__ == "ImportanceWeighted":
        return kind(LogisticRegression())
    if kind is DEVScorer or kind.__name__ == "ImportanceWeightedScorer":
        return kind("accuracy", **target)
    return kind(**target) if kind.__name__.endswith("Scorer") else kind()


ABSTRACT = {"AdaptationObjective", "Mixture", "Objective", "Step"}
SAVED = [
    kind
    for stage, kind in list_public_classes()
    if not stage.endswith(("plotting", "testing")) and kind.__name__ not in ABSTRACT
]


def make_table():
    pictures = np.empty(12, dtype=object)
    pictures[:] = [Image.fromarray(image) for image in IMAGES]
    table = {
        "photo": pictures,
        "price": [np.nan, *TABLE[1:, 0]],
        "kind": list("abc") * 4,
        "many": [f"code {number}" for number in range(12)],
        "when": pd.date_range("2020-01-01", periods=12),
        "number": [f"{number}.5" for number in range(12)],
    }
    return pd.DataFrame(table)


def fit_vectorizer():
    return MultimodalVectorizer(image=PretrainedFeatures("test_resnet", **SMALL)).fit(
        make_table()
    )


def search(estimator=None, **options):
    estimator = LogisticRegression() if estimator is None else estimator
    name = "alpha" if isinstance(estimator, Ridge) else "C"
    found = GridSearchCV(estimator, {name: [0.1, 1.0]}, **{"cv": 2, **options})
    groups = np.arange(12) // 3 if "Group" in str(options.get("cv")) else None
    return found.fit(TABLE, np.arange(12) % 2, groups=groups)


@pytest.mark.parametrize("kind", SAVED, ids=lambda kind: kind.__name__)
def test_saved_classes_are_trusted_by_their_public_path(kind):
    name = f"{kind.__module__}.{kind.__name__}"
    assert name in TRUSTED
    assert "._" not in name
    if kind is not FineTunedFeatures:
        assert name in list_needed(make_unfitted(kind))


@pytest.mark.parametrize("name", [n for n in TRUSTED if n.startswith("sklearn_transfer.")])
def test_listed_paths_are_public_and_exist(name):
    module, _, member = name.rpartition(".")
    assert "._" not in name
    assert callable(getattr(importlib.import_module(module), member))


def test_steps_of_a_vectorizer_are_trusted_and_needed():
    fitted = fit_vectorizer()
    listed = {name for name in TRUSTED if name.startswith("sklearn_transfer.columns.")}
    assert {n for n in list_needed(fitted) if n.startswith("sklearn_transfer.c")} == listed
    found = load(fitted)
    assert found.columns_ == fitted.columns_
    table = make_table()
    np.testing.assert_array_equal(found.transform(table), fitted.transform(table))


HELD = {
    "own splitter": lambda: search(cv=StratifiedKFold(2)),
    "groups": lambda: search(cv=GroupKFold(2)),
    "classes and groups": lambda: search(cv=StratifiedGroupKFold(2)),
    "numbers": lambda: search(
        Ridge(), cv=KFold(2), scoring=["r2", "neg_max_error"], refit="r2"
    ),
    "no scoring": search,
    "calibrated": lambda: CalibratedClassifierCV(LogisticRegression(), cv=2),
    "vote": lambda: VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())]),
    "checked": lambda: make_pipeline(FunctionTransformer(check_untrusted_samples), TUNER),
    "several scores": lambda: search(scoring=["accuracy", "f1"], refit="f1"),
}


def test_what_scikit_learn_holds_is_trusted_and_needed():
    needed = set()
    for make in HELD.values():
        fitted = make()
        if isinstance(fitted, (CalibratedClassifierCV, VotingClassifier)):
            fitted.fit(TABLE, LABELS)
        load(fitted)
        needed |= list_needed(fitted)
    metrics = {get_scorer(name)._score_func for name in get_scorer_names()}
    needed |= {f"{metric.__module__}.{metric.__name__}" for metric in metrics}
    own = {f"{kind.__module__}.{kind.__name__}" for kind in SAVED}
    steps = {name for name in TRUSTED if name.startswith("sklearn_transfer.columns.")}
    for weighter in (KLIEP(), ULSIF(), DomainClassifierWeights()):
        needed |= list_needed(weighter.fit(TABLE, X_target=TABLE + 0.1))
    assert needed <= set(TRUSTED)
    if parse_version(sklearn.__version__) >= parse_version("1.9"):  # others hold less
        assert set(TRUSTED) == needed | own | steps
    assert len(TRUSTED) == len(set(TRUSTED))


FROZEN = {
    "images": (PretrainedFeatures("test_resnet", **SMALL), IMAGES),
    "texts": (PretrainedTextFeatures(), ["a cat", "the sea"] * 6),
    "sounds": (
        PretrainedAudioFeatures("test_resnet", weights=None),
        [(RNG.normal(size=8000).astype(np.float32) / 9, 16000) for _ in range(12)],
    ),
}


@pytest.mark.parametrize("modality", FROZEN)
def test_frozen_pipelines_survive(modality):
    features, samples = FROZEN[modality]
    if modality == "texts":
        pytest.importorskip("tokenizers")
    fitted = make_pipeline(features, LogisticRegression()).fit(samples, LABELS)
    found = load(fitted)
    np.testing.assert_array_equal(found.predict_proba(samples), fitted.predict_proba(samples))


def test_target_aware_features_survive():
    fitted = FineTunedFeatures(TUNER, cv=2, n_components=2).fit(IMAGES, LABELS)
    np.testing.assert_array_equal(load(fitted).transform(IMAGES), fitted.transform(IMAGES))


def test_an_adapted_network_survives():
    adapted = FineTunedClassifier(**TUNER.get_params()).set_params(adapt=objectives.MCC())
    fitted = adapted.fit(IMAGES, LABELS, X_target=IMAGES[::-1])
    found = load(fitted)
    np.testing.assert_array_equal(found.predict_proba(IMAGES), fitted.predict_proba(IMAGES))
    assert vars(found.adapt) == vars(fitted.adapt)


def test_types_of_others_are_refused():
    class Other(BaseEstimator):
        pass

    content = sio.dumps(make_pipeline(Other(), LogisticRegression()))
    with pytest.raises(Exception, match="Untrusted types found"):
        sio.loads(content, trusted=TRUSTED)
