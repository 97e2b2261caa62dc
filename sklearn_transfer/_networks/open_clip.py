"""Dual encoders in the layout of open_clip: its configuration and the names of its weights."""

from pathlib import Path

from torch import nn

from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._modalities.text.spec import TextSpec
from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.layout import Layout, Place, Stage
from sklearn_transfer._networks.open_clip_encoders import build_encoder
from sklearn_transfer._networks.open_clip_resnet import EXPANSION, ModifiedResNet
from sklearn_transfer._networks.open_clip_transformers import (
    TextTransformer,
    VisionTransformer,
    as_pair,
)
from sklearn_transfer._networks.text import TextNetwork, make_text_backbone
from sklearn_transfer._networks.towers import (
    CLEANING,
    CLIP_MEAN,
    CLIP_STD,
    OPEN_CLIP,
    OPEN_CLIP_WEIGHTS,
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
from sklearn_transfer._validation import format_list, shorten

# What a tower has where its configuration does not say.
_BOTH = {"width": 768, "mlp_ratio": 4.0, "layers": 12, "ls_init_value": None}
_BOTH |= {"act_kwargs": None, "norm_kwargs": None, "final_ln_after_pool": False}
_VISION = {**_BOTH, "head_width": 64, "patch_size": 16, "image_size": 224, "pool_type": "tok"}
_VISION |= {"no_ln_pre": False, "timm_model_name": None, "timm_pool": "avg"}
_VISION |= {"timm_proj": "linear", "timm_proj_bias": False}
_TEXT = {**_BOTH, "context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8}
_TEXT |= {"no_causal_mask": False, "pool_type": "argmax", "proj_type": "linear"}
_TEXT |= {"proj_bias": False, "pad_id": 0, "eos_id": 2, "tokenizer_kwargs": None}
_TEXT |= {"hf_tokenizer_name": None, "hf_model_name": None, "hf_proj_type": "mlp"}
_TEXT |= {"hf_pooler_type": "mean_pooler"}
# Entries that change nothing in a trained network, and values of others that are supported.
_IGNORED = {"patch_dropout", "output_tokens", "hf_model_pretrained", "timm_model_pretrained"}
_IGNORED |= {"timm_drop", "timm_drop_path", "attn_pooler_queries", "attn_pooler_heads"}
_KNOWN = {"pos_embed_type": ("learnable", "sin_cos_2d"), "block_type": ("default",)}
_OF_IMAGES = {**_KNOWN, "pool_type": ("tok", "avg")}
_OF_TEXTS = {**_KNOWN, "pool_type": ("argmax", "eos", "last", "first")}
_OF_TEXTS |= {"proj_type": ("linear", "none"), "final_ln_after_pool": (False,)}


def is_open_clip_folder(folder):
    """Whether a folder holds a dual encoder in the layout of open_clip."""
    return Path(folder, OPEN_CLIP).is_file()


def load_open_clip_tower(folder, request, label, origin, fetch_config):
    """Load one tower from a folder: that of `request.modality`, "image" or "text".

    `fetch_config(repository)` returns the `config.json` of another network, {} without one.
    """
    folder = Path(folder)
    config = read_json(folder / OPEN_CLIP)
    if request.modality == "text":
        return _load_text_tower(folder, request, label, origin, config, fetch_config)
    refuse_other_input(request, label)
    return _load_image_tower(folder, request, label, origin, config)


def _read_tower(config, name, usual, known, label):
    """Return all that the configuration of a tower states, and the width of embeddings.

    Raises ValueError if it states what is not supported.
    """
    config = config.get("model_cfg", config)
    given = config[name]
    other = [
        key
        for key, value in given.items()
        if not (
            key in _IGNORED or value in (None, False) or _is_known(key, value, usual, known)
        )
    ]
    if other:
        stated = format_list([f"{key}={given[key]!r}" for key in other])
        raise ValueError(
            f"model={shorten(label)}: {OPEN_CLIP} states {stated} in {name}, which is not"
            " supported; load the network with open_clip, and pass features of its"
            " encode_image or encode_text"
        )
    return {**usual, **given, "quick_gelu": config.get("quick_gelu")}, config["embed_dim"]


def _is_known(key, value, usual, known):
    if key in _IGNORED or value in (None, False):
        return True
    return value in known[key] if key in known else key in usual


def _load_image_tower(folder, request, label, origin, config):
    stated, dim = _read_tower(config, "vision_cfg", _VISION, _OF_IMAGES, label)
    if stated["timm_model_name"]:
        from sklearn_transfer._networks.open_clip_timm import build_timm_tower

        tower, layout = build_timm_tower(stated, dim, label)
    elif isinstance(stated["layers"], int):
        tower = VisionTransformer(stated, dim, stated["quick_gelu"])
        layout = _describe_transformer(stated, label)
    else:
        tower, layout = ModifiedResNet(stated, dim), _describe_resnet(stated, label)
    origin = _load_weights(tower, folder, request, label, origin, convert_image_weights)
    size = as_pair(stated["image_size"])
    spec = read_open_clip_preprocessing(config, size)
    structure = digest_structure(tower)
    return Backbone(Description(layout, spec, origin, digest=structure), tower)


def _describe_transformer(stated, label):
    reduction = as_pair(stated["patch_size"])[0]
    return Layout(
        label,
        stages=tuple(
            Stage(f"transformer.resblocks.{i}", stated["width"], reduction)
            for i in range(stated["layers"])
        ),
        pooling="cls" if stated["pool_type"] == "tok" else "avg",
        prefix_tokens=1,
        class_token=True,
        has_classifier=False,
        final_map=Place("transformer" if stated["final_ln_after_pool"] else "ln_post"),
        is_tower=True,
    )


def _describe_resnet(stated, label):
    width = EXPANSION * stated["width"]
    return Layout(
        label,
        stages=tuple(
            Stage(f"layer{i + 1}", width * 2**i, 4 * 2**i, "NCHW")
            for i in range(len(stated["layers"]))
        ),
        has_classifier=False,
        final_map=Place("layer4"),
        is_tower=True,
    )


def _load_weights(tower, folder, request, label, origin, convert):
    """Load the weights that a request asks for; returns their origin."""
    if request.weights is None:
        return "random weights"
    if request.weights != "pretrained":
        return load_matching(tower, request.weights, label, convert)
    load_matching(tower, find_weights(folder, OPEN_CLIP_WEIGHTS), label, convert)
    return origin


def read_open_clip_preprocessing(stated, size):
    """Return the spec of images that an `open_clip_config.json` states."""
    stated = stated.get("preprocess_cfg", {})
    modes = {"shortest": "center", "squash": "squash", "longest": "border"}
    return ImageSpec(
        size,
        size,
        tuple(stated.get("mean", CLIP_MEAN)),
        tuple(stated.get("std", CLIP_STD)),
        stated.get("interpolation", "bicubic"),
        modes[stated.get("resize_mode", "shortest")],
    )


def _load_text_tower(folder, request, label, origin, config, fetch_config):
    stated, dim = _read_tower(config, "text_cfg", _TEXT, _OF_TEXTS, label)
    is_given = bool(stated["hf_model_name"])
    if is_given:
        network, pooling, projection = build_encoder(stated, dim, folder, label, fetch_config)
    else:
        network, pooling = TextTransformer(stated, stated["quick_gelu"]), "last"
        projection = _build_projection(stated, dim)
    tower = nn.ModuleDict({"network": network, "projection": projection})
    convert = convert_encoder_weights if is_given else convert_text_weights
    origin = _load_weights(tower, folder, request, label, origin, convert)
    definition, padding, removed = _read_open_clip_tokenizer(folder, stated, label)
    length = stated["context_length"]
    end = None
    if not is_given:
        end = {"argmax": -1, "eos": stated["eos_id"]}.get(stated["pool_type"])
        if end is None or stated["no_causal_mask"] or removed is not None:
            pooled = stated["pool_type"]
            network = FixedLength(network, length, padding, pooled, end, removed)
            end = None
        else:
            network = Unmasked(network)
    spec = TextSpec(label, definition, padding=padding, max_length=length, n_positions=length)
    return make_text_backbone(
        TextNetwork(network, pooling, projection, end=end),
        spec,
        origin,
        is_normalized=False,
        class_token=pooling == "cls",
        is_tower=True,
    )


def _build_projection(stated, dim):
    if stated["proj_type"] == "none":
        return nn.Identity()
    return nn.Linear(stated["width"], dim, bias=stated["proj_bias"])


def _read_open_clip_tokenizer(folder, stated, label):
    """Return the definition of a tokenizer, its padding, and a token that is removed or None.

    Texts are cleaned as open_clip does, but for broken encodings and full-width letters.
    """
    definition = read_tokenizer(folder, label)
    options = {**(stated["tokenizer_kwargs"] or {})}
    is_own = not stated["hf_tokenizer_name"]
    clean = options.pop("clean", "lower" if is_own else "whitespace")
    is_stripped = options.pop("strip_sep_token", False)
    if options or clean not in CLEANING:
        raise ValueError(
            f"model={shorten(label)}: {OPEN_CLIP} states tokenizer_kwargs="
            f"{stated['tokenizer_kwargs']!r}, of which only 'clean' and 'strip_sep_token' are"
            " supported; load the network with open_clip"
        )
    if is_own:  # open_clip has the tokenizer of CLIP with other names of these tokens
        for name in ("start", "end"):
            old = "startoftext" if name == "start" else "endoftext"
            for bar in ("|", r"\\|"):
                definition = definition.replace(f"<{bar}{old}{bar}>", f"<{name}_of_text>")
    cleaned = add_cleaning(definition, clean)
    if is_own:
        return cleaned, 0, None
    tokens, count = read_json(folder / "tokenizer_config.json"), stated["vocab_size"]
    padding = find_token(definition, tokens, "pad_token", count)
    removed = find_token(definition, tokens, "sep_token", count) if is_stripped else None
    return cleaned, stated["pad_id"] if padding is None else padding, removed


def convert_image_weights(state_dict):
    """Return those of a tower of images under the names of the modules here."""
    found = {}
    for name, tensor in state_dict.items():
        if name == "visual.proj":
            found["proj.weight"] = tensor.T
        elif name.startswith("visual."):
            found[_convert_name(name.removeprefix("visual."))] = tensor
    return found


def convert_text_weights(state_dict):
    """The same for a tower of texts."""
    found = {}
    for name, tensor in state_dict.items():
        # It may lie under a name of its own.
        name = name.removeprefix("text.")
        if name == "text_projection":
            found["projection.weight"] = tensor.T
        elif name.startswith("text_projection."):
            found[name.replace("text_projection", "projection")] = tensor
        elif not name.startswith("visual."):
            found[f"network.{_convert_name(name)}"] = tensor
    return found


def convert_encoder_weights(state_dict):
    """The same for a tower of texts that is a network of transformers."""
    parts = {"text.transformer.": "network.", "text.proj.": "projection."}
    return {
        f"{new}{name.removeprefix(old)}": tensor
        for name, tensor in state_dict.items()
        for old, new in parts.items()
        if name.startswith(old)
    }


def _convert_name(name):
    return name.replace(".attn.in_proj_", ".attn.in_proj.")
