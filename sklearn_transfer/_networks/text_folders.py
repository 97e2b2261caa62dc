"""Folders of networks of texts, in the layout of transformers or sentence-transformers."""

import json
from dataclasses import dataclass
from pathlib import Path

from sklearn_transfer._validation import format_list, shorten

_TOKENIZER = "tokenizer.json"
# Names of poolings in configurations, old and new, and in this package.
_POOLINGS = {
    "cls": "cls",
    "lasttoken": "last",
    "max": "max",
    "mean": "avg",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "avg",
}
# Positions of these networks begin behind the number of the padding token.
_SHIFTED = {"camembert", "data2vec-text", "longformer", "mpnet", "roberta", "xlm-roberta"}
_SHIFTED |= {"xlm-roberta-xl", "xmod", "ibert", "roberta-prelayernorm", "bigbird_pegasus"}
# Tokenizers state a length of about 1e30 where they have none.
_NO_LENGTH = 10**9


@dataclass(frozen=True)
class TextFolder:
    """What a folder says about its network.

    Parameters
    ----------
    path : pathlib.Path
        Folder of the network itself, with `config.json`.
    config : dict
        Content of `config.json`.
    pooling : {"avg", "max", "cls", "last"} or None
        None: the folder does not say.
    is_normalized : bool
        Whether embeddings are scaled to norm 1.
    projections : tuple of pathlib.Path
        Folders of layers that follow the pooling.
    max_length : int or None
        Most tokens of a text.
    n_positions : int or None
        Most tokens that the network can take.
    lowercase : bool
        Whether texts are brought to lower case.
    side : {"left", "right"}
        The end at which long texts are cut.
    prompts : dict
        Prompts by their names.
    prompt : str
        The prompt that is used by default.
    pools_prompt : bool
        Whether pooling takes the tokens of prompts.
    """

    path: Path
    config: dict
    pooling: str | None
    is_normalized: bool
    projections: tuple
    max_length: int | None
    n_positions: int | None
    lowercase: bool
    side: str
    prompts: dict
    prompt: str
    pools_prompt: bool

    @property
    def tokenizer(self):
        """Path of the file that defines the tokenizer; it need not exist."""
        return self.path / _TOKENIZER


def is_text_config(config):
    """Whether the content of a `config.json` is that of a network of transformers.

    Networks of timm on a hub state their own configuration beside it.
    """
    return "model_type" in config and "pretrained_cfg" not in config


def read_text_folder(folder, label):
    """Return the `TextFolder` of a folder; raises ValueError if it is not supported."""
    folder = Path(folder)
    modules = _list_modules(folder, label)
    path = modules.get("Transformer", [folder])[0]
    config = _read_json(path / "config.json")
    if "model_type" not in config:
        raise ValueError(
            f"model={shorten(label)}: {path} has no config.json with a 'model_type', expected"
            " a folder that transformers or sentence-transformers saved"
        )
    pooling, pools_prompt = None, True
    for found in modules.get("Pooling", []):
        stated = _read_json(found / "config.json")
        pooling, pools_prompt = read_pooling(stated, label), stated.get("include_prompt", True)
    limits = _read_limits(path)
    tokenizer = _read_json(path / "tokenizer_config.json")
    n_positions = find_n_positions(config)
    sentence = _read_json(folder / "config_sentence_transformers.json")
    prompts = sentence.get("prompts") or {}
    return TextFolder(
        path=path,
        config=config,
        pooling=pooling,
        is_normalized="Normalize" in modules,
        projections=tuple(modules.get("Dense", ())),
        max_length=find_max_length(limits, tokenizer, n_positions),
        n_positions=n_positions,
        lowercase=bool(limits.get("do_lower_case", False)),
        side=tokenizer.get("truncation_side", "right"),
        prompts=prompts,
        prompt=prompts.get(sentence.get("default_prompt_name"), ""),
        pools_prompt=pools_prompt,
    )


def read_projection(folder):
    """Return the configuration of a layer behind the pooling, and the path of its weights."""
    files = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    found = [file for file in files if file.is_file()]
    if not found:
        raise FileNotFoundError(f"{folder} has none of model.safetensors, pytorch_model.bin")
    return _read_json(folder / "config.json"), found[0]


def _read_json(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _list_modules(folder, label):
    """Return the folders of the modules that modules.json lists, by the names of classes."""
    known = ("Transformer", "Pooling", "Dense", "Normalize")
    found = {}
    for module in _read_json(folder / "modules.json") or ():
        kind = module["type"].rpartition(".")[2]
        if kind == "Dropout":  # does nothing in evaluation mode
            continue
        if kind not in known:
            raise ValueError(
                f"model={shorten(label)} has a module of the type {module['type']!r}; only"
                f" {format_list(known)} are supported. Take another network, or give"
                " its module with a tokenizer."
            )
        found.setdefault(kind, []).append(folder / module["path"])
    return found


def read_pooling(config, label):
    """Return the pooling of a configuration; raises ValueError if it is not supported."""
    stated = config.get("pooling_mode")
    if stated is None:
        names = [
            name for name, on in config.items() if name.startswith("pooling_mode_") and on
        ]
    else:
        names = [stated] if isinstance(stated, str) else list(stated)
    if len(names) != 1 or names[0] not in _POOLINGS:
        raise ValueError(
            f"model={shorten(label)} pools tokens by {format_list(names)}, expected one of"
            f" {format_list(sorted(set(_POOLINGS)))}; take another network, or pass"
            " its network alone with a pooling of yours"
        )
    return _POOLINGS[names[0]]


def _read_limits(path):
    """Return the configuration with max_seq_length, whose file is named after the network."""
    files = [f for f in sorted(path.glob("sentence_*_config.json")) if f.is_file()]
    return _read_json(files[0]) if files else {}


def find_n_positions(config):
    """Return the most tokens that a network takes, None for any number."""
    text = config.get("text_config") or config
    count = text.get("max_position_embeddings") or text.get("n_positions")
    if count is None or count < 0 or text.get("relative_attention_num_buckets"):
        # A network with relative positions takes texts of any length.
        return None if config.get("model_type") != "mpnet" else count - 2
    if config.get("model_type") in _SHIFTED:
        return count - text.get("pad_token_id", 1) - 1
    return count


def find_max_length(limits, tokenizer, n_positions):
    """Return the most tokens of a text, special ones included, None for any number.

    A folder may state more than the network has positions for.
    """
    stated = limits.get("max_seq_length")
    if stated is None:
        stated = tokenizer.get("model_max_length")
    lengths = [stated, n_positions]
    lengths = [int(n) for n in lengths if n is not None and n < _NO_LENGTH]
    return min(lengths, default=None)
