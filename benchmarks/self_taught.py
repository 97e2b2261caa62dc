"""Compare self-taught features with raw pixels; run `python -m benchmarks.self_taught`.

Ten samples per class are labeled. The same classifier, StandardScaler and LogisticRegression,
is fitted to pixels or to the codes of an autoencoder, which has learned from all samples
outside the test set without their labels. Neither sees the test set before it is scored. The
data are scikit-learn's digits, of which each seed draws new training and test sets from the
same 1797, and, if the folder with its files is given, disjoint blocks of Fashion-MNIST.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.scores import load_garments
from sklearn_transfer import AutoencoderFeatures

N_LABELS = 10
# Chosen on other draws of digits and on training images of Fashion-MNIST.
OF_DIGITS = {
    "n_components": 256,
    "mask": 0.5,
    "hidden": (512,),
    "max_epochs": 60,
    "preprocess": None,
}
OF_GARMENTS = {"n_components": 64, "max_epochs": 20, "input_size": 16}
TEST_DIGITS, TEST_GARMENTS, GARMENTS = 500, 1000, 3000


def make_digit_rounds(n_rounds):
    """Yield (X, y, test rows, other rows, random_state) for each round."""
    X, y = load_digits(return_X_y=True)
    for seed in range(n_rounds):
        rows = np.random.default_rng(seed).permutation(len(X))
        yield X, y, rows[:TEST_DIGITS], rows[TEST_DIGITS:], seed


def make_garment_rounds(n_rounds, folder):
    """Yield the same from images that no other round uses, so that rounds are independent."""
    X, y = load_garments(folder, n_rounds * GARMENTS)
    X_test, y_test = load_garments(folder, n_rounds * TEST_GARMENTS, "t10k")
    for seed in range(n_rounds):
        others = slice(seed * GARMENTS, (seed + 1) * GARMENTS)
        test = slice(seed * TEST_GARMENTS, (seed + 1) * TEST_GARMENTS)
        images = np.concatenate([X[others], X_test[test]])
        labels = np.concatenate([y[others], y_test[test]])
        rows = np.arange(len(images))
        yield images, labels, rows[GARMENTS:], rows[:GARMENTS], seed


def compare_accuracies(X, y, test, others, options):
    """Return the test accuracy on pixels and on codes, and the CPU seconds to learn codes."""
    labeled = np.concatenate([others[y[others] == c][:N_LABELS] for c in np.unique(y)])
    start = time.process_time()
    features = AutoencoderFeatures(**options).fit(X[others])
    seconds = time.process_time() - start
    accuracies = []
    for view in (lambda part: part.reshape(len(part), -1), features.transform):
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        classifier.fit(view(X[labeled]), y[labeled])
        accuracies.append(classifier.score(view(X[test]), y[test]))
    return (*accuracies, seconds)


def compute_half_width(differences, ratio):
    """Return half the width of the 95 % confidence interval of the mean.

    If the rounds share samples, `ratio` is the ratio of test samples to other samples, and the
    variance is that of Nadeau and Bengio (2003). Otherwise `ratio` is 0, which gives the
    variance of the t-test.
    """
    n = len(differences)
    variance = (1 / n + ratio) * np.var(differences, ddof=1)
    return student.ppf(0.975, n - 1) * np.sqrt(variance)


def measure(name, rounds, options, ratio):
    """Print one line of the table."""
    found = [compare_accuracies(*r[:4], {**options, "random_state": r[4]}) for r in rounds]
    raw, codes, seconds = np.array(found).T
    difference, half = codes - raw, compute_half_width(codes - raw, ratio)
    cells = [f"{raw.mean():.3f}", f"{codes.mean():.3f}", f"{difference.mean():+.3f}"]
    cells.append(f"{difference.mean() - half:+.3f} to {difference.mean() + half:+.3f}")
    print(f"| {' | '.join([name, *cells, f'{np.median(seconds):.0f}'])} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--rounds",
        type=int,
        default=10,
        choices=range(2, 11),
        metavar="N",
        help="number of rounds, 2 to 10; use 10 for published figures",
    )
    parser.add_argument(
        "--fashion-mnist",
        metavar="FOLDER",
        default=os.environ.get("FASHION_MNIST"),
        help="folder with its four .gz files (or environment variable FASHION_MNIST)",
    )
    options = parser.parse_args()
    print("| images | raw pixels | codes | difference | 95 % interval | CPU seconds per fit |")
    print("| --- | --- | --- | --- | --- | --- |")
    ratio = TEST_DIGITS / (load_digits().target.size - TEST_DIGITS)
    measure("digits", make_digit_rounds(options.rounds), OF_DIGITS, ratio)
    folder = options.fashion_mnist
    if folder is None or not (Path(folder) / "train-images-idx3-ubyte.gz").is_file():
        print("\nFashion-MNIST is skipped: its files were not found (see --fashion-mnist)")
        return
    measure("Fashion-MNIST", make_garment_rounds(options.rounds, folder), OF_GARMENTS, 0.0)


if __name__ == "__main__":
    main()
