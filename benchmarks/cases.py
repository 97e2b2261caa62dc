"""The rows of the table: each case takes `Data` and returns rows."""

import functools
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from unittest import mock

import numpy as np
import torch
from joblib import Memory
from PIL import Image
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks import peers
from benchmarks.timing import Apart, Row, interleaved, quotients
from benchmarks.training import last_stage, whole_network
from sklearn_transfer import KMM, PretrainedFeatures
from sklearn_transfer._networks.folding import Observation
from sklearn_transfer._networks.registry import load_backbone
from sklearn_transfer.datasets import load_photo_crops

GRID = {"clf__C": np.logspace(-3, 1, 20)}


@dataclass
class Data:
    """JPEG files of 500 x 375 pixels, each unlike the others, and their classes."""

    paths: list
    y: np.ndarray
    rounds: int


def make_data(folder, n, rounds):
    images, y = load_photo_crops(-(-n // 15), size=500, return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))[:n]
    paths = []
    for i in order:
        paths.append(f"{folder}/{i}.jpg")
        Image.fromarray(images[i][:375]).save(paths[-1], quality=92)
    return Data(paths, y[order], rounds)


def pass_of(samples, **options):
    """One uncached pass over samples."""
    features = PretrainedFeatures(cache=None, **options).fit(samples[:1])
    return lambda: features.transform(samples)


def ready(data):
    """Arrays of 256 pixels, which the network's transform only crops, and of 224."""
    n = len(data.paths) - len(data.paths) % max(peers.BATCHES)
    loops = {
        "a raw OpenVINO loop": peers.openvino_loop(n),
        "a raw ONNX Runtime loop": peers.onnxruntime_loop(n),
    }
    rng = np.random.default_rng(0)
    functions = {
        size: pass_of(rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8))
        for size in (256, 224)
    }
    functions.update({name: loop for name, loop in loops.items() if loop})
    times = interleaved(functions, data.rounds)
    notes = {256: "only cropped", 224: "scaled to 256, then cropped"}
    aims = {(256, "a raw OpenVINO loop"): "at least 0.95"}
    return [
        Row.of(
            f"images/s from arrays of {size} x {size} ({notes[size]})",
            f"{name} on ready tensors, best batch",
            quotients(times[name], times[size]),
            aims.get((size, name), ""),
        )
        for size in (256, 224)
        for name in loops
        if name in times
    ]


def files(data):
    paths = data.paths
    n = len(paths) - len(paths) % max(peers.BATCHES)
    functions = {
        "ours": pass_of(paths),
        "torch": pass_of(paths, engine="torch"),
        "timm": Apart(peers.timm_loop, paths),
        "single": Apart(peers.timm_loop, paths, 1),
        "embetter": Apart(peers.embetter_loop, paths) if peers.installed("embetter") else None,
        "decoding": peers.decoding(paths[:n]),
        "openvino": peers.openvino_loop(n),
    }
    functions = {name: function for name, function in functions.items() if function}
    times = interleaved(functions, data.rounds)
    what = "images/s from JPEG files, 500 x 375"
    rows = [
        Row.of(what, against, quotients(times[name], times["ours"]), aim)
        for name, against, aim in [
            ("timm", "timm's loop, batch 32", "at least 4"),
            ("single", "one image at a time", ""),
            ("embetter", "embetter's TimmEncoder", ""),
        ]
        if name in times
    ]
    if "openvino" in times:
        cores = torch.get_num_threads()
        parts = zip(times["decoding"], times["openvino"], strict=True)
        bound = [len(paths) / n * (decode / cores + run) for decode, run in parts]
        against = "the bound of perfect overlap of decoding and OpenVINO"
        rows.insert(0, Row.of(what, against, quotients(bound, times["ours"]), "at least 0.9"))
    alone = quotients(times["torch"], times["ours"])
    rows.append(Row.of(what, "the same with PyTorch alone", alone))
    alone = quotients(times["timm"], times["torch"])
    rows.append(Row.of(f"{what}, PyTorch alone", "timm's loop, batch 32", alone, "at least 2"))
    return rows


def folding(data):
    """PyTorch with batch normalization folded into convolutions, against PyTorch without.

    Random weights: the time does not depend on them.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(data.paths), 256, 256, 3), dtype=np.uint8)
    rows = []
    for model in ("tf_efficientnet_lite0", "resnet18", "resnet50"):
        functions = {
            is_folded: _pass_of_torch(model, images, is_folded) for is_folded in (True, False)
        }
        times = interleaved(functions, data.rounds)
        what = f"images/s of {model} with PyTorch, normalization folded"
        ratios = quotients(times[False], times[True])
        aim = "at least 1.03" if model == "tf_efficientnet_lite0" else ""
        rows.append(Row.of(what, "not folded", ratios, aim))
    return rows


def _pass_of_torch(model, images, is_folded):
    """Return a pass with an engine that folds, or does not fold, batch normalization."""
    features = PretrainedFeatures(model, weights=None, engine="torch", cache=None)
    features.fit(images[:1])
    backbone = load_backbone(model, None)
    backbone.engines.clear()
    pairs = Observation.list_pairs if is_folded else lambda observation: []
    with mock.patch.object(Observation, "list_pairs", pairs):
        features.transform(images[:1])
    engines = backbone.engines.copy()
    assert all((engine.backbone is not backbone) == is_folded for engine in engines.values())

    def run():
        backbone.engines = engines
        features.transform(images)

    return run


def search(features, memory=None):
    steps = [("scale", StandardScaler()), ("clf", LogisticRegression(max_iter=200))]
    if features is not None:
        steps.insert(0, ("features", features))
    return GridSearchCV(Pipeline(steps, memory=memory), GRID, cv=5)


def grid_search(data):
    """On one BLAS thread each: more of them stall on matrices of this size."""
    paths, y = data.paths, data.y

    def once_and_ready_matrix():
        search(None).fit(PretrainedFeatures(cache=None).fit_transform(paths), y)

    def in_memory():
        search(PretrainedFeatures().clear_cache()).fit(paths, y)

    def on_disk():
        with tempfile.TemporaryDirectory() as folder:
            features = PretrainedFeatures(cache=folder)
            search(features).fit(paths, y)
            features.clear_cache()

    def second_run():
        search(kept).fit(paths, y)

    with threadpool_limits(1, "blas"), tempfile.TemporaryDirectory() as folder:
        kept = PretrainedFeatures(cache=folder).precompute(paths)
        functions = {
            "once": once_and_ready_matrix,
            "memory": in_memory,
            "disk": on_disk,
            "second": second_run,
        }
        times = interleaved(functions, data.rounds)
    what = f"time of a grid search, 20 candidates x 5 folds + refit, {len(paths)} images"
    against = "one pass + the search on the ready matrix"
    return [
        Row.of(f"{what}{more}", against, quotients(times[name], times["once"]), aim)
        for name, more, aim in [
            ("memory", "", "at most 1.05"),
            ("disk", ", folder as cache", "at most 1.05"),
            ("second", ", folder filled before", ""),
        ]
    ]


def joblib_memory(data):
    """`Pipeline(memory=)`, which keeps what training folds gave, on a hundred images."""
    split = {"train_size": 100, "stratify": data.y, "random_state": 0}
    paths, _, y, _ = train_test_split(data.paths, data.y, **split)

    def ours():
        search(PretrainedFeatures().clear_cache()).fit(paths, y)

    def joblibs():
        with tempfile.TemporaryDirectory() as folder:
            features = PretrainedFeatures(cache=None)
            search(features, memory=Memory(folder, verbose=0)).fit(paths, y)

    with threadpool_limits(1, "blas"):
        times = interleaved({"ours": ours, "joblib": joblibs}, 1)
    what = f"speed of that grid search on {len(paths)} images"
    ratios = quotients(times["joblib"], times["ours"])
    return [Row.of(what, "Pipeline(memory=) with an uncached extractor", ratios)]


_PEAK = """
import sys
from sklearn_transfer import PretrainedFeatures
folder, n, cache = sys.argv[1], int(sys.argv[2]), sys.argv[3]
paths = [f"{folder}/{i}.jpg" for i in range(n)]
features = PretrainedFeatures(input_size=64, cache=None if cache == "None" else cache)
output = features.fit_transform(paths)
# Not ru_maxrss: a child begins with the peak of its parent there.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024 - output.nbytes)
"""


def peak_memory(data):
    """Small inputs, for the number of files alone counts."""
    rng = np.random.default_rng(0)
    base = np.asarray(Image.open(data.paths[0]).resize((320, 240)))
    with tempfile.TemporaryDirectory() as folder:
        for i in range(20_000):
            y, x = rng.integers(0, 120, size=2)
            crop = Image.fromarray(base[y : y + 96, x : x + 128])
            crop.save(f"{folder}/{i}.jpg", quality=int(rng.integers(60, 95)))
        rows = []
        for cache, words in [("None", "no cache"), ("memory", "default cache")]:
            peaks = [_peak(folder, n, cache) for n in (20_000, 2_000)]
            what = f"peak memory beyond the output, 20,000 files, {words}"
            rows.append(Row.of(what, "2,000 files", [peaks[0] / peaks[1]], "at most 1.1"))
    return rows


def _peak(folder, n, cache):
    return int(_printed(_PEAK, folder, str(n), cache))


def _printed(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def imports(data):
    def run(statement):
        return lambda: subprocess.run([sys.executable, "-c", statement], check=True)

    functions = {
        "ours": run("import sklearn_transfer"),
        "sklearn": run("import sklearn"),
    }
    times = interleaved(functions, data.rounds)
    ratios = quotients(times["ours"], times["sklearn"])
    return [Row.of("time of import sklearn_transfer", "import sklearn", ratios, "at most 1.1")]


def hashing(data):
    """Digests of files that are read anew, and of arrays of 224 pixels."""
    from sklearn_transfer._store.digests import digest_array

    images = [np.asarray(Image.open(path).resize((224, 224))) for path in data.paths]
    contents = [open(path, "rb").read() for path in data.paths]  # noqa: SIM115
    functions = {
        "arrays": lambda: [digest_array(image) for image in images],
        "files": lambda: [digest_array(content) for content in contents],
        "pass": pass_of(images),
    }
    times = interleaved(functions, data.rounds)
    return [
        Row.of(
            f"time of hashing {name}",
            "a pass through the network",
            quotients(times[name], times["pass"]),
            "at most 0.02",
        )
        for name in ("arrays", "files")
    ]


def gpu(data, device="cuda"):
    """bfloat16 against a raw compiled loop over tensors that are on the device already."""
    if device == "cuda" and not torch.cuda.is_available():
        return []
    rng = np.random.default_rng(0)
    n, size = 16 * len(data.paths), 64
    arrays = rng.integers(0, 256, (n, 256, 256, 3), dtype=np.uint8)
    batches = [
        torch.randn(size, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
        for _ in range(n // size)
    ]
    ours = functools.partial(pass_of, arrays[: size * len(batches)], device=device)
    functions = {
        "bfloat16": ours(precision="bfloat16", engine="torch"),
        "float32": ours(engine="torch"),
        "compiled": peers.compiled_loop(batches, device),
    }
    times = interleaved(functions, data.rounds)
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return [
        Row.of(
            f"images/s from arrays on {name}, {precision}",
            "a raw compiled bfloat16 loop on tensors there",
            quotients(times["compiled"], times[precision]),
        )
        for precision in ("bfloat16", "float32")
    ]


def kernel_mean_matching(data):
    """Kernels included; a target one standard deviation away in one of 64 features."""
    n = 4000
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(n, 64)), rng.normal(size=(n, 64))
    X_target[:, 0] += 1
    kmm = KMM().fit(X, X_target=X_target)
    with config_context():  # importing skada changes scikit-learn's configuration
        theirs = peers.skada_kmm(X, X_target, kmm.gamma_, 1 / np.sqrt(n))
        if theirs is None:
            return []
        functions = {"ours": lambda: kmm.fit(X, X_target=X_target), "skada": theirs}
        times = interleaved(functions, data.rounds)
        left = [_distance(x, X, X_target, kmm.gamma_) for x in (kmm.solution_, theirs())]
    what, against = f"KMM, n = m = {n}, 64 features", "skada's KMM"
    speed = quotients(times["skada"], times["ours"])
    return [
        Row.of(f"speed of {what}, gap 1e-6", against, speed, "at least 4"),
        Row.of(f"objective of {what}, from 0", against, [left[0] / left[1]], "below 1"),
    ]


_LARGE = """
import numpy as np
from sklearn_transfer import KMM
rng = np.random.default_rng(0)
X, X_target = rng.normal(size=(100_000, 64)), rng.normal(size=(100_000, 64))
X_target[:, 0] += 1
kmm = KMM(random_state=0).fit(X, X_target=X_target)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024**2, kmm.dual_gap_)
"""


def large_kernel_mean_matching(data):
    """Five minutes on two cores: the gap is that of the exact kernel."""
    peak, gap = (float(word) for word in _printed(_LARGE).split())
    what = "KMM, n = m = 100,000, 64 features"
    return [
        Row.of(f"peak memory of {what}", "4 GiB", [peak / 4], "below 1"),
        Row.of(f"gap of {what}", "its objective", [gap]),
    ]


def _distance(x, X, X_target, gamma):
    """Objective on a scale where perfect agreement of source and target is 0."""
    K, k = rbf_kernel(X, gamma=gamma), rbf_kernel(X, X_target, gamma=gamma).mean(axis=1)
    target = rbf_kernel(X_target, gamma=gamma).mean()
    return x @ K @ x / len(x) ** 2 - 2 * x @ k / len(x) + target


CASES = {
    "ready": ready,
    "files": files,
    "folding": folding,
    "search": grid_search,
    "joblib": joblib_memory,
    "memory": peak_memory,
    "import": imports,
    "hashing": hashing,
    "kmm": kernel_mean_matching,
    "kmm-large": large_kernel_mean_matching,
    "last-stage": last_stage,
    "whole-network": whole_network,
    "gpu": gpu,
}
