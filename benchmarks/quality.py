"""Measure how many planted copies and wrong labels are found.

python -m benchmarks.quality [--draws N] [--fashion-mnist FOLDER] [--photos FOLDER] [--many N]
    [--json FILE]

Copies: a third of the pictures have one copy, in one of six ways. A copy counts as found if it
is in the group of its original, and a pair as right if both are versions of one original.
Labels: a tenth of 300 are replaced by other classes. `--many` measures time and memory.
"""

import argparse
import gzip
import io
import json
import time
from pathlib import Path

import numpy as np
import psutil
import skimage
from PIL import Image, ImageFilter
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline

from benchmarks.__main__ import describe_machine
from sklearn_transfer import PretrainedFeatures, duplicate_groups, label_errors
from sklearn_transfer.datasets import load_photo_crops

DETAIL = 4  # gray levels of deviation of what a blur takes away


def encode(picture, quality):
    file = io.BytesIO()
    picture.convert("RGB").save(file, "jpeg", quality=quality)
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


def add_copies(pictures, rng, share=1 / 3):
    """Pictures and copies of some of them, and the number of the original of each."""
    rows, ways = rng.permutation(len(pictures))[: int(len(pictures) * share)], list(WAYS)
    copies = [WAYS[ways[i % len(ways)]](pictures[row], rng) for i, row in enumerate(rows)]
    return [*pictures, *copies], np.concatenate([np.arange(len(pictures)), rows])


def score_copies(result, origins):
    """Recall of copies, precision of pairs, and the ways in which copies were missed."""
    ways = list(WAYS)
    copies = np.arange(origins.max() + 1, len(origins))  # behind the originals
    is_found = result.groups[copies] == result.groups[origins[copies]]
    is_right = origins[result.pairs[:, 0]] == origins[result.pairs[:, 1]]
    missed = [ways[i % len(ways)] for i in np.flatnonzero(~is_found)]
    return float(is_found.mean()), float(is_right.mean()) if len(is_right) else 1.0, missed


def measure_copies(name, pictures, seed, photos=None):
    """A row of the table for pictures of which a third are copied.

    `photos` has for each the number of the photo that it is a window of.
    """
    samples, origins = add_copies(pictures, np.random.default_rng(seed))
    result = duplicate_groups(samples)
    recall, precision, missed = score_copies(result, origins)
    counts = {way: missed.count(way) for way in WAYS if way in missed}
    row = {"what": f"copies: {name}", "samples": len(samples)}
    row = {**row, "recall": recall, "precision": precision, "missed": counts}
    if photos is not None:
        first, second = np.asarray(photos)[origins][result.pairs.T]
        row["pairs of two photos"] = int((first != second).sum())
    return row


def measure_leaks(pictures, seed):
    """Leaks that a random split has by its plan, and those that are reported."""
    rng = np.random.default_rng(seed)
    samples, origins = add_copies(pictures, rng)
    is_test = rng.random(len(samples)) < 0.3
    leaking = np.flatnonzero(is_test & np.isin(origins, origins[~is_test]))
    result = duplicate_groups(samples)
    found = result.find_leaks(~is_test, is_test).test_row
    y = origins % 2
    by_groups = StratifiedGroupKFold(5).split(samples, y, result.groups)
    left = sum(len(np.intersect1d(origins[a], origins[b])) for a, b in by_groups)
    return {
        "what": "leaks of a random split",
        "samples": len(samples),
        "recall": float(np.isin(leaking, found).mean()),
        "precision": float(np.isin(found, leaking).mean()),
        "originals divided by five folds by groups": int(left),
    }


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
    row = {"what": f"labels: photo crops, draw {seed}", "samples": len(y)}
    return {
        **row,
        "recall": float(right / len(rows)),
        "precision": float(right / max(len(found), 1)),
    }


def load_crops(n_per_class, seed, size=160):
    images = load_photo_crops(n_per_class, size=size, random_state=seed, return_X_y=True)[0]
    return [Image.fromarray(pixels) for pixels in images]


def load_garments(folder, n):
    data = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)
    rows = np.random.default_rng(1).permutation(len(images))[:n]
    return [Image.fromarray(images[row]) for row in rows]


def load_faces():
    """Faces and other windows of 25 x 25 pixels, from scikit-image."""
    images = np.load(Path(skimage.__file__).parent / "data" / "lfw_subset.npy")
    return [Image.fromarray((image * 255).astype(np.uint8)) for image in images]


