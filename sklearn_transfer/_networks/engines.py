"""How a frozen network is run: PyTorch, OpenVINO or ONNX Runtime, to the same numbers."""

import ctypes
import functools
import importlib.util
import os
import tempfile
import warnings
import weakref
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import torch

from sklearn_transfer._networks.folding import Observation, fold_batch_norms
from sklearn_transfer._networks.registry import trim_registry
from sklearn_transfer._networks.taps import forward
from sklearn_transfer._process.allocator import keep_memory, return_memory
from sklearn_transfer._process.forks import Turn, run_at_fork
from sklearn_transfer._process.locks import Lock
from sklearn_transfer._process.threads import run_apart
from sklearn_transfer._validation import import_optional

# Packages, the fastest first, and the extra of this package that brings each.
_COMPILED = {"openvino": "cpu", "onnxruntime": "onnx"}
_TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-1}
_FOLD_TOLERANCE = 1e-5
_ENGINES_KEPT = 4  # for each network

# The exporter keeps its settings in globals of the process.
_exporting = Lock()

# Elements of the largest activation of a batch: beyond 16 MB, a CPU's caches miss and
# glibc maps and unmaps memory at every operation.
_ACTIVATION_ELEMENTS = 4 << 20
_LARGEST_BATCH = 64
# Input elements a batch where activations are not known, and on a GPU.
_INPUT_ELEMENTS = (4 * 3 * 224 * 224, 64 * 3 * 224 * 224)

_OPSET = 17


def resolve_engine(engine, precision, backbone):
    """Name of the engine that a value of the parameter `engine` means for a network.

    "auto" is the fastest one installed for a library's network on a CPU, else torch.
    Raises ImportError where one that is named is not installed, and ValueError where it
    does not run on the device or in the precision.
    """
    on_cpu = backbone.device.type == "cpu"
    if engine == "auto":
        if backbone.stateful or not on_cpu:
            return "torch"
        fitting = [name for name in _COMPILED if _runs(name, precision) and _installed(name)]
        return fitting[0] if fitting else "torch"
    if engine in _COMPILED:
        for package in (engine, "onnx"):
            import_optional(package, _COMPILED[engine], f"engine={engine!r}")
        if not on_cpu:
            raise ValueError(
                f"engine={engine!r} runs on the CPU, but device={str(backbone.device)!r}; use"
                " engine='torch', or device='cpu'"
            )
        if not _runs(engine, precision):
            raise ValueError(
                f"engine={engine!r} has no precision={precision!r} on a CPU; use 'openvino' or"
                " 'torch'"
            )
    return engine


def _runs(name, precision):
    return precision == "float32" or name != "onnxruntime"


@functools.cache
def _installed(name):
    return all(importlib.util.find_spec(package) for package in (name, "onnx"))


def make_engine(name, precision, backbone, taps, scaling, payload):
    """Engine for payloads of one shape and dtype; the same one for all equal requests.

    `scaling` is the (mean, std) that turn uint8 pixels (height, width, channels) into the
    network's input, or None where payloads are that input already.
    """
    key = (name, precision, tuple(taps), scaling, payload.shape, payload.dtype.str)
    key += (torch.get_num_threads(),)
    with backbone.engines_lock:
        _forget_forked(backbone)
        is_new = key not in backbone.engines
        if is_new:
            plan = Plan(backbone, taps, scaling, precision, payload.shape, payload.dtype)
            backbone.engines[key], problem = run_apart(_make, name, plan)
            if problem:
                warnings.warn(problem, UserWarning, stacklevel=2)
            while len(backbone.engines) > _ENGINES_KEPT:
                backbone.engines.popitem(last=False)
        backbone.engines.move_to_end(key)
        engine = backbone.engines[key]
    if is_new:
        trim_registry()
        return_memory()
    return engine


def _forget_forked(backbone):
    """Drop engines of a parent process, whose threads a child of fork does not have."""
    if backbone.engines and next(iter(backbone.engines.values())).process != os.getpid():
        backbone.engines.clear()


def _make(name, plan):
    """Engine, and in one line why it is not the one that was asked for, if it is not."""
    if name == "torch":
        return TorchEngine(plan), None
    kind = {"openvino": OpenVINOEngine, "onnxruntime": ONNXRuntimeEngine}[name]
    noise = plan.noise(2)
    expected = plan.forward(torch.from_numpy(noise), precision="float32")
    try:
        with _exporting:
            engine = kind(plan)
        plan.check(engine.run(noise), expected)
    except Exception as error:  # whatever an exporter or compiler trips on
        reason = str(error).strip().partition("\n")[0][:200]
        return TorchEngine(plan), (
            f"{name} cannot run {plan.backbone.label} ({type(error).__name__}: {reason});"
            " PyTorch runs it, with the same features; engine='torch' silences this"
        )
    return engine, None


