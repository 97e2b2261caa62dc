"""The loop: schedules, learning rates, early stopping, errors and interruptions."""

import pickle
import re

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping
from timm import create_model
from timm.optim import param_groups_layer_decay
from torch import nn

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, PretrainedFeatures
from sklearn_transfer._networks.registry import clear_registry
from sklearn_transfer.finetuning.freezing import policies
from sklearn_transfer.finetuning.objectives.l2_sp import L2SP, copy_parameters
from tests import small_networks

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(40, 5))
CLASSES = np.array(["a", "b", "c"])[(TABLE[:, :3] + RNG.normal(size=(40, 3))).argmax(1)]
NUMBERS = TABLE @ RNG.normal(size=5) + RNG.normal(size=40)


def tabular(kind=FineTunedClassifier, **options):
    defaults = {
        "model": small_networks.perceptron,
        "preprocess": None,
        "freeze": None,
        "lr": 1e-2,
    }
    return kind(**{**defaults, "max_epochs": 4, "batch_size": 10, **options})


def visual(model=None, **options):
    defaults = {"max_epochs": 4, "lr": 1e-2, "engine": "torch", "batch_size": 8}
    model = small_networks.staged() if model is None else model
    return FineTunedClassifier(model, **{**defaults, "freeze": "early", **options})


class Recorder(Callback):
    """Learning rates of each step, and what trains."""

    rates, trained = [], []

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        if training:
            type(self).rates.append([group["lr"] for group in net.optimizer_.param_groups])
            names = {n for n, p in net.module_.named_parameters() if p.requires_grad}
            type(self).trained.append(names)


@pytest.fixture
def recorder():
    Recorder.rates, Recorder.trained = [], []
    return Recorder()


def test_the_first_head_of_lp_ft_is_logistic_regression(images):
    labels = np.array([5, 7, 300])[np.arange(20) % 3]
    model = small_networks.staged()
    fitted = visual(model, freeze="all", schedule="lp-ft").fit(images, labels)
    features = PretrainedFeatures(model, engine="torch", cache=None).fit_transform(images)
    scales = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.maximum(scales, np.median(scales))
    expected = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(scaled, labels)
    np.testing.assert_allclose(
        fitted.predict_proba(images), expected.predict_proba(scaled), atol=1e-3
    )
    assert [row["phase"] for row in fitted.history_] == ["probe"]


def test_features_that_hardly_vary_are_not_enlarged():
    """The two that vary least get the scale of the third."""
    table = np.random.default_rng(0).normal(size=(40, 5)) * [9, 3, 2, 1e-2, 1e-4] + 1
    network = tabular(model=nn.Identity(), freeze="all").fit(table, CLASSES).net_.module_
    expected = table.std(axis=0)
    expected[3:] = expected[2]
    np.testing.assert_allclose(network.head.scale, expected, rtol=1e-4)


def test_constant_features_are_left_out_of_the_typical_scale():
    table = np.random.default_rng(0).normal(size=(40, 5)) * [3, 2, 0, 0, 0] + 1
    network = tabular(model=nn.Identity(), freeze="all").fit(table, CLASSES).net_.module_
    expected = table.std(axis=0)
    expected[2:] = expected[1]
    np.testing.assert_allclose(network.head.scale, expected, rtol=1e-4)


def test_the_first_head_of_lp_ft_is_ridge_regression():
    model = tabular(FineTunedRegressor, model=nn.Identity(), freeze="all", schedule="lp-ft")
    model.fit(TABLE, NUMBERS)
    scaled = StandardScaler().fit_transform(TABLE)
    # The loss has no half, so C = 1 is a penalty of a half.
    expected = Ridge(alpha=0.5).fit(scaled, NUMBERS).predict(scaled)
    np.testing.assert_allclose(model.predict(TABLE), expected, atol=1e-2)


