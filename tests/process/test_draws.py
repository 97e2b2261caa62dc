"""Random functions of torch are found without a list and depend only on a seed."""

import random

import numpy as np
import pytest
import torch
from torch.nn import functional

from sklearn_transfer._process.draws import SeededTorch, Source, find_source, seed_draws

X = torch.linspace(0.1, 0.9, 50)
MAP = torch.arange(400.0).reshape(1, 1, 20, 20)

TAKE_GENERATOR = [
    *("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"),
    *("binomial", "_standard_gamma", "_sample_dirichlet"),
]
IN_PLACE = [
    *("uniform_", "normal_", "random_", "bernoulli_", "exponential_", "cauchy_", "geometric_"),
    "log_normal_",
]
TAKE_NONE = [
    *("gumbel_softmax", "rrelu", "dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_alpha_dropout", "multi_head_attention_forward"),
]


@pytest.mark.parametrize("name", TAKE_GENERATOR)
def test_functions_that_take_a_generator_are_found(name):
    assert find_source(getattr(torch, name)) is Source.GENERATOR


@pytest.mark.parametrize("name", IN_PLACE)
def test_methods_that_take_a_generator_are_found(name):
    assert find_source(getattr(torch.Tensor, name)) is Source.GENERATOR


@pytest.mark.parametrize("name", TAKE_NONE)
def test_functions_that_take_none_are_found(name):
    assert find_source(getattr(functional, name)) is Source.GLOBAL


@pytest.mark.parametrize("name", ["dropout_", "feature_dropout", "lstm"])
def test_operations_that_take_none_are_found(name):
    assert find_source(getattr(torch, name)) is Source.GLOBAL


@pytest.mark.parametrize("name", ["rand_like", "randn_like", "randint_like"])
def test_draws_in_the_shape_of_another_tensor_are_found(name):
    assert find_source(getattr(torch, name)) is not Source.NOTHING  # some accept a generator


@pytest.mark.parametrize(
    "function",
    [
        *(torch.add, torch.stack, torch.Tensor.mul_, torch.Tensor.shape.__get__),
        *(functional.interpolate, functional.pad, functional.grid_sample, functional.relu),
    ],
)
def test_functions_that_do_not_draw_are_left_alone(function):
    assert find_source(function) is Source.NOTHING


def test_draws_are_those_of_the_generator():
    with SeededTorch(5):
        found = [torch.rand(3), functional.dropout(X), torch.empty(4).normal_()]
    generator = torch.Generator().manual_seed(5)
    kept = [torch.rand(3, generator=generator)]
    kept.append(X * torch.empty(50).bernoulli_(0.5, generator=generator) / 0.5)
    kept.append(torch.empty(4).normal_(generator=generator))
    for ours, expected in zip(found, kept, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.nn.Linear(3, 4).weight.detach(),
        lambda: torch.nn.init.trunc_normal_(torch.empty(9)),
        lambda: functional.fractional_max_pool2d(MAP, 2, output_size=8),
        lambda: torch.nn.LSTM(2, 2, 2, dropout=0.5)(X.reshape(25, 1, 2))[0].detach(),
    ],
)
def test_whatever_draws_follows_from_the_seed_and_moves_nothing(draw):
    before, found = torch.get_rng_state(), []
    for seed in (0, 0, 1):
        with SeededTorch(seed):
            found.append(draw())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_all_three_generators_are_seeded_and_restored():
    def draw():
        return random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002

    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with seed_draws(3):
        first = draw()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002
    with seed_draws(3):
        assert draw() == first
    with seed_draws(4):
        assert all(np.array(draw()) != first)
