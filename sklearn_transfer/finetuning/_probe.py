"""The head alone, fitted to the optimum of its loss on features that do not change."""

import torch

# Strength of the penalty on the weights, as C of LogisticRegression.
_C = 1.0
_MOST_STEPS = 300


def fit_head(head, features, criterion, encoded, weights):
    """Minimise the loss plus an L2 penalty on the weights by L-BFGS; returns the loss.

    Features (n_samples, width) are standardised by the head itself, so that this is logistic
    regression (C = 1) after StandardScaler where the loss is cross-entropy.
    """
    parameters = list(head.parameters())
    solver = torch.optim.LBFGS(
        parameters,
        max_iter=_MOST_STEPS,
        tolerance_grad=1e-6,
        line_search_fn="strong_wolfe",
    )
    strength = _strength(criterion.targets, len(weights)).to(features.device)

    def closure():
        solver.zero_grad()
        loss = criterion(head(features), encoded, weights)
        penalty = sum(strength @ (p**2).sum(dim=1) for p in parameters if p.ndim > 1)
        total = loss + penalty
        total.backward()
        return total

    solver.step(closure)
    solver.zero_grad()
    with torch.no_grad():
        loss = criterion(head(features), encoded, weights)
    if not torch.isfinite(loss):
        raise FloatingPointError(
            f"the loss of the first head is {loss.item()}; look for extreme values in X and"
            " sample_weight"
        )
    return float(loss)


def _strength(targets, n_samples):
    """Strength of the penalty for each output.

    Two outputs of two classes share what is one in logistic regression, so theirs is twice
    as strong.
    """
    strength = torch.full((targets.n_outputs,), 0.5 / (_C * n_samples))
    for task in targets.tasks:
        if task.kind == "multiclass" and task.n_outputs == 2:
            strength[task.columns] *= 2
    return strength
