"""Combinations of parameters that are easily forgotten."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from skorch.callbacks import EpochScoring, LRScheduler
from torch import nn

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, ImportanceWeighted
from sklearn_transfer.finetuning import _outputs
from tests import small_networks
from tests.finetuning.loop.test_accelerator import ROOT

OPTIONS = {"preprocess": None, "freeze": None, "max_epochs": 3, "lr": 1e-2, "engine": "torch"}


def table(n=60, n_features=4):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, n_features)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


def tuner(model=small_networks.perceptron, **options):
    return FineTunedClassifier(model, **{**OPTIONS, **options})


def with_dropout(n_features_in, n_outputs):
    layers = [nn.Linear(n_features_in, 16), nn.Dropout(0.5), nn.Linear(16, n_outputs)]
    return nn.Sequential(*layers)


class Drawing(nn.Module):
    """Notes what torch draws in training."""

    drawn = []

    def __init__(self, n_features_in, n_outputs):
        super().__init__()
        self.linear = nn.Linear(n_features_in, n_outputs)

    def forward(self, x):
        if self.training:
            self.drawn.append(float(torch.rand(1)))
        return self.linear(x)


class Fixed(nn.Module):
    """A position that is no parameter to train, and an integer one."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.ones(4), requires_grad=False)
        self.count = nn.Parameter(torch.tensor([3]), requires_grad=False)
        self.linear = nn.Linear(4, 5)

    def forward(self, x):
        return self.linear(x + self.position)


def test_a_probe_stops_early_and_keeps_its_best_head():
    X, y = table()
    held = table(80)
    model = tuner(small_networks.mlp, freeze="all", early_stopping=True, max_epochs=8)
    model.fit(X, y, X_val=held[0][60:], y_val=held[1][60:])
    proba = model.predict_proba(held[0][60:])
    loss = -np.log(proba[np.arange(20), held[1][60:]]).mean()
    assert loss == pytest.approx(min(row["valid_loss"] for row in model.history_), rel=1e-5)


@pytest.mark.parametrize("freeze", ["0", None])
def test_reuse_gives_the_same_network_with_many_rows(freeze):
    X, y = table(600)
    options = {"freeze": freeze, "max_epochs": 2}
    found, expected = (
        tuner(small_networks.mlp, cache=cache, **options).fit(X, y).predict_proba(X)
        for cache in ("memory", None)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_fits_in_threads_are_those_in_turn():
    X, y = table()
    seeds = range(4)

    def fitted(seed):
        return tuner(with_dropout, random_state=seed).fit(X, y).predict_proba(X)

    expected = [fitted(seed) for seed in seeds]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fitted, seeds))
    assert np.array_equal(found, expected)
    assert torch.equal(torch.get_rng_state(), before)


FORKED = """
import multiprocessing
import numpy as np
import torch
from sklearn_transfer import FineTunedClassifier
torch.set_num_threads(2)
images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
def fitted(seed):
    model = FineTunedClassifier(max_epochs=1, input_size=32, freeze="deep")
    return model.fit(images, [0, 1] * 4).score(images, [0, 1] * 4)
score = fitted(0)
with multiprocessing.get_context("fork").Pool(1) as pool:
    assert pool.map_async(fitted, [0]).get(timeout=100)[0] == score
"""


def test_a_fork_of_a_trained_process_trains():
    run = subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, timeout=200)
    assert run.returncode == 0


def test_cutmix_of_tables_is_refused():
    with pytest.raises(ValueError, match=r"cutmix=1 .*use mixup for tables"):
        tuner(cutmix=1.0).fit(*table())


@pytest.mark.parametrize("freeze", [True, False])
def test_truth_values_freeze_nothing(freeze):
    with pytest.raises(ValueError, match=f"freeze={freeze} does not name a layer"):
        tuner(freeze=freeze).fit(*table())


def test_early_stopping_takes_truth_values_of_numpy():
    X, y = table()
    options = {"max_epochs": 30, "lr": 0.3}
    found, expected = (
        tuner(early_stopping=value, **options).fit(X, y).n_iter_ for value in (np.True_, True)
    )
    assert found == expected


def test_each_partial_fit_draws_anew():
    X, y = table(20)
    model = tuner(Drawing, batch_size=20)
    Drawing.drawn.clear()
    for _ in range(4):
        model.partial_fit(X, y)
    assert len(set(Drawing.drawn)) == len(Drawing.drawn) == 4


def test_rows_of_later_parts_are_named_by_their_number(monkeypatch, tmp_path, crops):
    monkeypatch.setattr(_outputs, "_KNOWN_ROWS", 3)
    model = FineTunedClassifier(small_networks.counting_net(3), freeze="stem", max_epochs=1)
    model.fit(crops, [0, 1, 0, 1, 0, 1, 0, 1, 0])
    with pytest.raises(ValueError, match=r"^row 4 .*no such file"):
        model.predict([*crops[:4], str(tmp_path / "none.png"), *crops[5:]])


def test_parameters_that_do_not_train_stay():
    X, y = table()
    model = tuner(Fixed(), max_epochs=5).fit(X, y)
    assert torch.equal(model._network.body.position, torch.ones(4))
    assert model._network.body.count.item() == 3


