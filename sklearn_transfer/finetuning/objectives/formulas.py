"""The formulas of objectives, as functions of tensors."""

from dataclasses import replace

import torch
from torch.nn import functional

_TENSORS = ("features", "logits", "weights", "target_features", "target_logits")
_NARROW = (torch.float16, torch.bfloat16)
# Below this share of the mean square, a variance comes from rounding in float32.
_ROUNDING = 1e-10
# Squared distances below this share of the largest one are those of equal rows.
_EQUAL = 1e-6


def widen_step(step):
    """The step with its tensors in single precision, where they have less."""
    tensors = {name: getattr(step, name) for name in _TENSORS}
    return replace(
        step, **{name: t.float() for name, t in tensors.items() if t.dtype in _NARROW}
    )


def is_finite(step):
    """Whether all numbers of a step with a target are finite."""
    return all(bool(getattr(step, name).isfinite().all()) for name in _TENSORS)


# Weights of rows


def compute_shares(step):
    """Weights of the source rows of a batch, mixed as the rows are, with sum 1."""
    weights = step.weights
    if step.mixture is not None:
        partner, share = step.mixture.partner, step.mixture.share
        weights = share * weights + (1 - share) * weights[partner]
    return (weights / weights.sum()).to(step.features.dtype)


def make_even_shares(rows):
    """The same weight for each row of a tensor, with sum 1."""
    return rows.new_full((len(rows),), 1 / len(rows))


# Predictions of the target


def compute_class_confusion(logits, temperature):
    """Share of the confusion of classes that is between different ones [Jin 2020].

    Parameters
    ----------
    logits : Tensor of shape (n, n_classes)
        Outputs for rows of the target.
    temperature : float
        Divides the logits.

    Returns
    -------
    confusion : Tensor of shape ()
        Between 0 and 1 - 1 / n_classes.
    """
    log_proba = torch.log_softmax(logits / temperature, dim=1)
    # A weight that depends on the entropy must not become a way to lower the loss.
    log_weights = torch.log1p(torch.exp(-compute_entropies(log_proba.detach())))
    # Row j of the confusion matrix, divided by its sum, is the mean of probabilities weighted
    # by those of class j. As a softmax over rows it is defined for a class of no mass too.
    shares = torch.softmax(log_proba + log_weights[:, None], dim=0)
    return 1 - (shares * log_proba.exp()).sum() / logits.shape[1]


def compute_entropies(log_proba):
    """Entropy of each row of logarithms of probabilities."""
    return -(log_proba.exp() * log_proba).sum(dim=1)


def compute_mean_entropy(log_proba):
    """Entropy of the mean of rows of logarithms of probabilities."""
    # Without a constant inside the logarithm: log_proba stays finite where proba underflows.
    n_rows = log_proba.new_tensor(float(len(log_proba)))
    log_mean = torch.logsumexp(log_proba, dim=0) - n_rows.log()
    return compute_entropies(log_mean[None])[0]


def compute_nuclear_norm(matrix):
    """Sum of the singular values; U V' is its (sub)gradient, also at equal or zero ones."""
    return torch.linalg.svdvals(matrix).sum()


# Distributions of features


def compute_covariance(features, shares):
    """Covariance of rows with weights of sum 1, unbiased where these are equal."""
    centered = features - shares @ features
    lost = (1 - shares.square().sum()).clamp(min=torch.finfo(shares.dtype).eps)
    return (centered * shares[:, None]).T @ centered / lost


def has_spread(features, shares):
    """Whether rows with weights of sum 1 differ by more than rounding."""
    features = features.detach()
    variance = shares @ (features - shares @ features).square()
    return bool(variance.sum() > _ROUNDING * (shares @ features.square()).sum())


def compute_squared_distances(first, second):
    """Squared distances of all pairs of rows, at least 0."""
    center = second.detach().mean(dim=0)  # for digits: it changes no distance
    first, second = first - center, second - center
    squares = first.square().sum(dim=1)[:, None] + second.square().sum(dim=1)
    return (squares - 2 * first @ second.T).clamp(min=0)


