"""Weights of rows reach the loss, the validation and the scores."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    KMM,
    FineTunedClassifier,
    FineTunedRegressor,
    ImportanceWeighted,
    PretrainedFeatures,
    TargetDomain,
)
from sklearn_transfer.testing._assertions import assert_bit_identical
from sklearn_transfer.testing._fine_tuners import copy_tensors
from tests import small_networks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5))
Y = np.array(["no", "yes"])[(X[:, 0] + RNG.normal(size=40) > 0).astype(int)]
NUMBERS = X @ RNG.normal(size=5) + RNG.normal(size=40)
SGD = {"optimizer": torch.optim.SGD}
KINDS = {FineTunedClassifier: Y, FineTunedRegressor: NUMBERS}
kinds = pytest.mark.parametrize(("kind", "y"), KINDS.items(), ids=lambda v: None)


def tuner(kind=FineTunedClassifier, model=small_networks.perceptron, **options):
    defaults = {"preprocess": None, "freeze": None, "lr": 1e-2, "max_epochs": 5}
    return kind(model, **{**defaults, "batch_size": 100, **options})


def said(model, rows=X):
    return model.decision_function(rows) if hasattr(model, "classes_") else model.predict(rows)


@kinds
@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_of_weight_zero_change_nothing(kind, y, early_stopping):
    weights = RNG.uniform(0.5, 2, 40)
    weights[::5] = 0
    kept = weights > 0
    options = {"early_stopping": early_stopping, "validation_fraction": 0.25, "batch_size": 7}
    weighted = tuner(kind, **options).fit(X, y, sample_weight=weights)
    left_out = tuner(kind, **options).fit(X[kept], y[kept], sample_weight=weights[kept])
    assert_bit_identical(copy_tensors(weighted), copy_tensors(left_out))


def test_rows_of_weight_zero_may_hold_what_is_no_label():
    y = Y.astype(object)
    y[3] = None
    weights = np.ones(40)
    weights[3] = 0
    assert list(tuner().fit(X, y, sample_weight=weights).classes_) == ["no", "yes"]


@kinds
def test_repeated_rows_equal_weights(kind, y):
    counts = RNG.integers(0, 4, 40)
    rows = np.repeat(np.arange(40), counts)
    repeated = tuner(kind, batch_size=200).fit(X[rows], y[rows])
    weighted = tuner(kind, batch_size=200).fit(X, y, sample_weight=counts)
    np.testing.assert_allclose(said(weighted), said(repeated), rtol=1e-5, atol=1e-5)
    plain = tuner(kind, batch_size=200).fit(X, y)
    assert not np.allclose(said(weighted), said(plain), atol=1e-2)


@pytest.mark.parametrize("freeze", ["all", "early"])
def test_repeated_images_equal_weights(freeze, images, labels):
    model = small_networks.staged(drop=0.0)
    options = {"freeze": freeze, "lr": 1e-2, "max_epochs": 4, "batch_size": 100}
    counts = np.arange(20) % 3
    rows = np.repeat(np.arange(20), counts)
    repeated = FineTunedClassifier(model, **options).fit(images[rows], labels[rows])
    weighted = FineTunedClassifier(model, **options).fit(images, labels, sample_weight=counts)
    np.testing.assert_allclose(said(weighted, images), said(repeated, images), atol=1e-4)


@kinds
@pytest.mark.parametrize("schedule", ["lp-ft", "gradual"])
@pytest.mark.parametrize("freeze", ["all", None])
def test_repeated_rows_equal_weights_after_a_first_head(kind, y, schedule, freeze):
    # Adam makes full steps of what is rounding where a gradient is zero.
    options = {"freeze": freeze, "schedule": schedule, "net_params": SGD, "batch_size": 200}
    counts = np.random.default_rng(1).integers(0, 4, 40)
    rows = np.repeat(np.arange(40), counts)
    repeated = tuner(kind, **options).fit(X[rows], y[rows])
    weighted = tuner(kind, **options).fit(X, y, sample_weight=counts)
    np.testing.assert_allclose(said(weighted), said(repeated), atol=1e-5)
    assert not np.allclose(said(weighted), said(tuner(kind, **options).fit(X, y)), atol=1e-2)


@pytest.mark.parametrize("freeze", ["all", None])
def test_many_repeated_rows_equal_weights(freeze):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 5))
    y = (rows[:, 0] > 0.3).astype(int)
    counts = rng.integers(0, 4, 600)
    many = np.repeat(np.arange(600), counts)
    options = {"model": small_networks.mlp, "freeze": freeze, "net_params": SGD}
    options |= {"lr": 0.3, "warmup": 0.0, "batch_size": 2000}
    repeated = tuner(**options).fit(rows[many], y[many])
    weighted = tuner(**options).fit(rows, y, sample_weight=counts)
    np.testing.assert_allclose(said(weighted, rows), said(repeated, rows), atol=1e-5)


def test_one_row_twice_is_as_once():
    options = {"model": small_networks.mlp, "lr": 0.1, "net_params": SGD}
    once = tuner(**options).partial_fit(X[:1], Y[:1], classes=["no", "yes"])
    twice = tuner(**options).partial_fit(X[[0, 0]], Y[[0, 0]], classes=["no", "yes"])
    np.testing.assert_allclose(said(once), said(twice), atol=1e-6)


def test_class_weights_reach_the_first_head_as_weights_of_rows():
    options = {"freeze": "all", "schedule": "lp-ft"}
    given = tuner(class_weight={"no": 30.0, "yes": 10.0}, **options).fit(X, Y)
    weighted = tuner(**options).fit(X, Y, sample_weight=np.where(Y == "no", 30.0, 10.0))
    np.testing.assert_allclose(said(given), said(weighted), atol=1e-5)


@pytest.mark.parametrize("scale", [1e-308, 1e-30, 1e30, 1e300])
def test_the_first_head_takes_weights_of_any_size(scale):
    options = {"freeze": "all", "schedule": "lp-ft"}
    model = tuner(**options).fit(X, Y, sample_weight=np.full(40, scale))
    share = np.mean(Y == "yes")
    proba = model.predict_proba(X)[:, 1]
    assert np.isfinite(proba).all()
    if scale < 1:  # the penalty leaves nothing but the bias
        np.testing.assert_allclose(proba, share, atol=1e-3)
    else:
        assert model.score(X, Y) > max(share, 1 - share)


@kinds
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_weights_of_any_scale_mean_the_same(kind, y, scale):
    weights = RNG.uniform(0.5, 2, 40)
    options = {"early_stopping": True, "validation_fraction": 0.25}
    one = tuner(kind, **options).fit(X, y, sample_weight=weights)
    other = tuner(kind, **options).fit(X, y, sample_weight=weights * scale)
    np.testing.assert_allclose(said(one), said(other), rtol=1e-4, atol=1e-5)
    losses = [[row["valid_loss"] for row in model.history_] for model in (one, other)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_balanced_classes_are_those_of_weighted_rows():
    y = np.where(np.arange(40) < 8, "rare", "usual")
    weights = np.where(y == "rare", 40 / (2 * 8), 40 / (2 * 32))
    balanced = tuner(class_weight="balanced").fit(X, y)
    weighted = tuner().fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(said(balanced), said(weighted), atol=1e-5)
    assert not np.allclose(said(balanced), said(tuner().fit(X, y)), atol=1e-2)


def test_a_mapping_weighs_classes():
    weights = np.where(Y == "no", 3.0, 1.0)
    given = tuner(class_weight={"no": 3.0, "yes": 1.0}).fit(X, Y)
    weighted = tuner().fit(X, Y, sample_weight=weights)
    np.testing.assert_allclose(said(given), said(weighted), atol=1e-5)


def test_the_training_loss_is_the_weighted_log_loss():
    weights = RNG.uniform(0.1, 3, 40)
    model = tuner(freeze="all", max_epochs=1).fit(X, Y, sample_weight=weights)
    start = tuner(freeze="all", max_epochs=1, lr=1e-12).fit(X, Y)
    expected = log_loss(Y, start.predict_proba(X), sample_weight=weights)
    assert model.history_[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_weights_reach_the_validation_loss_and_score():
    weights = np.where(Y == "no", 5.0, 1.0) * RNG.uniform(0.5, 1, 40)
    model = tuner(early_stopping=100, validation_fraction=0.5, max_epochs=1)
    found = []
    make_part = model._make_part

    def spy(rows, name="X"):
        found.append(rows.numbers)
        return make_part(rows, name)

    model._make_part = spy
    model.fit(X, Y, sample_weight=weights)
    rows = found[1]  # the second part is that to validate on
    proba = model.predict_proba(X[rows])
    last = model.history_[-1]
    loss = log_loss(Y[rows], proba, sample_weight=weights[rows])
    assert last["valid_loss"] == pytest.approx(loss, rel=1e-4)
    right = model.predict(X[rows]) == Y[rows]
    assert last["valid_score"] == pytest.approx(np.average(right, weights=weights[rows]))


def test_weights_reach_the_first_head_of_lp_ft():
    weights = RNG.uniform(0.1, 3, 40)
    model = FineTunedClassifier(
        torch.nn.Identity(), preprocess=None, freeze="all", schedule="lp-ft"
    ).fit(X, Y, sample_weight=weights)
    scaler = StandardScaler().fit(X, sample_weight=weights)
    # Features that vary less than the median one are divided by its scale.
    middle = np.sort(scaler.scale_)[(X.shape[1] - 1) // 2]
    scaled = (X - scaler.mean_) / np.maximum(scaler.scale_, middle)
    solver = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000)
    solver.fit(scaled, Y, sample_weight=weights)
    np.testing.assert_allclose(model.predict_proba(X), solver.predict_proba(scaled), atol=1e-3)
    plain = solver.fit(scaled, Y).predict_proba(scaled)
    assert not np.allclose(model.predict_proba(X), plain, atol=1e-2)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(40), "zero"),
        (np.where(np.arange(40) == 7, -1.0, 1.0), "sample_weight is -1 in row 7"),
        (np.where(np.arange(40) == 7, np.nan, 1.0), "NaN"),
        (np.where(np.arange(40) == 7, np.inf, 1.0), "infinity"),
        (np.ones(39), r"sample_weight.shape == \(39,\)"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        tuner().fit(X, Y, sample_weight=weights)


def test_the_score_is_weighted():
    weights = RNG.uniform(0, 3, 40)
    model = tuner(max_epochs=1).fit(X, Y)
    right = model.predict(X) == Y
    assert model.score(X, Y, sample_weight=weights) == pytest.approx(
        np.average(right, weights=weights)
    )


def test_the_callers_arrays_stay_as_they_are():
    weights = RNG.uniform(0, 3, 40)
    rows, y, w = X.copy(), Y.copy(), weights.copy()
    for array in (rows, y, w):
        array.setflags(write=False)
    tuner(early_stopping=True, class_weight="balanced").fit(rows, y, sample_weight=w)
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(w, weights)


@pytest.fixture
def files(images, tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(20)]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image).save(path)
    return paths


def shifted(**options):
    model = small_networks.staged()
    tiny = {"freeze": "early", "lr": 1e-2, "max_epochs": 2, "engine": "torch"}
    return ImportanceWeighted(
        FineTunedClassifier(model, **{**tiny, **options}),
        KMM(),
        representation=PretrainedFeatures(model, engine="torch"),
    )


@pytest.mark.filterwarnings("ignore:.*effective")
def test_importance_weights_of_files_reach_the_loss(files, labels):
    model = shifted().fit(files, labels, X_target=files[5:15])
    assert model.weights_.std() > 0
    direct = FineTunedClassifier(**model.estimator.get_params(deep=False))
    direct.fit(files, labels, sample_weight=model.weights_)
    np.testing.assert_allclose(
        model.predict_proba(files), direct.predict_proba(files), atol=1e-6
    )
    plain = FineTunedClassifier(**model.estimator.get_params(deep=False)).fit(files, labels)
    assert not np.allclose(model.predict_proba(files), plain.predict_proba(files), atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*effective")
def test_importance_weights_in_a_search_over_files(files, labels):
    order = np.random.default_rng(0).permutation(20)
    mixed = [files[i] for i in order]
    search = GridSearchCV(shifted(), {"estimator__freeze": ["all", "early"]}, cv=2)
    search.fit(mixed, labels[order], X_target=TargetDomain(files[5:15]))
    assert search.predict(files).shape == (20,)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
