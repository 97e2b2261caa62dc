"""Steps of random numbers, and comparison of objectives with formulas of their papers."""

import numpy as np
import torch

from sklearn_transfer.finetuning.objectives import Mixture, Step

NAMES = ("features", "logits", "target_features", "target_logits")


def make_step(
    n=7, m=5, width=4, n_outputs=3, *, seed=0, encoded=None, is_mixed=False, progress=1.0
):
    """A step in double precision, whose features and logits ask for gradients."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return torch.from_numpy(rng.normal(size=shape)).requires_grad_()

    features, logits = draw(n, width), draw(n, n_outputs)
    target_features, target_logits = draw(m, width), draw(m, n_outputs)
    codes = rng.integers(0, n_outputs, n)
    weights = rng.uniform(0.5, 2, n)
    mixture = Mixture(torch.from_numpy(rng.permutation(n)), 0.7) if is_mixed else None
    encoded = torch.from_numpy(codes) if encoded is None else torch.as_tensor(encoded)
    return Step(
        features=features,
        logits=logits,
        encoded=(encoded,),
        weights=torch.from_numpy(weights / weights.mean()),
        progress=progress,
        mixture=mixture,
        target_features=target_features,
        target_logits=target_logits,
    )


def as_arrays(step):
    """Features, logits and shares of a step as arrays, by name."""
    arrays = {name: getattr(step, name).detach().numpy().copy() for name in NAMES}
    weights = step.weights.numpy()
    if step.mixture is not None:
        partner, share = step.mixture.partner.numpy(), step.mixture.share
        weights = share * weights + (1 - share) * weights[partner]
    return arrays, weights / weights.sum()


def differentiate(function, arrays, name, h=1e-6):
    """Gradient of a function of arrays by central differences in one of them."""
    gradient = np.zeros_like(arrays[name])
    for place in np.ndindex(gradient.shape):
        moved = [arrays[name].copy(), arrays[name].copy()]
        moved[0][place] += h
        moved[1][place] -= h
        up, down = (function({**arrays, name: array}) for array in moved)
        gradient[place] = (up - down) / (2 * h)
    return gradient


def assert_equals(value, step, direct, factor=1.0):
    """Value and gradients of a step are those of a function of its arrays.

    Gradients of features may be those of the function times a factor.
    """
    arrays, _ = as_arrays(step)
    np.testing.assert_allclose(value.item(), direct(arrays), rtol=1e-6, atol=1e-9)
    tensors = [getattr(step, name) for name in NAMES]
    found = torch.autograd.grad(value, tensors, allow_unused=True, retain_graph=True)
    for name, gradient in zip(NAMES, found, strict=True):
        expected = factor * differentiate(direct, arrays, name)
        gradient = np.zeros_like(expected) if gradient is None else gradient.numpy()
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6, err_msg=name)


def softmax(logits):
    """Probabilities of rows, by the definition."""
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def compute_entropies(proba):
    """Entropies of rows, by the definition."""
    return -(proba * np.log(proba)).sum(axis=1)
