"""From what a user calls a network to a record that the later stages work with."""

import copy
import importlib
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from numbers import Integral

import torch

from sklearn_transfer._validation import did_you_mean
from sklearn_transfer.extraction import _torchvision, _weights
from sklearn_transfer.extraction._digests import digest
from sklearn_transfer.extraction._inputs import InputSpec

# Networks kept for later fits, in bytes of parameters; the newest always stays.
_REGISTRY_BYTES = 2 << 30
_registry = OrderedDict()
_registry_lock = threading.RLock()


@dataclass(frozen=True)
class Stage:
    """One depth of a network that `layers` can name by word or index."""

    name: str
    channels: int | None = None
    reduction: int | None = None


@dataclass(eq=False)
class Backbone:
    """A network ready for use, shared by all estimators that ask for the same one.

    `module` is a private copy in evaluation mode whose parameters never change.
    `embedding`, `final_map` and `logits` are (module name, "input" or "output") where a
    hook finds them, or None in a timm network, whose own methods return them.
    """

    label: str
    origin: str
    module: torch.nn.Module
    stages: tuple
    spec: InputSpec | None = None
    embedding: tuple | None = None
    final_map: tuple | None = None
    logits: tuple | None = None
    has_classifier: bool = True
    auto_pooling: str = "avg"
    prefix_tokens: int = 0
    class_token: bool = False
    channels_last_maps: bool = False
    weights_sha256: str = ""
    digest: bytes = b""
    device: torch.device | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    learned: set = field(default_factory=set, repr=False)
    widths: dict = field(default_factory=dict, repr=False)
    last_shape: tuple | None = None

    @property
    def is_timm(self):
        return self.embedding is None

    @property
    def n_bytes(self):
        return sum(p.numel() * p.element_size() for p in self.module.parameters())


def load_backbone(
    model, weights, *, input_size=None, random_state=0, device="auto", n_features_in=3
):
    """Record of the network that the parameters of an extractor describe.

    Built once a process for equal parameters and content; `n_features_in` reaches a
    factory. Raises ValueError for unknown names and weights that do not fit, and
    FileNotFoundError where weights cannot be had.
    """
    size = _checked_size(input_size)
    place = _resolve_device(device)
    key = (
        _model_key(model, n_features_in),
        _weights_key(weights),
        size,
        random_state,
        str(place),
    )
    with _registry_lock:
        if key not in _registry:
            with _seeded(random_state), torch.inference_mode(False):
                backbone = _build(model, weights, size, n_features_in)
                _registry[key] = _finish(backbone, model, place)
            _trim_registry()
        _registry.move_to_end(key)
        return _registry[key]


def clear_registry():
    """Forget all networks; those in use stay with their users."""
    with _registry_lock:
        _registry.clear()


def _trim_registry():
    total = sum(backbone.n_bytes for backbone in _registry.values())
    while total > _REGISTRY_BYTES and len(_registry) > 1:
        total -= _registry.popitem(last=False)[1].n_bytes


def _model_key(model, n_features_in):
    if isinstance(model, str):
        return model
    if isinstance(model, torch.nn.Module):
        return digest(model)
    return (digest(model), n_features_in)


def _weights_key(weights):
    if weights is None or weights == "pretrained":
        return weights
    if isinstance(weights, Mapping):
        return digest(dict(weights))
    path = os.path.realpath(os.fspath(weights))
    try:
        status = os.stat(path)
    except OSError:
        return path
    return (path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@contextmanager
def _seeded(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _checked_size(input_size):
    if input_size is None:
        return None
    pair = (input_size,) * 2 if isinstance(input_size, Integral) else tuple(input_size)
    if len(pair) != 2 or not all(isinstance(v, Integral) and v > 0 for v in pair):
        raise ValueError(
            f"input_size={input_size!r}: expected pixels as an int or (height, width)"
        )
    return (int(pair[0]), int(pair[1]))


def _resolve_device(device):
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} is not to be had here ({str(error).splitlines()[0]});"
            " use 'auto', 'cpu' or 'cuda'"
        ) from error
    return place


