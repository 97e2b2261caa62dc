"""AutoencoderFeatures: what it learns, what it takes, and where its encoder can go."""

import copy
import pickle
import random
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

from sklearn_transfer import AutoencoderFeatures, FineTunedClassifier, PretrainedFeatures
from sklearn_transfer.finetuning import _autoencoder_training
from sklearn_transfer.finetuning._autoencoder import (
    Autoencoder,
    Standardize,
    choose_widths,
)
from sklearn_transfer.finetuning._autoencoder_training import (
    AutoencoderNet,
    compute_channel_statistics,
)
from sklearn_transfer.testing._assertions import assert_same
from tests import small_networks

TINY = {"n_components": 5, "max_epochs": 2, "batch_size": 4}


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)[0]


@pytest.fixture
def table():
    return np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


FORMS = ["table", "tensors", "images", "grey", "paths", "callable", "dense images"]


@pytest.fixture
def form(request, crops, table, tmp_path):
    """Options of a small estimator, and nine samples."""
    images = {"input_size": 16}
    if request.param == "table":
        return {"preprocess": None}, table[:9]
    if request.param == "tensors":
        maps = np.random.default_rng(0).normal(size=(9, 2, 9, 12)).astype(np.float32)
        return {"preprocess": None}, maps
    if request.param == "paths":
        paths = [str(tmp_path / f"{i}.png") for i in range(9)]
        for i, (path, crop) in enumerate(zip(paths, crops, strict=True)):
            Image.fromarray(crop[: 40 - i, 2 * i :]).save(path)
        return images, paths
    if request.param == "grey":
        return images, np.stack(crops).mean(axis=3) / 255
    if request.param == "callable":
        return {"preprocess": small_networks.to_pixels}, crops
    if request.param == "dense images":
        return {**images, "architecture": "dense"}, crops
    return images, crops


every_form = pytest.mark.parametrize("form", FORMS, indirect=True)