def as_input(batch, scaling):
    """Network input from stacked payloads: pixels are scaled, all else is input already."""
    if scaling is None:
        return batch
    options = {"dtype": torch.float32, "device": batch.device}
    mean, std = (torch.tensor(values, **options) for values in scaling)
    # In this order OpenVINO need not move a value: its convolutions take channels last.
    return batch.float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)


class Plan:
    """What an engine is to compute: payloads in, pooled activations out."""

    def __init__(self, backbone, taps, scaling, precision, shape, dtype):
        self.backbone, self.taps, self.scaling = backbone, taps, scaling
        self.precision, self.shape, self.dtype = precision, shape, dtype
        self.n_threads = torch.get_num_threads()

    @property
    def input_shape(self):
        """Shape of one sample as the network takes it."""
        return self.shape if self.scaling is None else (self.shape[2], *self.shape[:2])

    def to_input(self, batch):
        """Network input from stacked payloads."""
        batch = as_input(batch, self.scaling)
        # A user's own code may ask for `view`.
        return batch.contiguous() if self.backbone.stateful else batch

    def forward(self, batch, backbone=None, precision=None):
        backbone = self.backbone if backbone is None else backbone
        return forward(backbone, self.taps, self.to_input(batch), precision or self.precision)

    def noise(self, n_rows):
        """Deterministic random payloads."""
        rng = np.random.default_rng(0)
        if self.dtype == np.uint8:
            return rng.integers(0, 256, (n_rows, *self.shape), dtype=np.uint8)
        return rng.standard_normal((n_rows, *self.shape), dtype=np.float32)

    def check(self, found, expected):
        """Raise ArithmeticError unless an engine gave what PyTorch gives."""
        for tap, ours, theirs in zip(self.taps, found, expected, strict=True):
            difference = _difference(ours, theirs.cpu().numpy())
            if not difference <= _TOLERANCE[self.precision]:
                raise ArithmeticError(f"{tap.label} differs from PyTorch by {difference:.1e}")


def _difference(a, b):
    """Largest norm-wise relative difference over rows."""
    if a.shape != b.shape:
        return np.inf
    scale = np.maximum(np.linalg.norm(b, axis=1), np.finfo(np.float32).tiny)
    return (np.linalg.norm(a - b, axis=1) / scale).max()


def _agree(found, expected, tolerance):
    return all(
        _difference(a.cpu().numpy(), b.cpu().numpy()) <= tolerance
        for a, b in zip(found, expected, strict=True)
    )


