"""Folders with small dual encoders, in the layouts of transformers and open_clip."""

import copy
import json

import torch
from safetensors.torch import save_file

WORDS = ["red", "green", "blue", "cat", "dog", "fish", "is", "a", "photo", "of"]
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
LENGTH, WIDTH, DIM = 12, 32, 8


def make_vocabulary():
    """Vocabulary and merges of a byte-pair encoding that knows `WORDS`, as that of CLIP."""
    letters = sorted(set("".join(WORDS) + "xyz!"))
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
            if parts[0] not in tokens:
                tokens.append(parts[0])
    tokens += ["<|startoftext|>", "<|endoftext|>"]  # the last ones, as in CLIP
    return {token: number for number, token in enumerate(tokens)}, merges


def write_tokenizer(folder):
    """Write the tokenizer of CLIP with a small vocabulary; returns it."""
    import transformers

    vocabulary, merges = make_vocabulary()
    tokenizer = transformers.CLIPTokenizer(
        vocab=vocabulary, merges=merges, model_max_length=LENGTH
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_clip():
    """A CLIP of transformers whose towers have two layers."""
    import transformers

    n_tokens = len(make_vocabulary()[0])
    common = {"num_hidden_layers": 2, "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH}
    text = {"vocab_size": n_tokens, "max_position_embeddings": LENGTH}
    text |= {"bos_token_id": n_tokens - 2, "eos_token_id": n_tokens - 1}
    vision = {"image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(
        text_config={**common, **text, "num_attention_heads": 4, "pad_token_id": n_tokens - 1},
        vision_config={**common, **vision, "num_attention_heads": 4},
        projection_dim=DIM,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.CLIPModel(config).eval()
        for parameter in model.parameters():  # those of layer norms would be 1 and 0
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return model


def make_siglip():
    """A SigLIP of transformers whose towers have two layers."""
    import transformers

    n_tokens = len(make_vocabulary()[0])
    common = {"num_hidden_layers": 2, "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH}
    common |= {"num_attention_heads": 4}
    text = {"vocab_size": n_tokens, "max_position_embeddings": LENGTH, "pad_token_id": 1}
    text |= {"bos_token_id": n_tokens - 2, "eos_token_id": n_tokens - 1}
    text |= {"projection_size": WIDTH}
    vision = {"image_size": 32, "patch_size": 8}
    config = transformers.SiglipConfig(
        text_config={**common, **text}, vision_config={**common, **vision}
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.SiglipModel(config).eval()


def write_transformers(folder, model):
    """Write a model and its tokenizer as transformers does; returns both."""
    model.save_pretrained(folder)
    tokenizer = write_tokenizer(folder)
    is_siglip = model.config.model_type == "siglip"
    size = {"height": 32, "width": 32} if is_siglip else {"shortest_edge": 32}
    stated = {"size": size, "resample": 3, "do_resize": True, "do_normalize": True}
    if not is_siglip:
        stated |= {"do_center_crop": True, "crop_size": {"height": 32, "width": 32}}
        stated |= {"image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return tokenizer


VISION = {"image_size": 32, "layers": 2, "width": WIDTH, "head_width": 8, "patch_size": 8}
TEXT = {"context_length": LENGTH, "width": WIDTH, "heads": 4, "layers": 2}


def write_open_clip(
    folder, quick_gelu=False, custom_text=True, vision=VISION, text=None, embed_dim=DIM
):
    """Write a dual encoder of open_clip and a tokenizer; returns its model and tokenizer.

    `text` is added to what makes a small tower of texts.
    """
    import open_clip

    config = {
        "embed_dim": embed_dim,
        "quick_gelu": quick_gelu,
        "vision_cfg": vision,
        "text_cfg": {**TEXT, "vocab_size": len(make_vocabulary()[0]), **(text or {})},
    }
    kind = open_clip.CustomTextCLIP if custom_text else open_clip.CLIP
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(**copy.deepcopy(config)).eval()
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.05)
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.add_(torch.rand_like(buffer) * 0.5)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(folder)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocessing = {"mean": MEAN, "std": STD, "interpolation": "bicubic"}
    preprocessing["resize_mode"] = "shortest"
    stated = {"model_cfg": config, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(stated))
    return model, tokenizer
