"""Questions for networks: all that decides which network the parameters of an estimator mean.

The key of a question is told without importing a library of networks, and it changes with the
versions of these libraries. What the files of weights hold is no part of it: a manifest says
from which files it was made (`sources`).
"""

import functools
import importlib.util
import json
import os
import sys
from importlib import metadata, resources
from numbers import Integral
from pathlib import Path

import xxhash

from sklearn_transfer._validation import shorten

_LAYOUT = 1  # of what is stored under a key
# Packages whose versions decide what a name stands for, and how it is computed.
_PACKAGES = ("torch", "timm", "torchvision", "transformers", "tokenizers", "safetensors")
_PACKAGES += ("sentence-transformers", "huggingface-hub")
_OWN = "sklearn_transfer"
_ENGINES = ("openvino", "onnxruntime", "onnx")
TEXT_PREFIXES = ("all-MiniLM-L6-v2", "sentence-transformers/", "transformers/")
SOUND_PREFIX = "whisper-tiny.en"
BUILTIN_PREFIXES = ("", "hf-hub:", "hf_hub:", "torchvision/", SOUND_PREFIX, *TEXT_PREFIXES)


def compute_question(
    model, weights, *, input_size, random_state, device, n_channels=None, modality="image"
):
    """Return the key (hex) of the question for a network, or None.

    None means that only loading the network tells which one it is: it is no name or folder,
    or its weights are tensors in memory.

    Parameters
    ----------
    model, weights, input_size, random_state, n_channels, modality
        As `load_backbone` takes them.
    device : str
        Name of the device, "auto" resolved.
    """
    model = name_folder(model)
    if not isinstance(model, str):
        return None
    if isinstance(weights, (str, os.PathLike)) and weights != "pretrained":
        path = os.path.expanduser(os.fsdecode(weights))
        weights = ["path", os.path.realpath(path) if "\0" not in path else path]
    elif weights not in (None, "pretrained"):
        return None
    folder = find_folder(model, BUILTIN_PREFIXES)
    parts = {
        "layout": _LAYOUT,
        "model": model,
        "folder": folder,
        "weights": weights,
        "size": validate_size(input_size),
        "channels": n_channels,
        "modality": modality,
        "seed": int(random_state),
        "device": device,
        "packages": list_versions(),
        "package of weights": _find_weights_version(model),
        "hubs": list_hub_folders(),
    }
    text = json.dumps(parts, sort_keys=True, default=int)
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


def name_folder(model):
    """Return the name of the folder that a path object stands for; other models unchanged."""
    return (
        os.path.abspath(os.path.expanduser(model)) if hasattr(model, "__fspath__") else model
    )


def find_folder(model, prefixes):
    """Return the path of a local folder that a name stands for, else None.

    Such a name has a separator, so that no folder hides a network of timm, and none of the
    prefixes by which other loaders are found.
    """
    path = os.path.expanduser(model)
    has_prefix = any(prefix and model.startswith(prefix) for prefix in prefixes)
    is_path = os.sep in path and not has_prefix and "\0" not in path
    return os.path.realpath(path) if is_path and os.path.isdir(path) else None


def is_own_architecture(name):
    """Return whether a user has registered the architecture of that name with timm.

    The name then does not tell which network it stands for. False if timm is not imported.
    """
    models = sys.modules.get("timm.models")
    if not hasattr(models, "model_entrypoint") or not models.is_model(name):
        return False
    return not models.model_entrypoint(name).__module__.startswith("timm.")


def validate_size(input_size):
    """Return `input_size` as None or (height, width)."""
    if input_size is None:
        return None
    pair = (input_size,) * 2 if isinstance(input_size, Integral) else tuple(input_size)
    if len(pair) != 2 or not all(isinstance(v, Integral) and v > 0 for v in pair):
        raise ValueError(
            f"input_size={shorten(input_size)}: expected pixels as an int or (height, width)"
        )
    return (int(pair[0]), int(pair[1]))


@functools.cache
def list_versions():
    """Return names, versions and files of the packages that decide what a network is."""
    return [_describe_package(name) for name in _PACKAGES] + [_identify_own_code()]


@functools.cache
def list_engine_versions():
    """Return names, versions and files of the packages that run graphs."""
    return [_describe_package(name) for name in _ENGINES]


def are_versions_loaded():
    """Return whether the libraries in memory are those of which questions speak.

    They are not if one was exchanged after this process had imported it, or before it did.
    """
    stated = [*list_versions(), *list_engine_versions()]
    for name, version in (entry[:2] for entry in stated):
        loaded = getattr(sys.modules.get(name.replace("-", "_")), "__version__", None)
        if name != _OWN and None not in (loaded, version) and not _are_same(loaded, version):
            return False
    return True


def _are_same(loaded, installed):
    # OpenVINO adds its build, and torch a local part that the name of a wheel may lack.
    return loaded.partition("+")[0].partition("-")[0] == installed.partition("+")[0]


def _describe_package(name):
    try:
        spec = importlib.util.find_spec(name.replace("-", "_"))
    except (ImportError, ValueError):  # a module that was put into sys.modules by hand
        spec = None
    origin = spec and spec.origin
    return [name, _find_version(name), origin, _identify_file(origin)]


def _find_version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _identify_own_code():
    """Return a digest of the files of this package that say how networks are read."""
    root = Path(__file__).parents[1]
    folders = (root / "_networks", root / "_modalities", root / "_store")
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    files.append(root / "__init__.py")  # which states the version
    stated = [[str(path.relative_to(root)), *(_identify_file(path) or ())] for path in files]
    text = json.dumps(stated)
    return [_OWN, xxhash.xxh3_128_hexdigest(text.encode())]


def list_hub_folders():
    """Return the folders in which the libraries of hubs look for what they have downloaded.

    A library that is imported is asked, since it may have read the variables of the
    environment before they were changed, or a program may have set its folder. For one that
    is not imported, the variables say what it would answer.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", os.path.join(cache, "huggingface"))
    hub = os.path.join(home, "hub")
    for name in ("HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"):
        hub = os.environ.get(name, hub)
    torch_home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    found = [hub, os.path.join(torch_home, "hub")]
    # Another thread may be importing them just now.
    constants = sys.modules.get("huggingface_hub.constants")
    found[0] = getattr(constants, "HF_HUB_CACHE", found[0])
    get_folder = getattr(sys.modules.get("torch.hub"), "get_dir", None)
    if get_folder is not None:
        found[1] = get_folder()
    expanded = [os.path.expanduser(os.path.expandvars(folder)) for folder in found]
    return [os.path.abspath(folder) for folder in expanded]


def _identify_file(path):
    try:
        status = os.stat(path)
    except (OSError, TypeError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


@functools.lru_cache(maxsize=1000)
def _find_weights_version(model):
    """Return the version of the package with the weights of a network, None without one."""
    name = model.rpartition("/")[2].partition(".")[0]
    folder = resources.files(__package__) / "packaged_weights"
    known = {entry.name.removesuffix(".json"): entry for entry in folder.iterdir()}
    if name not in known and model not in known:
        return None
    entry = known.get(model, known.get(name))
    return _find_version(json.loads(entry.read_text())["distribution"])