def _build(model, weights, size, n_features_in):
    if not isinstance(model, str):
        return _build_from_object(model, weights, size, n_features_in)
    if model.startswith("torchvision/"):
        return _build_torchvision(model.removeprefix("torchvision/"), weights, size)
    if model.startswith(("hf-hub:", "hf_hub:")):
        return _build_hub(model, weights, size)
    return _build_timm(model, weights, size)


def _finish(backbone, model, place):
    """Private copy in its final state: evaluation mode, float32, in place, digested."""
    module = backbone.module.float().eval().requires_grad_(False)
    sha256 = _weights.state_dict_digest(module.state_dict())
    structure = model if isinstance(model, str) else digest(module)
    module = module.to(device=place).to(memory_format=torch.channels_last)
    key = digest(structure, sha256, backbone.spec and backbone.spec.size)
    return replace(backbone, module=module, weights_sha256=sha256, digest=key, device=place)


def _build_timm(name, weights, size):
    timm = importlib.import_module("timm")
    arch = timm.models.get_arch_name(name)
    if not timm.is_model(arch):
        raise ValueError(_unknown_model(name, timm.list_models()))
    config = timm.models.get_pretrained_cfg(arch)
    if name != arch:
        _check_tag(timm, name, arch)
        config = timm.models.get_pretrained_cfg(name)
    options = {}
    if size is not None and config is not None and config.fixed_input_size:
        options["img_size"] = size
    if weights is None:
        module = timm.create_model(name, pretrained=False, **options)
        return _timm_record(module, name, "random weights", size)
    origin, state_dict = _find_timm_weights(timm, name, weights, config)
    if state_dict is None:
        module = timm.create_model(name, pretrained=True, **options)
        return _timm_record(module, name, origin, size)
    overlay = {"state_dict": state_dict, "custom_load": False}
    if weights != "pretrained":
        options["num_classes"] = _n_classes(state_dict, config, overlay)
    with _misfit(name, origin):
        module = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, **options
        )
    module.pretrained_cfg.pop("state_dict", None)
    return _timm_record(module, name, origin, size)


def _unknown_model(name, known):
    names = [*known, *(f"torchvision/{other}" for other in _torchvision.names())]
    return (
        f"model={name!r} is no network that timm or torchvision knows."
        f"{did_you_mean(name, names)} List them with timm.list_models('*resnet*');"
        " those of torchvision are written 'torchvision/alexnet'"
    )


def _check_tag(timm, name, arch):
    known = [f"{arch}.{tag}" for tag in timm.models.get_arch_pretrained_cfgs(arch)]
    tagged = timm.list_pretrained(f"{arch}.*")
    if name not in tagged and name not in known:
        raise ValueError(
            f"model={name!r}: {arch} has no weights of that tag, only"
            f" {', '.join(tagged) or 'none'}.{did_you_mean(name, tagged)}"
        )


def _find_timm_weights(timm, name, weights, config):
    """Where the weights are, and the state dict, or None if timm has to download them."""
    if weights != "pretrained":
        return _origin_of(weights), _weights.read_weights(weights)
    state_dict = _weights.packaged_weights(name)
    if state_dict is not None:
        return f"package {_weights.package_hint(name)}", state_dict
    if config is None or not (config.hf_hub_id or config.url or config.file):
        raise ValueError(
            f"timm has no pretrained weights for {name!r}; pass weights=PATH, weights=None"
            f" for random ones, or one of {timm.list_pretrained(f'{name}*')[:5]}"
        )
    if not config.hf_hub_id:
        return _download_with_timm(name, config)
    repo = config.hf_hub_id
    path = _weights.cached_hub_weights(repo)
    if path is None:
        try:
            path = _weights.download_hub_weights(repo)
        except OSError as error:
            raise _weights.missing_weights_error(
                name, error, "model.safetensors", f"https://huggingface.co/{repo}"
            ) from error
    return f"hub {repo}", _weights.read_weights(path)


