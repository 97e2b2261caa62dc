"""Features learned without labels against raw pixels: `python -m benchmarks.self_taught`.

Ten labels a class. The same classifier, StandardScaler and LogisticRegression, gets pixels or
codes of an autoencoder that has learned from the other samples, without their labels; neither
sees test rows before they are scored. On scikit-learn's digits, drawn anew from the same 1797
for each seed, and, given the folder with its files, on disjoint blocks of Fashion-MNIST.
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

from benchmarks.scores import garments
from sklearn_transfer import AutoencoderFeatures

N_LABELS = 10
# Chosen on other draws of digits, and on images of the training set of Fashion-MNIST.
OF_DIGITS = {
    "n_components": 256,
    "mask": 0.5,
    "hidden": (512,),
    "max_epochs": 60,
    "preprocess": None,
}
OF_GARMENTS = {"n_components": 64, "max_epochs": 20, "input_size": 16}
TEST_DIGITS, TEST_GARMENTS, GARMENTS = 500, 1000, 3000


def digit_rounds(n_rounds):
    """(X, y, test rows, other rows, random_state) of each round."""
    X, y = load_digits(return_X_y=True)
    for seed in range(n_rounds):
        rows = np.random.default_rng(seed).permutation(len(X))
        yield X, y, rows[:TEST_DIGITS], rows[TEST_DIGITS:], seed


def garment_rounds(n_rounds, folder):
    """The same from images that no other round has, so that rounds are independent."""
    X, y = garments(folder, n_rounds * GARMENTS)
    X_test, y_test = garments(folder, n_rounds * TEST_GARMENTS, "t10k")
    for seed in range(n_rounds):
        others = slice(seed * GARMENTS, (seed + 1) * GARMENTS)
        test = slice(seed * TEST_GARMENTS, (seed + 1) * TEST_GARMENTS)
        images = np.concatenate([X[others], X_test[test]])
        labels = np.concatenate([y[others], y_test[test]])
        rows = np.arange(len(images))
        yield images, labels, rows[GARMENTS:], rows[:GARMENTS], seed


def compared(X, y, test, others, options):
    """Accuracy on test rows from pixels and from codes, and seconds of CPU to learn these."""
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


def half_width(differences, ratio):
    """Of the 95 % interval of the mean; `ratio` of test to other rows where rounds share rows.

    With sharing the variance is that of Nadeau and Bengio (2003), else that of the t-test.
    """
    n = len(differences)
    variance = (1 / n + ratio) * np.var(differences, ddof=1)
    return student.ppf(0.975, n - 1) * np.sqrt(variance)


def measure(name, rounds, options, ratio):
    """One line of the table."""
    found = [compared(*r[:4], {**options, "random_state": r[4]}) for r in rounds]
    raw, codes, seconds = np.array(found).T
    difference, half = codes - raw, half_width(codes - raw, ratio)
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
        help="2 to 10; 10 for a claim",
    )
    parser.add_argument(
        "--fashion-mnist",
        metavar="FOLDER",
        default=os.environ.get("FASHION_MNIST"),
        help="folder with its four .gz files (or environment variable FASHION_MNIST)",
    )
    options = parser.parse_args()
    print("| images | raw pixels | codes | difference | 95 % interval | CPU s a fit |")
    print("| --- | --- | --- | --- | --- | --- |")
    ratio = TEST_DIGITS / (load_digits().target.size - TEST_DIGITS)
    measure("digits", digit_rounds(options.rounds), OF_DIGITS, ratio)
    folder = options.fashion_mnist
    if folder is None or not (Path(folder) / "train-images-idx3-ubyte.gz").is_file():
        print("\nFashion-MNIST: left out, its files are not there (see --fashion-mnist)")
        return
    measure("Fashion-MNIST", garment_rounds(options.rounds, folder), OF_GARMENTS, 0.0)


if __name__ == "__main__":
    main()
