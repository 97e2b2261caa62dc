"""Losses of rows against torch's own losses on the entries that are present."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from sklearn_transfer.finetuning.objectives.supervised import compute_row_losses
from sklearn_transfer.finetuning.targets.targets import Targets

NAN = float("nan")
N = 12


def as_tensors(encoded):
    return tuple(torch.from_numpy(values) for values in encoded)


def random_output(targets, n=N, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(n, targets.n_outputs, generator=generator, dtype=torch.float64)
    return (3 * output).to(dtype).requires_grad_()


@pytest.fixture
def classes():
    y = np.array(["a", "b", "c"])[np.arange(N) % 3]
    targets = Targets.from_labels(y)
    return targets, as_tensors(targets.encode(y))


@pytest.fixture
def labels():
    y = np.random.default_rng(0).integers(0, 2, (N, 4)).astype(float)
    y[0], y[1, 2], y[4, :3] = NAN, NAN, NAN
    targets = Targets.from_labels(y)
    return targets, as_tensors(targets.encode(y))


@pytest.fixture
def numbers():
    y = np.random.default_rng(0).normal(5, 2, (N, 3))
    y[0], y[1, 2], y[4, :2] = NAN, NAN, NAN
    targets = Targets.from_numbers(y)
    return targets, as_tensors(targets.encode(y))


def mixed_tasks():
    """A class, two labels and a number, each with gaps, and one row of gaps only."""
    y = np.empty((N, 4), dtype=object)
    y[:, 0] = np.array(["a", "b", "c"])[np.arange(N) % 3]
    y[:, 1:3] = np.random.default_rng(0).integers(0, 2, (N, 2))
    y[:, 3] = np.random.default_rng(1).normal(5, 2, N)
    y[0], y[1, 0], y[2, 1], y[3, 1:3], y[5, 3] = None, None, NAN, None, NAN
    tasks = [
        {"weight": 2.0},
        {"kind": "multilabel", "n_columns": 2, "weight": 0.5},
        {"kind": "regression"},
    ]
    targets = Targets.from_labels(y, tasks=tasks)
    return targets, targets.encode(y)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_classes_have_the_cross_entropy(classes, smoothing):
    targets, encoded = classes
    output = random_output(targets)
    found = compute_row_losses(output, encoded, targets, label_smoothing=smoothing)
    onehot = functional.one_hot(encoded[0], 3) * (1 - smoothing) + smoothing / 3
    expected = -(onehot * output.log_softmax(dim=1)).sum(dim=1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_labels_have_the_mean_cross_entropy_of_those_present(labels, smoothing):
    targets, (encoded,) = labels
    output = random_output(targets)
    found = compute_row_losses(output, (encoded,), targets, label_smoothing=smoothing)
    for row, logits, values in zip(found, output, encoded, strict=True):
        kept = ~values.isnan()
        smoothed = values[kept].double() * (1 - smoothing) + smoothing * 0.5
        expected = functional.binary_cross_entropy(logits[kept].sigmoid(), smoothed)
        torch.testing.assert_close(row, expected if kept.any() else torch.zeros_like(row))


def test_numbers_have_the_mean_squared_error_of_those_present(numbers):
    targets, (encoded,) = numbers
    output = random_output(targets)
    found = compute_row_losses(output, (encoded,), targets)
    for row, guess, values in zip(found, output, encoded, strict=True):
        kept = ~values.isnan()
        expected = functional.mse_loss(guess[kept], values[kept].double())
        torch.testing.assert_close(row, expected if kept.any() else torch.zeros_like(row))


def test_tasks_add_up_by_weight_and_factor():
    targets, arrays = mixed_tasks()
    encoded, factors = as_tensors(arrays), targets.compute_factors(arrays)
    output = random_output(targets)
    found = compute_row_losses(output, encoded, targets, factors=factors)
    codes, labels, numbers = encoded
    expected = torch.zeros(N, dtype=torch.float64)
    for i in range(N):
        logits, marks, guess = output[i, :3], output[i, 3:5], output[i, 5]
        if codes[i] >= 0:
            expected[i] += 2.0 * N / 10 * functional.cross_entropy(logits, codes[i])
        kept = ~labels[i].isnan()
        if kept.any():
            loss = functional.binary_cross_entropy(
                marks[kept].sigmoid(), labels[i][kept].double()
            )
            expected[i] += 0.5 * N / 10 * loss
        if not numbers[i].isnan():
            expected[i] += N / 10 * (guess - numbers[i, 0].double()) ** 2
    torch.testing.assert_close(found, expected)
    assert found[0] == 0
    plain = compute_row_losses(output, encoded, targets, factors=[1, 1, 1])
    torch.testing.assert_close(compute_row_losses(output, encoded, targets), plain)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("fill", [0.0, 3.0, float("inf"), NAN])
def test_missing_entries_have_no_gradient(smoothing, fill):
    targets, arrays = mixed_tasks()
    codes, labels, numbers = as_tensors(arrays)
    missing = torch.cat(
        [(codes < 0)[:, None].expand(-1, 3), labels.isnan(), numbers.isnan()], dim=1
    )
    output = random_output(targets).detach().masked_fill(missing, fill).requires_grad_()
    losses = compute_row_losses(
        output, (codes, labels, numbers), targets, label_smoothing=smoothing
    )
    losses.sum().backward()
    assert (output.grad[missing] == 0).all()
    assert (output.grad[~missing] != 0).all()


def test_gradients_are_those_of_finite_differences():
    targets, arrays = mixed_tasks()
    encoded = as_tensors(arrays)
    assert torch.autograd.gradcheck(
        lambda output: compute_row_losses(output, encoded, targets, label_smoothing=0.1),
        random_output(targets),
    )


def test_mean_of_a_task_is_that_of_its_rows():
    """Factors make the mean over all rows that over the rows with an entry."""
    targets, arrays = mixed_tasks()
    encoded, output = as_tensors(arrays), random_output(targets)
    weights = np.random.default_rng(2).random(N)
    factors = targets.compute_factors(arrays, weights)
    found = (
        compute_row_losses(output, encoded, targets, factors=[factors[0], 0, 0])
        .detach()
        .numpy()
    )
    kept = arrays[0] >= 0
    loss = functional.cross_entropy(output[kept][:, :3], encoded[0][kept], reduction="none")
    expected = np.average(2.0 * loss.detach().numpy(), weights=weights[kept])
    assert np.average(found, weights=weights) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_computed_in_single(dtype):
    targets, arrays = mixed_tasks()
    encoded = as_tensors(arrays)
    output = random_output(targets, dtype=dtype)
    found = compute_row_losses(output, encoded, targets)
    assert found.dtype == torch.float32
    expected = compute_row_losses(output.detach().double(), encoded, targets)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    found.sum().backward()
    assert output.grad.isfinite().all()


def test_extreme_logits_have_a_finite_loss(classes, labels):
    for targets, encoded in (classes, labels):
        output = (random_output(targets, dtype=torch.float32) * 1e6).detach().requires_grad_()
        losses = compute_row_losses(output, encoded, targets)
        losses.sum().backward()
        assert losses.isfinite().all()
        assert output.grad.isfinite().all()


def test_one_row_and_none():
    targets = Targets.from_labels(["a", "b"])
    for y in (["b"], []):
        encoded = as_tensors(targets.encode(np.array(y, dtype="<U1")))
        assert compute_row_losses(torch.zeros(len(y), 2), encoded, targets).shape == (len(y),)


def test_own_loss_takes_the_place_of_the_task(numbers):
    targets, encoded = numbers
    output = random_output(targets)

    def absolute(output, target):
        assert target is encoded[0]
        return (output - target).abs().nanmean(dim=1).nan_to_num(0)

    found = compute_row_losses(output, encoded, targets, loss=absolute, factors=[2.0])
    torch.testing.assert_close(found, 2 * absolute(output, encoded[0]))


def test_own_loss_counts_by_the_weight_of_its_task():
    y = ["a", "b"]
    targets = Targets.from_labels(y, tasks=[{"weight": 3.0}])
    found = compute_row_losses(
        torch.zeros(2, 2),
        as_tensors(targets.encode(y)),
        targets,
        loss=lambda o, t: o[:, 0] + 1,
    )
    assert found.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (functional.cross_entropy, r"\(\)"),
        (lambda output, target: output, r"\(12, 3\)"),
        (lambda output, target: 0.0, "float"),
    ],
)
def test_own_loss_must_give_one_number_a_row(classes, loss, got):
    targets, encoded = classes
    with pytest.raises(ValueError, match=f"The loss returned {got}, expected .*\\(12,\\)"):
        compute_row_losses(random_output(targets), encoded, targets, loss=loss)


def test_own_loss_needs_one_task():
    targets, arrays = mixed_tasks()
    with pytest.raises(ValueError, match="y has 3 tasks"):
        compute_row_losses(
            random_output(targets), as_tensors(arrays), targets, loss=lambda o, t: o.sum(dim=1)
        )
