"""Time and memory of fresh processes: cached features, first new image, searches."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.timing import Row, divide
from sklearn_transfer.datasets import load_photo_crops

N_FILES = 500
_START = """
import json, os, re, sys, time
folder, n = sys.argv[1], int(sys.argv[2])
paths = [os.path.join(folder, f"{i}.jpg") for i in range(n)]
start = time.perf_counter()
"""
_END = """
seconds = time.perf_counter() - start
# `getrusage` counts what the parent held when it started this process.
memory = int(re.search(r"VmRSS:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps([seconds, memory]))
"""
_FEATURES = """
import sklearn.linear_model
from sklearn_transfer import PretrainedFeatures
"""
# How long importing and decoding take, at the same time and one after the other; the other
# work of a first process follows.
_DECODING = """
{before}
from sklearn_transfer._networks.machine import count_cores
from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._process.threads import Threads
from sklearn_transfer import PretrainedFeatures
spec = ImageSpec((224, 224), (256, 256), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
reader = spec.reader(PretrainedFeatures())
with Threads(count_cores()) as pool:
    found = pool.map(lambda path: reader.prepare(reader.read(path)[1]), paths)
    {after}
    list(found)
"""
_SEARCH = """
import numpy as np
import sklearn.linear_model
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_transfer import PretrainedFeatures
features = PretrainedFeatures(cache=os.path.join(folder, sys.argv[3]))
model = make_pipeline(features, StandardScaler(), sklearn.linear_model.LogisticRegression())
grid = {{"logisticregression__C": [0.01, 0.1]}}
GridSearchCV(model, grid, cv=3, n_jobs={n_jobs}).fit(paths, np.arange(n) % 2)
"""
PROGRAMS = {
    "scikit-learn": "import sklearn.linear_model",
    "reading": (
        "import sklearn.linear_model\n"
        "for path in paths:\n    with open(path, 'rb') as file:\n        file.read()"
    ),
    "cached": _FEATURES + 'PretrainedFeatures(cache=folder + "/cache").fit_transform(paths)',
    "new": _FEATURES + "PretrainedFeatures(cache=None).fit_transform(paths[:1])",
    "torch": _FEATURES
    + 'PretrainedFeatures(cache=None, engine="torch").fit_transform(paths[:1])',
    "first": _FEATURES + "PretrainedFeatures(cache=None).fit_transform(paths)",
    "together": _DECODING.format(before="", after="import torch, timm"),
    "in turn": _DECODING.format(before="import torch, timm", after=""),
    "two layers": _FEATURES
    + 'PretrainedFeatures(layers=[None, "middle"], cache=None).fit_transform(paths[:1])',
    "one layer": _FEATURES
    + 'PretrainedFeatures(layers="middle", cache=None).fit_transform(paths[:1])',
    "one job": _SEARCH.format(n_jobs=1),
    "two jobs": _SEARCH.format(n_jobs=2),
}


def run_program(name, folder, n, cache="unused", home="home"):
    """Return seconds and megabytes of a program in a process of its own."""
    program = _START + PROGRAMS[name] + _END
    home = home if home == "0" else os.path.join(folder, home)
    environment = {**os.environ, "SKLEARN_TRANSFER_HOME": home}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, folder, str(n), cache],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path(__file__).parents[1],
    )
    return json.loads(done.stdout.splitlines()[-1])


def write_files(folder, n):
    """Write JPEG files of 500 x 375 pixels, all of them different."""
    images = load_photo_crops(-(-n // 15), size=500, return_X_y=True)[0]
    for i in range(n):
        Image.fromarray(images[i][:375]).save(f"{folder}/{i}.jpg", quality=92)


def measure_startup(data):
    """Measure processes that find features in a folder, or a graph of an earlier process."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(folder, N_FILES)
        for name in ("cached", "new"):  # what later processes find
            run_program(name, folder, N_FILES)
        names = ("scikit-learn", "reading", "cached", "new", "torch")
        found = {name: [] for name in names}
        for _ in range(data.rounds):
            for name in names:
                found[name].append(run_program(name, folder, N_FILES))
    seconds = {name: [pair[0] for pair in pairs] for name, pairs in found.items()}
    memory = {name: [pair[1] for pair in pairs] for name, pairs in found.items()}
    more = np.subtract(seconds["new"], seconds["scikit-learn"]).tolist()
    return [
        Row.from_ratios(
            f"time of a fresh process, {N_FILES} cached files to features",
            "import sklearn.linear_model + reading the files",
            divide(seconds["cached"], seconds["reading"]),
            "at most 1.5",
        ),
        Row.from_ratios(
            "seconds of a fresh process until the first new image, graph stored",
            "beyond import sklearn.linear_model",
            more,
            "at most 1",
        ),
        Row.from_ratios(
            "time of a fresh process until the first new image, graph stored",
            "the same with PyTorch",
            divide(seconds["new"], seconds["torch"]),
        ),
        Row.from_ratios(
            "resident memory of that process",
            "the same with PyTorch",
            divide(memory["new"], memory["torch"]),
            "at most 0.5",
        ),
    ]


def measure_first_run(data):
    """Measure the first process that uses a network, and one that asks for other layers.

    The first row tells whether it would pay to decode files while libraries are imported. It
    does not (-3 % on two cores): the threads wait for Python's lock, and keep the importing
    one waiting; the 1.1 s of decoding are divided among the cores anyway. Digests of the files
    take 0.05 s. Nor does it pay to switch the garbage collector off meanwhile: its collections
    (0.6 s) are only put off, and half of them would remain after a single one (8 %).
    """
    seconds = {name: [] for name in ("first", "together", "in turn", "part", "anew")}
    with tempfile.TemporaryDirectory() as folder:
        write_files(folder, N_FILES)
        for home in ("part", "anew"):
            run_program("two layers", folder, 1, home=home)
        for _ in range(data.rounds):
            for name in ("first", "together", "in turn"):
                seconds[name].append(run_program(name, folder, N_FILES, home="0")[0])
            for path in Path(folder, "anew").rglob("*.graph"):
                path.unlink()
            for home in ("part", "anew"):
                seconds[home].append(run_program("one layer", folder, 1, home=home)[0])
    saved = np.subtract(seconds["in turn"], seconds["together"])
    return [
        Row.from_ratios(
            f"share of a first process, {N_FILES} files, saved by decoding during imports",
            "the process as it is",
            (saved / seconds["first"]).tolist(),
            "built from 0.1 on",
        ),
        Row.from_ratios(
            "time of a fresh process until the first new image, graph of more layers stored",
            "the same without that graph",
            divide(seconds["part"], seconds["anew"]),
        ),
    ]


def measure_search_startup(data):
    """Measure searches from an empty folder, in which workers begin with the graph stored."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_files(folder, 1000)
        run_program("new", folder, 1)
        for n, aim in ((100, "at most 2.5"), (1000, "at most 0")):
            more = []
            for number in range(min(data.rounds, 3)):
                pair = [
                    run_program(name, folder, n, f"{n} {number} {name}")[0]
                    for name in ("one job", "two jobs")
                ]
                more.append(pair[1] - pair[0])
            what = f"more seconds of a search with n_jobs=2, {n} files, empty folder"
            rows.append(Row.from_ratios(what, "n_jobs=1", more, aim))
    return rows
