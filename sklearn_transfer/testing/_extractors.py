"""Checks of extractors: samples to features by a network that never changes.

Each takes an estimator and samples. A check that does not apply raises `unittest.SkipTest`,
so that it never passes silently.
"""

import copy
import io
import pickle
from unittest import SkipTest

import joblib
import numpy as np
from sklearn.base import clone

from sklearn_transfer.testing._assertions import (
    assert_module_untouched,
    assert_same,
    import_or_skip,
    is_module,
    make,
    record_module,
    record_parameters,
    require_methods,
    require_parameters,
    take_rows,
)

DEPTHS = ("shallow", "middle", "deep", ["shallow", None])


def check_output(estimator, samples):
    features = make(estimator).fit_transform(samples)
    n = len(samples)
    assert features.dtype == np.float32, f"features are of {features.dtype}, expected float32"
    assert features.ndim == 2, f"features have {features.ndim} dimensions, expected 2"
    assert len(features) == n, f"{len(features)} rows were given for {n} samples"
    assert np.isfinite(features).all(), "features are not finite"
    n_distinct = len(np.unique(features, axis=0))
    assert n_distinct == n, f"{n} samples have {n_distinct} distinct rows of features"


def check_batch_size(estimator, samples):
    require_parameters(estimator, "batch_size")
    whole = make(estimator, cache=None, batch_size=len(samples)).fit_transform(samples)
    for batch_size in (1, 7):
        part = make(estimator, cache=None, batch_size=batch_size).fit_transform(samples)
        assert_same(part, whole)


def check_samples_alone(estimator, samples):
    """Features of a sample do not depend on the samples beside it."""
    fitted = make(estimator, cache=None).fit(samples)
    rows = range(len(samples))
    alone = [fitted.transform(take_rows(samples, [row])) for row in rows]
    assert_same(np.vstack(alone), fitted.transform(samples))


def check_row_order(estimator, samples):
    order = np.random.default_rng(0).permutation(len(samples))
    options = {"cache": None, "batch_size": 2}
    expected = make(estimator, **options).fit_transform(samples)[order]
    found = make(estimator, **options).fit_transform(take_rows(samples, order))
    assert_same(found, expected)


def check_second_call(estimator, samples):
    fitted = make(estimator, cache=None).fit(samples)
    np.testing.assert_array_equal(fitted.transform(samples), fitted.transform(samples))


def check_copies(estimator, samples):
    fitted = make(estimator, cache=None).fit(samples)
    expected = fitted.transform(samples)
    buffer = io.BytesIO()
    joblib.dump(fitted, buffer)
    buffer.seek(0)
    copies = {
        "pickle": pickle.loads(pickle.dumps(fitted)),
        "clone": clone(fitted).fit(samples),
        "joblib": joblib.load(buffer),
        "deepcopy": copy.deepcopy(fitted),
    }
    for name, other in copies.items():
        np.testing.assert_array_equal(other.transform(samples), expected, err_msg=name)


def check_worker_process(estimator, samples):
    fitted = make(estimator).fit(samples)
    run = joblib.Parallel(n_jobs=2, backend="loky", max_nbytes=None)
    parts = run(joblib.delayed(_transform)(fitted, samples) for _ in range(2))
    for part in parts:
        assert_same(part, make(estimator, cache=None).fit_transform(samples))


def check_cache(estimator, samples):
    require_parameters(estimator, "cache")
    uncached = make(estimator, cache=None).fit_transform(samples)
    cached = _make_cached(estimator).fit(samples)
    first = cached.transform(samples)
    second = clone(cached).fit_transform(samples)
    np.testing.assert_array_equal(first, uncached)
    np.testing.assert_array_equal(second, first)


def check_cache_counts(estimator, samples):
    """Each sample goes through the network once."""
    require_parameters(estimator, "cache")
    require_methods(estimator, "cache_info", "clear_cache")
    cached = _make_cached(estimator).fit(samples)
    first = cached.transform(samples)
    misses = cached.cache_info().misses
    second = clone(cached).fit_transform(samples)
    np.testing.assert_array_equal(second, first)
    assert misses == len(samples), f"{misses} of {len(samples)} samples were computed"
    assert cached.cache_info().misses == misses, "samples were computed again"


