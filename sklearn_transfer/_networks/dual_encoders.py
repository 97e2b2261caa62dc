"""Dual encoders: networks of images and of texts in one space, such as CLIP [Radford 2021].

Both towers, as the two networks are called, lie in one folder. The modality of a request says
which of them is loaded. Folders here are in the layout of transformers, whose modules are
used; `open_clip` loads those in the other layout.
"""

from pathlib import Path

from torch import nn

from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._modalities.text.spec import TextSpec
from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.layout import Layout, Place, Stage
from sklearn_transfer._networks.silence import silence_warnings
from sklearn_transfer._networks.text import TextNetwork, list_layers, make_text_backbone
from sklearn_transfer._networks.text_folders import find_max_length
from sklearn_transfer._networks.towers import (
    CLIP_MEAN,
    CLIP_STD,
    FixedLength,
    Unmasked,
    add_cleaning,
    find_token,
    find_weights,
    read_json,
    read_tokenizer,
    refuse_other_input,
)
from sklearn_transfer._networks.weights import load_matching
from sklearn_transfer._store.digests import digest_structure
from sklearn_transfer._validation import import_optional, shorten

_KINDS = {"clip": "CLIP", "siglip": "Siglip"}
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# Sizes of the tower that is not asked for, which is built and thrown away.
_TINY = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
_TINY |= {"num_attention_heads": 1, "vocab_size": 4, "max_position_embeddings": 4}
_TINY |= {"image_size": 8, "patch_size": 8, "bos_token_id": 0, "eos_token_id": 1}
_MEAN = {"clip": CLIP_MEAN, "siglip": (0.5, 0.5, 0.5)}
_STD = {"clip": CLIP_STD, "siglip": (0.5, 0.5, 0.5)}
# Names of Pillow's filters by their numbers.
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


class ImageTower(nn.Module):
    """The network of images of a dual encoder, with its projection: pixels to embeddings."""

    def __init__(self, network, projection):
        super().__init__()
        self.network, self.projection = network, projection

    def forward(self, pixels):
        return self.projection(self.network(pixel_values=pixels).pooler_output)


def is_dual_config(config):
    """Whether the content of a `config.json` is that of a dual encoder of transformers."""
    return config.get("model_type") in _KINDS


def is_dual_folder(folder):
    """Whether a folder holds a dual encoder in the layout of transformers."""
    return is_dual_config(read_json(Path(folder, "config.json")))


def load_tower(folder, request, label, origin):
    """Load one tower from a folder: that of `request.modality`, "image" or "text"."""
    folder = Path(folder)
    config = read_json(folder / "config.json")
    tower = _build_tower(config, request.modality, label)
    if request.weights == "pretrained":
        load_matching(tower, find_weights(folder, _WEIGHTS), label)
    elif request.weights is None:
        origin = "random weights"
    else:
        origin = load_matching(tower, request.weights, label)
    if request.modality == "text":
        return _wrap_text_tower(tower, config, folder, label, origin)
    refuse_other_input(request, label)
    return _wrap_image_tower(tower, config, folder, label, origin)


def _build_tower(config, modality, label):
    """Return the modules of a tower, under the names that they have in files."""
    transformers = import_optional("transformers", "text", f"model={shorten(label)}")
    other = {"image": "text_config", "text": "vision_config"}[modality]
    prefix = _KINDS[config["model_type"]]
    with silence_warnings(transformers):
        tiny = getattr(transformers, f"{prefix}Config")(**{**config, other: _TINY})
        model = getattr(transformers, f"{prefix}Model")(tiny)
    names = {
        "image": ("vision_model", "visual_projection"),
        "text": ("text_model", "text_projection"),
    }[modality]
    found = {name: getattr(model, name, None) for name in names}  # SigLIP has no projections
    return nn.ModuleDict({name: part for name, part in found.items() if part is not None})


