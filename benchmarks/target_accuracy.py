"""Simulate the coverage and the length of the intervals of `target_accuracy`.

python -m benchmarks.target_accuracy [--draws N] [--pools N ...] [--all]

A setting is a target of some size and accuracy, a certainty that is informative, useless or
misleading about which rows are right, and a number of labels. In each draw, rows are chosen
and their labels give an interval. The lengths are divided by the mean length of the exact
interval from as many simple random rows of the same target, which is that of Clopper and
Pearson where the target is large.
"""

import argparse
from functools import cache

import numpy as np
from scipy.special import expit, logit
from scipy.stats import beta, hypergeom

from sklearn_transfer.selection._accuracy_interval import (
    compute_exact_interval,
    compute_spread_interval,
    count_changes,
)
from sklearn_transfer.selection._label_sample import draw_spread_places

N_LABELS = (20, 50, 200)
ACCURACIES = (0.6, 0.7, 0.8, 0.9, 0.95)
POOLS = (300, 1000, 5000)
LEVEL = 0.95


def draw_calibrated(accuracy, concentration, n, rng):
    """Return certainties, each of which is the chance of its row to be right."""
    shape = accuracy * concentration, (1 - accuracy) * concentration
    certainty = np.clip(beta.rvs(*shape, size=n, random_state=rng), 1e-9, 1 - 1e-9)
    return certainty, certainty


def draw_distorted(accuracy, factor, n, rng):
    """Return certainties with logits scaled by a factor, and the chances to be right."""
    chances, _ = draw_calibrated(accuracy, 1.0, n, rng)
    return expit(factor * logit(chances) + 0.5 * (factor > 1)), chances


def draw_useless(accuracy, n, rng):
    return rng.random(n), np.full(n, accuracy)


def draw_misleading(accuracy, concentration, n, rng):
    """Return certainties that are the higher, the less likely a row is right."""
    chances, _ = draw_calibrated(accuracy, concentration, n, rng)
    return 1 - chances, chances


def draw_two_humps(accuracy, n, rng):
    """Return a low and a high certainty; rows of the low one are right one time in five."""
    low = rng.random(n) < 1.25 * (1 - accuracy)
    return np.where(low, 0.5, 0.99), np.where(low, 0.2, 1.0)


def draw_certain_errors(accuracy, n, rng):
    """Return certainties where half of the errors are the most certain rows."""
    certainty, share = rng.random(n), (1 - accuracy) / 2
    return certainty, np.where(certainty > 1 - share, 0.0, 1 - share / (1 - share))


def draw_middle_errors(accuracy, n, rng):
    """Return certainties whose middle half holds all errors."""
    certainty = rng.random(n)
    middle = np.abs(certainty - 0.5) < 0.25
    return certainty, np.where(middle, max(2 * accuracy - 1, 0.0), 1.0)


def draw_stripes(accuracy, n, rng):
    """Return certainties along which right and wrong stretches take turns."""
    certainty = rng.random(n)
    even = (10 * certainty).astype(int) % 2 == 0
    return certainty, np.where(even, max(2 * accuracy - 1, 0.0), min(2 * accuracy, 1.0))


def draw_perfect(accuracy, n, rng):
    """Return certainties by which all wrong rows come before all right ones."""
    certainty = rng.random(n)
    return certainty, (certainty > 1 - accuracy).astype(float)


INFORMATIVE = {
    "calibrated, very informative": lambda a, n, rng: draw_calibrated(a, 0.3, n, rng),
    "calibrated, informative": lambda a, n, rng: draw_calibrated(a, 1.0, n, rng),
    "calibrated, a little informative": lambda a, n, rng: draw_calibrated(a, 5.0, n, rng),
    "overconfident": lambda a, n, rng: draw_distorted(a, 3.0, n, rng),
    "underconfident": lambda a, n, rng: draw_distorted(a, 0.3, n, rng),
    "two humps": draw_two_humps,
    "perfect order": draw_perfect,
}
OTHERS = {
    "useless": draw_useless,
    "constant": lambda a, n, rng: (np.full(n, 0.9), np.full(n, a)),
    "misleading": lambda a, n, rng: draw_misleading(a, 1.0, n, rng),
    "errors most certain": draw_certain_errors,
    "errors in the middle": draw_middle_errors,
    "stripes": draw_stripes,
}
CERTAINTIES = {**INFORMATIVE, **OTHERS}