def has_detail(picture):
    gray = picture.convert("L").resize((64, 64), Image.Resampling.BOX)
    blurred = gray.filter(ImageFilter.GaussianBlur(4))
    return (np.asarray(gray, float) - np.asarray(blurred, float)).std() >= DETAIL


def is_one_of(photo, seen):
    """Whether a photo is one of several that came with the same folder; it is noted."""
    gray = np.asarray(photo.convert("L").resize((32, 32)), float)
    gray = (gray - gray.mean()) / gray.std()
    seen.append(gray)
    return any((gray * other).mean() > 0.95 for other in seen[:-1])


def cut_windows(folder, n, size=160):
    """Windows without overlap of all JPEG files of a folder, with detail and without.

    A photo that the folder has in several sizes is taken once.
    """
    rng, windows, seen = np.random.default_rng(0), [], []  # with the numbers of their photos
    for path in sorted(Path(folder).rglob("*.jpg")):
        with Image.open(path) as photo:
            photo.draft("RGB", (1600, 1600))
            photo = photo.convert("RGB")
        if is_one_of(photo, seen):
            continue
        photo.thumbnail((1600, 1600))
        windows += [
            (len(seen), photo.crop((x, y, x + size, y + size)))
            for x in range(0, photo.width - size + 1, size)
            for y in range(0, photo.height - size + 1, size)
        ]
    windows = [windows[row] for row in rng.permutation(len(windows))]
    detailed = [pair for pair in windows if has_detail(pair[1])][:n]
    return detailed, [pair for pair in windows if not has_detail(pair[1])][: n // 3]


def measure_many(n):
    """Time and memory for many windows of photos as JPEG files in memory."""
    samples, origins = add_copies(
        load_crops(n * 3 // 60, 3, size=96), np.random.default_rng(0)
    )
    files = []
    for picture in samples:
        file = io.BytesIO()
        picture.save(file, "jpeg", quality=92)
        files.append(file.getvalue())
    del samples
    process = psutil.Process()
    before, start, cpu = process.memory_info().rss, time.perf_counter(), time.process_time()
    result = duplicate_groups(files)
    row = {
        "what": "many images",
        "samples": len(files),
        "recall": score_copies(result, origins)[0],
    }
    return {
        **row,
        "seconds": time.perf_counter() - start,
        "seconds of processor": time.process_time() - cpu,
        "MB more at the end": (process.memory_info().rss - before) / 2**20,
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition(".")[0])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument(
        "--fashion-mnist", type=Path, default=Path("/usr/share/datasets/fashion-mnist")
    )
    parser.add_argument("--photos", type=Path, help="folder of JPEG files")
    parser.add_argument("--many", type=int, default=0, help="number of images, such as 10000")
    parser.add_argument("--json", type=Path, help='file whose entry "quality" is replaced')
    return parser.parse_args()


def iterate_rows(arguments):
    seeds = range(20, 20 + arguments.draws)
    for seed in seeds:
        yield measure_copies(f"photo crops, draw {seed}", load_crops(20, seed), seed)
    yield measure_leaks(load_crops(20, 23), 23)
    yield measure_copies("faces of 25 x 25 pixels", load_faces(), 0)
    digits = load_digits().images[:600] * 255 / 16
    digits = [Image.fromarray(digit.astype(np.uint8)) for digit in digits]
    yield measure_copies("digits of 8 x 8 pixels", digits, 0)
    if arguments.fashion_mnist.exists():
        garments = load_garments(arguments.fashion_mnist, 600)
        yield measure_copies("garments of 28 x 28 pixels", garments, 0)
    if arguments.photos is not None:
        names = "windows of other photos", "windows of them with little detail"
        for name, windows in zip(names, cut_windows(arguments.photos, 600), strict=True):
            photos, pictures = zip(*windows, strict=True)
            yield measure_copies(name, pictures, 0, photos)
    for seed in seeds:
        yield measure_labels(seed)
    if arguments.many:
        yield measure_many(arguments.many)


def main():
    arguments, rows = parse_arguments(), []
    for row in iterate_rows(arguments):
        figures = {k: f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items()}
        print(", ".join(f"{name} {value}" for name, value in figures.items()), flush=True)
        rows.append(row)
    if arguments.json:
        stored = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        stored["quality"] = {"machine": describe_machine(), "rows": rows}
        arguments.json.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
