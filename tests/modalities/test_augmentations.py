"""The pixels that a network gets while it trains."""

import itertools
import math
import multiprocessing
import os
import pickle
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from sklearn_transfer._modalities.image import transforms
from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._modalities.image.transforms import (
    AUGMENTATIONS,
    apply_eval_transform,
    make_augmentation,
)
from tests.modalities.test_eval_transform import photo

SPEC = ImageSpec((32, 32), (36, 36), (0.4, 0.5, 0.6), (0.2, 0.2, 0.3))
GRAY = ImageSpec((24, 40), (28, 44), (0.5,), (0.2,), "bilinear")
BY_TORCHVISION = {
    "randaugment": v2.RandAugment(num_ops=2, magnitude=9),
    "trivial": v2.TrivialAugmentWide(),
}


def everything(image):
    """A callable that draws from all three global generators."""
    shift = random.randrange(100) + np.random.randint(100)  # noqa: NPY002
    noise = torch.randint(0, 50, (*image.size[::-1], 3)).numpy()
    return ((np.asarray(image) + shift + noise) % 256).astype(np.uint8)


POLICIES = [*AUGMENTATIONS, everything]


def global_states():
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.get_rng_state().tolist(),
    )


def test_none_is_the_evaluation_transform():
    image, augmentation = photo(50, 70), make_augmentation("none", SPEC)
    for seed in range(3):
        np.testing.assert_array_equal(
            augmentation(image, seed), apply_eval_transform(image, SPEC)
        )


def test_flip_mirrors_half_of_the_images_and_does_nothing_else():
    image, augmentation = photo(6, 6), make_augmentation("flip", SPEC)
    plain = apply_eval_transform(image, SPEC)
    found = [augmentation(image, seed) for seed in range(2000)]
    n_mirrored = sum(np.array_equal(pixels, plain[:, ::-1]) for pixels in found)
    n_plain = sum(np.array_equal(pixels, plain) for pixels in found)
    assert n_mirrored + n_plain == 2000
    assert abs(n_mirrored - 1000) <= 3 * math.sqrt(500)  # standard deviations


@pytest.mark.parametrize("size", [(300, 300), (500, 375), (100, 640)], ids=str)
def test_parts_are_distributed_as_those_of_torchvision(size):
    rng = np.random.default_rng(0)
    ours = np.array([transforms._draw_box(size, rng) for _ in range(500)])
    torch.manual_seed(0)
    crop = v2.RandomResizedCrop(8, scale=(0.35, 1.0))
    blank = torch.empty(3, size[1], size[0])
    draws = [crop.make_params([blank]) for _ in range(500)]
    left, top, width, height = (
        np.array([d[k] for d in draws]) for k in ("left", "top", "width", "height")
    )
    theirs = np.column_stack([left, top, left + width, top + height])
    error = np.hypot(ours.std(axis=0), theirs.std(axis=0)) / math.sqrt(500)
    # Theirs are of whole pixels: a size rounded, and half of what remains rounded down.
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= 4 * error + 1).all()
    spread = ours.std(axis=0) / np.maximum(theirs.std(axis=0), 1e-9)
    assert ((spread > 0.85) & (spread < 1.15))[theirs.std(axis=0) > 0.5].all()


def test_parts_keep_within_the_bounds_and_fill_them():
    rng = np.random.default_rng(0)
    boxes = np.array([transforms._draw_box((500, 375), rng) for _ in range(500)])
    assert (boxes >= 0).all()
    assert (boxes <= (500, 375, 500, 375)).all()
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    area, aspect = width * height / (500 * 375), width / height
    assert 0.35 - 1e-9 <= area.min() < 0.37
    assert area.max() <= 1
    assert 0.75 - 1e-9 <= aspect.min() < 0.77
    assert 1.3 < aspect.max() <= 4 / 3 + 1e-9


@pytest.mark.parametrize("size", [(5, 1), (1, 5), (1, 1), (400, 3)], ids=str)
def test_middle_of_a_long_image_is_taken(size):
    box = transforms._draw_box(size, np.random.default_rng(0))
    if size == (1, 1):
        assert 0 <= box[0] < box[2] <= 1
        return
    part = (box[2] - box[0], box[3] - box[1])
    assert part[0] / part[1] == pytest.approx(4 / 3 if size[0] > size[1] else 3 / 4)
    assert [a + b for a, b in zip(box[:2], box[2:], strict=True)] == pytest.approx(size)


