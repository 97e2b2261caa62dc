"""PrototypeClassifier against NearestCentroid, SciPy's distances and its own batches."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.spatial.distance import cdist
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

from sklearn_transfer import PrototypeClassifier
from sklearn_transfer.heads._temperature import find_likeliest

PLAIN = {"center": None, "normalize": False}
HEADS = [
    PrototypeClassifier(),
    PrototypeClassifier(metric="cosine"),
    PrototypeClassifier(center=None),
    PrototypeClassifier(normalize=False),
    PrototypeClassifier(metric="cosine", normalize=False),
    PrototypeClassifier(shrinkage=2.5, **PLAIN),
]
each = pytest.mark.parametrize("head", HEADS, ids=str)


@pytest.fixture
def blobs():
    """Ninety rows of unequal length about four centers, far from the origin."""
    X, y = make_blobs(90, 6, centers=4, cluster_std=4.0, random_state=0)
    return X + 10, y


def simple_shot(X, y, T, metric):
    """Squared distances by definition: center, scale, average, compare."""
    center = X.mean(axis=0)
    rows, queries = normalize(X - center), normalize(T - center)
    prototypes = np.array([rows[y == k].mean(axis=0) for k in np.unique(y)])
    if metric == "cosine":
        return 2 * cdist(queries, prototypes, "cosine")
    return cdist(queries, prototypes, "sqeuclidean")


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_equals_nearest_centroid(blobs, offset):
    X, y = blobs[0] + offset, blobs[1]
    head, peer = PrototypeClassifier(**PLAIN).fit(X[:60], y[:60]), NearestCentroid()
    peer.fit(X[:60], y[:60])
    np.testing.assert_allclose(head.prototypes_, peer.centroids_, rtol=1e-12)
    np.testing.assert_array_equal(head.predict(X), peer.predict(X))
    assert head.score(X, y) < 1  # otherwise any rule would agree


def test_squared_distances_far_from_the_origin(blobs):
    X, y = blobs[0] + 1e8, blobs[1]
    head = PrototypeClassifier(temperature=1.0, **PLAIN).fit(X, y)
    expected = -cdist(X, head.prototypes_, "sqeuclidean")
    np.testing.assert_allclose(head.decision_function(X), expected, rtol=1e-6)


def test_center_changes_nothing_for_plain_distances(blobs):
    X, y = blobs
    head = PrototypeClassifier(**PLAIN).fit(X, y)
    centered = PrototypeClassifier(normalize=False).fit(X, y)
    np.testing.assert_allclose(
        head.decision_function(X), centered.decision_function(X), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_probabilities_are_a_softmax_of_squared_distances(blobs, metric, temperature):
    X, y = blobs
    head = PrototypeClassifier(metric=metric, temperature=temperature).fit(X[:60], y[:60])
    logits = -simple_shot(X[:60], y[:60], X, metric) / temperature
    np.testing.assert_allclose(head.predict_proba(X), softmax(logits, axis=1), atol=1e-12)
    np.testing.assert_allclose(head.decision_function(X), logits, atol=1e-12)
    np.testing.assert_array_equal(head.predict(X), logits.argmax(axis=1))


def test_cosine_of_rows_that_are_not_scaled(blobs):
    X, y = blobs
    head = PrototypeClassifier(metric="cosine", temperature=1.0, **PLAIN).fit(X, y)
    means = np.array([X[y == k].mean(axis=0) for k in range(4)])
    np.testing.assert_allclose(
        head.decision_function(X), -2 * cdist(X, means, "cosine"), atol=1e-12
    )


def test_a_single_sample_of_a_class_is_its_prototype():
    X, y = load_digits(return_X_y=True)
    rows = [np.flatnonzero(y == k)[0] for k in range(10)]
    head = PrototypeClassifier(**PLAIN).fit(X[rows], y[rows])
    np.testing.assert_array_equal(head.prototypes_, X[rows])
    nearest = cdist(X, X[rows]).argmin(axis=1)
    assert np.mean(head.predict(X) == nearest) > 0.998  # distances of integers are tied


def test_shrinkage_counts_samples_at_the_mean(blobs):
    X, y = blobs
    X, y = X[: 2 * 20], np.where(np.arange(40) < 5, "few", "many")
    head = PrototypeClassifier(shrinkage=3, **PLAIN).fit(X, y)
    mean = np.repeat(X.mean(axis=0)[None], 3, axis=0)
    for k, name in enumerate(["few", "many"]):
        expected = np.concatenate([X[y == name], mean]).mean(axis=0)
        np.testing.assert_allclose(head.prototypes_[k], expected, rtol=1e-12)


def test_given_center(blobs):
    X, y = blobs
    head = PrototypeClassifier(center=X.mean(axis=0)).fit(X[:30], y[:30])
    rows = normalize(X[:30] - X.mean(axis=0))
    np.testing.assert_allclose(head.prototypes_[1], rows[y[:30] == 1].mean(axis=0))


# Batches


@each
def test_batches_equal_one_fit(head, blobs):
    X, y = blobs
    order = np.argsort(y, kind="stable")  # later batches bring new classes
    X, y = X[order], y[order]
    center = None if head.center is None else X.mean(axis=0)
    head = clone(head).set_params(center=center)
    whole = clone(head).fit(X, y)
    for start in range(0, len(X), 7):
        head.partial_fit(X[start : start + 7], y[start : start + 7])
    np.testing.assert_allclose(head.prototypes_, whole.prototypes_, atol=1e-12)
    np.testing.assert_array_equal(head.class_count_, np.bincount(y))
    np.testing.assert_array_equal(head.predict(X), whole.predict(X))


@each
def test_first_batch_equals_fit(head, blobs):
    whole, batch = clone(head).fit(*blobs), clone(head).partial_fit(*blobs)
    np.testing.assert_array_equal(whole.predict_proba(blobs[0]), batch.predict_proba(blobs[0]))


def test_plain_batches_need_no_given_center(blobs):
    X, y = blobs
    head = PrototypeClassifier(normalize=False, temperature=1.0)
    whole = clone(head).fit(X, y).decision_function(X)
    head.partial_fit(X[:5], y[:5]).partial_fit(X[5:], y[5:])
    np.testing.assert_allclose(head.decision_function(X), whole, rtol=1e-9, atol=1e-9)


def test_center_is_the_mean_of_the_first_batch(blobs):
    X, y = blobs
    head = PrototypeClassifier().partial_fit(X[:20], y[:20])
    head.partial_fit(X[20:], y[20:] + 7)
    np.testing.assert_allclose(head.center_, X[:20].mean(axis=0))


def test_a_first_batch_of_one_class_has_no_center(blobs):
    X, y = blobs
    head = PrototypeClassifier()
    for row in range(len(X)):
        head.partial_fit(X[row : row + 1], y[row : row + 1])
    np.testing.assert_array_equal(head.center_, np.zeros(6))
    whole = PrototypeClassifier(center=None).fit(X, y)
    np.testing.assert_allclose(head.prototypes_, whole.prototypes_, atol=1e-12)


def test_fit_forgets_batches(blobs):
    X, y = blobs
    head = PrototypeClassifier().partial_fit(X[:, :3] * 5, y + 50).fit(X, y)
    whole = PrototypeClassifier().fit(X, y)
    np.testing.assert_array_equal(head.classes_, [0, 1, 2, 3])
    np.testing.assert_array_equal(head.predict_proba(X), whole.predict_proba(X))


def test_new_names_may_be_longer_than_old_ones():
    head = PrototypeClassifier(center=None).partial_fit([[1.0, 0.0]], ["b"])
    head.partial_fit([[0.0, 1.0], [-1.0, -1.0]], ["a long name", "c"])
    assert head.classes_.tolist() == ["a long name", "b", "c"]
    assert head.predict([[2.0, 0.0], [0.0, 2.0]]).tolist() == ["b", "a long name"]


def test_announced_classes_without_samples_are_never_predicted(blobs):
    X, y = blobs
    head = PrototypeClassifier().partial_fit(X, y, classes=[9, 0, 1, 2, 3, -1])
    seen = PrototypeClassifier().fit(X, y)
    np.testing.assert_array_equal(head.classes_, [-1, 0, 1, 2, 3, 9])
    np.testing.assert_array_equal(head.predict(X), seen.predict(X))
    np.testing.assert_array_equal(head.predict_proba(X)[:, [0, 5]], 0)
    np.testing.assert_array_equal(head.predict_proba(X)[:, 1:5], seen.predict_proba(X))
    assert np.isneginf(head.decision_function(X)[:, 0]).all()
    assert np.isnan(head.prototypes_[[0, 5]]).all()


def test_numbers_beside_names_are_refused(blobs):
    head = PrototypeClassifier().fit(*blobs)
    with pytest.raises(ValueError, match="Mix of label input types"):
        head.partial_fit(blobs[0][:1], ["cat"])
    assert head.classes_.tolist() == [0, 1, 2, 3]


# Weights


@each
def test_weights_count_rows(head, blobs):
    X, y = blobs
    weights = np.random.default_rng(0).integers(0, 4, size=len(X))
    weighted = clone(head).fit(X, y, sample_weight=weights)
    repeated = clone(head).fit(X.repeat(weights, axis=0), y.repeat(weights))
    np.testing.assert_allclose(weighted.prototypes_, repeated.prototypes_, atol=1e-12)
    np.testing.assert_allclose(weighted.temperature_, repeated.temperature_, rtol=1e-4)


def test_weights_in_batches(blobs):
    X, y = blobs
    weights = np.random.default_rng(0).uniform(size=len(X))
    head = PrototypeClassifier(**PLAIN)
    for rows in (slice(0, 40), slice(40, None)):
        head.partial_fit(X[rows], y[rows], sample_weight=weights[rows])
    for k in range(4):
        mean = np.average(X[y == k], axis=0, weights=weights[y == k])
        np.testing.assert_allclose(head.prototypes_[k], mean)


def test_a_class_without_weight_is_never_predicted(blobs):
    X, y = blobs
    head = PrototypeClassifier().fit(X, y, sample_weight=y != 2)
    assert 2 in head.classes_
    assert 2 not in head.predict(X)


def test_rows_without_weight_do_not_move_the_center(blobs):
    X, y = blobs
    head = PrototypeClassifier().fit(X, y, sample_weight=y == 2)
    np.testing.assert_array_equal(head.center_, np.zeros(6))


def test_rows_without_weight_do_not_count_among_those_left_out():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2500, 2)), rng.integers(0, 3, size=2500)
    weights = (rng.uniform(size=2500) < 0.5).astype(float)
    weighted = PrototypeClassifier(temperature="auto").fit(X, y, sample_weight=weights)
    kept = PrototypeClassifier().fit(X[weights > 0], y[weights > 0])
    assert weighted.temperature_ == pytest.approx(kept.temperature_, rel=1e-9)


def test_rows_left_out_are_bounded(monkeypatch):
    lengths = []

    def spy(distances, own, weights, expected):
        lengths.append(len(distances))
        return find_likeliest(distances, own, weights, expected)

    monkeypatch.setattr("sklearn_transfer.heads._prototypes.find_likeliest", spy)
    X = np.random.default_rng(0).normal(size=(2500, 2))
    PrototypeClassifier().fit(X, X[:, 0] > 0).partial_fit(X[:30], X[:30, 0] > 0)
    assert lengths == [1000, 30]


@pytest.mark.parametrize(
    ("weight", "message"), [(-1.0, "at least 0"), (0.0, "(?i)weight.*(above 0|zero)")]
)
def test_weights_that_say_nothing_are_refused(blobs, weight, message):
    with pytest.raises(ValueError, match=message):
        PrototypeClassifier().fit(*blobs, sample_weight=np.full(90, weight))


# Temperature


def penalized(X, y, temperature, head):
    """Compute the left-out likelihood with its prior by its definition, in n fits."""
    whole = clone(head).set_params(temperature=1.0).fit(X, y)
    center, loss = whole.center_, 0.0
    for i in range(len(X)):
        rest = np.delete(np.arange(len(X)), i)
        fitted = clone(head).set_params(temperature=temperature, center=center)
        logits = -fitted.fit(X[rest], y[rest]).predict_proba(X[i : i + 1])
        loss += np.log(-logits[0, y[i]])
    means = whole.prototypes_
    expected = 0.1 * cdist(means, means, "sqeuclidean").sum() / (len(means) * (len(means) - 1))
    return loss - np.log(temperature / expected) ** 2 / 2


@each
def test_temperature_makes_left_out_rows_likeliest(head, blobs):
    X, y = blobs[0][:40], blobs[1][:40]
    head = clone(head).set_params(shrinkage=0)
    found = clone(head).fit(X, y).temperature_
    best = penalized(X, y, found, head)
    for factor in (0.97, 1.03):
        assert penalized(X, y, found * factor, head) < best


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each
def test_scale_of_features_changes_nothing(head, blobs, factor, dtype):
    X, y = blobs[0].astype(dtype), blobs[1]
    expected = clone(head).fit(X, y).predict_proba(X)
    X = X * dtype(factor)
    found = clone(head).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(found, expected, atol=1e-3 if dtype == np.float32 else 1e-6)


EXTREMES = [(np.float32, 1e-30), (np.float32, 1e30), (np.float64, 1e-150), (np.float64, 1e150)]


@pytest.mark.parametrize(("dtype", "factor"), EXTREMES)
@each
def test_squares_neither_overflow_nor_vanish(head, blobs, dtype, factor):
    X, y = blobs[0].astype(dtype), blobs[1]
    expected = clone(head).fit(X, y).predict_proba(X)
    found = clone(head).fit(X * dtype(factor), y).predict_proba(X * dtype(factor))
    np.testing.assert_allclose(found, expected, atol=1e-3 if dtype == np.float32 else 1e-6)


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_directions_have_no_scale(blobs, factor):
    X, y = blobs
    expected = PrototypeClassifier(metric="cosine").fit(X, y).predict_proba(X)
    X = X * factor
    found = PrototypeClassifier(metric="cosine").fit(X, y).predict_proba(X)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_directions_that_are_nearly_equal_are_told_apart(blobs):
    X, y = blobs[0] + 1e5, blobs[1]
    head = PrototypeClassifier(metric="cosine", **PLAIN)
    expected = clone(head).fit(X, y).predict(X)
    found = head.fit(X.astype(np.float32), y).predict(X.astype(np.float32))
    assert np.mean(found == expected) > 0.9


def test_temperature_of_one_shot_is_a_tenth_of_the_distance():
    X = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert PrototypeClassifier(**PLAIN).fit(X, [0, 1]).temperature_ == pytest.approx(2.5)


def test_one_new_class_keeps_the_sharpness_that_was_learned(blobs):
    X, y = blobs
    head = PrototypeClassifier(**PLAIN).fit(X, y)

    def share():
        means = head.prototypes_
        pairs = cdist(means, means, "sqeuclidean")[np.triu_indices(len(means), 1)]
        return head.temperature_ / pairs.mean()

    before = share()
    assert abs(before - 0.1) > 0.01
    head.partial_fit(X[:1] + 30, [9])
    assert share() == pytest.approx(before)


# Inputs


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "dog", "owl", "ant"],
        [7, 5, 100, -3],
        [0.0, 2.0, 4.0, 9.0],
        np.array(["x", "yy", "z", "w"], dtype=object),
    ],
    ids=str,
)
@each
def test_labels_of_any_kind(head, blobs, names):
    X, y = blobs
    names = np.asarray(names)
    expected = names[clone(head).fit(X, y).predict(X)]
    fitted = clone(head).fit(X, names[y])
    np.testing.assert_array_equal(fitted.predict(X), expected)
    np.testing.assert_array_equal(fitted.classes_, np.unique(names))


@pytest.mark.parametrize("names", [[-1, 1], [False, True], ["no", "yes"]], ids=str)
def test_two_classes_have_one_score(blobs, names):
    X, y = blobs
    names, codes = np.array(names), (y > 1).astype(int)
    head = PrototypeClassifier().fit(X, names[codes])
    scores, probabilities = head.decision_function(X), head.predict_proba(X)
    assert scores.shape == (len(X),)
    np.testing.assert_array_equal(head.predict(X), names[(scores > 0).astype(int)])
    np.testing.assert_allclose(scores, np.log(probabilities[:, 1] / probabilities[:, 0]))


@each
def test_one_class_is_always_predicted(head, blobs):
    X, _ = blobs
    head = clone(head).fit(X[:1], ["only"])
    assert set(head.predict(X)) == {"only"}
    np.testing.assert_array_equal(head.predict_proba(X), np.ones((len(X), 1)))


@each
def test_constant_and_equal_rows(head):
    X = np.full((10, 3), 0.1)
    assert (X.sum(axis=0) / 10 != X[0]).all()  # by rounding
    head = clone(head).fit(X, [0, 1, 0, 1, 1, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(head.predict_proba(X), 0.5)
    if head.normalize and head.center is not None:
        np.testing.assert_array_equal(head.prototypes_, 0)


@each
def test_constant_columns_and_more_features_than_rows(head):
    X = np.random.default_rng(0).normal(size=(5, 40))
    X[:, :20] = 3.0
    head = clone(head).fit(X, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(head.predict(X), [0, 1, 2, 3, 4])


def test_one_feature():
    head = PrototypeClassifier().fit([[0.0], [1.0], [10.0], [11.0]], [0, 0, 1, 1])
    assert head.predict([[2.0], [20.0]]).tolist() == [0, 1]


@each
def test_float32_stays_float32_and_near(head, blobs):
    X, y = blobs
    head = clone(head).fit(X, y)
    found = head.predict_proba(X.astype(np.float32))
    assert found.dtype == np.float32
    assert head.decision_function(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(found, head.predict_proba(X), atol=1e-4)


@each
def test_tables_and_strides(head, blobs):
    X, y = blobs
    expected = clone(head).fit(X, y).predict_proba(X)
    names = list("abcdef")
    strided = np.repeat(X, 2, axis=1)[:, ::2]
    for form in (pd.DataFrame(X, columns=names), pl.DataFrame(X, names), strided):
        found = clone(head).fit(form, y).predict_proba(form)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@each
def test_arrays_are_never_written_to(head, blobs):
    arrays = [*blobs, np.ones(len(blobs[0]))]
    before = [array.copy() for array in arrays]
    X, y, weights = arrays
    head = clone(head).fit(X, y, weights).partial_fit(X, y, sample_weight=weights)
    head.predict(X), head.predict_proba(X), head.decision_function(X)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
        array.flags.writeable = False
    assert clone(head).fit(X, y, weights).predict(X).shape == y.shape


@each
def test_pickle_goes_on_learning(head, blobs):
    X, y = blobs
    head = clone(head).fit(X[:50], y[:50])
    loaded = pickle.loads(pickle.dumps(head)).partial_fit(X[50:], y[50:])
    expected = head.partial_fit(X[50:], y[50:]).predict_proba(X)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_values_are_refused(blobs, bad):
    X, y = blobs
    head = PrototypeClassifier().fit(X, y)
    X = X.copy()
    X[3, 2] = bad
    for call in (lambda: head.partial_fit(X, y), lambda: head.predict(X)):
        with pytest.raises(ValueError, match="contains (NaN|infinity)"):
            call()


def test_center_of_another_width_is_refused(blobs):
    with pytest.raises(ValueError, match=r"center has shape \(2,\) and X has 6 features"):
        PrototypeClassifier(center=[0.0, 1.0]).fit(*blobs)


def test_grid_search_over_its_parameters(blobs):
    grid = {"metric": ["euclidean", "cosine"], "normalize": [True, False]}
    search = GridSearchCV(PrototypeClassifier(), grid, cv=3, scoring="neg_log_loss")
    assert search.fit(*blobs).best_score_ > -np.log(4)


def test_prediction_is_one_product(blobs, monkeypatch):
    X, y = blobs
    head = PrototypeClassifier().fit(X, y)
    calls = []

    class Counted(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            calls.append(ufunc.__name__)
            plain = [np.asarray(i) if isinstance(i, Counted) else i for i in inputs]
            kwargs = {k: v for k, v in kwargs.items() if k != "out"}
            return getattr(ufunc, method)(*plain, **kwargs)

    head._placed = head._placed.view(Counted)
    head.predict(X)
    assert calls.count("matmul") == 1


@each
def test_logarithms_of_probabilities_are_those_of_a_log_softmax(blobs, head):
    X, y = blobs
    head = clone(head).fit(X, y)
    np.testing.assert_allclose(
        head.predict_log_proba(X), log_softmax(head.decision_function(X), axis=1), atol=1e-12
    )
    np.testing.assert_allclose(np.exp(head.predict_log_proba(X)), head.predict_proba(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logarithms_of_probabilities_that_vanish_are_finite(dtype):
    head = PrototypeClassifier(temperature=1e-3, center=None).fit(np.eye(3), [0, 1, 2])
    X = np.eye(3, dtype=dtype)
    assert (head.predict_proba(X) == 0).any()
    expected = np.where(np.eye(3) == 1, 0, -2000)  # squared distance 2 over the temperature
    np.testing.assert_allclose(head.predict_log_proba(X), expected, rtol=1e-5, atol=1e-12)


def test_logarithm_of_the_probability_of_a_class_without_samples():
    head = PrototypeClassifier().partial_fit(np.eye(2), [0, 1], classes=[0, 1, 2])
    found = head.predict_log_proba(np.eye(2))
    np.testing.assert_array_equal(np.isneginf(found), [[False, False, True]] * 2)
