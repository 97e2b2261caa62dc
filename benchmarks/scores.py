"""Compare scores of `rank_backbones` with accuracies; run `python -m benchmarks.scores`.

The candidates are layers of pretrained networks and, as controls, layers of the same networks
with random weights. The data are crops of photos and, if the folder with its files is given,
Fashion-MNIST. For each score, the table shows Kendall's tau between the score and the accuracy
of a logistic regression in 5 folds. "leep" and "nce" rate whole networks, so they are compared
on embeddings only.
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


def load_photos(n_per_class):
    """Return noisy crops, so that no network classifies all of them correctly."""
    return load_photo_crops(n_per_class, size=96, shift="noisy", return_X_y=True)


def load_garments(folder, n, part="train"):
    """Return n images of Fashion-MNIST, from "train" or "t10k", and their classes."""
    content = [
        gzip.decompress((Path(folder) / f"{part}-{name}-ubyte.gz").read_bytes())
        for name in ("images-idx3", "labels-idx1")
    ]
    images = np.frombuffer(content[0], np.uint8, offset=16).reshape(-1, 28, 28)
    return images[:n], np.frombuffer(content[1], np.uint8, offset=8)[:n]


def rank_candidates(X, y, score, cv=None, layers=LAYERS):
    """Score pretrained and random networks; return the candidates by name and layer."""
    models = [*NETWORKS, *(PretrainedFeatures(name, weights=None) for name in NETWORKS)]
    found = rank_backbones(models, X, y, layers=layers, score=score, cv=cv)
    return {(row.name, row.layer): row for row in found.candidates}


def measure(X, y):
    """Print a table of the candidates, then how well scores agree with accuracies."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    rows = {
        score: rank_candidates(X, y, score) for score in SCORES if score not in OF_NETWORKS
    }
    truth = rank_candidates(X, y, "logme", cv=folds)
    rows |= {
        score: rank_candidates(X, y, score, layers=[None])
        for score in SCORES
        if score in OF_NETWORKS
    }
    print(f"| network | layer | accuracy | {' | '.join(SCORES)} |")
    print(f"| --- | --- | --- {'| --- ' * len(SCORES)}|")
    for key, row in sorted(truth.items(), key=lambda item: -item[1].cv_mean):
        scores = [rows[s][key].score if key in rows[s] else np.nan for s in SCORES]
        cells = " | ".join("" if np.isnan(v) else f"{v:.4g}" for v in scores)
        print(f"| {' | '.join(key)} | {row.cv_mean:.3f} | {cells} |")
    print("\n| Kendall's tau | without random weights | with random weights |")
    print("| --- | --- | --- |")
    for score in SCORES:
        real = [key for key in rows[score] if "random" not in key[0]]
        taus = [
            measure_agreement(rows[score], truth, keys) for keys in (real, list(rows[score]))
        ]
        print(f"| {score} | {' | '.join(taus)} |")


def measure_agreement(rows, truth, keys):
    """Return Kendall's tau over the candidates in `keys`, and their number."""
    scores, accuracies = [rows[k].score for k in keys], [truth[k].cv_mean for k in keys]
    return f"{kendalltau(scores, accuracies).statistic:.2f} of {len(keys)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--crops", type=int, default=12, help="number of crops of each photo")
    parser.add_argument(
        "--garments", type=int, default=1000, help="number of images of Fashion-MNIST"
    )
    parser.add_argument(
        "--fashion-mnist",
        metavar="FOLDER",
        default=os.environ.get("FASHION_MNIST"),
        help="folder with train-images-idx3-ubyte.gz (or environment variable FASHION_MNIST)",
    )
    options = parser.parse_args()
    print(f"\nNoisy crops of photos, {options.crops} of each of 15 photos\n")
    measure(*load_photos(options.crops))
    folder = options.fashion_mnist
    if folder is None or not (Path(folder) / "train-images-idx3-ubyte.gz").is_file():
        print("\nFashion-MNIST is skipped: its files were not found (see --fashion-mnist)")
        return
    print(f"\nFashion-MNIST, {options.garments} images\n")
    measure(*load_garments(folder, options.garments))


if __name__ == "__main__":
    main()
