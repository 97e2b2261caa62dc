"""What every extractor promises, as checks that take an estimator and its samples."""

import copy
import io
import pickle

import joblib
import numpy as np
from sklearn.base import clone


def relative_difference(a, b):
    """Largest norm-wise relative difference over rows."""
    scale = np.maximum(np.linalg.norm(b, axis=1), np.finfo(np.float32).tiny)
    return (np.linalg.norm(a - b, axis=1) / scale).max()


def assert_same(a, b, tolerance=1e-5):
    assert a.shape == b.shape
    assert relative_difference(a, b) <= tolerance


def check_output(make, samples):
    features = make().fit_transform(samples)
    assert features.dtype == np.float32
    assert features.ndim == 2
    assert len(features) == len(samples)
    assert np.isfinite(features).all()
    assert len(np.unique(features, axis=0)) == len(samples)


def check_batch_size(make, samples):
    whole = make(cache=None, batch_size=len(samples)).fit_transform(samples)
    for batch_size in (1, 7):
        part = make(cache=None, batch_size=batch_size).fit_transform(samples)
        assert_same(part, whole)


def check_row_order(make, samples):
    order = np.random.default_rng(0).permutation(len(samples))
    shuffled = [samples[i] for i in order]
    expected = make(cache=None, batch_size=2).fit_transform(samples)[order]
    found = make(cache=None, batch_size=2).fit_transform(_like(samples, shuffled))
    assert_same(found, expected)


def check_second_call(make, samples):
    estimator = make(cache=None).fit(samples)
    np.testing.assert_array_equal(estimator.transform(samples), estimator.transform(samples))


def check_copies(make, samples):
    estimator = make(cache=None).fit(samples)
    expected = estimator.transform(samples)
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    copies = {
        "pickle": pickle.loads(pickle.dumps(estimator)),
        "clone": clone(estimator).fit(samples),
        "joblib": joblib.load(buffer),
        "deepcopy": copy.deepcopy(estimator),
    }
    for name, other in copies.items():
        np.testing.assert_array_equal(other.transform(samples), expected, err_msg=name)


def check_worker_process(make, samples):
    estimator = make().fit(samples)
    run = joblib.Parallel(n_jobs=2, backend="loky", max_nbytes=None)
    parts = run(joblib.delayed(_transform)(estimator, samples) for _ in range(2))
    for part in parts:
        assert_same(part, make(cache=None).fit_transform(samples))


def check_cache(make, samples):
    uncached = make(cache=None).fit_transform(samples)
    cached = make().fit(samples)
    first = cached.transform(samples)
    misses = cached.cache_info().misses
    second = clone(cached).fit_transform(samples)
    np.testing.assert_array_equal(first, uncached)
    np.testing.assert_array_equal(second, first)
    assert cached.cache_info().misses == misses == len(samples)


def check_depths(make, samples):
    for layers in ("shallow", "middle", "deep", ["shallow", None]):
        features = make(layers=layers).fit_transform(samples)
        assert np.isfinite(features).all(), layers
        assert features.std(axis=0).max() > 0, layers


def check_feature_names(make, samples):
    estimator = make().fit(samples)
    before = estimator.get_feature_names_out()
    features = estimator.transform(samples)
    assert features.shape[1] == len(before) == len(set(before))
    frame = make().set_output(transform="pandas").fit_transform(samples)
    assert list(frame.columns) == list(before)


def check_parameters_untouched(make, samples):
    estimator = make()
    before = {name: id(value) for name, value in estimator.get_params().items()}
    estimator.fit(samples).transform(samples)
    assert {name: id(value) for name, value in estimator.get_params().items()} == before


EXTRACTOR_CHECKS = [
    check_output,
    check_batch_size,
    check_row_order,
    check_second_call,
    check_copies,
    check_worker_process,
    check_cache,
    check_depths,
    check_feature_names,
    check_parameters_untouched,
]


def _transform(estimator, samples):
    return estimator.transform(samples)


def _like(samples, rows):
    return np.stack(rows) if isinstance(samples, np.ndarray) else rows