def _download_with_timm(name, config):
    try:
        _weights.require_host(config.url)
    except OSError as error:
        file = os.path.basename(config.url)
        raise _weights.missing_weights_error(name, error, file, config.url) from error
    return f"url {config.url}", None


def _origin_of(weights):
    return "given mapping" if isinstance(weights, Mapping) else os.fspath(weights)


def _n_classes(state_dict, config, overlay):
    """Classes of a user's checkpoint, which need not be those the network came with."""
    if config is None:
        return None
    classifier = config.classifier
    first = classifier[0] if isinstance(classifier, tuple) else classifier
    tensor = state_dict.get(f"{first}.weight")
    count = 0 if tensor is None else tensor.shape[0]
    if count == (config.num_classes or 0) + (config.label_offset or 0):
        return config.num_classes
    overlay.update(num_classes=count, label_offset=0)
    return count


@contextmanager
def _misfit(name, origin):
    try:
        yield
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ValueError(
            f"the weights from {origin} do not fit {name!r}: {' '.join(lines[1:4])[:600]}"
        ) from error


def _build_hub(name, weights, size):
    timm = importlib.import_module("timm")
    repo = name.partition(":")[2]
    try:
        folder = _weights.hub_snapshot(repo, config_only=weights != "pretrained")
    except OSError as error:
        raise _weights.missing_weights_error(
            name,
            error,
            "config.json and model.safetensors",
            f"https://huggingface.co/{repo.partition('@')[0]}",
        ) from error
    with _misfit(name, folder):
        module = timm.create_model(f"local-dir:{folder}", pretrained=weights == "pretrained")
    origin = f"hub {repo}" if weights == "pretrained" else "random weights"
    if weights is not None and weights != "pretrained":
        origin = _origin_of(weights)
        _load_strictly(module, weights, name)
    return _timm_record(module, name, origin, size)


def _timm_record(module, label, origin, size):
    return Backbone(
        label,
        origin,
        module,
        stages=_timm_stages(module),
        spec=_spec_from_config(module.pretrained_cfg, size),
        has_classifier=getattr(module, "num_classes", 0) > 0,
        auto_pooling=_timm_pooling(module),
        prefix_tokens=getattr(module, "num_prefix_tokens", 0),
        class_token=getattr(module, "cls_token", None) is not None,
        channels_last_maps=getattr(module, "output_fmt", "NCHW") == "NHWC",
    )


def _timm_stages(module):
    known = dict(module.named_modules())
    stages = [
        Stage(info["module"], info.get("num_chs"), info.get("reduction"))
        for info in getattr(module, "feature_info", None) or ()
        if info.get("module") in known
    ]
    return tuple(stages) or _children(module, but=_classifier_child(module))


def _classifier_child(module):
    classifier = (getattr(module, "pretrained_cfg", None) or {}).get("classifier") or ""
    return str(classifier[0] if isinstance(classifier, tuple) else classifier).split(".")[0]


def _children(module, but=None):
    """Top-level children as stages; of a list, which is never run itself, its members."""
    stages = []
    for name, child in module.named_children():
        if name == but:
            continue
        inner = child if isinstance(child, torch.nn.ModuleList) else None
        names = [name] if inner is None else [f"{name}.{i}" for i in range(len(inner))]
        stages += [Stage(each) for each in names]
    return tuple(stages)


def _timm_pooling(module):
    """What the head of a timm network does, for a stage that its head never sees."""
    pool = getattr(module, "global_pool", None)
    if pool is None:
        pool = getattr(getattr(module, "head", None), "global_pool", None)
    kind = pool if isinstance(pool, str) else getattr(pool, "pool_type", "avg")
    return {"token": "cls", "max": "max", "fastmax": "max"}.get(kind, "avg")