def test_pixels_come_from_the_part_that_was_drawn():
    y, x = np.mgrid[:256, :256].astype(np.uint8)
    image = Image.fromarray(np.stack([x, y, np.zeros_like(x)], axis=2))
    mirrored = 0
    for seed in range(60):
        left, top, right, bottom = transforms._draw_box(
            image.size, np.random.default_rng(seed)
        )
        part = transforms._draw_part(image, SPEC, np.random.default_rng(seed))
        red, green = np.asarray(part).astype(float)[..., :2].transpose(2, 0, 1)
        centers = (np.arange(32) + 0.5) / 32
        expected = left + centers * (right - left) - 0.5
        if red[0, 0] > red[0, -1]:
            red, mirrored = red[:, ::-1], mirrored + 1
        inner = slice(2, -2)  # a bicubic filter bends the ramp at its ends
        assert np.abs(red - expected)[:, inner].max() <= 0.51
        rows = top + centers[:, None] * (bottom - top) - 0.5
        assert np.abs(green - rows)[inner].max() <= 0.51
    assert abs(mirrored - 30) <= 3 * math.sqrt(15)


def in_turn(x, b, c, s):
    """Brightness, contrast and saturation as they are defined, on reals."""
    weights = np.array([0.299, 0.587, 0.114])
    x = b * x
    x = c * x + (1 - c) * (x @ weights).mean()
    return s * x + (1 - s) * (x @ weights)[..., None]


FACTORS = list(itertools.product([0.8, 1.0, 1.2], repeat=3))


