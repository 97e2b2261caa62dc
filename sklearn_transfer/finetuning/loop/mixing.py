"""Mixup and cutmix: rows of a batch mixed with other rows of it."""

import math

import numpy as np
import torch

from sklearn_transfer.finetuning.objectives.base import Mixture


def mix_batch(inputs, options, seed):
    """Input of a batch, mixed where the options of a training ask for it.

    Returns it with the `Mixture` that says how, or None. The `seed` is that of the batch.
    """
    if not (options.mixup or options.cutmix) or len(inputs) < 2:
        return inputs, None
    return mix_rows(inputs, np.random.default_rng(seed), options.mixup, options.cutmix)


def mix_rows(rows, rng, mixup, cutmix):
    """Mixed rows of a batch, and the `Mixture` that says how.

    Mixup [Zhang 2018] blends rows, cutmix [Yun 2019] pastes a rectangle; where both are
    wanted, each batch uses one of them, chosen at random. The parameters are those of the
    beta distribution that the share is drawn from; 0 turns one off.
    """
    partner = torch.from_numpy(rng.permutation(len(rows))).to(rows.device)
    pastes = bool(cutmix) and (not mixup or rng.random() < 0.5)
    alpha = cutmix if pastes else mixup
    share = float(rng.beta(alpha, alpha))
    if not pastes:
        return share * rows + (1 - share) * rows[partner], Mixture(partner, share)
    height, width = rows.shape[-2:]
    top, bottom, left, right = _draw_box(rng, height, width, share)
    mixed = rows.clone()
    mixed[..., top:bottom, left:right] = rows[partner][..., top:bottom, left:right]
    # At the edges of the image a box is smaller than its share.
    pasted = (bottom - top) * (right - left) / (height * width)
    return mixed, Mixture(partner, 1 - pasted)


def _draw_box(rng, height, width, share):
    """Edges of a box that covers 1 - share of the area, around a center drawn at random."""
    ratio = math.sqrt(1 - share)
    edges = []
    for length in (height, width):
        center, half = rng.integers(length), int(length * ratio) // 2
        edges += [max(center - half, 0), min(center + half, length)]
    return edges
