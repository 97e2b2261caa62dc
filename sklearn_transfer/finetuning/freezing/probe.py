"""The head alone, fitted to the optimum of its loss on features that do not change."""

import copy

import torch

# Strength of the penalty on the weights, as C of LogisticRegression.
_C = 1.0
_MOST_STEPS = 300
# More leaves nothing of the weights either, and hides the bias from the solver.
_MOST_STRENGTH = 1e6


def fit_head(head, features, criterion, encoded, weights, total):
    """Minimize the loss plus an L2 penalty on the weights by L-BFGS; returns the loss.

    The head standardizes features (n_samples, width) itself, so that this is logistic
    regression (C = 1) on what `Head.standardize_features` gives where the loss is
    cross-entropy. As there, the penalty is weighed against `total`, the sum of the weights of
    the rows as given.
    """
    # In single precision the loss is flat long before its optimum. A loss of the user may hold
    # tensors of that type.
    dtype = torch.float64 if criterion.own_loss is None else torch.float32
    copied = copy.deepcopy(head).to(dtype)
    loss = _minimize(
        copied,
        _compute_strength(criterion.targets, total, dtype),
        features.to(dtype),
        criterion,
        encoded,
        weights.to(dtype),
    )
    head.load_state_dict(copied.state_dict())
    return float(loss)


def fit_head_to_part(head, features, criterion, part):
    """Fit a head to features of the rows of a `Part`, as `fit_head` does; returns the loss."""
    criterion.training = True
    encoded, weights = part.move_targets(features.device)
    return fit_head(head, features, criterion, encoded, weights, part.total)


def validate_head(head, features, criterion, part):
    """Loss and outputs (n_samples, n_outputs) of a head for features of a `Part`."""
    criterion.training = False
    with torch.no_grad():
        outputs = head(features)
        loss = criterion(outputs, *part.move_targets(features.device))
    return float(loss), outputs.cpu().numpy()


def _minimize(head, strength, features, criterion, encoded, weights):
    parameters = list(head.parameters())
    strength = strength.to(features.device)
    solver = torch.optim.LBFGS(
        parameters,
        max_iter=_MOST_STEPS,
        tolerance_grad=1e-6,
        line_search_fn="strong_wolfe",
    )

    def compute_loss():
        loss = criterion(head(features), encoded, weights)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The loss of the first head is {loss.item()} in epoch 1, whatever lr is; look"
                " for extreme values in X and sample_weight, or in the loss if it is your own"
            )
        return loss

    def take_gradients():
        solver.zero_grad()
        loss = compute_loss()
        penalty = sum(strength @ (p**2).sum(dim=1) for p in parameters if p.ndim > 1)
        total = loss + penalty
        total.backward()
        return total

    solver.step(take_gradients)
    with torch.no_grad():
        return compute_loss()


def _compute_strength(targets, total, dtype):
    """Strength of the penalty for each output.

    Logistic regression has a single output for two classes. Here they have one each, which
    share it, so theirs is twice as strong.
    """
    value = min(0.5 / (_C * total), _MOST_STRENGTH)
    strength = torch.full((targets.n_outputs,), value, dtype=dtype)
    for task in targets.tasks:
        if task.kind == "multiclass" and task.n_outputs == 2:
            strength[task.columns] *= 2
    return strength