def test_lp_ft_goes_on_from_the_probe(images, labels):
    fitted = visual(schedule="lp-ft", freeze=None, lr=1e-9).fit(images, labels)
    probe = visual(schedule="lp-ft", freeze="all").fit(images, labels)
    assert [row["phase"] for row in fitted.history_] == ["probe"] + ["train"] * 4
    np.testing.assert_allclose(
        fitted.predict_proba(images), probe.predict_proba(images), atol=1e-3
    )


def test_gradual_unfreezing_goes_down_a_stage_at_a_time(images, labels, recorder):
    fitted = visual(freeze=None, schedule="gradual", max_epochs=16, callbacks=[recorder]).fit(
        images, labels
    )
    steps = []
    for names in recorder.trained:
        parts = {name.split(".")[1] if name.startswith("body") else "" for name in names}
        if not steps or parts != steps[-1]:
            steps.append(parts)
    assert steps == [
        {""},
        {"", "head"},
        {"", "head", "late"},
        {"", "head", "late", "early"},
        {"", "head", "late", "early", "stem"},
    ]
    assert len(fitted.history_) == 1 + 16
    assert [row["phase"] for row in fitted.history_][::2][:4] == [
        "probe",
        "from head",
        "from late",
        "from early",
    ]


@pytest.mark.parametrize("max_epochs", [1, 2, 3, 5])
def test_gradual_unfreezing_in_few_epochs_ends_with_all(max_epochs, images, labels, recorder):
    fitted = visual(
        freeze=None, schedule="gradual", max_epochs=max_epochs, callbacks=[recorder]
    ).fit(images, labels)
    assert len(fitted.history_) == 1 + max_epochs
    assert any("body.stem" in name for name in recorder.trained[-1])


@pytest.mark.parametrize("warmup", [0.0, 0.25, 1.0])
def test_learning_rate_warms_up_and_falls_as_a_cosine(warmup, recorder):
    tabular(warmup=warmup, callbacks=[recorder], lr=0.1, max_epochs=5).fit(TABLE, CLASSES)
    n_steps = 5 * 4
    step, n_warm = np.arange(n_steps), warmup * n_steps
    rising = 0.1 * (step + 1) / (n_warm + 1)
    share = (step - n_warm) / max(n_steps - n_warm, 1)
    falling = 0.05 * (1 + np.cos(np.pi * share))
    expected = np.where(step < n_warm, rising, falling)
    np.testing.assert_allclose([rates[0] for rates in recorder.rates], expected, rtol=1e-6)


def test_layer_decay_is_that_of_timm():
    body = create_model("test_vit")
    groups = {}
    options = {"weight_decay": 0.05, "layer_decay": 0.7}
    skipped = body.no_weight_decay()
    for group in param_groups_layer_decay(body, no_weight_decay_list=skipped, **options):
        for p in group["params"]:
            groups[id(p)] = (group["lr_scale"], group["weight_decay"])
    expected = {n: groups[id(p)] for n, p in body.named_parameters() if "head" not in n}
    model = FineTunedClassifier(
        body, freeze=None, max_epochs=1, lr=0.01, layer_decay=0.7, weight_decay=0.05
    )
    model.set_params(input_size=body.patch_embed.img_size)
    model.fit(RNG.integers(0, 255, (4, 32, 32, 3), dtype=np.uint8), [0, 1, 0, 1])
    found = {}
    for group in model.net_.optimizer_.param_groups:
        for p in group["params"]:
            found[id(p)] = (group["base_lr"] / 0.01, group["weight_decay"])
    own = {n: found[id(p)] for n, p in model._network.body.named_parameters()}
    assert own.keys() == expected.keys()
    for name, pair in expected.items():
        assert own[name] == pytest.approx(pair), name
    for p in model._network.head.parameters():
        assert found[id(p)][0] == 1.0


