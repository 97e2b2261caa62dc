"""Checks of what every weighter promises."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from sklearn_transfer import (
    KMM,
    DomainClassifierWeights,
    ImportanceWeighted,
    TargetDomain,
)


def make_domains():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(120, 3)), rng.normal([0.8, 0, 0], size=(80, 3))
    return X, T


def labels(X):
    """Return two classes of nearly equal size that depend on the first feature."""
    ranks = np.argsort(np.argsort(np.asarray(X)[:, 0], kind="stable"), kind="stable")
    return np.where(ranks >= len(ranks) // 2, "right", "left")


def weights(weighter, X, T):
    return clone(weighter).fit(X, labels(X), X_target=T).weights_


def close(a, b, tolerance=1e-3):
    return np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b)


def check_weights_are_not_negative_and_have_mean_one(weighter):
    domains = make_domains()
    w = weights(weighter, *domains)
    assert w.shape == (120,)
    assert w.min() >= 0
    assert w.mean() == pytest.approx(1)


def check_weights_lean_to_the_target(weighter):
    domains = make_domains()
    X, T = domains
    mean = np.average(X[:, 0], weights=weights(weighter, X, T))
    assert mean > X[:, 0].mean() + 0.25 * (T[:, 0].mean() - X[:, 0].mean())


def check_unit_of_the_features_does_not_matter(weighter):
    for scale in [1e-06, 1000000.0]:
        domains = make_domains()
        X, T = domains
        assert close(weights(weighter, scale * X, scale * T), weights(weighter, X, T))


def check_place_of_the_origin_does_not_matter(weighter):
    domains = make_domains()
    X, T = domains
    assert close(weights(weighter, X + 1e3, T + 1e3), weights(weighter, X, T))


def check_constant_columns_change_nothing(weighter):
    domains = make_domains()
    wider = [np.column_stack([rows, np.full(len(rows), 7.0)]) for rows in domains]
    assert close(weights(weighter, *wider), weights(weighter, *domains))


def check_constant_data_have_equal_weights(weighter):
    w = weights(weighter, np.ones((6, 2)), np.ones((4, 2)))
    np.testing.assert_allclose(w, 1, atol=1e-3)


def check_duplicate_rows_have_equal_weights(weighter):
    """For a classifier, this holds up to its folds: a copy may be held out with other rows."""
    domains = make_domains()
    X, T = domains
    X = np.concatenate([X, X[:1], X[:1]])
    w = weights(weighter, X, np.repeat(T, 2, axis=0))
    assert np.isfinite(w).all()
    if not isinstance(weighter, DomainClassifierWeights | KMM):
        assert w[-1] == pytest.approx(w[0], rel=1e-6)


def check_few_rows_are_enough(weighter):
    for sizes in [(1, 5), (5, 1), (1, 1), (2, 2), (3, 40), (40, 3)]:
        rng = np.random.default_rng(0)
        X, T = rng.normal(size=(sizes[0], 2)), rng.normal(size=(sizes[1], 2))
        w = weights(weighter, X, T)
        assert np.isfinite(w).all()
        assert w.mean() == pytest.approx(1)


def check_more_features_than_rows(weighter):
    rng = np.random.default_rng(0)
    w = weights(weighter, rng.normal(size=(20, 100)), rng.normal(0.5, 1, size=(10, 100)))
    assert np.isfinite(w).all()


def check_many_features_far_from_each_other(weighter):
    """The densities themselves underflow in 512 dimensions."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The estimate averages")
        rng = np.random.default_rng(0)
        w = weights(weighter, rng.normal(size=(60, 512)), rng.normal(1, 1, size=(50, 512)))
        assert np.isfinite(w).all()


def check_float32_and_frames_agree_with_float64(weighter):
    domains = make_domains()
    X, T = (rows.astype(np.float32) for rows in domains)
    expected = weights(weighter, X.astype(np.float64), T.astype(np.float64))
    np.testing.assert_array_equal(weights(weighter, X, T), expected)
    for frame in (pd.DataFrame, pl.DataFrame):
        X_frame, T_frame = (frame(dict(zip("abc", rows.T, strict=True))) for rows in (X, T))
        fitted = clone(weighter).fit(X_frame, labels(X), X_target=T_frame)
        assert list(fitted.feature_names_in_) == ["a", "b", "c"]
        assert close(fitted.weights_, expected)


