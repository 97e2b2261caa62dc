"""Dual encoders in the layout of open_clip: its configuration and the names of its weights."""

import re

from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._validation import format_list, shorten

OPEN_CLIP = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_VISION = {"layers": 12, "width": 768, "head_width": 64, "mlp_ratio": 4.0}
_VISION |= {"patch_size": 16, "image_size": 224}
_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
_TEXT |= {"mlp_ratio": 4.0}
# Entries that change nothing in the network, and values of others that say the usual.
_IGNORED = {"patch_dropout", "output_tokens", "hf_tokenizer_name", "hf_model_pretrained"}
_IGNORED |= {"tokenizer_mode", "tokenizer_kwargs", "pad_id", "eos_id", "timm_model_pretrained"}
_USUAL = {"pool_type": ("tok", "argmax"), "pos_embed_type": ("learnable",)}
_USUAL |= {"proj_type": ("linear",), "block_type": ("default",)}
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")
_IN_BLOCK = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_OF_TEXT = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_OF_VISION = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",  # as transformers spells it
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}


def read_open_clip_config(stated, modality, label):
    """Return the configuration of transformers for one tower of an `open_clip_config.json`.

    Raises ValueError if the tower is of another architecture than that of CLIP.
    """
    stated = stated.get("model_cfg", stated)
    name, usual = {"image": ("vision_cfg", _VISION), "text": ("text_cfg", _TEXT)}[modality]
    given = stated[name]
    other = [
        key
        for key, value in given.items()
        if key not in usual.keys() | _IGNORED
        and value not in (None, False)
        and value not in _USUAL.get(key, ())
    ]
    own = {**usual, **given}
    if other or not isinstance(own["layers"], int):
        raise ValueError(
            f"model={shorten(label)}: the tower of {modality}s in {OPEN_CLIP} is not that of"
            f" CLIP, as its {name} has {format_list(other or ['layers'])}; take the network in"
            " the layout of transformers, or for images that of timm with layers='logits'"
        )
    act = "quick_gelu" if stated.get("quick_gelu") else "gelu"
    common = {
        "hidden_size": own["width"],
        "intermediate_size": int(own["width"] * own["mlp_ratio"]),
        "num_hidden_layers": own["layers"],
        "hidden_act": act,
        "projection_dim": stated["embed_dim"],
    }
    if modality == "image":
        config = {
            **common,
            "num_attention_heads": own["width"] // own["head_width"],
            "image_size": own["image_size"],
            "patch_size": own["patch_size"],
        }
    else:
        config = {
            **common,
            "num_attention_heads": own["heads"],
            "vocab_size": own["vocab_size"],
            "max_position_embeddings": own["context_length"],
            # The last numbers of the vocabulary begin and end a text.
            "bos_token_id": own["vocab_size"] - 2,
            "eos_token_id": own["vocab_size"] - 1,
            "pad_token_id": 0,
        }
    key = {"image": "vision_config", "text": "text_config"}[modality]
    return {"model_type": "clip", "projection_dim": stated["embed_dim"], key: config}


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


def convert_open_clip_weights(state_dict):
    """Return a state dict of open_clip under the names that transformers gives its tensors."""
    vision = ("vision_model", "visual_projection", "proj", _OF_VISION)
    text = ("text_model", "text_projection", "text_projection", _OF_TEXT)
    found = {}
    for name, tensor in state_dict.items():
        if name.startswith("visual."):
            found.update(_convert_tensor(name.removeprefix("visual."), tensor, vision))
        else:  # the tower of texts may lie under a name of its own
            found.update(_convert_tensor(name.removeprefix("text."), tensor, text))
    return found


def _convert_tensor(name, tensor, tower):
    """Yield names of transformers and tensors for a tensor of one tower."""
    model, projection, own_projection, names = tower
    block = _BLOCK.fullmatch(name)
    if name == own_projection:
        yield f"{projection}.weight", tensor.T
    elif name in names:
        yield f"{model}.{names[name]}", tensor
    elif block is None:
        return
    else:
        layer, rest = f"{model}.encoder.layers.{block[1]}", block[2]
        if rest.startswith("attn.in_proj_"):
            kind = rest.removeprefix("attn.in_proj_")
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                yield f"{layer}.self_attn.{part}_proj.{kind}", piece
        else:
            module, _, kind = rest.rpartition(".")
            if module in _IN_BLOCK:
                yield f"{layer}.{_IN_BLOCK[module]}.{kind}", tensor
