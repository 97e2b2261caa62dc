"""Checks of fine-tuners: samples to predictions and features by a network that is trained.

Each takes an estimator, samples and targets. A check that does not apply raises
`unittest.SkipTest`, so that it never passes silently.
"""

import copy
import io
import pickle
import random
from unittest import SkipTest

import joblib
import numpy as np
from sklearn.base import clone, is_classifier

from sklearn_transfer.testing._assertions import (
    assert_bit_identical,
    assert_module_untouched,
    assert_same,
    import_or_skip,
    is_module,
    make,
    record_module,
    record_parameters,
    require_parameters,
    take_rows,
)


def make_targets(estimator, n):
    """Strings for a classifier, numbers for a regressor."""
    if is_classifier(estimator):
        return np.array(["cat", "owl", "a dog"])[np.arange(n) % 3]
    return np.random.default_rng(7).normal(size=n)


def collect_answers(estimator, samples):
    """All that a fitted fine-tuner says of samples, as one matrix."""
    found = [estimator.transform(samples)]
    if is_classifier(estimator):
        found.append(estimator.predict_proba(samples))
    else:
        found.append(estimator.predict(samples)[:, None])
    return np.hstack(found)


def copy_tensors(estimator):
    """Copies of all tensors of the trained network."""
    return {name: t.clone() for name, t in estimator.net_.module_.state_dict().items()}


def list_frozen(module):
    """Names of the parameters of a network that get no gradient."""
    return {name for name, p in module.named_parameters() if not p.requires_grad}


def list_frozen_modules(module):
    """Names of the modules that hold parameters, none of which gets a gradient."""
    named = ((name, list(part.parameters())) for name, part in module.named_modules())
    return {name for name, own in named if own and not any(p.requires_grad for p in own)}


def make_watcher():
    """Callback that keeps the tensors at the start, and which modules never train."""
    from skorch.callbacks import Callback

    class Watcher(Callback):
        """Keeps `start`, a state dict, and `in_evaluation`, names of modules."""

        start, in_evaluation = None, frozenset()

        def on_train_begin(self, net, **kwargs):
            """Keep the tensors of the first training."""
            if self.start is None:
                state = net.module_.state_dict()
                self.start = {name: tensor.clone() for name, tensor in state.items()}

        def on_batch_end(self, net, training=False, **kwargs):
            """Keep the names of the modules that are in evaluation mode while others train."""
            if training:
                modules = net.module_.named_modules()
                self.in_evaluation = {name for name, part in modules if not part.training}

    return Watcher()


def check_same_seed(estimator, samples, y):
    import torch

    first, second = make(estimator), make(estimator)
    first.fit(samples, y)
    torch.rand(1), np.random.mtrand._rand.rand(), random.random()  # states are others now
    second.fit(samples, y)
    assert_bit_identical(copy_tensors(first), copy_tensors(second))
    np.testing.assert_array_equal(
        collect_answers(first, samples), collect_answers(second, samples)
    )


def check_refit(estimator, samples, y):
    fitted = make(estimator).fit(samples, y)
    before = copy_tensors(fitted)
    assert_bit_identical(before, copy_tensors(fitted.fit(samples, y)))


def check_other_seed(estimator, samples, y):
    require_parameters(estimator, "random_state")
    one, other = (make(estimator, random_state=seed).fit(samples, y) for seed in (0, 1))
    differ = not np.array_equal(collect_answers(one, samples), collect_answers(other, samples))
    assert differ, "random_state=0 and random_state=1 give the same answers"


def check_random_states_untouched(estimator, samples, y):
    import torch

    legacy = np.random.mtrand._rand  # what NumPy's own functions draw from
    states = torch.get_rng_state(), legacy.get_state()[1].copy(), random.getstate()
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    collect_answers(make(estimator).fit(samples, y), samples)
    assert torch.equal(torch.get_rng_state(), states[0]), "torch's random state changed"
    np.testing.assert_array_equal(legacy.get_state()[1], states[1])
    assert random.getstate() == states[2], "Python's random state changed"
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, grad)


def check_frozen_tensors(estimator, samples, y):
    """Frozen parameters, and the statistics of frozen modules, stay; all else is trained."""
    import torch

    require_parameters(estimator, "callbacks")
    callbacks = [*(estimator.get_params()["callbacks"] or []), ("watcher", make_watcher())]
    fitted = make(estimator, callbacks=callbacks).fit(samples, y)
    watcher = dict(fitted.net_.callbacks_)["watcher"]
    module = fitted.net_.module_
    start, end = watcher.start, module.state_dict()
    frozen = list_frozen(module)
    inside = tuple(f"{name}." for name in watcher.in_evaluation)
    buffers = {name for name, _ in module.named_buffers() if name.startswith(inside)}
    trained = {name for name, _ in module.named_parameters()} - frozen
    in_training = list_frozen_modules(module) - watcher.in_evaluation
    assert in_training == set(), f"frozen modules were in training mode: {in_training}"
    changed = [n for n in frozen | buffers if not torch.equal(start[n], end[n])]
    assert changed == [], f"frozen tensors changed: {changed}"
    kept = [name for name in trained if torch.equal(start[name], end[name])]
    assert kept == [], f"tensors that are not frozen were not trained: {kept}"


