"""Measure how many planted copies and wrong labels of photo crops are found.

python -m benchmarks.quality [--draws N]

Copies: of 300 crops, a third have one copy, in one of six ways. A pair counts as right only if
it is an original and its own copy. Labels: a tenth of 300 are replaced by other classes.
"""

import argparse
import io

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedFeatures, duplicate_groups, label_errors
from sklearn_transfer.datasets import load_photo_crops


def encode(picture, quality):
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def shrink(picture):
    return picture.resize((picture.width // 2, picture.height // 2))


def crop(picture, rng, share=0.95):
    """A window of a share of each side."""
    width, height = (round(side * share) for side in picture.size)
    x = int(rng.integers(picture.width - width + 1))
    y = int(rng.integers(picture.height - height + 1))
    return picture.crop((x, y, x + width, y + height))


def cut_margin(picture):
    """A picture without a twentieth of the side at each edge."""
    x, y = picture.width // 20, picture.height // 20
    return picture.crop((x, y, picture.width - x, picture.height - y))


WAYS = {
    "JPEG, quality 30": lambda picture, rng: encode(picture, 30),
    "half the size": lambda picture, rng: shrink(picture),
    "window of 95 %": crop,
    "inset of 5 %": lambda picture, rng: cut_margin(picture),
    "right edge of 5 %": lambda picture, rng: picture.crop(
        (0, 0, round(picture.width * 0.95), picture.height)
    ),
    "window, half, JPEG 50": lambda picture, rng: encode(shrink(crop(picture, rng)), 50),
}


def measure_copies(seed):
    """Recall and precision of pairs, and which ways were missed."""
    rng = np.random.default_rng(seed)
    images, _ = load_photo_crops(20, random_state=seed, return_X_y=True)
    pictures = [Image.fromarray(pixels) for pixels in images]
    rows, ways = rng.permutation(len(pictures))[:102], list(WAYS)
    copies = [WAYS[ways[i % len(ways)]](pictures[row], rng) for i, row in enumerate(rows)]
    planted = {(int(row), len(pictures) + i) for i, row in enumerate(rows)}
    found = set(map(tuple, duplicate_groups([*pictures, *copies]).pairs.tolist()))
    missed = [ways[(pair[1] - len(pictures)) % len(ways)] for pair in planted - found]
    right = len(planted & found)
    return right / len(planted), right / max(len(found), 1), missed


def measure_labels(seed):
    """Recall and precision of rows whose label was replaced."""
    rng = np.random.default_rng(seed)
    images, y = load_photo_crops(20, return_X_y=True)
    classes, rows = np.unique(y), rng.permutation(len(y))[: len(y) // 10]
    given = y.copy()
    for row in rows:
        given[row] = rng.choice(classes[classes != y[row]])
    model = make_pipeline(PretrainedFeatures(), LogisticRegression(max_iter=1000))
    found = label_errors(model, images, given, random_state=seed).rows
    right = np.isin(found, rows).sum()
    return right / len(rows), right / max(len(found), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(".")[0])
    parser.add_argument("--draws", type=int, default=3)
    for seed in range(20, 20 + parser.parse_args().draws):
        recall, precision, missed = measure_copies(seed)
        print(f"copies, draw {seed}: recall {recall:.3f}, precision {precision:.3f}", missed)
        recall, precision = measure_labels(seed)
        print(f"labels, draw {seed}: recall {recall:.3f}, precision {precision:.3f}")


if __name__ == "__main__":
    main()
