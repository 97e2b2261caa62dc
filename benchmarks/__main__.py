"""Print one table of ratios, medians of interleaved rounds on this machine.

python -m benchmarks [--rounds N] [--images N]
"""

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import sklearn
import timm
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops

NETWORK = "tf_efficientnet_lite0"
GRID = {"clf__C": np.logspace(-3, 1, 20)}


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ratio(ours, theirs, rounds):
    """Median of theirs / ours in interleaved rounds, with the smallest and the largest."""
    ours(), theirs()
    ratios = []
    for _ in range(rounds):
        mine = seconds(ours)
        ratios.append(seconds(theirs) / mine)
    return statistics.median(ratios), min(ratios), max(ratios)


def write_photos(folder, n):
    """JPEG files of 500 x 375 pixels, each unlike the others, and their classes."""
    images, y = load_photo_crops(-(-n // 15), size=500, return_X_y=True)
    paths = []
    for i, image in enumerate(images[:n]):
        paths.append(f"{folder}/{i}.jpg")
        Image.fromarray(image[:375]).save(paths[-1], quality=92)
    return paths, y[:n]


def timm_loop(paths):
    """The loop that timm's documentation shows: decode, transform, batches of 32."""
    module = timm.create_model(NETWORK, num_classes=0).eval()
    config = timm.data.resolve_model_data_config(module)
    transform = timm.data.create_transform(**config, is_training=False)

    def run():
        parts = []
        with torch.no_grad():
            for start in range(0, len(paths), 32):
                images = [
                    Image.open(path).convert("RGB") for path in paths[start : start + 32]
                ]
                parts.append(module(torch.stack([transform(image) for image in images])))
        return torch.cat(parts).numpy()

    return run


def search(features):
    steps = [("scale", StandardScaler()), ("clf", LogisticRegression(max_iter=200))]
    if features is not None:
        steps.insert(0, ("features", features))
    return GridSearchCV(Pipeline(steps), GRID, cv=5)


def benchmark_files(paths, rounds):
    uncached = PretrainedFeatures(cache=None).fit(paths[:1])
    return ratio(lambda: uncached.transform(paths), timm_loop(paths), rounds)


def benchmark_search(paths, y, rounds):
    """Both sides on one BLAS thread: more of them stall on matrices of this size."""

    def once_and_ready_matrix():
        matrix = PretrainedFeatures(cache=None).fit_transform(paths)
        search(None).fit(matrix, y)

    def inside_the_search():
        search(PretrainedFeatures().clear_cache()).fit(paths, y)

    with threadpool_limits(1, "blas"):
        return ratio(once_and_ready_matrix, inside_the_search, rounds)


def benchmark_import(rounds):
    def run(statement):
        return lambda: subprocess.run([sys.executable, "-c", statement], check=True)

    return ratio(run("import sklearn"), run("import sklearn_transfer"), rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=150, help="at least 75")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths, y = write_photos(folder, args.images)
        rows = [
            (
                "images/s from JPEG files, 500 x 375 (more is better)",
                "timm loop, batch 32",
                benchmark_files(paths, args.rounds),
            ),
            (
                "time of a grid search, 20 candidates x 5 folds (1 is ideal)",
                "one pass + search on the ready matrix",
                benchmark_search(paths, y, args.rounds),
            ),
            (
                "time of import sklearn_transfer (less is better)",
                "import sklearn",
                benchmark_import(args.rounds),
            ),
        ]
    print("| what | against | ratio (smallest to largest) |\n| --- | --- | --- |")
    for what, against, (median, low, high) in rows:
        print(f"| {what} | {against} | {median:.2f} ({low:.2f} to {high:.2f}) |")
    versions = f"torch {torch.__version__}, timm {timm.__version__}"
    versions += f", scikit-learn {sklearn.__version__}"
    print(
        f"\nMedians of {args.rounds} interleaved rounds, {args.images} images,"
        f" {torch.get_num_threads()} cores ({platform.machine()}), {versions}."
    )


if __name__ == "__main__":
    main()
