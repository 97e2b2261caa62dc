"""Scores of `rank_backbones` against accuracies: `python -m benchmarks.scores`.

Layers of pretrained networks, and the same with random weights as controls, on crops of
photos and, given the folder with its files, on Fashion-MNIST. Of each score the table shows
Kendall's tau with the accuracy of a logistic regression in 5 folds. "leep" and "nce" rate
networks, so they are compared on embeddings alone.
"""

import argparse
import gzip
import os
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau
from sklearn.model_selection import StratifiedKFold

from sklearn_transfer import PretrainedFeatures, rank_backbones
from sklearn_transfer.datasets import load_photo_crops

NETWORKS = [f"tf_efficientnet_lite{i}" for i in range(3)]
LAYERS = ["shallow", "middle", "deep", None]
SCORES = ["logme", "h_score", "gbc", "leep", "nce"]
OF_NETWORKS = {"leep", "nce"}


def photos(n_per_class):
    """Crops in noise, so that no network is right everywhere."""
    return load_photo_crops(n_per_class, size=96, shift="noisy", return_X_y=True)


def garments(folder, n, part="train"):
    """The first n images of a part of Fashion-MNIST, "train" or "t10k", and their classes."""
    content = [
        gzip.decompress((Path(folder) / f"{part}-{name}-ubyte.gz").read_bytes())
        for name in ("images-idx3", "labels-idx1")
    ]
    images = np.frombuffer(content[0], np.uint8, offset=16).reshape(-1, 28, 28)
    return images[:n], np.frombuffer(content[1], np.uint8, offset=8)[:n]


def ranked(X, y, score, cv=None, layers=LAYERS):
    """Candidates with a score, those with random weights too, by name and layer."""
    models = [*NETWORKS, *(PretrainedFeatures(name, weights=None) for name in NETWORKS)]
    found = rank_backbones(models, X, y, layers=layers, score=score, cv=cv)
    return {(row.name, row.layer): row for row in found.candidates}


def measure(X, y):
    """Table of the candidates, then of the agreement of scores and accuracies."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    rows = {score: ranked(X, y, score) for score in SCORES if score not in OF_NETWORKS}
    truth = ranked(X, y, "logme", cv=folds)
    rows |= {
        score: ranked(X, y, score, layers=[None]) for score in SCORES if score in OF_NETWORKS
    }
    print(f"| network | layer | accuracy | {' | '.join(SCORES)} |")
    print(f"| --- | --- | --- {'| --- ' * len(SCORES)}|")
    for key, row in sorted(truth.items(), key=lambda item: -item[1].cv_mean):
        scores = [rows[s][key].score if key in rows[s] else np.nan for s in SCORES]
        cells = " | ".join("" if np.isnan(v) else f"{v:.4g}" for v in scores)
        print(f"| {' | '.join(key)} | {row.cv_mean:.3f} | {cells} |")
    print("\n| Kendall's tau | without random weights | with them |")
    print("| --- | --- | --- |")
    for score in SCORES:
        real = [key for key in rows[score] if "random" not in key[0]]
        taus = [agreement(rows[score], truth, keys) for keys in (real, list(rows[score]))]
        print(f"| {score} | {' | '.join(taus)} |")


def agreement(rows, truth, keys):
    """Kendall's tau over some candidates, and how many these are."""
    scores, accuracies = [rows[k].score for k in keys], [truth[k].cv_mean for k in keys]
    return f"{kendalltau(scores, accuracies).statistic:.2f} of {len(keys)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--crops", type=int, default=12, help="crops of each photo")
    parser.add_argument("--garments", type=int, default=1000, help="images of Fashion-MNIST")
    parser.add_argument(
        "--fashion-mnist",
        metavar="FOLDER",
        default=os.environ.get("FASHION_MNIST"),
        help="folder with train-images-idx3-ubyte.gz (or environment variable FASHION_MNIST)",
    )
    options = parser.parse_args()
    print(f"\nPhoto crops in noise, {options.crops} of each of 15 photos\n")
    measure(*photos(options.crops))
    folder = options.fashion_mnist
    if folder is None or not (Path(folder) / "train-images-idx3-ubyte.gz").is_file():
        print("\nFashion-MNIST: left out, its files are not there (see --fashion-mnist)")
        return
    print(f"\nFashion-MNIST, {options.garments} images\n")
    measure(*garments(folder, options.garments))


if __name__ == "__main__":
    main()
