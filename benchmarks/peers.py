"""What people do without this package: loops over images, as their libraries show them.

Each function returns a function without arguments that does the whole work once, or None
where its library is not installed.
"""

import functools
import importlib.util
import io
import warnings
from collections import deque

import numpy as np
import timm
import torch
from PIL import Image

from benchmarks.timing import seconds

NETWORK = "tf_efficientnet_lite0"
BATCHES = (1, 2, 4, 8, 16, 32)


def installed(*packages):
    return all(importlib.util.find_spec(package) for package in packages)


@functools.cache
def network():
    return timm.create_model(NETWORK, num_classes=0).eval()


@functools.cache
def transform():
    config = timm.data.resolve_model_data_config(network())
    return timm.data.create_transform(**config, is_training=False)


def timm_loop(paths, batch=32):
    """The loop that timm's documentation shows: decode, transform, batches, no_grad."""

    def run():
        parts = []
        with torch.no_grad():
            for start in range(0, len(paths), batch):
                images = [
                    Image.open(path).convert("RGB") for path in paths[start : start + batch]
                ]
                parts.append(network()(torch.stack([transform()(image) for image in images])))
        return torch.cat(parts).numpy()

    return run


def embetter_loop(paths):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embetter.vision import ImageLoader, TimmEncoder
    create = timm.create_model
    try:  # speed does not depend on the weights, and the hub may be out of reach
        timm.create_model = lambda name, pretrained, **options: create(name, **options)
        encoder = TimmEncoder(NETWORK)
    finally:
        timm.create_model = create
    return lambda: encoder.transform(ImageLoader().fit_transform(paths))


def decoding(paths):
    """Decode, scale and crop on one core."""
    config = timm.data.resolve_model_data_config(network())
    steps = timm.data.create_transform(**config, is_training=False).transforms[:2]

    def run():
        for path in paths:
            image = Image.open(path).convert("RGB")
            for step in steps:
                image = step(image)

    return run


@functools.cache
def onnx_bytes(batch):
    file = io.BytesIO()
    example = torch.zeros(batch, 3, 224, 224)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network(), (example,), file, input_names=["x"], opset_version=17, dynamo=False
        )
    return file.getvalue()


def openvino_loop(n):
    """Raw OpenVINO on n ready tensors, float32, at whichever batch is fastest here."""
    if not installed("openvino", "onnx"):
        return None
    return fastest(openvino_at, ready_tensors(n))


def openvino_at(batch, tensors):
    import openvino

    core = openvino.Core()
    model = core.read_model(onnx_bytes(batch))
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = core.compile_model(model, "CPU", hints)
    # Not AsyncInferQueue: its callbacks can wait for ever where a model is given back.
    n_requests = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = [compiled.create_infer_request() for _ in range(n_requests)]

    def run():
        results, running = [], deque()
        for start in range(0, len(tensors), batch):
            if len(running) == n_requests:
                results.append(result(running[0]))
                running.rotate(-1)
            else:
                running.append(requests[len(running)])
            running[-1].start_async([tensors[start : start + batch]], share_inputs=True)
        return results + [result(request) for request in running]

    def result(request):
        request.wait()
        return request.get_output_tensor(0).data.copy()

    return run


def onnxruntime_loop(n):
    """Raw ONNX Runtime on n ready tensors with its default settings, at its best batch."""
    if not installed("onnxruntime", "onnx"):
        return None
    return fastest(onnxruntime_at, ready_tensors(n))


def onnxruntime_at(batch, tensors):
    import onnxruntime

    session = onnxruntime.InferenceSession(
        onnx_bytes(batch), providers=["CPUExecutionProvider"]
    )
    starts = range(0, len(tensors), batch)
    return lambda: [session.run(None, {"x": tensors[i : i + batch]})[0] for i in starts]


def compiled_loop(batches, device):
    """torch.compile in bfloat16 on batches that lie on the device already."""
    module = timm.create_model(NETWORK, num_classes=0).eval().to(device, torch.bfloat16)
    module = torch.compile(module.to(memory_format=torch.channels_last))
    batches = [batch.bfloat16() for batch in batches]

    @torch.inference_mode()
    def run():
        return torch.cat([module(batch) for batch in batches]).float().cpu()

    return run


def skada_kmm(X, X_target, gamma, eps):
    """skada's kernel mean matching with its own solver on the same problem, else None."""
    if not installed("skada"):
        return None
    from skada._reweight import KMMReweightAdapter

    stacked = np.concatenate([X, X_target])
    sample_domain = np.repeat([1, -2], [len(X), len(X_target)])
    adapter = KMMReweightAdapter(gamma=gamma, eps=eps)
    return lambda: adapter.fit(stacked, sample_domain=sample_domain).source_weights_


def ready_tensors(n):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n - n % max(BATCHES), 3, 224, 224), dtype=np.float32)


def fastest(make, tensors):
    """The loop of the batch that takes least, of two tries each."""
    loops = [make(batch, tensors) for batch in BATCHES]
    times = [[seconds(loop) for _ in range(2)] for loop in loops]
    return loops[int(np.argmin([min(pair) for pair in times]))]
