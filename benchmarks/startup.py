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
    "one job": _SEARCH.format(n_jobs=1),
    "two jobs": _SEARCH.format(n_jobs=2),
}


def run_program(name, folder, n, cache="unused"):
    """Return seconds and megabytes of a program in a process of its own."""
    program = _START + PROGRAMS[name] + _END
    environment = {**os.environ, "SKLEARN_TRANSFER_HOME": os.path.join(folder, "home")}
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
