"""Callbacks that watch a training and end it, such as those that prune trials."""

import signal

import numpy as np
import pytest
from skorch.callbacks import Callback, EarlyStopping

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.finetuning.targets.targets import Targets
from tests import small_networks


class PrunedError(Exception):
    """Ends a trial."""


class Trial:
    """Takes reports, and wants to end at one of them."""

    def __init__(self, last=None):
        self.reports, self.last = [], last

    def report(self, value, step):
        self.reports.append((value, step))

    def should_prune(self):
        return len(self.reports) == self.last


class Pruning(Callback):
    """Reports to a trial after each epoch, as scikit-learn would name its parameters."""

    def __init__(self, trial, monitor):
        self.trial, self.monitor = trial, monitor

    def on_epoch_end(self, net, **kwargs):
        self.trial.report(net.history[-1, self.monitor], len(net.history) - 1)
        if self.trial.should_prune():
            raise PrunedError(f"Trial was pruned at epoch {len(net.history) - 1}.")


class OptunaPruning(Callback):
    """The same with attributes that are not called as the parameters, as Optuna's callback."""

    def __init__(self, trial, monitor):
        self._inner = Pruning(trial, monitor)

    def on_epoch_end(self, net, **kwargs):
        self._inner.on_epoch_end(net, **kwargs)


each_kind = pytest.mark.parametrize("kind", [Pruning, OptunaPruning])


def table(n=60):
    X = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    return X, np.where(X[:, 0] + X[:, 1] > 0, "up", "down")


def tuner(**options):
    options = {"preprocess": None, "freeze": None, "max_epochs": 4, "lr": 1e-2, **options}
    return FineTunedClassifier(small_networks.perceptron, **options)


def fit(model, X, y):
    return model.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])


@each_kind
@pytest.mark.parametrize("monitor", ["train_loss", "valid_loss", "valid_score"])
def test_a_trial_gets_what_the_history_holds(kind, monitor):
    trial = Trial()
    model = fit(tuner(callbacks=[kind(trial, monitor)]), *table())
    expected = [(row[monitor], epoch) for epoch, row in enumerate(model.history_)]
    np.testing.assert_allclose(trial.reports, expected)
    assert len(expected) == 4


@each_kind
def test_the_exception_of_a_pruned_trial_reaches_the_caller(kind):
    trial = Trial(last=2)
    model = tuner(callbacks=[("prune", kind(trial, "valid_loss"))])
    with pytest.raises(PrunedError, match="Trial was pruned at epoch 1"):
        fit(model, *table())
    assert not hasattr(model, "history_")


def test_after_a_pruned_trial_the_next_fit_is_as_ever():
    X, y = table()
    model = tuner(callbacks=[Pruning(Trial(last=1), "train_loss")])
    with pytest.raises(PrunedError):
        model.fit(X, y)
    found = model.set_params(callbacks=None).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(found, tuner().fit(X, y).predict_proba(X))


def test_a_pruned_trial_leaves_a_cut_network_whole(images, labels):
    net = small_networks.trained_net()
    options = {"freeze": "shallow", "max_epochs": 2, "batch_size": 8}
    pruning = Pruning(Trial(last=1), "train_loss")
    with pytest.raises(PrunedError):
        FineTunedClassifier(net, callbacks=[pruning], **options).fit(images, labels)
    assert not any("forward" in vars(module) for module in net.modules())


def test_training_stops_by_the_score():
    X, y = table()
    stop = EarlyStopping("valid_score", 2, lower_is_better=False, sink=lambda text: None)
    model = fit(tuner(callbacks=[stop], max_epochs=100), X, y)
    scores = [row["valid_score"] for row in model.history_]
    assert len(scores) < 100
    assert max(scores[-2:]) <= max(scores[:-2])


class Stopping(Callback):
    """Ends a training after an epoch, by a function of its own."""

    def __init__(self, n_epochs, stop):
        self.n_epochs, self.stop = n_epochs, stop

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.n_epochs:
            self.stop()


def interrupt():
    raise KeyboardInterrupt


def press_ctrl_c():
    """Send the signal of Ctrl-C, which shells ignore for programs in the background."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, former)


@pytest.mark.parametrize("stop", [interrupt, press_ctrl_c])
def test_an_interrupt_at_the_end_of_an_epoch_keeps_it_without_a_warning(stop):
    X, y = table()
    found = fit(tuner(callbacks=[Stopping(2, stop)], warmup=0.0), X, y)
    assert [row["epoch"] for row in found.history_] == [1, 2]
    assert {"valid_loss", "valid_score", "dur"} <= found.history_[-1].keys()
    assert found.predict(X).shape == y.shape


def test_a_stop_in_a_phase_ends_all_phases(images, labels):
    options = {"schedule": "gradual", "freeze": None, "max_epochs": 6, "engine": "torch"}
    model = FineTunedClassifier(
        small_networks.staged(), callbacks=[Stopping(1, interrupt)], **options
    ).fit(images, labels)
    assert [row["phase"] for row in model.history_] == ["probe", "from late"]


def test_early_stopping_of_skorch_goes_back_to_our_best_weights():
    X, y = table()
    stop = EarlyStopping("valid_loss", 3, sink=lambda text: None)
    options = {"callbacks": [stop], "max_epochs": 100, "lr": 0.3, "early_stopping": 50}
    model = fit(tuner(**options), X, y)
    assert len(model.history_) < 100
    best = min(model.history_, key=lambda row: row["valid_loss"])
    proba = model.predict_proba(X[40:])
    right = proba[np.arange(20), (y[40:] == "up").astype(int)]
    assert -np.log(right).mean() == pytest.approx(best["valid_loss"], rel=1e-4)


def test_an_interrupt_while_an_epoch_is_scored_is_none_of_a_callback(monkeypatch):
    score, calls = Targets.score, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score(*args)

    monkeypatch.setattr(Targets, "score", interrupted)
    with pytest.warns(UserWarning, match="interrupted in epoch 2 of 4"):
        model = fit(tuner(), *table())
    assert len(model.history_) == 1


def test_optuna_prunes_a_training():
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    integration = pytest.importorskip(
        "optuna_integration", reason="optuna-integration is not installed"
    )
    X, y = table()
    pruner = optuna.pruners.ThresholdPruner(upper=0.0, n_warmup_steps=1)
    study = optuna.create_study(pruner=pruner)

    def objective(trial):
        pruning = integration.SkorchPruningCallback(trial, "valid_loss")
        lr = trial.suggest_float("lr", 1e-4, 1e-2)
        return fit(tuner(lr=lr, callbacks=[pruning]), X, y).history_[-1]["valid_loss"]

    study.optimize(objective, n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["PRUNED"] * 2
    assert [len(trial.intermediate_values) for trial in study.trials] == [2, 2]


class Predicting(Callback):
    """Predicts from what the network takes, while it is trained."""

    shapes = []

    def __init__(self, array):
        self.array = array

    def on_epoch_end(self, net, **kwargs):
        self.shapes.append(net.predict(self.array).shape)


@pytest.mark.parametrize("options", [{}, {"augment": "flip"}])
def test_callbacks_predict_from_pixels_during_a_training(options):
    X = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    Predicting.shapes = []
    model = FineTunedClassifier(small_networks.staged(), freeze=None, max_epochs=2, **options)
    model.set_params(callbacks=[Predicting(X[:3])]).fit(X, np.arange(8) % 2)
    assert Predicting.shapes == [(3, 2)] * 2