def check_cache_of_another_network(estimator, samples):
    """Cached features of one network are never those of another."""
    require_parameters(estimator, "cache")
    networks = _make_two_networks(estimator)
    uncached = [make(est, cache=None).fit_transform(samples) for est in networks]
    assert not np.array_equal(*uncached), "another network has the same features"
    cached = _make_cached(estimator)
    for est, expected in zip(networks, uncached, strict=True):
        found = make(est, cache=cached.cache).fit_transform(samples)
        np.testing.assert_array_equal(found, expected)


def check_depths(estimator, samples):
    require_parameters(estimator, "layers")
    for layers in DEPTHS:
        features = make(estimator, layers=layers).fit_transform(samples)
        assert np.isfinite(features).all(), f"features of layers={layers!r} are not finite"
        assert features.std(axis=0).max() > 0, f"features of layers={layers!r} are constant"


def check_depths_of_one_pass(estimator, samples):
    """The same for large networks, which are compiled once for all depths."""
    require_parameters(estimator, "layers", "cache")
    require_methods(estimator, "precompute", "cache_info", "clear_cache")
    cached = _make_cached(estimator)
    cached.precompute(samples, layers=DEPTHS)
    check_depths(cached, samples)
    assert make(cached).fit(samples).cache_info().misses == len(samples)


def check_feature_names(estimator, samples):
    require_methods(estimator, "get_feature_names_out")
    fitted = make(estimator).fit(samples)
    before = fitted.get_feature_names_out()
    n_features = fitted.transform(samples).shape[1]
    assert n_features == len(before), f"{n_features} features have {len(before)} names"
    assert len(set(before)) == len(before), "names of features repeat"


def check_set_output(estimator, samples):
    require_methods(estimator, "get_feature_names_out", "set_output")
    import_or_skip("pandas")
    names = make(estimator).fit(samples).get_feature_names_out()
    frame = make(estimator).set_output(transform="pandas").fit_transform(samples)
    assert list(frame.columns) == list(names), "columns differ from get_feature_names_out"


def check_parameters_untouched(estimator, samples):
    fitted = make(estimator)
    before = record_parameters(fitted)
    fitted.fit(samples).transform(samples)
    assert record_parameters(fitted) == before, "fit or transform replaced a parameter"


def check_model_untouched(estimator, samples):
    require_parameters(estimator, "model")
    fitted = make(estimator, cache=None)
    if not is_module(fitted.model):
        raise SkipTest("The model is no module, which extraction could change")
    before = record_module(fitted.model)
    fitted.fit(samples).transform(samples)
    assert_module_untouched(fitted.model, before)


EXTRACTOR_CHECKS = [
    check_output,
    check_batch_size,
    check_samples_alone,
    check_row_order,
    check_second_call,
    check_copies,
    check_worker_process,
    check_cache,
    check_cache_of_another_network,
    check_cache_counts,
    check_depths,
    check_feature_names,
    check_set_output,
    check_parameters_untouched,
    check_model_untouched,
]


def _make_cached(estimator):
    """Copy that caches, in memory if it can empty its cache: never empties a user's folder."""
    if not hasattr(estimator, "clear_cache"):
        return make(estimator)
    return make(estimator, cache="memory").clear_cache()


def _make_two_networks(estimator):
    """Two copies whose networks have different weights."""
    parameters = estimator.get_params(deep=False)
    model = parameters.get("model")
    if is_module(model):
        import torch

        other = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(0.1)
        return make(estimator), make(estimator, model=other)
    if {"weights", "random_state"} <= parameters.keys():
        return [make(estimator, weights=None, random_state=seed) for seed in (0, 1)]
    raise SkipTest(
        f"{type(estimator).__name__} has neither a module as `model` nor the parameters"
        " `weights` and `random_state`, by which another network could be asked for"
    )


def _transform(estimator, samples):
    return estimator.transform(samples)