def test_stages_of_other_networks_decay_by_depth():
    model = small_networks.staged()
    fitted = visual(model, freeze=None, layer_decay=0.5, weight_decay=0.1).fit(
        RNG.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8), [0, 1] * 3
    )
    found = {}
    names = {id(p): n for n, p in fitted._network.named_parameters()}
    for group in fitted.net_.optimizer_.param_groups:
        for p in group["params"]:
            found[names[id(p)]] = (group["base_lr"] / 1e-2, group["weight_decay"])
    assert found["head.linear.weight"] == pytest.approx((1.0, 0.1))
    assert found["head.linear.bias"] == pytest.approx((1.0, 0.0))
    assert found["body.head.weight"] == pytest.approx((0.5, 0.1))
    assert found["body.late.conv.weight"] == pytest.approx((0.25, 0.1))
    assert found["body.late.norm.weight"] == pytest.approx((0.25, 0.0))
    assert found["body.early.conv.bias"] == pytest.approx((0.125, 0.0))
    assert found["body.stem.weight"] == pytest.approx((0.0625, 0.1))


def test_l2_sp_pulls_to_where_the_network_began():
    torch.manual_seed(0)
    body = nn.Linear(5, 4)
    strength, rate = 0.3, 0.1
    sgd = {"optimizer": torch.optim.SGD}
    options = {
        "model": body, "freeze": None, "lr": rate, "warmup": 0.0, "weight_decay": 0.0,
        "batch_size": 40, "net_params": sgd, "max_epochs": 2,
    }  # fmt: skip
    weights = []
    for l2_sp in (0.0, strength):
        fitted = tabular(**{**options, "l2_sp": l2_sp}).fit(TABLE, CLASSES)
        weights.append(fitted._network)
    one = tabular(**{**options, "max_epochs": 1}).fit(TABLE, CLASSES)._network
    # The head is zero at first, so the first step does not move the body.
    assert torch.equal(one.body.weight, body.weight)
    three = {"max_epochs": 3, "l2_sp": strength}
    third = tabular(**{**options, **three}).fit(TABLE, CLASSES)._network
    assert not torch.allclose(third.body.weight, weights[1].body.weight)


def test_l2_sp_is_half_the_squared_distance():
    network = nn.Module()
    network.body = nn.Linear(3, 2)
    objective = L2SP(network.body, 0.4, copy_parameters(network.body))

    def pull():
        return objective.loss(None)

    assert pull().item() == 0.0
    with torch.no_grad():
        network.body.weight.add_(2.0)
        network.body.bias.sub_(1.0)
    assert pull().item() == pytest.approx(0.5 * 0.4 * (6 * 4 + 2 * 1))
    pull().backward()
    torch.testing.assert_close(network.body.weight.grad, torch.full((2, 3), 0.4 * 2))
    network.body.bias.requires_grad_(False)
    assert pull().item() == pytest.approx(0.5 * 0.4 * 6 * 4)


def test_l2_sp_keeps_the_network_near_its_start(images, labels):
    model = small_networks.staged(drop=0.0)

    def distance(l2_sp):
        fitted = visual(model, freeze="stem", l2_sp=l2_sp, max_epochs=8).fit(images, labels)
        pairs = zip(fitted._network.body.parameters(), model.parameters(), strict=True)
        return sum(((a - b) ** 2).sum().item() for a, b in pairs)

    assert distance(100.0) < 0.5 * distance(0.0)