@pytest.mark.parametrize("factors", FACTORS, ids=str)
def test_jitter_is_the_three_maps_in_turn(factors):
    image = photo(30, 40)
    found = np.asarray(transforms._apply_jitter(image, *factors)).astype(float)
    exact = in_turn(np.asarray(image).astype(float), *factors).clip(0, 255)
    assert np.abs(found - exact).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_jitter_is_that_of_torchvision_in_any_order(order):
    mild = Image.fromarray((np.asarray(photo(30, 40)) // 3 + 70).astype(np.uint8))
    maps = [
        partial(v2.functional.adjust_brightness, brightness_factor=1.15),
        partial(v2.functional.adjust_contrast, contrast_factor=0.85),
        partial(v2.functional.adjust_saturation, saturation_factor=0.8),
    ]
    expected = mild
    for place in order:
        expected = maps[place](expected)
    found = transforms._apply_jitter(mild, 1.15, 0.85, 0.8)
    difference = np.asarray(found).astype(int) - np.asarray(expected)
    assert np.abs(difference).max() <= 3  # torchvision rounds three times


@pytest.mark.parametrize(("b", "c"), [(0.8, 0.8), (0.8, 1.2), (1.2, 0.8), (1.2, 1.2)])
def test_jitter_of_a_gray_image_leaves_saturation_out(b, c):
    gray = photo(30, 40).convert("L")
    found = np.asarray(transforms._apply_jitter(gray, b, c, 0.5)).astype(float)
    x = b * np.asarray(gray).astype(float)
    assert np.abs(found - (c * x + (1 - c) * x.mean()).clip(0, 255)).max() <= 0.5 + 1e-9


def test_brightness_changes_by_a_fifth_at_most():
    image = Image.new("RGB", (40, 40), (125, 125, 125))
    augmentation = make_augmentation("standard", SPEC)
    factors = np.array([augmentation(image, seed).mean() / 125 for seed in range(500)])
    assert factors.min() == pytest.approx(0.8, abs=0.01)
    assert factors.max() == pytest.approx(1.2, abs=0.01)
    assert factors.min() >= 0.8 - 0.5 / 125
    assert factors.max() <= 1.2 + 0.5 / 125
    assert factors.mean() == pytest.approx(1, abs=4 * 0.4 / math.sqrt(12 * 500))


@pytest.mark.parametrize("spec", [SPEC, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("name", BY_TORCHVISION)
def test_policies_are_those_of_torchvision(name, spec):
    image, augmentation = photo(60, 80), make_augmentation(name, spec)
    changed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        part = transforms._draw_part(image, spec, rng)
        torch.manual_seed(int(rng.integers(2**63)))
        expected = np.asarray(BY_TORCHVISION[name](part)).reshape(*spec.size, spec.channels)
        np.testing.assert_array_equal(augmentation(image, seed), expected)
        changed += not np.array_equal(expected.squeeze(), np.asarray(part))
    assert changed > 30


SIZES = [(1, 5), (5, 1), (1, 1), (10, 10), (375, 500), (900, 2)]


@pytest.mark.parametrize("spec", [SPEC, GRAY], ids=["color", "gray"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("augment", POLICIES)
def test_every_image_becomes_an_input(augment, size, spec):
    image, augmentation = photo(*size), make_augmentation(augment, spec)
    for seed in range(8):
        found = augmentation(image, seed)
        assert found.shape == (*spec.size, spec.channels)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous


@pytest.mark.parametrize("augment", POLICIES[1:])
def test_pixels_follow_from_the_seed(augment):
    image, augmentation = photo(50, 70), make_augmentation(augment, SPEC)
    seeds = [(epoch, row) for epoch in range(4) for row in range(4)]
    first = [augmentation(image, seed) for seed in seeds]
    again = [augmentation(image, seed) for seed in reversed(seeds)]
    np.testing.assert_array_equal(first, again[::-1])
    n_distinct = len({pixels.tobytes() for pixels in first})
    assert n_distinct == 2 if augment == "flip" else n_distinct > 10


@pytest.mark.parametrize("augment", POLICIES)
def test_global_states_stay(augment):
    augmentation, before = make_augmentation(augment, SPEC), global_states()
    for seed in range(10):
        augmentation(photo(20, 30), seed)
    assert global_states() == before


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("augment", POLICIES)
def test_threads_give_the_pixels_of_one_thread(augment):
    image, augmentation = photo(40, 50), make_augmentation(augment, SPEC)
    expected = [augmentation(image, seed) for seed in range(60)]
    order = np.random.default_rng(0).permutation(60).tolist()
    with ThreadPoolExecutor(6) as pool:
        found = dict(
            zip(order, pool.map(lambda seed: augmentation(image, seed), order), strict=True)
        )
    np.testing.assert_array_equal([found[seed] for seed in range(60)], expected)


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("augment", ["randaugment", "trivial", everything])
def test_a_network_that_trains_beside_draws_as_if_alone(augment):
    image, augmentation = photo(40, 50), make_augmentation(augment, SPEC)
    expected = [augmentation(image, seed) for seed in range(60)]
    torch.manual_seed(0)
    alone = torch.rand(3000)
    torch.manual_seed(0)
    found, ready = [], threading.Event()

    def augment_all():
        ready.set()
        found.extend(augmentation(image, seed) for seed in range(60))

    thread = threading.Thread(target=augment_all)
    thread.start()
    ready.wait()
    drawn = torch.cat([torch.rand(1) for _ in range(3000)])
    thread.join()
    np.testing.assert_array_equal(found, expected)
    torch.testing.assert_close(drawn, alone, rtol=0, atol=0)


X = torch.full((50,), 0.5)
DRAWS = {
    "rand": lambda: torch.rand(50),
    "randn": lambda: torch.randn(50),
    "randint": lambda: torch.randint(1000, (50,)),
    "randperm": lambda: torch.randperm(50),
    "normal": lambda: torch.normal(X, X),
    "bernoulli": lambda: torch.bernoulli(X),
    "bernoulli of a tensor": lambda: X.bernoulli(),
    "multinomial": lambda: X.multinomial(20),
    "poisson": lambda: torch.poisson(100 * X),
    "uniform": lambda: torch.empty(50).uniform_(),
    "normal in place": lambda: torch.empty(50).normal_(),
    "exponential": lambda: torch.empty(50).exponential_(),
    "random in place": lambda: torch.empty(50).random_(1000),
    "rand_like": lambda: torch.rand_like(X),
    "randn_like": lambda: torch.randn_like(X),
    "dropout": lambda: torch.nn.Dropout(0.5)(X),
    "dropout of channels": lambda: torch.nn.Dropout2d(0.5)(X.reshape(1, 50, 1, 1)),
    "gumbel": lambda: torch.nn.functional.gumbel_softmax(X),
    "beta": lambda: torch.distributions.Beta(X, X).sample(),
    "gamma": lambda: torch.distributions.Gamma(X, X).sample(),
    "choice": lambda: torch.tensor(
        np.asarray(v2.RandomChoice([v2.RandomErasing(1.0)])(torch.ones(3, 20, 20)))
    ),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_what_torch_draws_in_a_callable_follows_from_the_seed(draw):
    drawn = []

    def function(image):
        drawn.append([DRAWS[draw]() for _ in range(2)])
        return image

    augmentation, before = make_augmentation(function, SPEC), torch.get_rng_state()
    for seed in [0, 1, 0]:
        augmentation(photo(8, 8), seed)
    first, other, again = drawn
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


def test_a_generator_of_the_callable_is_left_to_it():
    own = torch.Generator().manual_seed(0)
    drawn = []
    function = lambda image: drawn.append(torch.rand(3, generator=own)) or image  # noqa: E731
    make_augmentation(function, SPEC)(photo(8, 8), 5)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn[0], expected)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: [random.random() for _ in range(300)],
        lambda: [np.random.random() for _ in range(300)],  # noqa: NPY002
        lambda: [float(torch.rand(())) for _ in range(300)],
    ],
)
@pytest.mark.usefixtures("frequent_switches")
def test_callables_draw_the_same_from_whatever_state_and_thread(draw):
    drawn = {}

    def function(image):
        drawn.setdefault(image.size[0], []).append(draw())
        return image

    augmentation = make_augmentation(function, SPEC)
    with ThreadPoolExecutor(6) as pool:
        for state in range(4):
            random.seed(state)
            np.random.seed(state)  # noqa: NPY002
            torch.manual_seed(state)
            list(pool.map(lambda seed: augmentation(photo(8, seed), seed), range(1, 9)))
    assert all(draws == [draws[0]] * 4 for draws in drawn.values())
    assert len({tuple(draws[0]) for draws in drawn.values()}) == 8


def test_states_are_put_back_after_an_error():
    def fails(image):
        random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
        raise OSError("broken")

    augmentation, before = make_augmentation(fails, SPEC), global_states()
    with pytest.raises(OSError, match="broken"):
        augmentation(photo(8, 8), 0)
    assert global_states() == before
    with ThreadPoolExecutor(1) as pool:  # whose thread would wait for a lock that is held
        pool.submit(make_augmentation(everything, SPEC), photo(8, 8), 0).result(timeout=20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_a_child_forked_while_a_callable_runs_augments():
    augmentation, image = make_augmentation(everything, SPEC), photo(8, 8)
    running, done = threading.Event(), threading.Event()

    def waiting(image):
        running.set()
        done.wait(20)
        return image

    waits = make_augmentation(waiting, SPEC)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(waits, image, 0)
        running.wait()
        child = multiprocessing.get_context("fork").Process(
            target=augmentation, args=(image, 0)
        )
        child.start()
        child.join(10)
        code = child.exitcode
        child.kill()
        child.join()
        done.set()
        other.result()
    assert code == 0


def test_a_compose_of_torchvision_is_a_callable():
    compose = v2.Compose([v2.RandomResizedCrop(30), v2.ColorJitter(0.4), v2.GaussianBlur(3)])
    augmentation = make_augmentation(compose, SPEC)
    found = [augmentation(photo(50, 60), seed) for seed in (0, 1, 0)]
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize(
    "function",
    [
        lambda image: image.rotate(90, expand=True),
        lambda image: np.rot90(np.asarray(image)),
        lambda image: np.rot90(np.asarray(image.convert("L"))),
        lambda image: np.asarray(image.convert("L"))[..., None],
    ],
)
def test_result_of_a_callable_goes_through_the_evaluation_transform(function):
    image, result = photo(50, 70), function(photo(50, 70))
    if not isinstance(result, Image.Image):
        result = Image.fromarray(np.ascontiguousarray(np.squeeze(result))).convert("RGB")
    found = make_augmentation(function, SPEC)(image, 0)
    np.testing.assert_array_equal(found, apply_eval_transform(result, SPEC))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "augment returned NoneType, expected a PIL image or a uint8 array"),
        (torch.zeros(3, 8, 8), "augment returned Tensor, expected a PIL image"),
        (np.zeros((8, 8, 3)), r"array of float64 with shape \(8, 8, 3\), expected uint8"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\).*channels last"),
        (np.zeros((8, 8, 4), np.uint8), r"shape \(8, 8, 4\)"),
        (np.zeros(8, np.uint8), r"shape \(8,\)"),
        (np.zeros((0, 8, 3), np.uint8), "8 x 0 pixels"),
        (Image.new("RGBA", (8, 8)), r"mode 'RGBA', expected 'RGB' or 'L'; end it with"),
        (Image.new("F", (8, 8)), "mode 'F'"),
    ],
)
def test_other_results_are_refused(result, message):
    augmentation = make_augmentation(lambda image: result, SPEC)
    with pytest.raises(ValueError, match=message):
        augmentation(photo(8, 8), 0)


def test_image_of_the_caller_is_not_written_to():
    def darkens(image):
        image.paste((0, 0, 0), (0, 0, *image.size))
        return image

    image = photo(40, 40)
    before = image.tobytes()
    for augment in [*AUGMENTATIONS, darkens]:
        found = make_augmentation(augment, SPEC)(image, 0)
        assert image.tobytes() == before
    assert not found.any()


@pytest.mark.parametrize("augment", POLICIES)
def test_augmentations_can_be_pickled(augment):
    augmentation = make_augmentation(augment, SPEC)
    copy = pickle.loads(pickle.dumps(augmentation))
    image = photo(40, 40)
    np.testing.assert_array_equal(copy(image, (1, 2)), augmentation(image, (1, 2)))


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ("flips", "augment='flips' is unknown.*Did you mean 'flip'?"),
        ("RandAugment", "augment='RandAugment' is unknown; expected one of"),
        (None, "augment=None is unknown; .* or a callable"),
        (3, "augment=3 is unknown"),
        (["flip"], r"augment=\['flip'\] is unknown"),
    ],
)
def test_unknown_augmentations_are_refused(augment, message):
    with pytest.raises(ValueError, match=message):
        make_augmentation(augment, SPEC)


def test_negative_seed_is_refused():
    augmentation = make_augmentation("standard", SPEC)
    with pytest.raises(ValueError, match="non-negative"):
        augmentation(photo(8, 8), -1)
