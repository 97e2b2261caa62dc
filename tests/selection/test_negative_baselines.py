"""Tests of the named baselines of negative_transfer_test and of models for a target."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from PIL import Image
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_transfer import (
    CORAL,
    KMM,
    ImportanceWeighted,
    ImportanceWeightedScorer,
    PretrainedFeatures,
    TargetDomain,
    negative_transfer_test,
)
from sklearn_transfer.finetuning import FineTunedClassifier
from sklearn_transfer.selection._baselines import (
    RawPixels,
    replace_features,
    replace_pretrained,
)
from tests import small_networks

FOLDS = KFold(3, shuffle=True, random_state=0)
Y = np.arange(12) % 2


@pytest.fixture
def images(photos):
    """Return twelve crops of two photos with different sizes."""
    return [photos[k % 2][k * 20 : k * 20 + 50 + k, 9 * k : 9 * k + 60] for k in range(12)]


def on_network(**options):
    features = PretrainedFeatures(small_networks.trained_net(), **options)
    return Pipeline([("features", features), ("clf", LogisticRegression())])


# Raw pixels


def pixels_of(image, size):
    """Return the center square of the short edge, scaled by Pillow."""
    image = Image.fromarray(image)
    scale = size / min(image.size)
    long = int(size * max(image.size) / min(image.size))
    width, height = (size, long) if image.size[0] < image.size[1] else (long, size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    assert scale > 0
    cut = image.crop((left, top, left + size, top + size))
    return np.asarray(cut, dtype=np.float32).transpose(2, 0, 1).ravel() / 255


@pytest.mark.parametrize(("input_size", "size"), [(None, 32), (224, 32), (16, 16)])
def test_raw_pixels_are_those_of_pillow(images, input_size, size):
    found = RawPixels(input_size=input_size).fit_transform(images)
    expected = [pixels_of(image, size) for image in images]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.min() >= 0
    assert found.max() <= 1


def test_raw_pixels_of_a_size_that_is_not_square(images):
    assert RawPixels(input_size=(16, 64)).fit_transform(images).shape == (12, 3 * 16 * 32)


def test_raw_pixels_of_files_are_those_of_their_images(images, tmp_path):
    paths = []
    for i, image in enumerate(images):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(image).save(paths[-1])
    expected = RawPixels().fit_transform(images)
    np.testing.assert_array_equal(RawPixels().fit_transform(paths), expected)


def test_raw_pixels_are_read_once_and_do_not_meet_features(images):
    features = PretrainedFeatures(small_networks.trained_net(), input_size=32)
    before = features.fit_transform(images)
    raw = RawPixels(**features.get_params())
    raw.fit_transform(images)
    misses = raw.cache_info().misses
    raw.fit(images).transform(images)
    assert raw.cache_info().misses == misses
    np.testing.assert_array_equal(features.transform(images), before)


def test_tables_pass_raw(images):
    X = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    raw = RawPixels(small_networks.mlp, preprocess=None).fit(X)
    np.testing.assert_array_equal(raw.transform(X), X)
    maps = X.reshape(3, 3, 2, 2)
    np.testing.assert_array_equal(
        RawPixels(preprocess=None).fit_transform(maps), X.reshape(3, 12)
    )


def test_raw_pixels_have_names(images):
    names = RawPixels(input_size=8).fit(images).get_feature_names_out()
    assert len(names) == 3 * 8 * 8


def test_raw_pixels_have_names_after_a_change_without_their_network(images):
    raw = RawPixels("resnet26", weights=None, input_size=8).fit(images)
    names = raw.set_params(input_size=4).get_feature_names_out()
    assert len(names) == raw.transform(images).shape[1]


def test_samples_that_cannot_be_read_raise_or_give_nan(images):
    images[3] = np.full((5, 5, 3), np.nan)
    with pytest.raises(ValueError, match="row 3.*NaN"):
        RawPixels().fit_transform(images)
    with pytest.warns(UserWarning, match="1 of 12"):
        found = RawPixels(on_error="nan").fit_transform(images)
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, axis=0)).all()


def test_raw_baseline_is_a_pipeline_on_pixels(images):
    found = negative_transfer_test(on_network(), "raw", images, Y, cv=FOLDS)
    stacked = FunctionTransformer(lambda X: np.array([pixels_of(x, 32) for x in X]))
    reference = make_pipeline(stacked, LogisticRegression())
    ours, theirs = found.scores_baseline, cross_val_score(reference, images, Y, cv=FOLDS)
    np.testing.assert_array_equal(ours, theirs)
    ours = found.scores_transferred
    np.testing.assert_array_equal(ours, cross_val_score(on_network(), images, Y, cv=FOLDS))
    assert found.baseline == "raw"


def test_raw_replaces_each_extractor_at_any_depth():
    net = small_networks.trained_net()
    both = make_union(PretrainedFeatures(net), PretrainedFeatures(net, input_size=8))
    inner = make_pipeline(both, SimpleImputer(), LogisticRegression())
    model = ImportanceWeighted(inner, KMM(), representation=PretrainedFeatures(net))
    raw = replace_features(model)
    assert type(raw.representation) is RawPixels
    first, second = (step for _, step in raw.estimator[0].transformer_list)
    assert (type(first), type(second)) == (RawPixels, RawPixels)
    assert (first.input_size, second.input_size) == (None, 8)
    assert type(model.representation) is PretrainedFeatures
    assert type(inner[0].transformer_list[0][1]) is PretrainedFeatures


def test_raw_baseline_of_a_search_over_layers(images):
    grid = {"features__layers": ["stem", "body"], "clf__C": [0.1, 1]}
    search = GridSearchCV(on_network(), grid, cv=2, error_score="raise")
    found = negative_transfer_test(search, "raw", images, Y, cv=FOLDS)
    assert np.isfinite(found.differences).all()


# Random weights


def test_scratch_draws_the_weights_of_networks_anew(images):
    model = on_network()
    found = negative_transfer_test(model, "scratch", images, Y, cv=FOLDS)
    reference = clone(model).set_params(features__weights=None)
    expected = cross_val_score(reference, images, Y, cv=FOLDS)
    np.testing.assert_array_equal(found.scores_baseline, expected)
    assert model["features"].weights == "pretrained"


def test_scratch_reaches_networks_at_any_depth():
    model = ImportanceWeighted(on_network(), representation=PretrainedFeatures("test_resnet"))
    scratch = replace_pretrained(GridSearchCV(model, {}))
    assert scratch.estimator.representation.weights is None
    assert scratch.estimator.estimator["features"].weights is None
    assert model.representation.weights == "pretrained"


def test_scratch_of_an_estimator_that_is_the_network(images):
    model = FineTunedClassifier(small_networks.trained_net(), freeze="all", max_epochs=1)
    scratch = replace_pretrained(model)
    assert scratch.weights is None
    assert model.weights == "pretrained"
    folds = KFold(2, shuffle=True, random_state=0)
    found = negative_transfer_test(model, "scratch", images, Y, cv=folds)
    expected = cross_val_score(scratch, images, Y, cv=folds)
    np.testing.assert_array_equal(found.scores_baseline, expected)


@pytest.mark.parametrize(
    "features",
    [
        PretrainedFeatures(weights=None),
        PretrainedFeatures(small_networks.mlp, preprocess=None),
    ],
    ids=["random", "callable"],
)
def test_scratch_without_weights_to_take_away_is_refused(features):
    with pytest.raises(ValueError, match="found 1, none of which .*'raw'"):
        replace_pretrained(make_pipeline(features, LogisticRegression()))


def test_a_callable_with_weights_from_elsewhere_can_lose_them():
    weights = small_networks.trained_net().state_dict()
    features = PretrainedFeatures(small_networks.counting_net, weights=weights)
    assert replace_pretrained(make_pipeline(features, LogisticRegression()))[0].weights is None


@pytest.mark.parametrize("name", ["raw", "scratch"])
def test_names_that_do_not_fit_say_what_was_looked_for(name):
    looked_for = {"raw": "PretrainedFeatures", "scratch": "pretrained networks"}[name]
    with pytest.raises(ValueError, match=f"looked in LogisticRegression for {looked_for}"):
        negative_transfer_test(LogisticRegression(), name, np.ones((12, 2)), Y)


def test_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="'scratched' is none of .* Did you mean 'scratch'"):
        negative_transfer_test(LogisticRegression(), "scratched", np.ones((12, 2)), Y)


# A target


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.normal(size=(60, 3)) + y[:, None] * [1, 0.5, 0]
    return X, np.array(["no", "yes"])[y], rng.normal(size=(60, 3)) * 0.7 + [0.6, 0, 0.3]


@pytest.mark.parametrize("holder", [np.asarray, TargetDomain], ids=["array", "TargetDomain"])
def test_source_only_is_the_estimator_within(domains, holder):
    X, y, T = domains
    model = ImportanceWeighted(LogisticRegression(), KMM(B=5))
    options = {"cv": FOLDS, "X_target": holder(T)}
    found = negative_transfer_test(model, "source-only", X, y, **options)
    plain = negative_transfer_test(model, LogisticRegression(), X, y, **options)
    expected = cross_val_score(LogisticRegression(), X, y, cv=FOLDS)
    np.testing.assert_array_equal(found.scores_baseline, expected)
    np.testing.assert_array_equal(found.differences, plain.differences)
    weighted = cross_val_score(model, X, y, cv=FOLDS, params={"X_target": TargetDomain(T)})
    np.testing.assert_array_equal(found.scores_transferred, weighted)
    assert (found.differences != 0).any()


def test_a_target_passes_the_steps_before_an_aligner(domains):
    X, y, T = domains
    X = 5 * X
    pipe = make_pipeline(StandardScaler(), CORAL(), LogisticRegression())
    before = sklearn.get_config()
    found = negative_transfer_test(pipe, "source-only", X, y, cv=FOLDS, X_target=T)
    assert sklearn.get_config() == before
    assert pipe.transform_input is None
    for scores, target in [(found.scores_transferred, T), (found.scores_baseline, None)]:
        for score, (train, test) in zip(scores, FOLDS.split(X), strict=True):
            scale, coral = StandardScaler().fit(X[train]), CORAL()
            rows = scale.transform(X[train])
            if target is not None:
                rows = coral.fit_transform(rows, X_target=scale.transform(target))
            model = LogisticRegression().fit(rows, y[train])
            assert score == model.score(scale.transform(X[test]), y[test])
    assert (found.differences != 0).any()


def test_a_search_around_a_weighted_estimator_gets_the_whole_target(domains):
    X, y, T = domains
    model = ImportanceWeighted(LogisticRegression(), KMM(B=5))
    search = GridSearchCV(model, {"estimator__C": [0.1, 1]}, cv=2, error_score="raise")
    T = T[:40]  # as many as training rows
    found = negative_transfer_test(search, "source-only", X, y, cv=FOLDS, X_target=T)
    expected = cross_val_score(search, X, y, cv=FOLDS, params={"X_target": TargetDomain(T)})
    np.testing.assert_array_equal(found.scores_transferred, expected)


def test_scores_for_the_target(domains):
    X, y, T = domains
    scorer = ImportanceWeightedScorer("accuracy", X_target=T, weighter=KMM(B=5))
    model = ImportanceWeighted(LogisticRegression(), KMM(B=5))
    options = {"cv": FOLDS, "X_target": T, "scoring": scorer}
    found = negative_transfer_test(model, "source-only", X, y, **options)
    expected = cross_val_score(LogisticRegression(), X, y, cv=FOLDS, scoring=scorer)
    np.testing.assert_allclose(found.scores_baseline, expected)
    assert found.scoring == "ImportanceWeightedScorer"


def test_a_baseline_that_takes_a_target_gets_it(domains):
    X, y, T = domains
    model = ImportanceWeighted(LogisticRegression(), KMM(B=5))
    options = {"cv": FOLDS, "X_target": T}
    found = negative_transfer_test(LogisticRegression(), model, X, y, **options)
    other = negative_transfer_test(model, LogisticRegression(), X, y, **options)
    np.testing.assert_array_equal(found.scores_baseline, other.scores_transferred)


def test_names_of_columns_reach_the_target(domains):
    X, y, T = domains
    X, T = (pd.DataFrame(rows, columns=list("abc")) for rows in (X, T))
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), CORAL())
    pipe.steps.append(("clf", LogisticRegression()))
    found = negative_transfer_test(pipe, "source-only", X, y, cv=FOLDS, X_target=T)
    plain = negative_transfer_test(
        pipe, "source-only", X.to_numpy(), y, cv=FOLDS, X_target=T.to_numpy()
    )
    np.testing.assert_array_equal(found.differences, plain.differences)


def test_a_target_that_was_forgotten_is_warned_of(domains):
    X, y, _ = domains
    model = ImportanceWeighted(LogisticRegression())
    with pytest.warns(UserWarning, match="KMM got no target samples"):
        negative_transfer_test(model, LogisticRegression(), X, y, cv=FOLDS)


def test_source_only_needs_a_target(domains):
    X, y, _ = domains
    with pytest.raises(ValueError, match="X_target=None: pass X_target=X_target"):
        negative_transfer_test(ImportanceWeighted(LogisticRegression()), "source-only", X, y)


@pytest.mark.parametrize("baseline", ["source-only", StandardScaler()])
def test_a_target_that_nothing_takes_is_refused(domains, baseline):
    X, y, T = domains
    with pytest.raises(ValueError, match="LogisticRegression .*take.* no X_target in fit"):
        negative_transfer_test(LogisticRegression(), baseline, X, y, X_target=T)
