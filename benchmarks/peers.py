"""Do the same work without this package, as the documentation of other libraries shows.

Each function with a name like `make_*` returns a function without arguments that does the
whole work once, or None if the library is not installed.
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

from benchmarks.timing import measure_seconds

NETWORK = "tf_efficientnet_lite0"
BATCHES = (1, 2, 4, 8, 16, 32)


def is_installed(*packages):
    return all(importlib.util.find_spec(package) for package in packages)


@functools.cache
def load_network():
    return timm.create_model(NETWORK, num_classes=0).eval()


@functools.cache
def load_transform():
    config = timm.data.resolve_model_data_config(load_network())
    return timm.data.create_transform(**config, is_training=False)


def make_timm_loop(paths, batch=32):
    """Make the loop of timm's documentation: decode, transform, and run in batches."""

    def run():
        parts = []
        with torch.no_grad():
            for start in range(0, len(paths), batch):
                images = [
                    Image.open(path).convert("RGB") for path in paths[start : start + batch]
                ]
                parts.append(
                    load_network()(torch.stack([load_transform()(image) for image in images]))
                )
        return torch.cat(parts).numpy()

    return run


def make_embetter_loop(paths):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embetter.vision import ImageLoader, TimmEncoder
    create = timm.create_model
    try:  # speed does not depend on the weights, which may be impossible to download
        timm.create_model = lambda name, pretrained, **options: create(name, **options)
        encoder = TimmEncoder(NETWORK)
    finally:
        timm.create_model = create
    return lambda: encoder.transform(ImageLoader().fit_transform(paths))


def make_sentence_transformers_loop(texts):
    """Make the call of sentence-transformers' documentation, on PyTorch with its defaults."""
    from sentence_transformers import SentenceTransformer

    from sklearn_transfer._networks.text_sources import find_packaged_folder

    model = SentenceTransformer(str(find_packaged_folder("all-MiniLM-L6-v2")), device="cpu")
    return lambda: model.encode(texts, show_progress_bar=False)


def make_whisper_loop(sounds):
    """Make a loop of transformers' feature extractor and encoder, on our default weights."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    from sklearn_transfer._networks.registry import load_backbone

    backbone = load_backbone("whisper-tiny.en", "pretrained", device="cpu", modality="audio")
    sizes = {"d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6}
    sizes |= {"encoder_ffn_dim": 1536, "decoder_layers": 1, "decoder_ffn_dim": 8}
    encoder = WhisperModel(WhisperConfig(**sizes)).encoder.eval()
    encoder.load_state_dict(backbone.module.state_dict())
    extractor = WhisperFeatureExtractor()

    def run():
        with torch.inference_mode():
            for start in range(0, len(sounds), 8):
                batch = sounds[start : start + 8]
                inputs = extractor(batch, sampling_rate=16000, return_tensors="pt")
                encoder(inputs.input_features)

    return run


def make_decoding(paths):
    """Make a loop that decodes, scales and crops on one core."""
    config = timm.data.resolve_model_data_config(load_network())
    steps = timm.data.create_transform(**config, is_training=False).transforms[:2]

    def run():
        for path in paths:
            image = Image.open(path).convert("RGB")
            for step in steps:
                image = step(image)

    return run


@functools.cache
def export_onnx(batch):
    file = io.BytesIO()
    example = torch.zeros(batch, 3, 224, 224)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            load_network(), (example,), file, input_names=["x"], opset_version=17, dynamo=False
        )
    return file.getvalue()


def make_openvino_loop(n, precision="f32"):
    """Make a raw OpenVINO loop over n prepared float32 tensors, at the fastest batch size.

    By itself OpenVINO computes in bfloat16 ("bf16") on CPUs with instructions for it.
    """
    if not is_installed("openvino", "onnx"):
        return None
    make = functools.partial(compile_openvino_loop, precision=precision)
    return choose_fastest(make, draw_tensors(n))


def compile_openvino_loop(batch, tensors, precision):
    import openvino

    core = openvino.Core()
    model = core.read_model(export_onnx(batch))
    hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = core.compile_model(model, "CPU", hints)
    # AsyncInferQueue is not used: its callbacks can block forever when a model is released.
    n_requests = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = [compiled.create_infer_request() for _ in range(n_requests)]

    def run():
        results, running = [], deque()
        for start in range(0, len(tensors), batch):
            if len(running) == n_requests:
                results.append(get_result(running[0]))
                running.rotate(-1)
            else:
                running.append(requests[len(running)])
            running[-1].start_async([tensors[start : start + batch]], share_inputs=True)
        return results + [get_result(request) for request in running]

    def get_result(request):
        request.wait()
        return request.get_output_tensor(0).data.copy()

    return run


def make_onnxruntime_loop(n):
    """Make a raw ONNX Runtime loop with default settings, at the fastest batch size."""
    if not is_installed("onnxruntime", "onnx"):
        return None
    return choose_fastest(compile_onnxruntime_loop, draw_tensors(n))


def compile_onnxruntime_loop(batch, tensors):
    import onnxruntime

    session = onnxruntime.InferenceSession(
        export_onnx(batch), providers=["CPUExecutionProvider"]
    )
    starts = range(0, len(tensors), batch)
    return lambda: [session.run(None, {"x": tensors[i : i + batch]})[0] for i in starts]


def make_compiled_loop(batches, device):
    """Make a loop of torch.compile in bfloat16 over batches that are on the device."""
    module = timm.create_model(NETWORK, num_classes=0).eval().to(device, torch.bfloat16)
    module = torch.compile(module.to(memory_format=torch.channels_last))
    batches = [batch.bfloat16() for batch in batches]

    @torch.inference_mode()
    def run():
        return torch.cat([module(batch) for batch in batches]).float().cpu()

    return run


def make_skada_kmm(X, X_target, gamma, eps):
    """Make a fit of skada's kernel mean matching, with its own solver, to the same problem."""
    if not is_installed("skada"):
        return None
    from skada._reweight import KMMReweightAdapter

    stacked = np.concatenate([X, X_target])
    sample_domain = np.repeat([1, -2], [len(X), len(X_target)])
    adapter = KMMReweightAdapter(gamma=gamma, eps=eps)
    return lambda: adapter.fit(stacked, sample_domain=sample_domain).source_weights_


def draw_tensors(n):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n - n % max(BATCHES), 3, 224, 224), dtype=np.float32)


def choose_fastest(make, tensors):
    """Return the loop for the batch size with the shortest time in two tries."""
    loops = [make(batch, tensors) for batch in BATCHES]
    times = [[measure_seconds(loop) for _ in range(2)] for loop in loops]
    return loops[int(np.argmin([min(pair) for pair in times]))]