def test_score_leaves_missing_labels_out():
    X, y = table()
    labels = np.column_stack([y, 1 - y]).astype(float)
    model = tuner(max_epochs=10).fit(X, labels)
    right = (model.predict(X) == labels).all(axis=1)
    labels[5, 0] = np.nan
    right[5] = model.predict(X)[5, 1] == labels[5, 1]
    assert model.score(X, labels) == right.mean()


def test_a_mapping_of_one_column_is_scored():
    X, y = table()
    model = tuner(max_epochs=10).fit(X, {"kind": y})
    assert model.score(X, {"kind": y}) == (model.predict(X) == y).mean()


def test_parameters_set_before_partial_fit_count():
    X, y = table()
    slow, fast = (tuner().fit(X, y) for _ in range(2))
    before = slow.predict_proba(X)
    slow.set_params(lr=1e-9).partial_fit(X, y)
    fast.set_params(lr=1e-1).partial_fit(X, y)
    np.testing.assert_allclose(slow.predict_proba(X), before, atol=1e-5)
    assert np.abs(fast.predict_proba(X) - before).max() > 1e-2


@pytest.mark.parametrize("earlier", [0.0, 1e-6])
def test_a_pull_set_before_partial_fit_counts(earlier):
    X, y = table()
    free, pulled = (tuner(l2_sp=earlier).fit(X, y) for _ in range(2))
    before = free.transform(X)
    free.set_params(lr=1e-1).partial_fit(X, y)
    pulled.set_params(lr=1e-1, l2_sp=1e6).partial_fit(X, y)
    moved = [np.abs(model.transform(X) - before).max() for model in (free, pulled)]
    assert moved[1] < moved[0] / 2


@pytest.mark.parametrize(
    ("model", "weights", "said"),
    [
        ("test_resnet", "pretrained", "test_resnet, pretrained weights"),
        ("test_resnet", {"a": np.zeros(1)}, "test_resnet, given weights"),
        (small_networks.perceptron, "pretrained", "perceptron, its own weights"),
        (small_networks.perceptron, None, "perceptron, random weights"),
    ],
)
def test_the_diagram_says_whose_weights_they_are(model, weights, said):
    assert said in tuner(model, weights=weights)._repr_html_()


@pytest.mark.parametrize(
    "name", ["lr", "optimizer__lr", "criterion", "iterator_train__shuffle"]
)
def test_parameters_of_the_estimator_are_refused_in_net_params(name):
    with pytest.raises(ValueError, match=f"net_params has '{name}', which the parameter"):
        tuner(net_params={name: 1}).fit(*table())


@pytest.mark.parametrize("callback", [LRScheduler(), EpochScoring("accuracy"), "abc"])
def test_callbacks_that_cannot_work_are_refused(callback):
    with pytest.raises(ValueError, match="callbacks holds"):
        tuner(callbacks=[callback]).fit(*table())


def test_half_precision_without_a_gpu_is_refused():
    with pytest.raises(ValueError, match="float16' needs a CUDA device"):
        tuner(precision="float16", device="cpu").fit(*table())


def test_class_weights_are_saved(tmp_path):
    X, y = table()
    model = tuner(class_weight={0: 5.0, 1: 1.0}).fit(X, y).save(tmp_path)
    loaded = FineTunedClassifier.load(tmp_path, model=small_networks.perceptron)
    assert loaded.class_weight == {0: 5.0, 1: 1.0}
    assert model.class_weight == loaded.class_weight


def test_loading_warns_of_what_only_training_needs(tmp_path):
    X, y = table()
    tuner(loss=nn.CrossEntropyLoss(reduction="none")).fit(X, y).save(tmp_path)
    with pytest.warns(UserWarning, match="loss of your own could not be saved"):
        FineTunedClassifier.load(tmp_path, model=small_networks.perceptron)


def test_a_worse_epoch_of_partial_fit_is_not_the_best():
    X, y = table()
    model = tuner(max_epochs=20).fit(X, y)
    model.partial_fit(X, 1 - y)
    best = [row["train_loss"] for row in model.history_ if row["best"]]
    assert best == [min(row["train_loss"] for row in model.history_)]


def test_class_weights_do_not_weigh_the_validation_score():
    X, y = table(200)
    model = tuner(class_weight={0: 100.0, 1: 1.0}).fit(X, y, X_val=X, y_val=y)
    assert model.history_[-1]["valid_score"] == pytest.approx(model.score(X, y))


def test_what_is_wrong_with_validation_samples_is_said_of_them():
    X, y = table()
    with pytest.raises(ValueError, match="X_val and y_val: "):
        tuner().fit(X, y, X_val=X[:, :3], y_val=y)


def test_gradients_are_not_kept():
    model = tuner().fit(*table())
    assert all(p.grad is None for p in model._network.parameters())


