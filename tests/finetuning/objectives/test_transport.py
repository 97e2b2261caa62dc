"""DeepJDOT against the formula of its paper, with the plan of another solver."""

from dataclasses import replace

import numpy as np
import ot
import pytest
import torch

from sklearn_transfer.finetuning.objectives import DeepJDOT
from tests.objective_steps import as_arrays, assert_equals, make_step, softmax

ALPHA, LAMBDA = 0.3, 0.7
NUMBERS = np.random.default_rng(5).normal(size=(7, 3))


def compute_class_loss(label, logits):
    return -np.log(softmax(logits[None])[0, label])


def compute_number_loss(label, outputs):
    present = ~np.isnan(label)
    return ((label - outputs)[present] ** 2).mean()


def compute_costs(arrays, step, compute_loss):
    """Costs of all pairs; a mixed row has that of both labels, by share and weight."""
    source, target = arrays["features"], arrays["target_features"]
    y, weights = step.encoded[0].numpy(), step.weights.numpy()
    costs = np.zeros((len(source), len(target)))
    for i in range(len(source)):
        labels = {i: 1.0}
        if step.mixture is not None:
            partner, share = int(step.mixture.partner[i]), step.mixture.share
            labels = {i: 1.0} if partner == i else {i: share, partner: 1 - share}
        parts = {row: part * weights[row] for row, part in labels.items()}
        for j in range(len(target)):
            losses = [
                part * compute_loss(y[row], arrays["target_logits"][j])
                for row, part in parts.items()
            ]
            distance = ((source[i] - target[j]) ** 2).sum()
            costs[i, j] = ALPHA * distance + LAMBDA * sum(losses) / sum(parts.values())
    return costs


@pytest.mark.parametrize("m", [1, 5, 7])
@pytest.mark.parametrize("is_mixed", [False, True])
@pytest.mark.parametrize("kind", ["class", "number"])
def test_jdot_is_the_cost_of_the_best_plan(m, is_mixed, kind):
    encoded = NUMBERS if kind == "number" else None
    compute_loss = compute_number_loss if kind == "number" else compute_class_loss
    step = make_step(7, m, encoded=encoded, is_mixed=is_mixed)
    fixed, shares = as_arrays(step)
    plan = ot.emd(shares, np.full(m, 1 / m), compute_costs(fixed, step, compute_loss))

    def direct(arrays):
        return (plan * compute_costs(arrays, step, compute_loss)).sum()

    assert_equals(DeepJDOT(alpha=ALPHA, lambda_t=LAMBDA).compute(step), step, direct)


def test_equal_weights_take_an_assignment_of_the_same_cost():
    step = make_step(6, 6)
    even = replace(step, weights=torch.ones(6))
    nearly = replace(step, weights=torch.ones(6, dtype=torch.float64) + 1e-7 * torch.arange(6))
    first, second = (DeepJDOT().compute(found).item() for found in (even, nearly))
    assert first == pytest.approx(second, rel=1e-5)


@pytest.mark.parametrize("kind", ["class", "number"])
def test_rows_without_a_label_are_left_out(kind):
    encoded = torch.tensor([0, 1, -1, 2, -1])
    if kind == "number":
        encoded = torch.tensor([[0.1, 1.0, 2.0]] * 5)
        encoded[[2, 4]] = torch.nan
    step = make_step(5, 4, encoded=encoded)
    kept = [0, 1, 3]
    names = ("features", "logits", "weights")
    fewer = {name: getattr(step, name)[kept] for name in names}
    alone = replace(step, encoded=(encoded[kept],), **fewer)
    found, expected = DeepJDOT().compute(step), DeepJDOT().compute(alone)
    assert found.item() == pytest.approx(expected.item())


def test_a_row_mixed_with_an_unlabeled_one_has_its_own_label():
    step = make_step(4, 3, encoded=torch.tensor([0, 1, -1, -1]), is_mixed=True)
    step = replace(step, mixture=replace(step.mixture, partner=torch.tensor([2, 3, 0, 1])))
    value = DeepJDOT(alpha=0).compute(step)
    unmixed = replace(step, mixture=None, encoded=(torch.tensor([0, 1, 0, 1]),))
    weights = torch.cat([0.7 * step.weights[:2], 0.3 * step.weights[:2]])
    expected = DeepJDOT(alpha=0).compute(replace(unmixed, weights=weights))
    assert value.item() == pytest.approx(expected.item())


def test_numbers_that_are_missing_are_left_out_of_the_mean():
    encoded = NUMBERS.copy()
    encoded[0, 1] = encoded[3, :2] = np.nan
    step = make_step(7, 5, encoded=encoded)
    fixed, shares = as_arrays(step)
    costs = compute_costs(fixed, step, compute_number_loss)
    expected = ot.emd2(shares, np.full(5, 1 / 5), costs)
    value = DeepJDOT(alpha=ALPHA, lambda_t=LAMBDA).compute(step)
    assert value.item() == pytest.approx(expected)


def test_a_batch_without_labels_adds_nothing():
    step = make_step(3, 4, encoded=torch.tensor([-1, -1, -1]))
    assert DeepJDOT().compute(step).item() == 0
