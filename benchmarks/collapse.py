"""Measure how often scorers detect a collapsed model; run `python -m benchmarks.collapse`.

Two classes are told apart but for 2 % of samples, and the model predicts one of them for all
of the target. The table shows how often it is guarded against: always, if all goes well, but
where the target holds one class. Level and limit of the guard were chosen on other draws.
"""

import argparse

import numpy as np

from sklearn_transfer.selection._collapse import estimate_target_shares, find_collapse

N_TARGET, N_FEATURES, DISTANCE = 300, 10, 3.0  # distance of each class from 0, in deviations
SIZES = 20, 40, 100
# Share of the second class in source and target, and a shift of the target toward the first.
CASES = {
    "10 % in the target": (0.5, 0.1, 0.0),
    "5 % in the target": (0.5, 0.05, 0.0),
    "10 % in both": (0.1, 0.1, 0.0),
    "half in both, shifted a little": (0.5, 0.5, 1.0),
    "half in both, shifted by half the distance": (0.5, 0.5, 2.0),
    "none in the target": (0.5, 0.0, 0.0),
}


def draw_rows(n, share, rng):
    """Return rows of two classes and their labels, in these shares but for rounding."""
    n_second = round(n * share)
    y = np.repeat([0, 1], [n - n_second, n_second])
    X = rng.normal(size=(n, N_FEATURES))
    X[np.arange(n), y] += DISTANCE
    return X, y


def is_collapse_found(n_source, source_share, target_share, shift, seed):
    """Return whether a model that predicts the first class for each target row is guarded."""
    rng = np.random.default_rng(seed)
    X, y = draw_rows(n_source, source_share, rng)
    T, _ = draw_rows(N_TARGET, target_share, rng)
    T[:, :2] += shift * np.array([1, -1]) / np.sqrt(2)
    shares = estimate_target_shares(X, y, T)
    return find_collapse(np.array([1.0, 0.0]), shares.classes, shares)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    n_rounds = parser.parse_args().rounds
    print(f"{'scored samples':45s}", *(f"{n:>5d}" for n in SIZES))
    for name, case in CASES.items():
        rates = [
            np.mean([is_collapse_found(n, *case, seed) for seed in range(n_rounds)])
            for n in SIZES
        ]
        print(f"{name:45s}", *(f"{rate:5.2f}" for rate in rates), flush=True)


if __name__ == "__main__":
    main()