def _spec_from_config(config, size):
    """Input spec from timm's configuration of a network; None where it has none."""
    if not config or not config.get("input_size"):
        return None
    data = importlib.import_module("timm.data").resolve_data_config({}, pretrained_cfg=config)
    size = size or tuple(data["input_size"][1:])
    return InputSpec(
        size,
        tuple(math.floor(edge / data["crop_pct"]) for edge in size),
        tuple(map(float, data["mean"])),
        tuple(map(float, data["std"])),
        data["interpolation"],
        data["crop_mode"],
    )


def _build_torchvision(name, weights, size):
    if name not in _torchvision.names():
        names = [f"torchvision/{known}" for known in _torchvision.names()]
        raise ValueError(
            f"model={f'torchvision/{name}'!r} is no classification network of torchvision."
            f"{did_you_mean(f'torchvision/{name}', names)}"
        )
    label = f"torchvision/{name}"
    if weights == "pretrained":
        origin = _torchvision.weights_url(name)
        try:
            module = _torchvision.create(name, pretrained=True)
        except OSError as error:
            file = os.path.basename(origin)
            raise _weights.missing_weights_error(label, error, file, origin) from error
    elif weights is None:
        origin, module = "random weights", _torchvision.create(name)
    else:
        origin, state_dict = _origin_of(weights), _weights.read_weights(weights)
        module = _torchvision.create_for(name, state_dict)
        _load_strictly(module, state_dict, label)
    return _torchvision_record(module, label, origin, _torchvision.spec(name, size))


def _torchvision_record(module, label, origin, spec):
    classifier = _torchvision.classifier(module)
    final_map = _torchvision.final_map(module)
    tokens = getattr(module, "class_token", None) is not None
    return Backbone(
        label,
        origin,
        module,
        stages=tuple(Stage(name) for name in _torchvision.stages(module)),
        spec=spec,
        embedding=(classifier, "input") if classifier else final_map,
        final_map=final_map,
        logits=("", "output"),
        auto_pooling="cls" if tokens else "avg",
        prefix_tokens=int(tokens),
        class_token=tokens,
        channels_last_maps=_torchvision.channels_last_maps(module),
    )


def _build_from_object(model, weights, size, n_features_in):
    if isinstance(model, torch.nn.Module):
        module, label = copy.deepcopy(model), type(model).__name__
    else:
        label = getattr(model, "__qualname__", type(model).__qualname__)
        module = model(n_features_in)
        if not isinstance(module, torch.nn.Module):
            raise ValueError(
                f"model={label} returned {type(module).__name__}, expected a callable that"
                " takes the number of input features and returns a torch.nn.Module"
            )
    origin = "own weights"
    if weights is None and module is not model and isinstance(model, torch.nn.Module):
        origin = "random weights"
        _draw_anew(module, label)
    elif weights is not None and weights != "pretrained":
        origin = _origin_of(weights)
        _load_strictly(module, weights, label)
    return _object_record(module, label, origin, size)


def _object_record(module, label, origin, size):
    config = getattr(module, "pretrained_cfg", None)
    if config and hasattr(module, "forward_features") and hasattr(module, "forward_head"):
        return _timm_record(module, label, origin, size)
    if type(module).__module__.startswith("torchvision.models."):
        spec = _torchvision.default_spec(type(module), size)
        return _torchvision_record(module, label, origin, spec)
    output = ("", "output")
    return Backbone(
        label,
        origin,
        module,
        stages=_children(module),
        spec=_spec_from_config(config, size),
        embedding=output,
        final_map=output,
        logits=output,
    )


def _draw_anew(module, label):
    """Random weights for a module by the initialisation of its own layers."""
    covered = set()
    for layer in module.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
            covered.update(map(id, layer.parameters(recurse=False)))
    rest = [name for name, p in module.named_parameters() if id(p) not in covered]
    if rest:
        raise ValueError(
            f"weights=None cannot draw {rest[:3]} of {label} anew: no layer with"
            " reset_parameters() owns them; pass a factory that builds the module"
        )


def _load_strictly(module, weights, label):
    with _misfit(label, _origin_of(weights)):
        module.load_state_dict(_weights.read_weights(weights))
