"""DANN and CDAN against the formulas of their papers, and what their networks get."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_transfer.finetuning.objectives import CDAN, DANN
from sklearn_transfer.finetuning.objectives.adaptation import compute_warm_up
from tests.objective_steps import (
    as_arrays,
    assert_equals,
    compute_entropies,
    differentiate,
    make_step,
    softmax,
)

OBJECTIVES = {
    "dann": DANN(0.5, n_hidden=3),
    "cdan": CDAN(0.5, n_hidden=3, entropy=False),
    "cdan+e": CDAN(0.5, n_hidden=3),
    "random": CDAN(0.5, n_hidden=3, max_products=11, n_random=6),
}
WORDS = list(OBJECTIVES)


class Body(nn.Module):
    """What an objective may ask of a network."""

    feature_width, n_outputs = 4, 3

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)


def make_objective(word, seed=0):
    """Objective in double precision, so that it can be compared."""
    objective = copy.deepcopy(OBJECTIVES[word])
    torch.manual_seed(seed)
    parameters = objective.parameters(Body())
    objective.discriminator_.double()
    return objective, parameters


def score(rows, weights):
    """Scores of a network of three layers."""
    for k in range(0, 6, 2):
        rows = rows @ weights[k].T + weights[k + 1]
        rows = np.maximum(rows, 0) if k < 4 else rows
    return rows[:, 0]


def compute_loss(arrays, fixed, shares, objective, weights):
    """The term, for predictions that are fixed."""
    total, even = 0.0, np.full(len(arrays["target_features"]), 1 / 5)
    for prefix, sign, mass in (("", 1, shares), ("target_", -1, even)):
        features, proba = arrays[prefix + "features"], softmax(fixed[prefix + "logits"])
        rows = features
        if isinstance(objective, CDAN):
            rows = np.einsum("ik,id->ikd", proba, features).reshape(len(features), -1)
            if objective.random_maps_ is not None:
                maps = [map_.numpy().astype(float) for map_ in objective.random_maps_]
                rows = (features @ maps[0]) * (proba @ maps[1]) / np.sqrt(6)
            if objective.entropy:
                mass = mass * (1 + np.exp(-compute_entropies(proba)))
                mass = mass / mass.sum()
        # The probability that a row is of its own domain.
        right = 1 / (1 + np.exp(-sign * score(rows, weights)))
        total -= (mass * np.log(right)).sum()
    return total


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("is_mixed", [False, True])
def test_features_get_the_gradient_reversed_and_scaled(word, is_mixed):
    step = make_step(7, 5, is_mixed=is_mixed, progress=0.3)
    objective, _ = make_objective(word)
    fixed, shares = as_arrays(step)
    weights = [p.detach().numpy() for p in objective.discriminator_.parameters()]

    def direct(arrays):
        return compute_loss(arrays, fixed, shares, objective, weights)

    factor = -0.5 * (2 / (1 + np.exp(-3)) - 1)
    assert_equals(objective.loss(step), step, direct, factor)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_the_discriminator_learns_at_full_rate(word, progress):
    step = make_step(7, 5, progress=progress)
    objective, _ = make_objective(word)
    fixed, shares = as_arrays(step)
    parameters = list(objective.discriminator_.parameters())
    weights = [p.detach().numpy().copy() for p in parameters]
    found = torch.autograd.grad(objective.loss(step), parameters)
    for k, gradient in enumerate(found):

        def direct(arrays, k=k):
            changed = [*weights[:k], arrays["weight"], *weights[k + 1 :]]
            return compute_loss(fixed, fixed, shares, objective, changed)

        expected = differentiate(direct, {"weight": weights[k]}, "weight")
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("word", WORDS)
def test_weight_0_trains_the_discriminator_alone(word):
    objective, _ = make_objective(word)
    objective.set_params(weight=0.0)
    step = make_step(7, 5)
    gradients = torch.autograd.grad(
        objective.loss(step), [step.features, objective.discriminator_[0].weight]
    )
    assert gradients[0].abs().max() == 0
    assert gradients[1].abs().max() > 0


@pytest.mark.parametrize("word", WORDS)
def test_a_seed_draws_the_same_discriminator(word):
    first, second, third = (make_objective(word, seed)[1] for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], third[0])


def test_random_maps_are_drawn_once():
    objective, _ = make_objective("random")
    step = make_step(7, 5)
    assert objective.loss(step).item() == objective.loss(step).item()


def test_random_products_keep_inner_products_in_expectation():
    from sklearn_transfer.finetuning.objectives import adversary

    torch.manual_seed(0)
    maps = adversary.draw_random_maps((4, 3), 200_000, "cpu")
    features, proba = torch.randn(2, 4), torch.rand(2, 3)
    found = adversary.multiply_random(features, proba, maps)
    expected = adversary.multiply_outer(features, proba)
    torch.testing.assert_close(found @ found.T, expected @ expected.T, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("word", WORDS)
def test_the_accuracy_of_the_discriminator_is_measured(word):
    objective, _ = make_objective(word)
    assert objective.measures == {}
    step = make_step(30, 30)
    with torch.no_grad():
        step.target_features.add_(5)
    optimizer = torch.optim.Adam(objective.discriminator_.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        objective.loss(step).backward()
        optimizer.step()
    assert objective.measures["discriminator_accuracy"] > 0.95


def test_the_accuracy_is_the_mean_of_both_domains():
    objective, _ = make_objective("dann")
    with torch.no_grad():
        for parameter in objective.discriminator_.parameters():
            parameter.zero_()
        objective.discriminator_[-2].bias.fill_(1.0)  # everything is source
    objective.loss(make_step(9, 2))
    assert objective.measures == {"discriminator_accuracy": pytest.approx(0.5)}


def test_the_warm_up_rises_from_0_to_1():
    assert compute_warm_up(0.0) == 0
    assert compute_warm_up(0.1) == pytest.approx(2 / (1 + np.exp(-1)) - 1)
    assert compute_warm_up(1.0) == pytest.approx(1, abs=1e-4)