def peak_of(function):
    """Bytes that NumPy and Python held at once while a function ran."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def fitted(form, **options):
    return AutoencoderFeatures(**{**TINY, **form[0], **options}).fit(form[1])


@every_form
def test_codes_have_a_row_a_sample(form):
    codes = fitted(form).transform(form[1])
    assert codes.dtype == np.float32
    assert codes.shape == (9, 5)
    assert np.isfinite(codes).all()
    assert len(np.unique(codes, axis=0)) > 1


@every_form
def test_same_seed_gives_same_codes_and_other_seed_others(form):
    first = fitted(form, random_state=0, noise=0.1)
    torch.rand(3)  # where torch's own generator stands does not matter
    second, other = (fitted(form, random_state=s, noise=0.1) for s in (0, 1))
    np.testing.assert_array_equal(first.transform(form[1]), second.transform(form[1]))
    assert not np.array_equal(first.transform(form[1]), other.transform(form[1]))


@every_form
def test_copies_give_the_same_codes(form):
    model = fitted(form, mask=0.2)
    expected = model.transform(form[1])
    for other in (
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        clone(model).fit(form[1]),
    ):
        np.testing.assert_array_equal(other.transform(form[1]), expected)


@every_form
def test_codes_of_a_row_do_not_depend_on_other_rows(form):
    model = fitted(form)
    alone = np.vstack([model.transform(form[1][i : i + 1]) for i in range(9)])
    assert_same(alone, model.transform(form[1]), 1e-5)


@every_form
def test_reconstruct_is_decoding_of_codes(form):
    model = fitted(form)
    rebuilt = model.reconstruct(form[1])
    np.testing.assert_array_equal(rebuilt, model.inverse_transform(model.transform(form[1])))
    if model.preprocess != "auto":
        expected = form[1].shape if model.preprocess is None else (9, 3, 40, 40)
        assert rebuilt.shape == expected
    else:
        assert rebuilt.shape == (9, 16, 16, 3)
        assert rebuilt.min() >= 0
        assert rebuilt.max() <= 1


@every_form
def test_random_states_and_parameters_are_untouched(form):
    legacy = np.random.mtrand._rand
    states = torch.get_rng_state(), legacy.get_state()[1].copy(), random.getstate()
    model = AutoencoderFeatures(**TINY, **form[0], noise=0.1, mask=0.1, early_stopping=True)
    params = copy.copy(model.get_params())
    model.fit(form[1]).reconstruct(form[1])
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(legacy.get_state()[1], states[1])
    assert random.getstate() == states[2]
    assert model.get_params() == params


@every_form
def test_encoder_is_a_network_for_pretrained_features(form):
    model = fitted(form)
    options = {"preprocess": form[0].get("preprocess", "auto"), "engine": "torch"}
    features = PretrainedFeatures(model.encoder_, **options)
    assert_same(features.fit_transform(form[1]), model.transform(form[1]), 1e-5)


@every_form
def test_encoder_is_a_network_for_fine_tuning(form):
    encoder = fitted(form).encoder_
    before = {name: t.clone() for name, t in encoder.state_dict().items()}
    options = {"preprocess": form[0].get("preprocess", "auto"), "max_epochs": 2, "lr": 1e-2}
    y = np.arange(9) % 2
    tuned = FineTunedClassifier(encoder, freeze="block1", **options).fit(form[1], y)
    assert tuned.predict_proba(form[1]).shape == (9, 2)
    assert tuned.transform(form[1]).shape == (9, 5)
    trained = tuned._network.body.state_dict()
    assert all(torch.equal(t, encoder.state_dict()[name]) for name, t in before.items())
    changed = {n.split(".")[0] for n, t in trained.items() if not torch.equal(t, before[n])}
    assert "code" in changed
    assert "block1" not in changed


@pytest.mark.parametrize(
    ("edges", "n_blocks"),
    [((32, 32), 3), ((200, 9), 3), ((5, 9), 2), ((8, 8), 1), ((2, 1), 1)],
)
def test_default_blocks_halve_the_longer_edge_to_4_pixels(edges, n_blocks):
    assert choose_widths((3, *edges), True) == (32, 64, 128)[:n_blocks]
    assert n_blocks == 3 or max(edges) <= 4 * 2**n_blocks


def test_layers_of_the_encoder_have_names(crops):
    model = AutoencoderFeatures(**TINY).fit(crops)
    assert [name for name, _ in model.encoder_.named_children()] == [
        *("block1", "block2", "block3"),
        "code",
    ]
    features = PretrainedFeatures(model.encoder_, layers="middle", engine="torch")
    assert features.fit_transform(crops).shape == (9, 64)


def test_codes_are_those_of_a_pass_by_hand(table):
    model = AutoencoderFeatures(**TINY, hidden=(7,), preprocess=None).fit(table)
    weights = {n: t.double().numpy() for n, t in model.encoder_.state_dict().items()}
    rows = table.astype(float)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    rows = np.maximum(rows @ weights["block1.0.weight"].T + weights["block1.0.bias"], 0)
    rows = rows @ weights["code.weight"].T + weights["code.bias"]
    np.testing.assert_allclose(model.transform(table), rows, rtol=1e-4, atol=1e-5)


def test_noise_cannot_be_undone_beyond_the_best_filter():
    """Of x + e with variances 1 and s^2, the best guess of x errs by s^2 / (1 + s^2)."""
    X = np.random.default_rng(0).normal(size=(4000, 1))
    model = AutoencoderFeatures(4, noise=1.0, preprocess=None, max_epochs=15).fit(X)
    assert model.history_[-1]["train_loss"] == pytest.approx(0.5, abs=0.03)


def test_hidden_features_are_filled_in_from_others():
    """Of two equal features, half hidden, nothing is known where both are: a quarter."""
    X = np.repeat(np.random.default_rng(0).normal(size=(4000, 1)), 2, axis=1)
    model = AutoencoderFeatures(8, mask=0.5, preprocess=None, max_epochs=15).fit(X)
    assert model.history_[-1]["train_loss"] == pytest.approx(0.25, abs=0.03)


def test_code_holds_more_than_a_linear_one(digits):
    train, test = digits[:1300] / 16, digits[1300:] / 16
    model = AutoencoderFeatures(16, preprocess=None, max_epochs=40).fit(train)
    pca = PCA(8).fit(train)
    linear = np.square(pca.inverse_transform(pca.transform(test)) - test).mean()
    assert np.square(model.reconstruct(test) - test).mean() < linear


def test_images_are_rebuilt(crops):
    small = [np.asarray(Image.fromarray(c).resize((16, 16))) for c in crops]
    model = AutoencoderFeatures(32, max_epochs=150, input_size=16, batch_size=9, lr=1e-2)
    rebuilt = model.fit(small).reconstruct(small)
    truth = np.stack(small) / 255
    assert np.square(rebuilt - truth).mean() < 0.1 * np.square(truth - truth.mean(0)).mean()


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_patches_are_hidden_together(share):
    network = Autoencoder(True, (3, 32, 32), (4,), 5, mask=share).train()
    damaged = network._corrupt(torch.ones(200, 3, 32, 32))
    patches = damaged.reshape(200, 3, 8, 4, 8, 4)
    assert (patches.amin((1, 3, 5)) == patches.amax((1, 3, 5))).all()
    assert (1 - damaged).mean() == pytest.approx(share, abs=0.02)


def test_features_are_hidden_one_by_one_in_tables():
    network = Autoencoder(False, (6,), (4,), 5, mask=0.4).train()
    damaged = network._corrupt(torch.ones(5000, 6))
    np.testing.assert_allclose((1 - damaged).mean(0), 0.4, atol=0.03)


def test_same_damage_in_every_validation():
    network = Autoencoder(False, (6,), (4,), 5, noise=0.5, mask=0.4).eval()
    rows = torch.ones(30, 6)
    assert torch.equal(network._corrupt(rows), network._corrupt(rows))
    network.train()
    assert not torch.equal(network._corrupt(rows), network._corrupt(rows))


def test_early_stopping_returns_to_the_best_weights(table):
    X = np.vstack([table] * 3)
    options = {"early_stopping": 2, "validation_fraction": 0.3, "lr": 0.1, "max_epochs": 60}
    model = AutoencoderFeatures(5, preprocess=None, **options).fit(X)
    assert model.n_iter_ < 60
    best = [row for row in model.history_ if row["best"]]
    assert len(best) == 1
    assert best[0] == min(model.history_, key=lambda row: row["valid_loss"])
    seed = check_random_state(0).randint(np.iinfo(np.int32).max)
    train, valid = next(ShuffleSplit(1, test_size=0.3, random_state=seed).split(X))
    scale = X[train].std(axis=0)
    error = np.square((model.reconstruct(X[valid]) - X[valid]) / scale).mean()
    assert error == pytest.approx(best[0]["valid_loss"], rel=1e-4)
    assert model.history_[-1]["valid_loss"] > best[0]["valid_loss"]


@pytest.mark.parametrize(("early_stopping", "patience"), [(True, 5), (3, 3)])
def test_training_stops_after_epochs_without_a_smaller_error(table, early_stopping, patience):
    options = {"validation_fraction": 0.3, "lr": 0.02, "max_epochs": 90, "batch_size": 4}
    model = AutoencoderFeatures(5, preprocess=None, early_stopping=early_stopping, **options)
    best = [row["epoch"] for row in model.fit(table).history_ if row["best"]]
    assert model.n_iter_ == best[0] + patience
    losses = [row["valid_loss"] for row in model.history_]
    falls = np.flatnonzero(losses < np.minimum.accumulate([np.inf, *losses])[:-1])
    assert len(falls) > 1
    assert max(np.diff(falls)) <= patience


def test_learning_rate_rises_over_a_tenth_of_the_steps_and_falls_to_0(table):
    options = {**TINY, "max_epochs": 10, "lr": 0.01}  # five steps an epoch
    model = AutoencoderFeatures(**options, preprocess=None).fit(table)
    rates = np.array([row["lr"] for row in model.history_]) / 0.01
    assert rates[0] == pytest.approx(5 / 6)
    np.testing.assert_allclose(
        rates[1:], [(1 + np.cos(np.pi * (5 * k - 1) / 45)) / 2 for k in range(1, 10)]
    )


def test_weights_decay(table):
    small, large = (
        AutoencoderFeatures(**TINY, preprocess=None, weight_decay=decay).fit(table)
        for decay in (0.0, 50.0)
    )
    norms = [m.encoder_.block1[0].weight.norm().item() for m in (small, large)]
    assert norms[1] < 0.8 * norms[0]


def test_history_has_an_entry_an_epoch_and_is_drawn(table):
    from sklearn_transfer import TrainingDisplay

    model = AutoencoderFeatures(**TINY, preprocess=None).fit(table)
    assert [row["epoch"] for row in model.history_] == [1, 2]
    keys = {"epoch", "phase", "train_loss", "lr", "dur", "best"}
    assert all(set(row) == keys for row in model.history_)
    assert sorted(TrainingDisplay.from_estimator(model).lines_) == ["train_loss"]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scale_and_shift_of_features_do_not_matter(table, scale):
    expected = AutoencoderFeatures(**TINY, preprocess=None).fit_transform(table)
    moved = scale * (table.astype(float) + 3)
    found = AutoencoderFeatures(**TINY, preprocess=None).fit_transform(moved)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_constant_columns_are_rebuilt(table):
    X = np.column_stack([table, np.full(20, 0.1), np.zeros(20)])
    model = AutoencoderFeatures(**TINY, preprocess=None).fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert model.encoder_.standardise.scale[4:].tolist() == [1, 1]
    X[:, 4] = 5.0
    assert np.isfinite(model.transform(X)).all()


def test_rounding_of_a_large_mean_is_no_deviation(table):
    """In float32, neighbors of 1e9 differ by 64."""
    late = 1e9 + 300 * np.random.default_rng(1).normal(size=20)
    X = np.column_stack([table, late])
    model = AutoencoderFeatures(**TINY, preprocess=None).fit(X)
    standardized = model.encoder_.standardise(torch.tensor(X, dtype=torch.float32))
    assert standardized[:, 4].abs().max() < 1e-5
    assert model.history_[0]["train_loss"] < 2


def test_last_bit_of_a_constant_is_no_deviation():
    value = np.float32(0.1)
    rows = np.tile([[value], [np.nextafter(value, np.float32(1))]], (50, 1))
    assert Standardize.learn(torch.tensor(rows), False).scale.tolist() == [1]


def test_rows_of_tables_do_not_depend_on_each_other_by_a_bit():
    X = np.random.default_rng(0).normal(size=(60, 300))
    model = AutoencoderFeatures(**TINY, preprocess=None).fit(X)
    alone = np.vstack([model.transform(row[None]) for row in X])
    np.testing.assert_array_equal(alone, model.transform(X))


def test_statistics_of_channels():
    maps = torch.randn(50, 3, 4, 4) * torch.tensor([1.0, 2.0, 3.0])[:, None, None] + 7
    layer = Standardize.learn(maps, True)
    assert layer.mean.shape == (3, 1, 1)
    np.testing.assert_allclose(layer.scale.ravel(), maps.numpy().std((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(layer.mean.ravel(), maps.numpy().mean((0, 2, 3)), rtol=1e-5)


@every_form
@pytest.mark.parametrize("early_stopping", [False, True])
def test_one_sample(form, early_stopping):
    options, samples = form
    model = AutoencoderFeatures(**TINY, **options, early_stopping=early_stopping)
    if early_stopping:
        with pytest.raises(ValueError, match="leaves none for one side; use early_stopping"):
            model.fit(samples[:1])
        return
    assert np.isfinite(model.fit(samples[:1]).transform(samples)).all()


def test_statistics_of_channels_of_pixels():
    pixels = np.random.default_rng(0).integers(0, 90, (700, 5, 6, 3), dtype=np.uint8)
    pixels[..., 1] *= 2
    found = compute_channel_statistics(pixels)
    np.testing.assert_allclose(found[0], (pixels / 255).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found[1], (pixels / 255).std(axis=(0, 1, 2)), rtol=1e-12)


@pytest.mark.parametrize("kind", ["images", "table"])
def test_no_copy_of_all_samples_in_float64(kind):
    if kind == "images":
        rows = np.zeros((1500, 32, 32, 3), dtype=np.uint8)
        peak = peak_of(lambda: compute_channel_statistics(rows))
        assert peak < 2 * rows.nbytes
        return
    rows = np.zeros((50_000, 30), dtype=np.float32)
    assert peak_of(lambda: Standardize.learn(rows, False)) < rows.nbytes / 4


@pytest.mark.parametrize("early_stopping", [False, True])
def test_samples_are_not_copied_to_be_trained_on(early_stopping):
    X = np.random.default_rng(0).normal(size=(20_000, 60)).astype(np.float32)
    options = {"preprocess": None, "max_epochs": 1, "batch_size": 500, "hidden": (3,)}
    model = AutoencoderFeatures(2, **options, early_stopping=early_stopping)
    model.fit(X[:10])
    assert peak_of(lambda: model.fit(X)) < X.nbytes / 2


def test_equal_images():
    model = AutoencoderFeatures(**TINY, input_size=8)
    codes = model.fit_transform(np.full((3, 8, 8, 3), 200, dtype=np.uint8))
    assert model.encoder_.pretrained_cfg["std"] == (1 / 255,) * 3
    assert np.isfinite(codes).all()
    assert (codes == codes[0]).all()


def test_more_columns_than_rows():
    X = np.random.default_rng(0).normal(size=(3, 300))
    assert AutoencoderFeatures(**TINY, preprocess=None).fit_transform(X).shape == (3, 5)


@pytest.mark.parametrize("kind", ["frame", "fortran", "strided", "float32", "read-only"])
def test_containers_give_the_same_codes(table, kind):
    expected = AutoencoderFeatures(**TINY, preprocess=None).fit_transform(table.astype(float))
    wide = np.zeros((20, 8))
    wide[:, ::2] = table
    X = {
        "frame": pd.DataFrame(table.astype(float), columns=list("abcd")),
        "fortran": np.asfortranarray(table),
        "strided": wide[:, ::2],
        "float32": table.copy(),
        "read-only": table.copy(),
    }[kind]
    if kind == "read-only":
        X.setflags(write=False)
    model = AutoencoderFeatures(**TINY, preprocess=None)
    np.testing.assert_array_equal(model.fit_transform(X), expected)
    np.testing.assert_array_equal(np.asarray(X), table)


def test_names_of_components(table):
    frame = pd.DataFrame(table, columns=list("abcd"))
    model = AutoencoderFeatures(**TINY, preprocess=None).set_output(transform="pandas")
    codes = model.fit_transform(frame)
    assert list(codes.columns) == [f"code_{i}" for i in range(5)]
    assert model.reconstruct(frame).shape == (20, 4)
    with pytest.raises(ValueError, match="feature_names_in_"):
        model.get_feature_names_out(list("abce"))


def test_labels_are_not_looked_at(table):
    model = AutoencoderFeatures(**TINY, preprocess=None)
    expected = model.fit_transform(table)
    np.testing.assert_array_equal(model.fit_transform(table, ["a", None] * 10), expected)


def test_batch_that_is_larger_than_the_table(table):
    model = AutoencoderFeatures(5, batch_size=1000, max_epochs=2, preprocess=None)
    assert model.fit_transform(table).shape == (20, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(table, value):
    table[3, 1] = value
    with pytest.raises(ValueError, match="contains (NaN|infinity)"):
        AutoencoderFeatures(preprocess=None).fit(table)


def test_unreadable_image_is_named_by_row(crops, tmp_path):
    model = AutoencoderFeatures(**TINY, input_size=8)
    with pytest.raises(ValueError, match="row 9 .*gone.png"):
        model.fit([*crops, str(tmp_path / "gone.png")])
    model.fit(crops)
    many = [crops[0]] * 1025
    with pytest.raises(ValueError, match="row 1025 .*gone.png"):
        model.transform([*many, str(tmp_path / "gone.png")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "convolutional"}, "needs maps .channels, height, width.*'dense'"),
        ({"hidden": []}, "hidden=\\[\\]: expected the width of each block"),
        ({"hidden": (8, 0)}, "hidden=\\(8, 0\\): expected the width of each block"),
        ({"hidden": (8.5,)}, "expected the width of each block"),
        ({"mask": 1.0}, "The 'mask' parameter"),
        ({"n_components": 0}, "The 'n_components' parameter"),
        ({"device": "nowhere"}, "device='nowhere' is not available"),
    ],
)
def test_parameters_that_do_not_fit(table, options, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderFeatures(**{**TINY, "preprocess": None, **options}).fit(table)


def test_maps_of_another_size_are_refused():
    maps = np.zeros((4, 2, 8, 8), dtype=np.float32)
    model = AutoencoderFeatures(**TINY, preprocess=None).fit(maps)
    with pytest.raises(ValueError, match=r"shape \(2, 9, 8\), but .* fitted with \(2, 8, 8\)"):
        model.transform(np.zeros((4, 2, 9, 8), dtype=np.float32))


def test_codes_of_another_length_are_refused(table):
    model = AutoencoderFeatures(**TINY, preprocess=None).fit(table)
    with pytest.raises(ValueError, match="X has 4 columns, expected the 5 components"):
        model.inverse_transform(table)


def test_loss_that_is_no_number_is_told(table):
    model = AutoencoderFeatures(**{**TINY, "max_epochs": 9}, lr=1e30, preprocess=None)
    with pytest.raises(FloatingPointError, match="lr=1e\\+30; use a smaller lr"):
        model.fit(table)


class Full(AutoencoderNet):
    """Memory that takes two rows at once."""

    def train_step_single(self, batch, **fit_params):
        if len(batch[0]["input"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB")
        return super().train_step_single(batch, **fit_params)


def test_a_batch_beyond_memory_is_halved_and_says_what_helps(table, monkeypatch):
    monkeypatch.setattr(_autoencoder_training, "AutoencoderNet", Full)
    with pytest.warns(UserWarning, match="is now 2.*smaller batch_size, input_size or hidden"):
        AutoencoderFeatures(**TINY, preprocess=None).fit(table)


def test_verbose_shows_progress_with_errors(table, capsys):
    AutoencoderFeatures(**TINY, preprocess=None, verbose=True).fit(table)
    printed = capsys.readouterr()
    assert "epoch=2, train_loss=" in printed.err
    assert printed.out == ""


class Interrupted(AutoencoderNet):
    """Ctrl-C in the step of a number; twenty rows are five steps an epoch."""

    number = None

    def train_step_single(self, batch, **fit_params):
        if self.state_.step == self.number:
            raise KeyboardInterrupt
        return super().train_step_single(batch, **fit_params)


@pytest.mark.parametrize(("step", "n_epochs"), [(1, 0), (12, 2)])
def test_ctrl_c_leaves_a_fitted_estimator_and_says_so(table, monkeypatch, step, n_epochs):
    monkeypatch.setattr(Interrupted, "number", step)
    monkeypatch.setattr(_autoencoder_training, "AutoencoderNet", Interrupted)
    model = AutoencoderFeatures(**{**TINY, "max_epochs": 9}, preprocess=None)
    with pytest.warns(UserWarning, match=f"interrupted in epoch {n_epochs + 1} of 9"):
        model.fit(table)
    assert len(model.history_) == model.n_iter_ == n_epochs
    assert model.reconstruct(table).shape == (20, 4)
    assert not model.encoder_.training


def test_ctrl_c_before_the_first_step_is_passed_on(table, monkeypatch):
    monkeypatch.setattr(Interrupted, "number", 0)
    monkeypatch.setattr(_autoencoder_training, "AutoencoderNet", Interrupted)
    model = AutoencoderFeatures(**TINY, preprocess=None)
    with pytest.raises(KeyboardInterrupt):
        model.fit(table)
    assert not hasattr(model, "encoder_")


@every_form
def test_default_type_of_torch_does_not_matter(form, request):
    options = {"noise": 0.1, "mask": 0.1, "early_stopping": True}
    expected = fitted(form, **options).reconstruct(form[1])
    request.getfixturevalue("double")
    model = fitted(form, **options)
    np.testing.assert_array_equal(model.reconstruct(form[1]), expected)
    assert {p.dtype for p in model.encoder_.parameters()} == {torch.float32}


def test_networks_carry_no_gradients(table):
    model = AutoencoderFeatures(**TINY, preprocess=None).fit(table)
    parameters = [*model.encoder_.parameters(), *model.decoder_.parameters()]
    assert all(p.grad is None for p in parameters)


def test_parameters_set_after_fit_wait_for_the_next(table):
    model = AutoencoderFeatures(**TINY, preprocess=None).fit(table)
    model.set_params(n_components=7)
    assert model.transform(table).shape == (20, 5)
    assert len(model.get_feature_names_out()) == 5
    assert model.reconstruct(table).shape == (20, 4)


def test_preprocess_that_gives_no_numbers_names_the_row(crops):
    def broken(image):
        pixels = small_networks.to_pixels(image)
        return pixels * np.nan if image.getpixel((0, 0)) == (1, 2, 3) else pixels

    model = AutoencoderFeatures(**TINY, preprocess=broken).fit(crops)
    odd = np.full_like(crops[0], (1, 2, 3))
    for method in (model.transform, model.fit):
        with pytest.raises(ValueError, match="row 2 .*preprocess gives NaN or infinity"):
            method([*crops[:2], odd])


def test_failed_fit_leaves_nothing_fitted(table):
    model = AutoencoderFeatures(**TINY, preprocess=None).fit(table)
    with pytest.raises(ValueError, match="hidden"):
        model.set_params(hidden=[]).fit(table)
    assert not hasattr(model, "encoder_")


def test_depth_can_be_chosen(crops):
    model = AutoencoderFeatures(**TINY, hidden=(4, 6, 8, 10, 12), input_size=9).fit(crops)
    assert len(model.encoder_) == 6
    assert model.reconstruct(crops).shape == (9, 9, 9, 3)


def test_step_of_a_pipeline_with_paths_and_inverse(crops):
    pipe = make_pipeline(AutoencoderFeatures(**TINY, input_size=8), PCA(2)).fit(crops)
    assert pipe.inverse_transform(pipe.transform(crops)).shape == (9, 8, 8, 3)


def test_diagram_tells_the_kind(table):
    model = AutoencoderFeatures(7, mask=0.25)
    assert "7 components, noise=0, mask=0.25" in model._repr_html_()