def check_copies_of_fitted(estimator, samples, y):
    fitted = make(estimator).fit(samples, y)
    expected = collect_answers(fitted, samples)
    buffer = io.BytesIO()
    joblib.dump(fitted, buffer)
    buffer.seek(0)
    copies = {
        "pickle": pickle.loads(pickle.dumps(fitted)),
        "joblib": joblib.load(buffer),
        "deepcopy": copy.deepcopy(fitted),
    }
    for name, other in copies.items():
        found = collect_answers(other, samples)
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)
        assert other.history_ == fitted.history_, f"{name} has another history"


def check_partial_fit_of_a_copy(estimator, samples, y):
    """A copy goes on training what the original does, and frozen parts stay."""
    import torch

    fitted = make(estimator).fit(samples, y)
    other = pickle.loads(pickle.dumps(fitted))
    before = copy_tensors(other)
    other.partial_fit(samples, y)
    after = copy_tensors(other)
    frozen = list_frozen(fitted.net_.module_)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    trained = {name for name, _ in fitted.net_.module_.named_parameters()} - frozen
    assert not moved & frozen, f"frozen tensors changed: {moved & frozen}"
    assert trained <= moved, f"tensors were not trained further: {trained - moved}"
    assert len(other.history_) == len(fitted.history_) + 1


def check_zero_weight_rows(estimator, samples, y):
    """Rows of weight zero count as if they were not there."""
    weights = np.ones(len(samples))
    weights[[0, 4]] = 0
    kept = np.flatnonzero(weights)
    left_out = make(estimator).fit(take_rows(samples, kept), take_rows(y, kept))
    weighted = make(estimator).fit(samples, y, sample_weight=weights)
    assert_bit_identical(copy_tensors(weighted), copy_tensors(left_out))


def check_weights_of_any_scale(estimator, samples, y):
    weights = np.linspace(1, 2, len(samples))
    weighted = [weights, weights * 2.0**20, None]
    one, large, none = (
        collect_answers(make(estimator).fit(samples, y, sample_weight=w), samples)
        for w in weighted
    )
    np.testing.assert_allclose(one, large, atol=1e-5)
    assert not np.allclose(one, none, 1e-5), "weights of samples change nothing"


def check_rows_alone(estimator, samples, y):
    fitted = make(estimator).fit(samples, y)
    expected = collect_answers(fitted, samples)
    parts = [
        collect_answers(fitted, take_rows(samples, rows))
        for rows in ([0], range(1, 4), range(4, len(samples)))
    ]
    assert_same(np.vstack(parts), expected, 1e-6)


def check_model_untouched(estimator, samples, y):
    require_parameters(estimator, "model")
    fitted = make(estimator)
    if not is_module(fitted.model):
        raise SkipTest("The model is no module, which training could change")
    model = fitted.model
    before = record_module(model)
    fitted.fit(samples, y)
    clone(fitted).fit(samples, y)
    assert_module_untouched(model, before)


def check_parameters_untouched_by_training(estimator, samples, y):
    fitted = make(estimator)
    before = record_parameters(fitted)
    fitted.fit(samples, y)
    fitted.predict(samples)
    assert record_parameters(fitted) == before, "fit or predict replaced a parameter"


def check_history(estimator, samples, y):
    fitted = make(estimator).fit(samples, y)
    history = fitted.history_
    assert fitted.n_iter_ == len(history) == fitted.max_epochs
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    assert all(set(row) >= {"phase", "train_loss", "lr", "dur", "best"} for row in history)
    assert sum(row["best"] for row in history) == 1, "one epoch is to be the best"


def check_feature_names_of_fitted(estimator, samples, y):
    fitted = make(estimator).fit(samples, y)
    features = fitted.transform(samples)
    assert features.dtype == np.float32, f"features are of {features.dtype}, expected float32"
    assert features.shape == (len(samples), len(fitted.get_feature_names_out()))


def check_set_output_of_fitted(estimator, samples, y):
    import_or_skip("pandas")
    fitted = make(estimator).fit(samples, y)
    frame = fitted.set_output(transform="pandas").transform(samples)
    assert list(frame.columns) == list(fitted.get_feature_names_out())


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
    check_set_output_of_fitted,
    check_parameters_untouched_by_training,
]