def check_memory_layout_does_not_matter(weighter):
    domains = make_domains()
    X, T = domains
    wide = np.zeros((240, 6))
    wide[::2, ::2] = X
    assert close(
        weights(weighter, wide[::2, ::2], np.asfortranarray(T)), weights(weighter, X, T)
    )


def check_arrays_of_the_caller_stay_as_they_are(weighter):
    domains = make_domains()
    X, T = (rows.copy() for rows in domains)
    y = labels(X)
    for array in (X, T, y):
        array.flags.writeable = False
    clone(weighter).fit(X, y, X_target=T)
    np.testing.assert_array_equal(X, domains[0])
    np.testing.assert_array_equal(T, domains[1])


def check_same_data_give_the_same_weights(weighter):
    domains = make_domains()
    np.testing.assert_array_equal(weights(weighter, *domains), weights(weighter, *domains))


def check_copies_and_parameters(weighter):
    domains = make_domains()
    X, T = domains
    weighter = clone(weighter)
    before = weighter.get_params()
    weighter.fit(X, labels(X), X_target=TargetDomain(T))
    assert weighter.get_params() == before
    copy = pickle.loads(pickle.dumps(weighter))
    np.testing.assert_array_equal(copy.weights_, weighter.weights_)
    if hasattr(weighter, "predict_weights"):
        np.testing.assert_array_equal(copy.predict_weights(T), weighter.predict_weights(T))


def check_effective_sample_size_follows_its_formula(weighter):
    domains = make_domains()
    fitted = clone(weighter).fit(domains[0], labels(domains[0]), X_target=domains[1])
    w = fitted.weights_
    assert fitted.ess_ == pytest.approx(w.sum() ** 2 / (w**2).sum())


def check_an_estimator_learns_with_the_weights(weighter):
    domains = make_domains()
    X, T = domains
    model = ImportanceWeighted(LogisticRegression(), weighter).fit(X, labels(X), X_target=T)
    np.testing.assert_array_equal(model.weights_, weights(weighter, X, T))
    assert set(model.predict(T)) <= {"left", "right"}


def check_no_target_leaves_weights_one(weighter):
    domains = make_domains()
    weighter = clone(weighter).fit(domains[0], labels(domains[0]), X_target=domains[1])
    with pytest.warns(UserWarning, match="got no target samples"):
        weighter.fit(domains[0])
    np.testing.assert_array_equal(weighter.weights_, 1)
    if hasattr(weighter, "predict_weights"):
        np.testing.assert_array_equal(weighter.predict_weights(domains[1]), 1)


def check_predicted_weights_are_on_the_scale_of_those_of_the_source(weighter):
    domains = make_domains()
    X, T = domains
    fitted = clone(weighter).fit(X, X_target=T)
    found = fitted.predict_weights(X)
    if isinstance(weighter, DomainClassifierWeights):
        assert spearmanr(found, fitted.weights_)[0] > 0.95
        assert found.mean() == pytest.approx(1, abs=0.1)
    else:
        np.testing.assert_allclose(found, fitted.weights_, rtol=1e-9)


def check_predicted_weights_of_single_rows_are_those_of_all(weighter):
    domains = make_domains()
    fitted = clone(weighter).fit(domains[0], X_target=domains[1])
    rows = domains[1][:5]
    single = [fitted.predict_weights(row[None]).item() for row in rows]
    np.testing.assert_allclose(fitted.predict_weights(rows), single, rtol=1e-9, atol=1e-12)
    assert min(single) >= 0


def check_predicted_weights_are_numbers_far_away(weighter):
    domains = make_domains()
    fitted = clone(weighter).fit(domains[0], X_target=domains[1])
    far = np.array([[1e4, 0, 0], [-1e4, 0, 0], [0, 1e4, -1e4]])
    found = fitted.predict_weights(far)
    assert np.isfinite(found).all()
    assert found.min() >= 0


def check_predicting_refuses_other_features(weighter):
    domains = make_domains()
    fitted = clone(weighter).fit(domains[0], X_target=domains[1])
    with pytest.raises(ValueError, match="expecting 3 features"):
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
    check_float32_and_frames_agree_with_float64,
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