def noisy(n=60):
    """Labels that can only be memorized: the validation loss soon rises."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(n, 5)), rng.integers(0, 2, n)


@pytest.mark.parametrize("schedule", ["constant", "gradual"])
def test_early_stopping_goes_back_to_the_best_weights(schedule):
    X, y = noisy()
    X_val, y_val = noisy(80)[0][60:], noisy(80)[1][60:]
    model = tabular(
        early_stopping=3, max_epochs=60, lr=0.03, schedule=schedule, freeze=None
    ).fit(X, y, X_val=X_val, y_val=y_val)
    losses = [row.get("valid_loss", np.inf) for row in model.history_]
    best = int(np.argmin(losses))
    assert [row["best"] for row in model.history_].index(True) == best
    assert best < len(losses) - 1
    proba = model.predict_proba(X_val)[np.arange(20), y_val]
    assert -np.log(proba).mean() == pytest.approx(losses[best], rel=1e-5)


def test_best_weights_of_an_earlier_phase_are_whole(images, labels):
    """Later phases train more than was trained when the best epoch ended."""
    wrong = labels[::-1]  # the more is learned, the worse
    model = visual(freeze=None, schedule="gradual", early_stopping=100, max_epochs=12)
    model.fit(images, labels, X_val=images, y_val=wrong)
    best = next(row for row in model.history_ if row["best"])
    assert best["phase"] != "train"
    proba = model.predict_proba(images)[np.arange(20), (wrong == "light").astype(int)]
    assert -np.log(proba).mean() == pytest.approx(best["valid_loss"], rel=1e-4)


def test_early_stopping_goes_back_to_the_probe_where_that_was_best(images, labels):
    held = {"X_val": images[::2], "y_val": labels[::2]}
    probe = visual(freeze="all", schedule="lp-ft").fit(images, labels, **held)
    model = visual(schedule="lp-ft", early_stopping=2, lr=10.0, warmup=0.0, max_epochs=3)
    model.fit(images, labels, **held)
    assert model.history_[0]["best"]
    assert model.history_[0]["valid_score"] == probe.score(images[::2], labels[::2])
    np.testing.assert_allclose(
        model.predict_proba(images), probe.predict_proba(images), atol=1e-4
    )


@pytest.mark.parametrize("patience", [1, 4])
def test_early_stopping_waits_as_long_as_told(patience):
    X, y = noisy()
    model = tabular(early_stopping=patience, max_epochs=200, lr=0.05, validation_fraction=0.3)
    model.fit(X, y)
    losses = [row["valid_loss"] for row in model.history_]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + patience < 200


def test_the_validation_split_is_by_class():
    y = np.repeat([0, 1, 2], [40, 8, 4])
    X = RNG.normal(size=(52, 5))
    model = tabular(early_stopping=True, validation_fraction=0.25, max_epochs=1)
    parts = []
    make_part = model._make_part

    def spy(rows, name="X"):
        parts.append(rows.y)
        return make_part(rows, name)

    model._make_part = spy
    model.fit(X, y)
    assert [np.bincount(codes).tolist() for codes in parts] == [[30, 6, 3], [10, 2, 1]]


def test_a_split_without_rows_to_hold_out_says_what_to_do():
    model = tabular(early_stopping=True, validation_fraction=0.1)
    with pytest.raises(ValueError, match=r"early_stopping=True holds 0.1 of 1 samples"):
        FineTunedRegressor(**{
            k: v for k, v in model.get_params(deep=False).items()
            if k in FineTunedRegressor().get_params(deep=False)
        }).fit(TABLE[:1], [1.0])  # fmt: skip


def test_validation_rows_alone_are_refused():
    with pytest.raises(ValueError, match="X_val and y_val go together"):
        tabular().fit(TABLE, CLASSES, X_val=TABLE)


def test_validation_rows_are_never_trained_on():
    model = tabular(max_epochs=3)
    other = tabular(max_epochs=3)
    model.fit(TABLE[:30], CLASSES[:30], X_val=TABLE[30:], y_val=CLASSES[30:])
    other.fit(TABLE[:30], CLASSES[:30])
    np.testing.assert_array_equal(model.predict_proba(TABLE), other.predict_proba(TABLE))
    assert "valid_loss" in model.history_[0]
    assert "valid_loss" not in other.history_[0]


@pytest.mark.parametrize("lr", [1e20, 1e30])
def test_a_loss_that_is_no_number_names_rate_and_epoch(lr):
    model = tabular(FineTunedRegressor, lr=lr, warmup=0.0)
    with pytest.raises(
        FloatingPointError, match=rf"epoch \d+ with lr={re.escape(f'{lr:g}')} "
    ):
        model.fit(TABLE, NUMBERS)
    assert not hasattr(model, "history_")


def no_number(output, target):
    return output[:, 0] * np.nan


def test_a_first_head_whose_loss_is_no_number_says_so():
    model = tabular(loss=no_number, schedule="lp-ft", freeze="0")
    with pytest.raises(FloatingPointError, match="first head is nan in epoch 1, whatever lr"):
        model.fit(TABLE, CLASSES)
    assert not hasattr(model, "history_")


class Full(nn.Module):
    """Runs out of memory where a batch is larger than `most`, in training."""

    most, batches, error = 5, [], torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB")

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3)

    def forward(self, x):
        if self.training:
            type(self).batches.append(len(x))
            if len(x) > type(self).most:
                raise type(self).error
        return self.linear(x)


@pytest.fixture
def full(monkeypatch):
    monkeypatch.setattr(Full, "batches", [])
    monkeypatch.setattr(Full, "most", 5)
    return Full()


@pytest.mark.parametrize(
    "error",
    [
        Full.error,
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_batch_beyond_memory_is_halved_once(full, error, monkeypatch, recorder):
    monkeypatch.setattr(Full, "error", error)
    model = tabular(model=full, callbacks=[recorder], max_epochs=3)
    with pytest.warns(UserWarning, match="batch_size is now 5"):
        model.fit(TABLE, CLASSES)
    assert Full.batches == [10] + [5] * 8 * 3
    assert len(model.history_) == 3
    assert model.batch_size == 10


def test_a_halved_batch_keeps_the_course_of_the_learning_rate(full, recorder):
    options = {"warmup": 0.0, "max_epochs": 6, "callbacks": [recorder]}
    with pytest.warns(UserWarning, match="batch_size is now 5"):
        tabular(model=full, **options).fit(TABLE, CLASSES)
    halved = [rates[0] for rates in recorder.rates]
    Recorder.rates = []
    tabular(model=full, batch_size=5, **options).fit(TABLE, CLASSES)
    np.testing.assert_allclose(halved, [rates[0] for rates in recorder.rates], rtol=1e-6)
    assert len(halved) == 8 * 6


def test_a_batch_beyond_memory_twice_is_an_error(full, monkeypatch):
    monkeypatch.setattr(Full, "most", 3)
    with (
        pytest.warns(UserWarning, match="batch_size is now 5"),
        pytest.raises(torch.OutOfMemoryError),
    ):
        tabular(model=full).fit(TABLE, CLASSES)


def test_other_errors_of_a_network_are_not_taken_for_memory(full, monkeypatch):
    monkeypatch.setattr(Full, "error", RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        tabular(model=full).fit(TABLE, CLASSES)


class Interrupting(Callback):
    """Ctrl-C at a step."""

    def __init__(self, step):
        self.step = step

    def on_train_begin(self, net, **kwargs):
        self.n_steps = 0

    def on_batch_end(self, net, training=False, **kwargs):
        self.n_steps += training
        if training and self.n_steps == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("step", "n_epochs"), [(1, 0), (4, 0), (6, 1), (15, 3)])
def test_ctrl_c_leaves_a_fitted_estimator_and_says_so(step, n_epochs):
    model = tabular(callbacks=[Interrupting(step)])
    with pytest.warns(UserWarning, match=f"interrupted in epoch {n_epochs + 1} of 4"):
        model.fit(TABLE, CLASSES)
    assert len(model.history_) == n_epochs
    proba = model.predict_proba(TABLE)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert not model._network.training


@pytest.mark.filterwarnings("ignore:Training was interrupted")
@pytest.mark.parametrize("round_trip", [False, True])
def test_training_goes_on_after_ctrl_c_in_the_first_epoch(round_trip):
    model = tabular(callbacks=[("mine", Interrupting(1))]).fit(TABLE, CLASSES)
    dict(model.net_.callbacks_)["mine"].step = 0
    if round_trip:
        model = pickle.loads(pickle.dumps(model))
    model.set_params(callbacks=None).partial_fit(TABLE, CLASSES)
    assert [row["best"] for row in model.history_] == [True]


def test_ctrl_c_in_a_cut_network_leaves_it_whole(images, labels):
    model = visual(callbacks=[Interrupting(2)])
    with pytest.warns(UserWarning, match="interrupted in epoch 1"):
        model.fit(images, labels)
    assert model.predict(images).shape == (20,)
    assert not any("forward" in vars(m) for m in model._network.modules())


@pytest.mark.filterwarnings("error")
def test_a_callback_that_stops_the_training_does_so_quietly():
    X, y = noisy()
    stop = EarlyStopping(monitor="valid_loss", patience=3, sink=lambda text: None)
    model = tabular(callbacks=[stop], max_epochs=200, lr=0.05)
    model.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert 3 < len(model.history_) < 200
    assert len(model.history_) == len(model.net_.history)


def test_callbacks_of_the_user_are_copied_and_may_have_names():
    interrupting = Interrupting(10**6)
    model = tabular(callbacks=[("mine", interrupting), Recorder])
    model.fit(TABLE, CLASSES)
    assert not hasattr(interrupting, "n_steps")
    assert dict(model.net_.callbacks_)["mine"].n_steps == 16


def test_parameters_of_the_net_are_passed_on():
    sgd = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.5}
    model = tabular(net_params=sgd).fit(TABLE, CLASSES)
    assert isinstance(model.net_.optimizer_, torch.optim.SGD)
    assert model.net_.optimizer_.param_groups[0]["momentum"] == 0.5


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 32])
def test_few_images_train_with_batch_norm(n, batch_size, images):
    model = FineTunedRegressor(
        small_networks.staged_net, freeze="stem", batch_size=batch_size, max_epochs=2
    )
    model.fit(images[:n], np.arange(n, dtype=float))
    assert np.isfinite(model.predict(images)).all()
    state = model._network.state_dict()
    assert all(torch.isfinite(t).all() for t in state.values())


def test_batches_of_one_keep_running_statistics(images, labels):
    fitted = FineTunedClassifier(
        small_networks.staged_net, freeze="early", batch_size=1, max_epochs=1
    ).fit(images[8:12], labels[8:12])
    norm = fitted._network.body.late.norm
    assert torch.equal(norm.running_mean, torch.zeros(6 + 2))
    assert not torch.equal(norm.weight, torch.ones(8))


def test_constant_images_train(labels):
    images = np.full((20, 32, 32, 3), 255, dtype=np.uint8)
    fitted = visual(freeze="early").fit(images, labels)
    np.testing.assert_allclose(fitted.predict_proba(images), 0.5, atol=0.1)


def test_batches_have_equal_size(recorder):
    sizes = []

    class Sizes(Callback):
        def on_batch_begin(self, net, batch=None, training=False):
            sizes.append(len(batch[0]["input"]))

    tabular(batch_size=13, callbacks=[Sizes()], max_epochs=1).fit(TABLE, CLASSES)
    assert sizes == [10, 10, 10, 10]


def test_training_works_where_gradients_are_off(images, labels):
    model = small_networks.staged()
    expected = visual(model).fit(images, labels).predict_proba(images)
    for context in (torch.no_grad, torch.inference_mode):
        clear_registry()
        with context():
            found = visual(model).fit(images, labels).predict_proba(images)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(
            visual(model).fit(images, labels).predict_proba(images), expected
        )


def test_verbose_shows_progress_with_loss(capsys):
    tabular(verbose=True).fit(TABLE, CLASSES)
    printed = capsys.readouterr()
    assert "train_loss" in printed.err
    assert "160/160" in printed.err
    assert printed.out == ""
    tabular().fit(TABLE, CLASSES)
    assert capsys.readouterr() == ("", "")


def test_phases_share_one_history():
    fitted = tabular(schedule="lp-ft", freeze="0").fit(TABLE, CLASSES)
    assert [row["epoch"] for row in fitted.history_] == [1, 2, 3, 4, 5]
    assert fitted.history_[0]["lr"] == 0.0
    assert all(row["dur"] >= 0 for row in fitted.history_)


def test_phases_of_gradual_unfreezing_never_go_beyond_the_target():
    model = small_networks.staged()
    fitted = visual(model, freeze="early", schedule="gradual", max_epochs=9)
    fitted.fit(RNG.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8), [0, 1] * 3)
    assert fitted._frozen.boundary == "body.early"
    assert isinstance(fitted._frozen, policies.Frozen)