def make_pool(draw, accuracy, n, rng):
    """Return right (1) and wrong (0) in the order of certainty, with the exact accuracy.

    Too many right or wrong rows are changed where that is the least surprising.
    """
    certainty, chances = draw(accuracy, n, rng)
    right = rng.random(n) < chances
    excess = int(right.sum()) - round(accuracy * n)
    rows = np.flatnonzero(right == (excess > 0))
    odds = np.where(excess > 0, 1 - chances[rows], chances[rows]) + 1e-9
    change = rng.choice(rows, abs(excess), replace=False, p=odds / odds.sum())
    right[change] = excess < 0
    # Ties in random order, as rows of a pool are in random order themselves.
    return right[np.argsort(certainty, kind="stable")], np.ptp(certainty) > 0


@cache
def compute_reference_length(n_right, n_labels, n_target):
    """Return the mean length of the exact interval from simple random rows."""
    counts = np.arange(n_labels + 1)
    chances = hypergeom.pmf(counts, n_target, n_right, n_labels)
    likely = counts[chances > 1e-9]
    ends = [compute_exact_interval(int(x), n_labels, n_target, LEVEL) for x in likely]
    return float(np.sum(chances[likely] * np.diff(ends, axis=1)[:, 0]))


def measure_coverage(right, is_spread, places):
    """Return how many intervals cover the accuracy, and their relative mean length."""
    (n_draws, n_labels), n_target = places.shape, len(right)
    found = right[places]
    n_right, n_changes = found.sum(axis=1), count_changes(found)
    if not is_spread:
        n_changes[:] = 0
    pairs, counts = np.unique(
        np.column_stack([n_right, n_changes]), axis=0, return_counts=True
    )
    size = {"n_labels": n_labels, "n_target": n_target, "confidence": LEVEL}
    ends = np.array(
        [
            compute_spread_interval(int(x), int(changes), **size)
            if is_spread
            else compute_exact_interval(int(x), **size)
            for x, changes in pairs
        ]
    )
    truth = right.mean()
    covered = (ends[:, 0] <= truth + 1e-12) & (truth <= ends[:, 1] + 1e-12)
    length = float(np.sum((ends[:, 1] - ends[:, 0]) * counts)) / n_draws
    reference = compute_reference_length(int(right.sum()), n_labels, n_target)
    return int(np.sum(counts[covered])), length / reference


def measure_settings(n_draws, pools, n_labels=N_LABELS, accuracies=ACCURACIES, seed=0):
    """Return a list of (certainty, labels, rows, accuracy, covered, relative length)."""
    rng, state = np.random.default_rng(seed), np.random.RandomState(seed)
    rows = []
    for n in n_labels:
        for size in pools:
            places = np.array([draw_spread_places(size, n, state) for _ in range(n_draws)])
            for name, draw in CERTAINTIES.items():
                for accuracy in accuracies:
                    right, is_spread = make_pool(draw, accuracy, size, rng)
                    if not is_spread:  # a random order makes the rows simple random ones
                        chosen = np.array([rng.permutation(size)[:n] for _ in range(n_draws)])
                    else:
                        chosen = places
                    rows.append(
                        (name, n, size, accuracy, *measure_coverage(right, is_spread, chosen))
                    )
    return rows


def print_summary(rows, n_draws, accuracies=ACCURACIES):
    heads = " | ".join(f"length at {accuracy:g}" for accuracy in accuracies)
    print(f"| certainty | labels | least covered of {n_draws} | {heads} |")
    print("| --- " * (3 + len(accuracies)) + "|")
    for name in CERTAINTIES:
        for n in N_LABELS:
            own = [row for row in rows if row[:2] == (name, n)]
            lengths = [
                np.mean([row[5] for row in own if row[3] == accuracy])
                for accuracy in accuracies
            ]
            cells = " | ".join(f"{length:.2f}" for length in lengths)
            print(f"| {name} | {n} | {min(row[4] for row in own)} | {cells} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--pools", type=int, nargs="+", default=POOLS, help="rows of targets")
    parser.add_argument("--all", action="store_true", help="print each setting")
    arguments = parser.parse_args()
    rows = measure_settings(arguments.draws, arguments.pools)
    if arguments.all:
        print("| certainty | labels | rows | accuracy | covered | length |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, n, size, accuracy, covered, length in rows:
            print(f"| {name} | {n} | {size} | {accuracy:g} | {covered} | {length:.3f} |")
        print()
    print_summary(rows, arguments.draws)
    covered = np.array([row[4] for row in rows]) / arguments.draws
    print(
        f"\n{len(rows)} settings: least coverage {covered.min():.3f}, mean "
        f"{covered.mean():.3f}, below 0.934 in {np.sum(covered < 0.934)}."
    )


if __name__ == "__main__":
    main()
