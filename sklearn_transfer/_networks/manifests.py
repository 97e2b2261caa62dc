"""Manifests: what is known about a network, as text that a later process reads.

A manifest holds the network's `Description`, the names of its modules, and the widths of its
features as far as they are known. With it, samples can be digested, features looked up and
taps resolved without the network and without the libraries that build it.
"""

import json
from dataclasses import dataclass, fields

from sklearn_transfer._modalities.audio.front_ends import Extractor, LogMelFrames, Waveform
from sklearn_transfer._modalities.audio.log_mel import LogMel
from sklearn_transfer._modalities.audio.spec import AudioSpec
from sklearn_transfer._modalities.image.spec import ImageSpec, UnknownSpec
from sklearn_transfer._modalities.text.spec import TextSpec
from sklearn_transfer._networks.backbone import Description
from sklearn_transfer._networks.layout import Layout, Place, Stage
from sklearn_transfer._networks.taps import Tap

_CLASSES = (Layout, Stage, Place, ImageSpec, UnknownSpec, TextSpec, Tap)
_CLASSES += (AudioSpec, LogMelFrames, LogMel, Waveform, Extractor)
_BY_NAME = {cls.__name__: cls for cls in _CLASSES}
_TYPE = "type"


@dataclass(frozen=True)
class Manifest:
    """What is known about a network.

    Parameters
    ----------
    description : Description
        As the backbone has it.
    module_names : tuple of str
        Names of its modules.
    n_parameters : int
        Number of its parameters.
    files : tuple
        From which files it was built, as `sources` records them.
    widths : dict
        Number of features by (tap, signature of the payload).
    """

    description: Description
    module_names: tuple
    n_parameters: int
    files: tuple
    widths: dict


def write_manifest(question, manifest):
    """Return the bytes of a manifest, or None if reading them would not give the same one."""
    try:
        stated = _encode_manifest(question, manifest)
    except TypeError:  # a spec or a name that is no plain data
        return None
    content = json.dumps(stated).encode()
    found = read_manifest(question, content)
    # Keys of readers contain the text of a spec.
    same_text = found is not None and repr(found.description) == repr(manifest.description)
    return content if same_text and found == manifest else None


def _encode_manifest(question, manifest):
    """Return a manifest as mappings, lists and plain values."""
    description = manifest.description
    return {
        "question": question,
        "layout": _encode(description.layout),
        "spec": _encode(description.spec),
        "origin": description.origin,
        "untrained": sorted(description.untrained),
        "weights_sha256": description.weights_sha256,
        "digest": description.digest.hex(),
        "module_names": _encode(manifest.module_names),
        "n_parameters": manifest.n_parameters,
        "files": _encode(manifest.files),
        "widths": [
            [_encode(tap), _encode(signature), width]
            for (tap, signature), width in sorted(manifest.widths.items(), key=repr)
        ],
    }


def read_manifest(question, content):
    """Return the manifest from bytes, or None if they hold none for this question."""
    try:
        stated = json.loads(content)
        if stated["question"] != question:
            return None
        description = Description(
            _decode(stated["layout"]),
            _decode(stated["spec"]),
            stated["origin"],
            untrained=frozenset(stated["untrained"]),
            weights_sha256=stated["weights_sha256"],
            digest=bytes.fromhex(stated["digest"]),
        )
        widths = {
            (_decode(tap), _decode(signature)): width
            for tap, signature, width in stated["widths"]
        }
        files = _decode(stated["files"])
        names = tuple(stated["module_names"])
        return Manifest(description, names, stated["n_parameters"], files, widths)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _encode(value):
    """Return a record, and the records and tuples in it, as mappings and lists."""
    if type(value) in _CLASSES:
        found = {field.name: _encode(getattr(value, field.name)) for field in fields(value)}
        return {_TYPE: type(value).__name__, **found}
    if isinstance(value, tuple):
        return [_encode(part) for part in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{type(value).__name__} is no plain value")


def _decode(value):
    if isinstance(value, list):
        return tuple(_decode(part) for part in value)
    if isinstance(value, dict):
        found = {name: _decode(part) for name, part in value.items()}
        return _BY_NAME[found.pop(_TYPE)](**found)
    return value
