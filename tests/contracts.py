"""Checks of what extractors and fine-tuners promise, for an estimator and its samples.

A check that does not apply skips, so that it never passes silently.
"""

import copy
import io
import pickle
import random

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier

from sklearn_transfer.finetuning.loop import fitting


def relative_difference(a, b):
    """Return the largest norm-wise relative difference over rows."""
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


DEPTHS = ("shallow", "middle", "deep", ["shallow", None])


def check_depths(make, samples):
    for layers in DEPTHS:
        features = make(layers=layers).fit_transform(samples)
        assert np.isfinite(features).all(), layers
        assert features.std(axis=0).max() > 0, layers


def check_depths_of_one_pass(make, samples):
    """The same for large networks, which are compiled once for all depths."""
    make().precompute(samples, layers=DEPTHS)
    check_depths(make, samples)
    assert make().fit(samples).cache_info().misses == len(samples)


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


def targets_for(make, n):
    """Strings for a classifier, numbers for a regressor."""
    if is_classifier(make()):
        return np.array(["cat", "owl", "a dog"])[np.arange(n) % 3]
    return np.random.default_rng(7).normal(size=n)


def answers(estimator, samples):
    """Return all predictions of a fitted fine-tuner for samples as one matrix."""
    found = [estimator.transform(samples)]
    if is_classifier(estimator):
        found.append(estimator.predict_proba(samples))
    else:
        found.append(estimator.predict(samples)[:, None])
    return np.hstack(found)


def tensors_of(estimator):
    return {name: t.clone() for name, t in estimator._network.state_dict().items()}


def assert_bit_identical(a, b):
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def check_same_seed(make, samples):
    y = targets_for(make, len(samples))
    first, second = make(), make()
    first.fit(samples, y)
    torch.rand(1), np.random.mtrand._rand.rand(), random.random()  # the states differ now
    second.fit(samples, y)
    assert_bit_identical(tensors_of(first), tensors_of(second))
    np.testing.assert_array_equal(answers(first, samples), answers(second, samples))


def check_refit(make, samples):
    y = targets_for(make, len(samples))
    estimator = make().fit(samples, y)
    before = tensors_of(estimator)
    assert_bit_identical(before, tensors_of(estimator.fit(samples, y)))


def check_other_seed(make, samples):
    y = targets_for(make, len(samples))
    one, other = (make(random_state=seed).fit(samples, y) for seed in (0, 1))
    assert not np.array_equal(answers(one, samples), answers(other, samples))


def check_random_states_untouched(make, samples):
    y = targets_for(make, len(samples))
    legacy = np.random.mtrand._rand  # the generator of NumPy's own functions
    states = torch.get_rng_state(), legacy.get_state()[1].copy(), random.getstate()
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    answers(make().fit(samples, y), samples)
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(legacy.get_state()[1], states[1])
    assert random.getstate() == states[2]
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, grad)


def check_frozen_tensors(make, samples):
    y = targets_for(make, len(samples))
    starts = {}
    apply_freeze = fitting.apply_freeze

    def spy(frozen, network):
        starts.setdefault("state", {n: t.clone() for n, t in network.state_dict().items()})
        apply_freeze(frozen, network)

    fitting.apply_freeze = spy
    try:
        estimator = make().fit(samples, y)
    finally:
        fitting.apply_freeze = apply_freeze
    start, end, frozen = starts["state"], estimator._network.state_dict(), estimator._frozen
    inside = tuple(f"{name}." for name in frozen.modules)
    buffers = {n for n, _ in estimator._network.named_buffers() if n.startswith(inside)}
    kept = frozen.parameters | buffers
    trained = {n for n, p in estimator._network.named_parameters()} - frozen.parameters
    assert [name for name in kept if not torch.equal(start[name], end[name])] == []
    assert [name for name in trained if torch.equal(start[name], end[name])] == []


def check_copies_of_fitted(make, samples):
    estimator = make().fit(samples, targets_for(make, len(samples)))
    expected = answers(estimator, samples)
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    copies = {
        "pickle": pickle.loads(pickle.dumps(estimator)),
        "joblib": joblib.load(buffer),
        "deepcopy": copy.deepcopy(estimator),
    }
    for name, other in copies.items():
        np.testing.assert_allclose(answers(other, samples), expected, atol=1e-5, err_msg=name)
        assert other.history_ == estimator.history_


