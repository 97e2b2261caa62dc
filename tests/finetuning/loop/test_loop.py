"""The parts of the loop by themselves: rate, options, state and history."""

import dataclasses

import numpy as np
import pytest

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.finetuning.loop.epochs import resolve_patience
from sklearn_transfer.finetuning.loop.history import History
from sklearn_transfer.finetuning.loop.options import TrainingOptions
from sklearn_transfer.finetuning.loop.rate import LearningRate
from sklearn_transfer.finetuning.loop.state import TrainingState


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.25, 1.0])
@pytest.mark.parametrize("share", [1.0, 0.2])
def test_the_rate_rises_linearly_and_falls_as_half_a_cosine(warmup, share):
    n_steps = 40
    rate = LearningRate(n_steps, warmup, share)
    found = [rate.compute_factor(step) for step in range(n_steps)]
    n_warm = int(warmup * n_steps)
    rising = np.arange(1, n_warm + 1) / (n_warm + 1)
    falling = (1 + np.cos(np.pi * np.arange(n_steps - n_warm) / (n_steps - n_warm or 1))) / 2
    np.testing.assert_allclose(found, share * np.concatenate([rising, falling]))


def test_a_constant_rate_stays():
    rate = LearningRate(3, warmup=0.5, share=0.2, is_constant=True)
    assert [rate.compute_factor(step) for step in range(5)] == [0.2] * 5


def test_options_are_those_of_the_estimator_and_do_not_change():
    estimator = FineTunedClassifier(lr=0.5, mixup=0.1, precision="bfloat16")
    options = TrainingOptions.read_from(estimator)
    assert (options.lr, options.mixup, options.precision) == (0.5, 0.1, "bfloat16")
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.lr = 1.0


@pytest.mark.parametrize(
    ("changed", "needs"), [({"lr": 0.1}, True), ({"layer_decay": 0.5}, True), ({}, False)]
)
def test_a_change_of_rates_needs_another_optimizer(changed, needs):
    estimator = FineTunedClassifier()
    options = TrainingOptions.read_from(estimator)
    estimator.set_params(batch_size=3, **changed)
    renewed = options.renew(estimator)
    assert renewed.batch_size == 3
    assert options.needs_other_optimizer(renewed) is needs


def test_a_halved_batch_keeps_the_place_in_the_epoch():
    state = TrainingState(batch_size=8, last_lr=0.1)
    state.begin_phase(32, 2, warmup=0.0, share=1.0, is_constant=False)
    for _ in range(4):
        state.advance(8)
    state.begin_pass()
    state.advance(8)
    assert state.halve()
    assert (state.batch_size, state.rate.n_steps, state.step) == (4, 16, 8)
    assert not state.halve()


def test_the_best_epoch_keeps_its_weights():
    snapshots = iter("abc")
    history = History("valid_loss", lambda: next(snapshots))
    found = [history.add({"valid_loss": loss}) for loss in (3.0, 1.0, 2.0)]
    assert found == [True, True, False]
    assert history.best_weights == "b"
    assert [entry["best"] for entry in history.entries] == [False, True, False]
    assert [entry["epoch"] for entry in history.entries] == [1, 2, 3]


def test_an_entry_without_what_is_judged_is_never_best():
    history = History("valid_loss")
    assert not history.add({"train_loss": 0.0})
    assert history.add({"valid_loss": 9.0})


def test_a_history_that_goes_on_knows_the_best_before():
    history = History("train_loss", entries=[{"epoch": 1, "train_loss": 1.0, "best": True}])
    assert not history.add({"train_loss": 2.0})
    assert history.add({"train_loss": 0.5})
    assert [entry["best"] for entry in history.entries] == [False, False, True]


@pytest.mark.parametrize(
    ("value", "patience"), [(True, 5), (False, 0), (np.True_, 5), (3, 3), (1, 1)]
)
def test_early_stopping_waits_for_five_epochs_or_as_many_as_given(value, patience):
    assert resolve_patience(value) == patience