def compute_discrepancy(source, target, shares, bandwidths):
    """Unbiased squared maximum mean discrepancy of Gaussian kernels [Gretton 2012].

    Parameters
    ----------
    source, target : Tensor of shape (n, n_features) and (m, n_features)
        Rows of both domains.
    shares : Tensor of shape (n,)
        Weights of the source rows, with sum 1.
    bandwidths : sequence of float
        Factors of the median squared distance of all rows, one for each kernel.

    Returns
    -------
    discrepancy : Tensor of shape ()
        For the mean of the kernels. It may be negative.
    """
    kept = shares > 0  # so that the bandwidth depends on no other rows
    source, shares = source[kept], shares[kept]
    rows, n = torch.cat([source, target]), len(source)
    squares = compute_squared_distances(rows, rows)
    scaled = squares / find_median(squares.detach())
    kernel = torch.stack([torch.exp(-scaled / factor) for factor in bandwidths]).mean(dim=0)
    even = make_even_shares(target)
    return (
        _average_pairs(kernel[:n, :n], shares)
        + _average_pairs(kernel[n:, n:], even)
        - 2 * shares @ kernel[:n, n:] @ even
    )


def find_median(squares):
    """Median of the squared distances of rows that differ; 1 where none do."""
    # Rows drawn twice are left out: they say nothing about the scale.
    squares = squares[torch.triu(torch.ones_like(squares, dtype=torch.bool), diagonal=1)]
    positive = squares[squares > _EQUAL * squares.max()]
    return positive.median() if len(positive) else squares.new_ones(())


def _average_pairs(kernel, shares):
    """Weighted mean of a kernel over pairs of different rows; 1, k(x, x), for one row."""
    pairs = shares[:, None] * shares
    pairs = pairs - torch.diag(pairs.diagonal())
    total = pairs.sum()
    if total <= 0:
        return kernel.new_ones(())
    return (pairs * kernel).sum() / total


# Transport


def compute_label_costs(encoded, logits):
    """Loss of each target prediction for the label of each source row.

    Parameters
    ----------
    encoded : Tensor of shape (n,) or (n, n_numbers)
        Codes of classes, -1 where missing, or standardized numbers, NaN where missing.
    logits : Tensor of shape (m, n_outputs)
        Outputs for rows of the target.

    Returns
    -------
    costs : Tensor of shape (n, m)
        Cross-entropy of classes, or mean squared error of the numbers that are present. Rows
        without a label have zeros.
    present : Tensor of shape (n,)
        Whether a row has a label.
    """
    if not encoded.is_floating_point():
        present = encoded >= 0
        costs = -torch.log_softmax(logits, dim=1).T[encoded.clamp(min=0)]
        return costs * present[:, None], present
    known = ~encoded.isnan()
    numbers = encoded.nan_to_num(0).to(logits.dtype)
    errors = (numbers[:, None] - logits).square() * known[:, None]
    n_known = known.sum(dim=1)
    return errors.sum(dim=2) / n_known.clamp(min=1)[:, None], n_known > 0


# Domains


def compute_domain_loss(source_scores, target_scores, source_shares, target_shares):
    """Cross-entropy of scores of rows for being source: its mean over each domain, added."""
    source_losses = functional.softplus(-source_scores)
    target_losses = functional.softplus(target_scores)
    return source_shares @ source_losses + target_shares @ target_losses


def compute_domain_accuracy(source_scores, target_scores, source_shares, target_shares):
    """Mean over both domains of the share of rows whose domain is recognized."""
    source_right = (source_scores > 0).to(source_shares.dtype)
    target_right = (target_scores <= 0).to(target_shares.dtype)
    return (source_shares @ source_right + target_shares @ target_right) / 2


def weigh_by_certainty(log_proba, shares):
    """Shares times 1 + exp(-entropy) of each row, with sum 1 again [Long 2018]."""
    weights = shares * (1 + torch.exp(-compute_entropies(log_proba)))
    return weights / weights.sum()
