"""How accurate is a classifier with five images per class on a pretrained network?

Each of fifteen photos is a class, and the samples are random crops of these photos, shifted,
rotated and lit differently, stored as JPEG files in a folder. The classifier learns from five
crops per class and predicts the rest. The layer and the regularization are chosen using only
these five, and this is repeated five times with different crops (nested cross-validation).
Three kinds of features are compared: those of the pretrained network, those of the same
network with random weights, and raw pixels.

    python examples/quickstart.py [--folder FOLDER] [--output PICTURE]
"""

import argparse
import tempfile
import time
from functools import cache

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    StratifiedShuffleSplit,
    cross_validate,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops

LAYERS = ["middle", "deep", None]
SIDES = [8, 12, 16]
N_CLASSES, N_TRAIN, N_CROPS, N_SPLITS = 15, 5, 20, 5
RIGHT, WRONG, INK, MUTED = "#1a7f4b", "#c6303e", "#22262b", "#8a929c"
PATCH = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}


@cache
def load_thumbnail(path, side):
    with Image.open(path) as image:
        return np.asarray(image.resize((side, side), Image.Resampling.BOX)).ravel()


def load_raw_pixels(paths, side=16):
    return np.stack([load_thumbnail(path, side) for path in paths]) / 255.0


def run_nested_search(features, grid, paths, y):
    """Run a search within each split; return the test accuracies and the searches."""
    pipe = Pipeline(
        [
            ("features", features),
            ("scale", StandardScaler()),
            # A rotation to as many axes as there are training crops loses nothing, and with
            # this solver the classifier is fitted in a tenth of the time.
            ("rotate", PCA()),
            ("clf", LogisticRegression(solver="newton-cg")),
        ]
    )
    grid = {**grid, "clf__C": [0.1, 1, 10]}
    inner = StratifiedKFold(N_TRAIN, shuffle=True, random_state=0)
    search = GridSearchCV(pipe, grid, cv=inner)
    # For matrices as small as these, a single BLAS thread is faster than several.
    with threadpool_limits(1, "blas"):
        return cross_validate(search, paths, y, cv=make_outer_splits(), return_estimator=True)


def make_outer_splits():
    train_size = N_CLASSES * N_TRAIN
    return StratifiedShuffleSplit(N_SPLITS, train_size=train_size, random_state=0)


def compare(paths, y):
    """Return the name, accuracies, seconds and searches for each kind of features."""
    frozen, random = PretrainedFeatures(), PretrainedFeatures(weights=None)
    layers = {"features__layers": LAYERS}
    sides = {"features__kw_args": [{"side": side} for side in SIDES]}
    rows = []
    for name, features, grid in [
        ("frozen pretrained network", frozen, layers),
        ("same network, random weights", random, layers),
        ("raw pixels", FunctionTransformer(load_raw_pixels), sides),
    ]:
        start = time.perf_counter()
        if isinstance(features, PretrainedFeatures):
            features.precompute(paths, layers=LAYERS)
        result = run_nested_search(features, grid, paths, y)
        seconds = time.perf_counter() - start
        rows.append((name, result["test_score"], seconds, result["estimator"]))
    return rows


def print_table(rows, n_test):
    print(
        f"\n{N_CLASSES} photos, {N_TRAIN} training crops of each, {n_test} test crops in total"
    )
    print(f"\n{'features':<30}{'accuracy':>10}{'std':>9}{'seconds':>10}")
    print("-" * 59)
    for name, scores, seconds, _ in rows:
        print(f"{name:<30}{scores.mean():>10.3f}{scores.std():>9.3f}{seconds:>10.1f}")
    print(f"\nMean and standard deviation over {N_SPLITS} splits, with a search within each.")
    searches = [search for row in rows[:2] for search in row[-1]]
    n_fits = sum(s.n_splits_ * len(s.cv_results_["params"]) + 1 for s in searches)
    n_passes = PretrainedFeatures().cache_info().misses
    print(f"{n_fits} fits took {n_passes} forward passes: one per image and network.")


def draw(rows, paths, y, output):
    """Draw test crops of the hardest split with predictions, next to the comparison."""
    _, scores, _, searches = rows[0]
    hardest = np.argmin(scores)
    _, test = list(make_outer_splits().split(paths, y))[hardest]
    predicted = searches[hardest].predict(paths[test])
    figure = Figure(figsize=(13, 5.8), dpi=150, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    crops, bars = figure.subfigures(1, 2, width_ratios=[1.5, 1])
    draw_crops(crops, paths[test], y[test], predicted)
    draw_bars(bars, rows)
    figure.savefig(output)


def draw_crops(figure, paths, y, predicted):
    """Draw one test crop of each class, a misclassified one if there is any."""
    right = predicted == y
    figure.suptitle(
        f"Hardest of {N_SPLITS} splits: {right.sum()} of {len(y)} test crops recognized",
        color=INK,
        fontsize=14,
    )
    shown = [min(np.flatnonzero(y == label), key=right.take) for label in np.unique(y)]
    for ax, i in zip(figure.subplots(3, 5).flat, shown, strict=True):
        color = RIGHT if right[i] else WRONG
        with Image.open(paths[i]) as image:
            ax.imshow(image)
        ax.set(xticks=[], yticks=[])
        ax.set_title(predicted[i], color=color, fontsize=12, pad=5)
        ax.spines[:].set(color=color, linewidth=2)
        if not right[i]:
            ax.text(8, 148, f"true: {y[i]}", color=color, fontsize=11, bbox=PATCH)


def draw_bars(figure, rows):
    figure.suptitle("The gain from pretraining", color=INK, fontsize=14)
    ax = figure.subplots()
    for i, (name, scores, _, _) in enumerate(rows):
        mean, std = scores.mean(), scores.std()
        color = MUTED if i else RIGHT
        ax.barh(i, mean, xerr=std, height=0.36, color=color, ecolor=INK, capsize=4)
        ax.text(0, i - 0.26, name, color=INK, fontsize=12, va="bottom", bbox=PATCH)
        ax.text(mean + std + 0.025, i, f"{mean:.2f}", color=INK, fontsize=14, va="center")
    ax.axvline(1 / N_CLASSES, color=INK, linewidth=1, linestyle=":", zorder=0)
    ax.text(1 / N_CLASSES + 0.015, 2.42, "chance", color=INK, fontsize=10, va="center")
    ax.set(xlim=(0, 1.15), ylim=(2.55, -0.55), yticks=[], xticks=np.arange(0, 1.1, 0.2))
    ax.set_xlabel(f"accuracy, mean and standard deviation of {N_SPLITS} splits", color=INK)
    ax.tick_params(colors=INK)
    ax.spines[["left", "top", "right"]].set_visible(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--folder", help="folder in which to keep the crops (default: a temporary one)"
    )
    parser.add_argument(
        "--output", default="quickstart.png", help="file to which the picture is written"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        paths, y = load_photo_crops(N_CROPS, folder=folder, return_X_y=True)
        rows = compare(paths, y)
        print_table(rows, n_test=len(y) - N_CLASSES * N_TRAIN)
        draw(rows, paths, y, args.output)
    print(f"Picture: {args.output}")


if __name__ == "__main__":
    main()