class TorchEngine:
    """PyTorch: channels-last, folded normalisation, batches that fit into caches.

    A user's own module may keep state: it runs as it is, one pass at a time.
    """

    name = "torch"
    n_copies = 1  # of the weights, at most

    def __init__(self, plan):
        self.plan, self.backbone, self.process = plan, plan.backbone, os.getpid()
        self.device = plan.backbone.device
        self.on_cpu = self.device.type == "cpu"
        elements = _INPUT_ELEMENTS[not self.on_cpu]
        self.rows = min(max(elements // max(np.prod(plan.shape, dtype=int), 1), 1), 1024)
        self.independent = True
        self.n_workers = plan.n_threads if self.on_cpu else 1
        if self.backbone.stateful:
            self.n_workers = 1
            return
        self._observe()
        if self.on_cpu:
            keep_memory()

    def _observe(self):
        """Passes of noise: fold normalisation, see how large activations are."""
        plan = self.plan
        noise = torch.from_numpy(plan.noise(2)).to(self.device)
        together = plan.forward(noise, precision="float32")
        noise = noise[:1]
        with Observation(plan.backbone.module, noise) as seen:
            expected = plan.forward(noise, precision="float32")
        tolerance = _TOLERANCE["float32"]
        self.independent = _agree([rows[:1] for rows in together], expected, tolerance)
        if self.on_cpu:
            self.rows = min(max(_ACTIVATION_ELEMENTS // seen.largest, 1), _LARGEST_BATCH)
        pairs = seen.pairs()
        if pairs:
            folded = replace(
                plan.backbone, module=fold_batch_norms(plan.backbone.module, pairs)
            )
            found = plan.forward(noise, folded, precision="float32")
            # A convolution may itself be tapped, as the last layer of a named module.
            if _agree(found, expected, _FOLD_TOLERANCE):
                self.backbone = folded

    def rows_of(self, batch_size):
        """Rows a batch for a value of the parameter `batch_size`.

        One where rows depend on each other, as under batch-norm without running statistics.
        """
        if not self.independent:
            return 1
        return self.rows if batch_size == "auto" else batch_size

    def run(self, payloads):
        """Pooled activations, one (n, width) float32 array a tap."""
        batch = torch.from_numpy(np.stack(payloads))
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        batch = batch.to(self.device, non_blocking=True)
        outputs = self.plan.forward(batch, self.backbone)
        return [output.cpu().numpy() for output in outputs]


class _CompiledEngine:
    """A compiled graph that takes one image at a time, on one core a worker.

    Features of an image are therefore the same bits whatever is beside it.
    """

    rows = 2  # images handed to a worker at once

    def rows_of(self, batch_size):
        return self.rows if batch_size == "auto" else min(self.rows, batch_size)

    def __init__(self, plan):
        self.plan, self.process = plan, os.getpid()
        self.n_workers = plan.n_threads
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            path = os.path.join(folder, "network.onnx")
            _export(plan, path)
            self.compile(path, plan.precision)

    def run(self, payloads):
        """Pooled activations, one (n, width) float32 array a tap."""
        rows = self.infer([np.ascontiguousarray(payload[None]) for payload in payloads])
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]


class OpenVINOEngine(_CompiledEngine):
    """OpenVINO, a stream to each core."""

    name = "openvino"
    n_copies = 2  # of the weights: its model's, and those in the order of its kernels
    used_in = None  # the process, since OpenVINO hangs in a child forked after its use

    def compile(self, path, precision):
        import openvino

        if OpenVINOEngine.used_in not in (None, os.getpid()):
            raise RuntimeError("not in a process that was forked from one that used it")
        OpenVINOEngine.used_in = os.getpid()
        _openvino_engines.add(self)
        core = openvino.Core()
        hints = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "NUM_STREAMS": self.n_workers,
            "INFERENCE_NUM_THREADS": self.n_workers,
            # Processes side by side would all be pinned to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        self.compiled = core.compile_model(core.read_model(path), "CPU", hints)
        self.idle = []  # requests that may be used again, since making one takes a while

    def infer(self, inputs):
        """Outputs of each input; all wait at once, so that no core waits for the next."""
        requests = [self._request() for _ in inputs]
        with ExitStack() as stack:  # which waits for all, also where one fails
            for request, batch in zip(requests, inputs, strict=True):
                stack.callback(request.wait)
                request.start_async([batch], share_inputs=True)
        n_outputs = range(len(self.plan.taps))
        rows = [[r.get_output_tensor(i).data.copy() for i in n_outputs] for r in requests]
        self.idle += requests
        return rows

    def _request(self):
        try:
            return self.idle.pop()
        except IndexError:
            return self.compiled.create_infer_request()


_openvino_engines = weakref.WeakSet()


def _leak_engines():
    """Leak engines of the parent: OpenVINO aborts a child in which they are destroyed."""
    for engine in _openvino_engines:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))


run_at_fork(Turn.ENGINES, in_child=_leak_engines)


class ONNXRuntimeEngine(_CompiledEngine):
    """ONNX Runtime, a session that each worker runs on one core."""

    name = "onnxruntime"
    n_copies = 1

    def compile(self, path, precision):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(path, options, providers=providers)

    def infer(self, inputs):
        return [self.session.run(None, {"payload": batch}) for batch in inputs]


class _Graph(torch.nn.Module):
    """A plan as a module, for the exporter."""

    def __init__(self, plan):
        super().__init__()
        self.plan, self.module = plan, plan.backbone.module

    def forward(self, batch):
        return tuple(self.plan.forward(batch, precision="float32"))


def _export(plan, path):
    """Write the graph of one image up to the deepest tap.

    By the older exporter of torch.onnx, which takes 0.4 s for the default network, where the
    one on torch.export takes 5.
    """
    example = torch.from_numpy(plan.noise(1))
    _know_rms_norm()
    with warnings.catch_warnings(), _plain_attention(), _silent_exporter():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Graph(plan).eval(),  # the exporter puts it back into the mode that it had
            (example,),
            path,
            input_names=["payload"],
            opset_version=_OPSET,
            do_constant_folding=False,
            dynamo=False,
        )


@contextmanager
def _plain_attention():
    """No fused operator in torch.nn.MultiheadAttention, which ONNX does not know."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@functools.cache
def _know_rms_norm():
    """Tell the exporter what root mean square normalisation is, which it lacks at opset 17."""
    from torch.onnx import register_custom_op_symbolic, symbolic_helper

    @symbolic_helper.parse_args("v", "is", "v", "f")
    def rms_norm(g, x, shape, weight, eps):
        eps = torch.finfo(torch.float32).eps if eps is None else eps
        axes = [-1 - i for i in range(len(shape))]
        square = g.op("ReduceMean", g.op("Mul", x, x), axes_i=axes)
        floor = g.op("Constant", value_t=torch.tensor(eps, dtype=torch.float32))
        normed = g.op("Div", x, g.op("Sqrt", g.op("Add", square, floor)))
        return normed if weight.node().mustBeNone() else g.op("Mul", normed, weight)

    register_custom_op_symbolic("aten::rms_norm", rms_norm, _OPSET)


@contextmanager
def _silent_exporter():
    """Keep the exporter from printing its graph when it fails, as it means to (torch 2.15)."""
    name = "_jit_set_onnx_log_enabled"
    before = getattr(torch._C, name, None)
    if before is not None:
        setattr(torch._C, name, lambda enabled: None)
    try:
        yield
    finally:
        if before is not None:
            setattr(torch._C, name, before)
