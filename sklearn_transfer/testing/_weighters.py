"""Checks of weighters: source and target rows to weights of the source rows.

Each takes an estimator, and makes domains of its own. A check that does not apply raises
`unittest.SkipTest`, so that it never passes silently.
"""

import pickle
import warnings
from contextlib import contextmanager

import numpy as np
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from sklearn_transfer._validation import TargetDomain
from sklearn_transfer.testing._assertions import (
    assert_close,
    list_frame_types,
    require_error,
    require_warning,
)
from sklearn_transfer.weighting import KMM, DomainClassifierWeights, ImportanceWeighted

SMALL = (
    "The weights amount to|The estimate averages|The classifier predicts some classes alike"
)


def make_domains():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(120, 3)), rng.normal([0.8, 0, 0], size=(80, 3))
    return X, T


def label_rows(X):
    """Classes that follow the first feature, as near as they can be halves."""
    ranks = np.argsort(np.argsort(np.asarray(X)[:, 0], kind="stable"), kind="stable")
    return np.where(ranks >= len(ranks) // 2, "right", "left")


@contextmanager
def ignore_warnings_of_small_domains():
    """Ignore what fits of a few dozen rows warn of, beside what is checked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", SMALL)
        yield


def fit_weights(weighter, X, T, with_labels=True):
    """Fitted copy of a weighter."""
    y = label_rows(X) if with_labels else None
    with ignore_warnings_of_small_domains():
        return clone(weighter).fit(X, y, X_target=T)


def estimate_weights(weighter, X, T):
    return fit_weights(weighter, X, T).weights_


def check_weights_are_not_negative_and_have_mean_one(weighter):
    domains = make_domains()
    w = estimate_weights(weighter, *domains)
    assert w.shape == (120,)
    assert w.min() >= 0
    np.testing.assert_allclose(w.mean(), 1, rtol=1e-6)


def check_weights_lean_to_the_target(weighter):
    domains = make_domains()
    X, T = domains
    mean = np.average(X[:, 0], weights=estimate_weights(weighter, X, T))
    assert mean > X[:, 0].mean() + 0.25 * (T[:, 0].mean() - X[:, 0].mean())


def check_unit_of_the_features_does_not_matter(weighter):
    for scale in [1e-06, 1000000.0]:
        domains = make_domains()
        X, T = domains
        assert_close(
            estimate_weights(weighter, scale * X, scale * T),
            estimate_weights(weighter, X, T),
            1e-3,
        )


def check_place_of_the_origin_does_not_matter(weighter):
    domains = make_domains()
    X, T = domains
    assert_close(
        estimate_weights(weighter, X + 1e3, T + 1e3), estimate_weights(weighter, X, T), 1e-3
    )


def check_constant_columns_change_nothing(weighter):
    domains = make_domains()
    wider = [np.column_stack([rows, np.full(len(rows), 7.0)]) for rows in domains]
    assert_close(
        estimate_weights(weighter, *wider), estimate_weights(weighter, *domains), 1e-3
    )


def check_constant_data_have_equal_weights(weighter):
    w = estimate_weights(weighter, np.ones((6, 2)), np.ones((4, 2)))
    np.testing.assert_allclose(w, 1, atol=1e-3)


def check_duplicate_rows_have_equal_weights(weighter):
    """Of a classifier up to its folds: a copy may be left out with other rows."""
    domains = make_domains()
    X, T = domains
    X = np.concatenate([X, X[:1], X[:1]])
    w = estimate_weights(weighter, X, np.repeat(T, 2, axis=0))
    assert np.isfinite(w).all()
    if not isinstance(weighter, DomainClassifierWeights | KMM):
        np.testing.assert_allclose(w[-1], w[0], rtol=1e-6)


def check_few_rows_are_enough(weighter):
    for sizes in [(1, 5), (5, 1), (1, 1), (2, 2), (3, 40), (40, 3)]:
        rng = np.random.default_rng(0)
        X, T = rng.normal(size=(sizes[0], 2)), rng.normal(size=(sizes[1], 2))
        w = estimate_weights(weighter, X, T)
        assert np.isfinite(w).all()
        np.testing.assert_allclose(w.mean(), 1, rtol=1e-6)


def check_more_features_than_rows(weighter):
    rng = np.random.default_rng(0)
    w = estimate_weights(
        weighter, rng.normal(size=(20, 100)), rng.normal(0.5, 1, size=(10, 100))
    )
    assert np.isfinite(w).all()


def check_many_features_far_from_each_other(weighter):
    """Densities themselves underflow in 512 dimensions."""
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(60, 512)), rng.normal(1, 1, size=(50, 512))
    assert np.isfinite(estimate_weights(weighter, X, T)).all()


def check_float32_agrees_with_float64(weighter):
    X, T = (rows.astype(np.float32) for rows in make_domains())
    expected = estimate_weights(weighter, X.astype(np.float64), T.astype(np.float64))
    np.testing.assert_array_equal(estimate_weights(weighter, X, T), expected)


def check_frames_agree_with_arrays(weighter):
    X, T = (rows.astype(np.float32) for rows in make_domains())
    expected = estimate_weights(weighter, X.astype(np.float64), T.astype(np.float64))
    y = label_rows(X)
    for frame in list_frame_types():
        X_frame, T_frame = (frame(dict(zip("abc", rows.T, strict=True))) for rows in (X, T))
        with ignore_warnings_of_small_domains():
            fitted = clone(weighter).fit(X_frame, y, X_target=T_frame)
        assert list(fitted.feature_names_in_) == ["a", "b", "c"]
        assert_close(fitted.weights_, expected, 1e-3)


def check_memory_layout_does_not_matter(weighter):
    domains = make_domains()
    X, T = domains
    wide = np.zeros((240, 6))
    wide[::2, ::2] = X
    found = estimate_weights(weighter, wide[::2, ::2], np.asfortranarray(T))
    assert_close(found, estimate_weights(weighter, X, T), 1e-3)


def check_arrays_of_the_caller_stay_as_they_are(weighter):
    domains = make_domains()
    X, T = (rows.copy() for rows in domains)
    y = label_rows(X)
    for array in (X, T, y):
        array.flags.writeable = False
    with ignore_warnings_of_small_domains():
        clone(weighter).fit(X, y, X_target=T)
    np.testing.assert_array_equal(X, domains[0])
    np.testing.assert_array_equal(T, domains[1])


def check_same_data_give_the_same_weights(weighter):
    domains = make_domains()
    np.testing.assert_array_equal(
        estimate_weights(weighter, *domains), estimate_weights(weighter, *domains)
    )


def check_copies_and_parameters(weighter):
    domains = make_domains()
    X, T = domains
    weighter = clone(weighter)
    before = weighter.get_params()
    with ignore_warnings_of_small_domains():
        weighter.fit(X, label_rows(X), X_target=TargetDomain(T))
    assert weighter.get_params() == before
    copy = pickle.loads(pickle.dumps(weighter))
    np.testing.assert_array_equal(copy.weights_, weighter.weights_)
    if hasattr(weighter, "predict_weights"):
        np.testing.assert_array_equal(copy.predict_weights(T), weighter.predict_weights(T))


def check_effective_sample_size_follows_its_formula(weighter):
    domains = make_domains()
    fitted = fit_weights(weighter, *domains)
    w = fitted.weights_
    np.testing.assert_allclose(fitted.ess_, w.sum() ** 2 / (w**2).sum(), rtol=1e-6)


def check_an_estimator_learns_with_the_weights(weighter):
    domains = make_domains()
    X, T = domains
    model = ImportanceWeighted(LogisticRegression(), weighter)
    with ignore_warnings_of_small_domains():
        model.fit(X, label_rows(X), X_target=T)
    np.testing.assert_array_equal(model.weights_, estimate_weights(weighter, X, T))
    assert set(model.predict(T)) <= {"left", "right"}


def check_no_target_leaves_weights_one(weighter):
    domains = make_domains()
    weighter = fit_weights(weighter, *domains)
    with require_warning("got no target samples"):
        weighter.fit(domains[0])
    np.testing.assert_array_equal(weighter.weights_, 1)
    if hasattr(weighter, "predict_weights"):
        np.testing.assert_array_equal(weighter.predict_weights(domains[1]), 1)


def check_predicted_weights_are_on_the_scale_of_those_of_the_source(weighter):
    domains = make_domains()
    X, T = domains
    fitted = fit_weights(weighter, X, T, with_labels=False)
    found = fitted.predict_weights(X)
    if isinstance(weighter, DomainClassifierWeights):
        assert spearmanr(found, fitted.weights_)[0] > 0.95
        np.testing.assert_allclose(found.mean(), 1, rtol=0, atol=0.1)
    else:
        np.testing.assert_allclose(found, fitted.weights_, rtol=1e-9)


def check_predicted_weights_of_single_rows_are_those_of_all(weighter):
    domains = make_domains()
    fitted = fit_weights(weighter, *domains, with_labels=False)
    rows = domains[1][:5]
    single = [fitted.predict_weights(row[None]).item() for row in rows]
    np.testing.assert_allclose(fitted.predict_weights(rows), single, rtol=1e-9, atol=1e-12)
    assert min(single) >= 0


def check_predicted_weights_are_numbers_far_away(weighter):
    domains = make_domains()
    fitted = fit_weights(weighter, *domains, with_labels=False)
    far = np.array([[1e4, 0, 0], [-1e4, 0, 0], [0, 1e4, -1e4]])
    found = fitted.predict_weights(far)
    assert np.isfinite(found).all()
    assert found.min() >= 0


def check_predicting_refuses_other_features(weighter):
    domains = make_domains()
    fitted = fit_weights(weighter, *domains, with_labels=False)
    with require_error(ValueError, "expecting 3 features"):
        fitted.predict_weights(domains[0][:, :2])


WEIGHTER_CHECKS = [
    check_weights_are_not_negative_and_have_mean_one,
    check_weights_lean_to_the_target,
    check_unit_of_the_features_does_not_matter,
    check_place_of_the_origin_does_not_matter,
    check_constant_columns_change_nothing,
    check_constant_data_have_equal_weights,
    check_duplicate_rows_have_equal_weights,
    check_few_rows_are_enough,
    check_more_features_than_rows,
    check_many_features_far_from_each_other,
    check_float32_agrees_with_float64,
    check_frames_agree_with_arrays,
    check_memory_layout_does_not_matter,
    check_arrays_of_the_caller_stay_as_they_are,
    check_same_data_give_the_same_weights,
    check_copies_and_parameters,
    check_effective_sample_size_follows_its_formula,
    check_an_estimator_learns_with_the_weights,
    check_no_target_leaves_weights_one,
]

RATIO_CHECKS = [
    check_predicted_weights_are_on_the_scale_of_those_of_the_source,
    check_predicted_weights_of_single_rows_are_those_of_all,
    check_predicted_weights_are_numbers_far_away,
    check_predicting_refuses_other_features,
]
