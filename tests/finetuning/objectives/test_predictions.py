"""MCC, InfoMax and BNM against the formulas of their papers."""

import numpy as np
import pytest
import torch

from sklearn_transfer.finetuning.objectives import BNM, MCC, InfoMax
from tests.objective_steps import (
    as_arrays,
    assert_equals,
    compute_entropies,
    make_step,
    softmax,
)


def compute_confusion(arrays, fixed, temperature):
    """Equations 2 to 6 of Jin et al. (2020); `fixed` gives the weights of rows."""
    proba = softmax(arrays["target_logits"] / temperature)
    sureness = 1 + np.exp(-compute_entropies(softmax(fixed["target_logits"] / temperature)))
    weights = len(proba) * sureness / sureness.sum()
    n_classes = proba.shape[1]
    confusion = np.zeros((n_classes, n_classes))
    for j in range(n_classes):
        for k in range(n_classes):
            confusion[j, k] = (proba[:, j] * weights * proba[:, k]).sum()
    confusion /= confusion.sum(axis=1, keepdims=True)
    return (confusion.sum() - np.trace(confusion)) / n_classes


@pytest.mark.parametrize("m", [1, 5, 20])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_mcc_is_the_confusion_between_classes(m, temperature):
    step = make_step(m=m)
    fixed, _ = as_arrays(step)
    value = MCC(temperature=temperature).compute(step)
    assert_equals(value, step, lambda arrays: compute_confusion(arrays, fixed, temperature))


@pytest.mark.parametrize("m", [1, 5, 20])
@pytest.mark.parametrize("diversity", [1.0, 0.3])
def test_infomax_is_a_difference_of_entropies(m, diversity):
    def direct(arrays):
        proba = softmax(arrays["target_logits"])
        mean = proba.mean(axis=0)
        return compute_entropies(proba).mean() + diversity * (mean * np.log(mean)).sum()

    step = make_step(m=m)
    assert_equals(InfoMax(diversity=diversity).compute(step), step, direct)


@pytest.mark.parametrize("m", [1, 2, 5, 20])
def test_bnm_is_the_negative_mean_nuclear_norm(m):
    def direct(arrays):
        proba = softmax(arrays["target_logits"])
        squares = np.linalg.eigvalsh(proba @ proba.T if m < 3 else proba.T @ proba)
        return -np.sqrt(squares).sum() / m

    step = make_step(m=m)
    assert_equals(BNM().compute(step), step, direct)


def test_a_collapse_is_no_gain_for_mcc():
    step = make_step()
    with torch.no_grad():
        step.target_logits[:] = torch.tensor([30.0, 0.0, 0.0])
    assert MCC().compute(step).item() == pytest.approx(2 / 3, abs=1e-4)


def test_bnm_of_sure_predictions_is_known_by_the_frequencies():
    step = make_step(m=10)
    with torch.no_grad():
        step.target_logits[:] = 60 * torch.eye(3, dtype=torch.float64)[[0] * 4 + [1] * 6]
    expected = -(np.sqrt(4) + np.sqrt(6)) / 10
    assert BNM().compute(step).item() == pytest.approx(expected)