def check_partial_fit_of_a_copy(make, samples):
    """A copy continues to train the same parts as the original; frozen parts stay frozen."""
    y = targets_for(make, len(samples))
    estimator = make().fit(samples, y)
    other = pickle.loads(pickle.dumps(estimator))
    before = tensors_of(other)
    other.partial_fit(samples, y)
    after = tensors_of(other)
    frozen = estimator._frozen.parameters
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    trained = {n for n, p in estimator._network.named_parameters()} - frozen
    assert not moved & frozen
    assert trained <= moved
    assert len(other.history_) == len(estimator.history_) + 1


def check_zero_weight_rows(make, samples):
    y = targets_for(make, len(samples))
    weights = np.ones(len(samples))
    weights[[0, 4]] = 0
    kept = np.flatnonzero(weights)
    left_out = make().fit(_like(samples, [samples[i] for i in kept]), y[kept])
    weighted = make().fit(samples, y, sample_weight=weights)
    assert_bit_identical(tensors_of(weighted), tensors_of(left_out))


def check_weights_of_any_scale(make, samples):
    y, weights = targets_for(make, len(samples)), np.linspace(1, 2, len(samples))
    one = make().fit(samples, y, sample_weight=weights)
    large = make().fit(samples, y, sample_weight=weights * 2.0**20)
    np.testing.assert_allclose(answers(one, samples), answers(large, samples), atol=1e-5)
    assert not np.allclose(
        answers(one, samples), answers(make().fit(samples, y), samples), 1e-5
    )


def check_rows_alone(make, samples):
    estimator = make().fit(samples, targets_for(make, len(samples)))
    expected = answers(estimator, samples)
    parts = [
        answers(estimator, _like(samples, [samples[i] for i in rows]))
        for rows in ([0], range(1, 4), range(4, len(samples)))
    ]
    assert_same(np.vstack(parts), expected, 1e-6)


def check_model_untouched(make, samples):
    model = make().model
    if not isinstance(model, torch.nn.Module):
        pytest.skip("the model is no module, which training could change")
    before = {name: t.clone() for name, t in model.state_dict().items()}
    flags = {name: m.training for name, m in model.named_modules()}
    needed = {name: p.requires_grad for name, p in model.named_parameters()}
    estimator = make().fit(samples, targets_for(make, len(samples)))
    clone(estimator).fit(samples, targets_for(make, len(samples)))
    assert_bit_identical(before, model.state_dict())
    assert {name: m.training for name, m in model.named_modules()} == flags
    assert {name: p.requires_grad for name, p in model.named_parameters()} == needed
    assert all(p.grad is None for p in model.parameters())


def check_parameters_untouched_by_training(make, samples):
    estimator = make()
    before = {name: id(value) for name, value in estimator.get_params().items()}
    estimator.fit(samples, targets_for(make, len(samples)))
    estimator.predict(samples)
    assert {name: id(value) for name, value in estimator.get_params().items()} == before


def check_history(make, samples):
    estimator = make().fit(samples, targets_for(make, len(samples)))
    history = estimator.history_
    assert estimator.n_iter_ == len(history) == estimator.max_epochs
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    assert all(set(row) >= {"phase", "train_loss", "lr", "dur", "best"} for row in history)
    assert sum(row["best"] for row in history) == 1


def check_feature_names_of_fitted(make, samples):
    estimator = make().fit(samples, targets_for(make, len(samples)))
    features = estimator.transform(samples)
    assert features.dtype == np.float32
    assert features.shape == (len(samples), len(estimator.get_feature_names_out()))
    frame = estimator.set_output(transform="pandas").transform(samples)
    assert list(frame.columns) == list(estimator.get_feature_names_out())


FINE_TUNER_CHECKS = [
    check_same_seed,
    check_refit,
    check_other_seed,
    check_random_states_untouched,
    check_frozen_tensors,
    check_copies_of_fitted,
    check_partial_fit_of_a_copy,
    check_zero_weight_rows,
    check_weights_of_any_scale,
    check_rows_alone,
    check_model_untouched,
    check_history,
    check_feature_names_of_fitted,
    check_parameters_untouched_by_training,
]


def _transform(estimator, samples):
    return estimator.transform(samples)


def _like(samples, rows):
    return np.stack(rows) if isinstance(samples, np.ndarray) else rows