def _wrap_image_tower(tower, config, folder, label, origin):
    kind, own = config["model_type"], tower["vision_model"].config
    projection = getattr(tower, "visual_projection", nn.Identity())
    module = ImageTower(tower["vision_model"], projection)
    has_class_token = kind == "clip"
    layout = Layout(
        label,
        stages=tuple(
            Stage(f"network.{name}", own.hidden_size, own.patch_size)
            for name in list_layers(module.network)
        ),
        pooling="cls" if has_class_token else "avg",
        prefix_tokens=int(has_class_token),
        class_token=has_class_token,
        has_classifier=False,
        final_map=Place("network"),
        is_tower=True,
    )
    spec = _read_image_spec(folder, kind, own.image_size, label)
    structure = digest_structure(module)
    return Backbone(Description(layout, spec, origin, digest=structure), module)


def _read_image_spec(folder, kind, edge, label):
    """Return the spec that a folder states, or that of the networks of its kind."""
    stated = read_json(folder / "preprocessor_config.json")
    if not stated:  # where transformers 5 may put it
        stated = read_json(folder / "processor_config.json").get("image_processor") or {}
    _refuse_other_preprocessing(stated, label)
    size = resize = (edge, edge)
    crop_mode = "squash" if kind == "siglip" else "center"
    stated_size = stated.get("size", edge)
    if isinstance(stated_size, dict):
        is_square = "height" in stated_size
        crop_mode = "squash" if is_square else "center"
        edges = ("height", "width") if is_square else ("shortest_edge", "shortest_edge")
        resize = tuple(stated_size[name] for name in edges)
    else:
        resize = (stated_size, stated_size)
    crop = stated.get("crop_size")
    if stated.get("do_center_crop", kind == "clip") and crop is not None:
        size = (crop["height"], crop["width"]) if isinstance(crop, dict) else (crop, crop)
    is_normalized = stated.get("do_normalize", True)
    return ImageSpec(
        size,
        resize,
        tuple(stated.get("image_mean", _MEAN[kind])) if is_normalized else (0.0, 0.0, 0.0),
        tuple(stated.get("image_std", _STD[kind])) if is_normalized else (1.0, 1.0, 1.0),
        _FILTERS[stated.get("resample", 3)],
        crop_mode,
    )


def _refuse_other_preprocessing(stated, label):
    """Raise ValueError for a step that images do not go through here, or for one left out."""
    usual = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255}
    for name, value in usual.items():
        given = stated.get(name)
        if given is not None and abs(given - value) > 1e-6:
            raise ValueError(
                f"model={shorten(label)}: its preprocessor_config.json has {name}={given!r},"
                f" and only {value!r} is supported; change it there if the network was trained"
                " on images of its size with values from 0 to 1"
            )


def _wrap_text_tower(tower, config, folder, label, origin):
    network, own = tower["text_model"], tower["text_model"].config
    definition = read_tokenizer(folder, label)
    stated = read_json(folder / "tokenizer_config.json")
    padding = _find_padding(definition, stated, own)
    if stated.get("tokenizer_class") == "SiglipTokenizer":
        definition = add_cleaning(definition, "punctuation")
    n_positions = own.max_position_embeddings
    projection = getattr(tower, "text_projection", None)
    if config["model_type"] == "siglip":
        network, end = FixedLength(network, n_positions, padding), None
    else:
        network, end = Unmasked(network), _find_end(own)
    spec = TextSpec(
        label,
        definition,
        padding=padding,
        max_length=find_max_length({}, stated, n_positions),
        n_positions=n_positions,
        # The definition of CLIP's tokenizer does so itself.
        lowercase=stated.get("do_lower_case", False) and projection is None,
    )
    return make_text_backbone(
        # The token that ends a text is the only one that has seen all of it.
        TextNetwork(network, "last", projection, end=end),
        spec,
        origin,
        is_normalized=False,
        class_token=False,
        is_tower=True,
    )


def _find_end(config):
    """Return the token whose state a CLIP of transformers takes, as `Layout.end` has it."""
    # Configurations before 2023 state 2, whatever the vocabulary, and transformers knows it.
    return -1 if config.eos_token_id == 2 else config.eos_token_id


def _find_padding(definition, stated, config):
    """Return the number of the token that fills up texts."""
    found = find_token(definition, stated, "pad_token", config.vocab_size)
    own = getattr(config, "pad_token_id", None)
    known = [n for n in (found, own) if n is not None and 0 <= n < config.vocab_size]
    return known[0] if known else 0
