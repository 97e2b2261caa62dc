"""Compare bfloat16 with float32; run `python -m benchmarks.precision --data FOLDER`.

For each network whose weights are installed with a package, the table shows by how much rows
of features differ, relative to the norm of a row, and the accuracy of a logistic regression on
held samples, as means over ten halves of each data set. The images are crops of photos,
Fashion-MNIST and textiles, and the texts are short ones of three domains (see
`benchmarks.shifts` and `benchmarks.texts`, which fetch them).
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.shifts import (
    fetch_packages,
    locate_default_folder,
    read_garments,
    read_textiles,
)
from benchmarks.texts import fetch_archive, load_sentiment
from sklearn_transfer import PretrainedFeatures, PretrainedTextFeatures
from sklearn_transfer.datasets import load_photo_crops

IMAGE_NETWORKS = [f"tf_efficientnet_lite{i}" for i in range(3)]
TEXT_NETWORKS = ["all-MiniLM-L6-v2"]
PRECISIONS = ("float32", "bfloat16")
DOMAINS = ("tweets", "films", "products")


def load_images(folder, n):
    """Return n images and their classes of each data set, by name."""
    sets = {
        "photos": load_photo_crops(n // 15, return_X_y=True),
        "garments": read_garments(folder),
        "textiles": read_textiles(folder),
    }
    return {name: draw_rows(X, y, n) for name, (X, y) in sets.items()}


def draw_rows(X, y, n):
    if len(y) <= n:
        return np.asarray(X), np.asarray(y)
    rows = train_test_split(np.arange(len(y)), train_size=n, stratify=y, random_state=0)[0]
    return np.asarray(X)[rows], np.asarray(y)[rows]


def load_texts(folder):
    """Return texts and their signs of each domain, by name."""
    sets = {}
    for domain in DOMAINS:
        train, y, test, y_test = load_sentiment(domain, folder=folder)
        sets[domain] = ([*train, *test], np.concatenate([y, y_test]))
    return sets


def compare(make, X, y):
    """Return relative differences of rows, and accuracies by precision."""
    features = {name: make(name).fit_transform(X) for name in PRECISIONS}
    exact, rounded = (features[name].astype(float) for name in PRECISIONS)
    errors = np.linalg.norm(rounded - exact, axis=1) / np.linalg.norm(exact, axis=1)
    splits = StratifiedShuffleSplit(10, test_size=0.5, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    accuracies = {
        name: cross_val_score(model, features[name], y, cv=splits) for name in PRECISIONS
    }
    return errors, accuracies


def print_row(network, name, errors, accuracies):
    middle, largest = np.median(errors), errors.max()
    means = [100 * accuracies[precision].mean() for precision in PRECISIONS]
    cells = " | ".join(f"{mean:.1f}" for mean in means)
    row = f"| {network} | {name} | {len(errors)} | {middle:.1%} | {largest:.1%} | {cells}"
    print(f"{row} | {means[1] - means[0]:+.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=None, metavar="FOLDER")
    parser.add_argument("--samples", type=int, default=500, help="images of each data set")
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = options.data or locate_default_folder() / "data"
    fetch_packages(folder)
    fetch_archive(folder)
    print(
        "| network | data | samples | difference of a row, median | largest | accuracy,"
        " float32 | bfloat16 | points |"
    )
    print("| --- " * 8 + "|")
    images, texts = load_images(folder, options.samples), load_texts(folder)
    for networks, kind, sets in [
        (TEXT_NETWORKS, PretrainedTextFeatures, texts),
        (IMAGE_NETWORKS, PretrainedFeatures, images),
    ]:
        for network in networks:
            for name, (X, y) in sets.items():

                def make(precision, kind=kind, network=network):
                    chosen = {"engine": options.engine, "precision": precision}
                    return kind(network, cache=None, **chosen)

                print_row(network, name, *compare(make, X, y))


if __name__ == "__main__":
    main()
