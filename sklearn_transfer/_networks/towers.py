"""Parts of the towers of dual encoders, whatever the layout of their folder."""

import json
import re
import string

import torch
from torch import nn
from torch.nn import functional

from sklearn_transfer._modalities.text.tokens import build_tokenizer
from sklearn_transfer._networks.inputs import mask_behind
from sklearn_transfer._networks.pooling import pool_tokens
from sklearn_transfer._validation import import_optional, shorten

OPEN_CLIP = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_SPACES = {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}
_STRIP = {"type": "Strip", "strip_left": True, "strip_right": True}
_LOWER = {"type": "Lowercase"}
_PUNCTUATION = {
    "type": "Replace",
    "pattern": {"Regex": f"[{re.escape(string.punctuation)}]"},
    "content": "",
}
_UNDERSCORE = {"type": "Replace", "pattern": {"String": "_"}, "content": " "}
# What the library ftfy and html.unescape do for open_clip: the part that occurs in clean
# files. Mended encodings and full-width letters are left out.
_MENDED = {"[\u02bc\u2018-\u201b]": "'", "[\u201c-\u201f]": '"'}
_MENDED |= {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl"}
_MENDED |= {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#(39|x27);": "'", "&amp;": "&"}
_MENDED |= {r"[\x00-\x08\x0b\x0e-\x1f\x7f]": ""}
_MENDING = tuple(
    {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}
    for pattern, content in _MENDED.items()
)
# Steps of cleaning that libraries do in Python, before the tokenizer: transformers those of
# the first name, open_clip those of the others.
CLEANING = {
    "punctuation": (_LOWER, _PUNCTUATION, _SPACES, _STRIP),
    "whitespace": (*_MENDING, _SPACES, _STRIP),
    "lower": (*_MENDING, _SPACES, _STRIP, _LOWER),
    "canonicalize": (*_MENDING, _UNDERSCORE, _PUNCTUATION, _LOWER, _SPACES, _STRIP),
}


class Unmasked(nn.Module):
    """A causal network of texts, called without a mask: no token sees the padding behind it.

    What transformers does with a mask depends on its content, so that widths could not be told
    from shapes alone.
    """

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, input_ids, attention_mask):
        # The product keeps the mask among the inputs of compiled graphs.
        return self.network(input_ids=input_ids * attention_mask)


class FixedLength(nn.Module):
    """A network of texts that was trained on padding of one length, and attends to it.

    Parameters
    ----------
    network : torch.nn.Module
        From `input_ids` of shape (n, length) to an output with a `pooler_output`, or to states
        (n, length, width).
    length : int
        Number of tokens.
    padding : int
        Token that fills up shorter texts.
    pooling : {"first", "last"}, default="last"
        The position whose state is the embedding, whatever is there.
    end : int, default=None
        The token whose first state is the embedding instead, -1 for the largest number.
    removed : int, default=None
        A token in whose place the network takes 0.
    """

    def __init__(self, network, length, padding, pooling="last", end=None, removed=None):
        super().__init__()
        self.network, self.length, self.padding = network, length, padding
        self.pooling, self.end, self.removed = pooling, end, removed

    def forward(self, input_ids, attention_mask):
        ids = torch.where(attention_mask.bool(), input_ids, self.padding)
        ids = functional.pad(ids, (0, self.length - ids.shape[1]), value=self.padding)
        if self.removed is not None:
            ids = torch.where(ids == self.removed, 0, ids)
        states = self.network(input_ids=ids)
        pooled = getattr(states, "pooler_output", None)
        if pooled is not None:
            return pooled
        if self.end is None:
            return states[:, 0] if self.pooling == "first" else states[:, -1]
        mask = mask_behind(ids, torch.ones_like(ids), self.end)
        return pool_tokens(states, "last", mask)


def read_json(path):
    """Return the content of a JSON file, {} where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def find_weights(folder, names):
    """Return the first file of weights of those names that a folder has."""
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise FileNotFoundError(
            f"{folder} has none of {', '.join(names)}; bring one of them, or pass"
            " weights=None for random weights"
        )
    return found[0]


def refuse_other_input(request, label):
    """Raise ValueError for pixels or channels that its positions and filters do not allow."""
    given = {"input_size": request.size, "n_channels": request.n_channels}
    for name, value in given.items():
        if value is not None and not (name == "n_channels" and value == 3):
            raise ValueError(
                f"{name}={shorten(value)}: {label} takes its own size and three channels;"
                f" leave {name} at None"
            )


def read_tokenizer(folder, label):
    """Return the JSON text of the tokenizer in a folder."""
    path = folder / "tokenizer.json"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        transformers = import_optional("transformers", "text", f"model={shorten(label)}")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return tokenizer.backend_tokenizer.to_str()
    raise FileNotFoundError(
        f"{folder} has no tokenizer.json; bring it from the repository of the network, or for"
        " CLIP from openai/clip-vit-large-patch14, whose tokenizer open_clip uses"
    )


def add_cleaning(definition, kind):
    """Return the definition of a tokenizer that first cleans texts, as `CLEANING` has it.

    Where punctuation goes, a text cannot contain special tokens, which tokenizers would look
    for before they clean it.
    """
    content = json.loads(definition)
    if _PUNCTUATION in CLEANING[kind]:
        content["added_tokens"] = [
            token
            for token in content.get("added_tokens", ())
            if not set(string.punctuation) & set(token["content"])
        ]
    own = content.get("normalizer")
    steps = [*CLEANING[kind], *([] if own is None else [own])]
    content["normalizer"] = {"type": "Sequence", "normalizers": steps}
    return json.dumps(content)


def find_token(definition, stated, role, n_known):
    """Return the number of the token of a role such as "pad_token", None where none is stated.

    `stated` is the content of a `tokenizer_config.json`, and numbers are below `n_known`.
    """
    token = stated.get(role)
    token = token.get("content") if isinstance(token, dict) else token
    number = None if token is None else build_tokenizer(definition).token_to_id(token)
    return number if number is not None and number < n_known else None