def test_regressors_take_the_same_care():
    X, y = table()
    with pytest.raises(ValueError, match="freeze=True does not name a layer"):
        FineTunedRegressor(small_networks.perceptron, **{**OPTIONS, "freeze": True}).fit(X, y)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_labels_are_named_by_their_row_where_rows_have_no_weight(missing):
    X, y = table()
    y = y.astype(object)
    y[50] = missing
    with pytest.raises(ValueError, match="NaN: row 50 is missing"):
        tuner().fit(X, y, sample_weight=np.arange(60) % 5 == 0)


def test_unknown_labels_are_named_by_their_row_where_rows_have_no_weight():
    X, y = table()
    model = tuner().fit(X, y)
    y = y.copy()
    y[[49, 50]] = 7
    with pytest.raises(ValueError, match="holds 7 in row 50") as caught:
        model.partial_fit(X, y, sample_weight=np.arange(60) % 5 == 0)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_entries_of_several_labels_are_named_by_their_row():
    X, y = table()
    y = np.stack([y, 1 - y, y], axis=1)
    y[50, 1] = 3
    with pytest.raises(ValueError, match="holds 3 in row 50: entries"):
        tuner(tasks=[{"n_columns": 3, "kind": "multilabel"}]).fit(
            X, y, sample_weight=np.arange(60) % 5 == 0
        )


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"freeze": "layer1"},
        {"freeze": "all"},
        {"schedule": "lp-ft"},
        {"augment": "flip", "l2_sp": 0.1, "mixup": 0.2},
    ],
    ids=lambda options: "-".join(options.values() if "l2_sp" not in options else options),
)
def test_default_type_of_torch_does_not_matter(options, crops):
    settings = {"input_size": 32, "max_epochs": 1, "freeze": None, **options}
    model = FineTunedClassifier("test_resnet", weights=None, **settings).fit(
        crops, [0, 1, 2] * 3
    )
    assert np.isfinite(model.predict_proba(crops)).all()
    assert {t.dtype for t in model._network.parameters()} == {torch.float32}


def test_default_type_of_torch_does_not_matter_for_tables_and_loading(tmp_path, request):
    X, y = table()
    network = small_networks.perceptron(4, 2)
    expected = tuner(network).fit(X, y).save(tmp_path).predict_proba(X)
    request.getfixturevalue("double")
    found = tuner(network).fit(X, y)
    assert {t.dtype for t in found._network.parameters()} == {torch.float32}
    np.testing.assert_allclose(found.predict_proba(X), expected, rtol=1e-5)
    loaded = FineTunedClassifier.load(tmp_path, model=network)
    np.testing.assert_allclose(loaded.predict_proba(X), expected, rtol=1e-5)


class Flat(nn.Module):
    """Takes images of 32 pixels alone."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3 * 32 * 32, 4)

    def forward(self, x):
        return self.linear(x.flatten(1))


def small(image):
    return np.zeros((3, 16, 16), np.float32)


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ({"preprocess": small}, "(3, 16, 16), as preprocess returns them"),
        ({"preprocess": small, "freeze": "all"}, "(3, 16, 16), as preprocess returns them"),
        ({"input_size": 48}, "(3, 48, 48), as input_size says, or else the network"),
    ],
)
def test_errors_of_a_network_tell_what_it_was_given(options, source, crops):
    net = Flat()
    net.pretrained_cfg = small_networks.CONFIG
    model = FineTunedClassifier(net, **{"max_epochs": 1, "freeze": None, **options})
    with pytest.raises(RuntimeError) as caught:
        model.fit(crops, [0, 1, 2] * 3)
    assert caught.value.__notes__ == [f"Flat was given samples of shape {source}"]


def test_errors_of_a_network_tell_of_rows(tmp_path):
    X, y = table(n_features=3)
    with pytest.raises(RuntimeError) as caught:
        tuner(nn.Linear(4, 5)).fit(X, y)
    assert caught.value.__notes__ == [
        "Linear was given samples of shape (3,), as the rows of X are"
    ]
    tuner(nn.Linear(3, 5)).fit(X, y).save(tmp_path)
    with pytest.raises(RuntimeError) as caught:
        FineTunedClassifier.load(tmp_path, model=nn.Linear(4, 5))
    assert caught.value.__notes__ == [
        "Linear was given samples of shape (3,), as the saved network was; give the network"
        " that was trained"
    ]


def test_logarithms_of_probabilities_reach_through_weights():
    X, y = table()
    with pytest.warns(UserWarning, match="got no target samples"):
        model = ImportanceWeighted(tuner()).fit(X, y)
    found = model.predict_log_proba(X)
    np.testing.assert_allclose(np.exp(found), model.predict_proba(X))
    np.testing.assert_array_equal(found, model.estimator_.predict_log_proba(X))


def test_a_module_that_was_frozen_before_is_trained_now():
    """Networks of equal weights may differ in what their owner lets train."""
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    X, y = np.random.default_rng(0).normal(size=(12, 4)), [0, 1] * 6
    options = {"preprocess": None, "freeze": None, "max_epochs": 1}
    FineTunedClassifier(module.requires_grad_(False), **options).fit(X, y)
    model = FineTunedClassifier(module.requires_grad_(True), **options).fit(X, y)
    assert not torch.equal(model.net_.module_.body[0].weight, module[0].weight)
