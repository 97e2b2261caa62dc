"""Small data: mixup, cutmix, smoothed labels, augmented views of training images alone."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import log_softmax
from skorch.callbacks import Callback
from torch import nn
from torch.nn import functional

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.finetuning.loop.mixing import mix_rows
from sklearn_transfer.finetuning.objectives.base import Criterion, Step
from tests import small_networks

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(12, 3, 16, 16)).astype(np.float32)
CODES = np.arange(12) % 3


def visual(model=None, **options):
    defaults = {"max_epochs": 3, "lr": 1e-2, "engine": "torch", "batch_size": 8}
    model = small_networks.staged() if model is None else model
    return FineTunedClassifier(model, **{**defaults, "freeze": "early", **options})


class Seen(nn.Module):
    """Mean of each channel; keeps the batches of training."""

    batches = []

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        if self.training:
            type(self).batches.append(x.detach().clone())
        return x.mean((2, 3)) * self.scale


@pytest.fixture
def seen(monkeypatch):
    monkeypatch.setattr(Seen, "batches", [])
    return FineTunedClassifier(
        Seen(), preprocess=None, freeze=None, batch_size=12, max_epochs=2, lr=0.05,
    )  # fmt: skip


def order_and_draws(model, n_pass):
    """Rows of the only batch of an epoch, its partners and the draws that follow."""
    rows = np.random.default_rng((model._seed, n_pass)).permutation(12)
    rng = np.random.default_rng((model._seed, n_pass + 1, n_pass + 1))
    return rows, rng.permutation(12), rng


def test_mixup_blends_images_as_the_draws_say(seen):
    seen.set_params(mixup=0.4).fit(MAPS, CODES)
    for n_pass in range(2):
        rows, partner, rng = order_and_draws(seen, n_pass)
        share = rng.beta(0.4, 0.4)
        expected = share * MAPS[rows] + (1 - share) * MAPS[rows][partner]
        np.testing.assert_allclose(Seen.batches[n_pass], expected, rtol=1e-5, atol=1e-6)


def test_cutmix_pastes_a_rectangle_as_the_draws_say(seen):
    seen.set_params(cutmix=1.0).fit(MAPS, CODES)
    for n_pass in range(2):
        rows, partner, rng = order_and_draws(seen, n_pass)
        cut = np.sqrt(1 - rng.beta(1.0, 1.0))
        half = int(16 * cut) // 2
        top, left = rng.integers(16), rng.integers(16)
        expected = MAPS[rows].copy()
        box = np.s_[:, :, max(top - half, 0) : top + half, max(left - half, 0) : left + half]
        expected[box] = MAPS[rows][partner][box]
        np.testing.assert_array_equal(Seen.batches[n_pass], expected)


class CrossEntropy(Criterion):
    """Mean cross-entropy by weight."""

    def __call__(self, output, encoded, weights):
        losses = functional.cross_entropy(output, encoded[0], reduction="none")
        return (weights * losses).mean()


def compute_loss(mixture, output, codes, weights):
    """Loss of a step whose rows are mixed."""
    step = Step(None, output, (codes,), weights, progress=0.0, mixture=mixture)
    return CrossEntropy().loss(step)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_loss_of_a_mixture_is_that_of_both_labels(kind, seed):
    parameters = {"mixup": 0.0, "cutmix": 0.0, kind: 1.0}
    rng = np.random.default_rng(seed)
    mixed, mixture = mix_rows(torch.from_numpy(MAPS), rng, **parameters)
    mixed, partner = mixed.numpy(), mixture.partner.numpy()
    moved = partner != np.arange(12)
    own, other = MAPS[moved], MAPS[partner][moved]
    if kind == "mixup":
        share = np.abs(mixed[moved] - other).sum() / np.abs(own - other).sum()
    else:
        share = (mixed[moved] == own).mean()
    output, weights = RNG.normal(size=(12, 3)), RNG.uniform(0.5, 2, 12)
    losses = -log_softmax(output, axis=1)
    own = (weights * losses[np.arange(12), CODES]).mean()
    other = (weights[partner] * losses[np.arange(12), CODES[partner]]).mean()
    tensors = [torch.from_numpy(array) for array in (output, CODES, weights)]
    found = compute_loss(mixture, tensors[0], tensors[1], tensors[2])
    assert found.item() == pytest.approx(share * own + (1 - share) * other, rel=1e-4)
    assert 0 < share < 1


def test_gradients_of_a_mixture_are_those_of_both_labels():
    torch.manual_seed(0)
    output = torch.randn(6, 3, requires_grad=True)
    codes, weights = torch.arange(6) % 3, torch.ones(6)
    _, mixture = mix_rows(torch.zeros(6, 1), np.random.default_rng(0), mixup=0.3, cutmix=0.0)
    loss = compute_loss(mixture, output, codes, weights)
    found = torch.autograd.grad(loss, output)[0]
    soft = mixture.share * functional.one_hot(codes, 3)
    soft = soft + (1 - mixture.share) * functional.one_hot(codes[mixture.partner], 3)
    expected = torch.autograd.grad(functional.cross_entropy(output, soft.float()), output)[0]
    torch.testing.assert_close(found, expected)


def test_with_both_batches_take_turns_by_chance(seen):
    seen.set_params(mixup=1.0, cutmix=1.0, batch_size=2, max_epochs=6).fit(MAPS, CODES)
    pasted = [np.isin(batch.numpy(), MAPS).all() for batch in Seen.batches]
    assert len(pasted) == 36
    assert 5 < sum(pasted) < 31


def test_mixtures_train_alike_for_a_seed(images, labels):
    def proba(**options):
        return visual(freeze="stem", **options).fit(images, labels).predict_proba(images)

    for options in ({"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}):
        np.testing.assert_array_equal(proba(**options), proba(**options))
        assert not np.allclose(proba(**options), proba(), atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothed_labels_are_those_of_torch(smoothing):
    X, y = RNG.normal(size=(40, 5)), np.arange(40) % 3
    options = {"preprocess": None, "freeze": "all", "lr": 0.05, "batch_size": 40}
    model = FineTunedClassifier(
        nn.Identity(), label_smoothing=smoothing, max_epochs=6, **options
    )
    model.fit(X, y)
    # The loss of the last epoch is that before its step, whose rate is nearly zero.
    logits = torch.from_numpy(np.log(model.predict_proba(X)))
    expected = functional.cross_entropy(logits, torch.from_numpy(y), label_smoothing=smoothing)
    assert model.history_[-1]["train_loss"] == pytest.approx(expected.item(), rel=2e-2)
    plain = functional.cross_entropy(logits, torch.from_numpy(y)).item()
    assert (abs(plain - expected.item()) > 1e-3) == (smoothing > 0)


def test_validation_losses_are_not_smoothed():
    X, y = RNG.normal(size=(40, 5)), np.arange(40) % 3
    model = FineTunedClassifier(
        nn.Identity(), preprocess=None, freeze="all", label_smoothing=0.6, max_epochs=1, lr=1
    )
    model.fit(X, y, X_val=X, y_val=y)
    logits = torch.from_numpy(np.log(model.predict_proba(X)))
    expected = functional.cross_entropy(logits, torch.from_numpy(y)).item()
    assert model.history_[-1]["valid_loss"] == pytest.approx(expected, rel=1e-5)


class Views:
    """Augmentation that notes the images it gets."""

    def __init__(self):
        self.seen = []

    def __call__(self, image):
        self.seen.append(np.asarray(image).tobytes())
        return image


VIEWS = Views()


def noted(image):
    return VIEWS(image)


@pytest.fixture
def views():
    VIEWS.seen.clear()
    return VIEWS


def as_read(images):
    return {np.asarray(Image.fromarray(image)).tobytes() for image in images}


def test_the_augmentation_sees_training_images_alone(views, images, labels):
    fitted = visual(augment=noted, max_epochs=3)
    fitted.fit(images[:12], labels[:12], X_val=images[12:], y_val=labels[12:])
    n_seen = len(views.seen)
    assert n_seen == 12 * 3
    assert set(views.seen) == as_read(images[:12])
    fitted.predict(images)
    fitted.transform(images)
    assert len(views.seen) == n_seen


def test_images_held_out_are_not_augmented(views, images, labels):
    fitted = visual(augment=noted, early_stopping=50, validation_fraction=0.25)
    fitted.fit(images, labels)
    assert len(views.seen) == 15 * 3
    assert len(set(views.seen)) == 15


def test_views_that_change_nothing_train_as_no_views(images, labels):
    options = {"freeze": "early", "cache": None}
    expected = visual(**options).fit(images, labels).predict_proba(images)
    found = visual(augment=noted, **options).fit(images, labels).predict_proba(images)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("augment", ["flip", "standard", "randaugment", "trivial"])
@pytest.mark.parametrize("n_views", [None, 2])
def test_named_views_train_alike_for_a_seed(augment, n_views, images, labels):
    def proba(**options):
        options = {"augment": augment, "n_views": n_views, **options}
        return visual(**options).fit(images, labels).predict_proba(images)

    np.testing.assert_array_equal(proba(n_jobs=1), proba(n_jobs=2))
    assert not np.allclose(proba(), proba(augment="none"), atol=1e-6)
    assert not np.allclose(proba(), proba(random_state=1), atol=1e-6)


class Epochs(Callback):
    """What the network gets in each epoch of training, whatever the order."""

    taken = []

    def on_epoch_begin(self, net, **kwargs):
        self.taken.append(set())

    def on_batch_begin(self, net, batch=None, training=False):
        if training:
            [array] = batch[0].values()
            self.taken[-1] |= {row.numpy().tobytes() for row in array}


@pytest.mark.parametrize("freeze", ["early", None])
@pytest.mark.parametrize(("n_views", "n_kinds"), [(None, 4), (1, 1), (2, 2)])
def test_views_take_turns(freeze, n_views, n_kinds, images, labels):
    Epochs.taken.clear()
    options = {"augment": "standard", "n_views": n_views, "callbacks": [Epochs()]}
    visual(freeze=freeze, max_epochs=4, **options).fit(images, labels)
    kinds = [frozenset(taken) for taken in Epochs.taken]
    assert [len(taken) for taken in kinds] == [20] * 4
    assert len(frozenset.union(*kinds)) == 20 * n_kinds
    assert kinds == [kinds[i % n_kinds] for i in range(4)]


def test_an_augmentation_that_fails_names_the_row(images, labels):
    def fails(image):
        if np.asarray(image).tobytes() == images[7].tobytes():
            raise RuntimeError("no view of this")
        return image

    weights = np.ones(20)
    weights[2] = 0
    with pytest.raises(RuntimeError, match="no view of this") as error:
        visual(augment=fails).fit(images, labels, sample_weight=weights)
    assert "while augmenting row 7" in error.value.__notes__


@pytest.mark.parametrize("augment", ["flop", "none "])
def test_unknown_augmentations_are_refused(augment, images, labels):
    with pytest.raises(ValueError, match="augment"):
        visual(augment=augment).fit(images, labels)


def test_images_of_any_size_are_augmented(images, labels):
    samples = [np.tile(image, (1 + i % 4, 1 + i % 3, 1)) for i, image in enumerate(images)]
    fitted = visual(augment="standard").fit(samples, labels)
    assert np.isfinite(fitted.predict_proba(samples)).all()
