"""Networks of transformers and sentence-transformers, from hubs and folders.

Those of texts are loaded here; `sounds` loads those whose configuration says that they take
sounds.
"""

import inspect
import os

from torch import nn

from sklearn_transfer._modalities.text.spec import TextSpec
from sklearn_transfer._modalities.text.tokens import build_tokenizer
from sklearn_transfer._networks.bert import Bert, read_bert_config
from sklearn_transfer._networks.checkpoints import read_checkpoint
from sklearn_transfer._networks.dual_encoders import is_dual_folder, load_tower
from sklearn_transfer._networks.open_clip import is_open_clip_folder, load_open_clip_tower
from sklearn_transfer._networks.silence import silence_progress
from sklearn_transfer._networks.sound_kinds import is_audio_folder
from sklearn_transfer._networks.sources import note_all_known, note_folder, note_revision
from sklearn_transfer._networks.text import (
    Projection,
    TextNetwork,
    is_causal,
    make_text_backbone,
)
from sklearn_transfer._networks.text_folders import (
    find_max_length,
    find_n_positions,
    is_text_config,
    read_pooling,
    read_projection,
    read_text_folder,
)
from sklearn_transfer._networks.text_sources import (
    WEIGHTS,
    describe_package,
    fetch_hub_config,
    fetch_text_snapshot,
    find_packaged_folder,
)
from sklearn_transfer._networks.towers import OPEN_CLIP, OPEN_CLIP_WEIGHTS
from sklearn_transfer._networks.weights import load_matching, load_strictly
from sklearn_transfer._validation import import_optional, shorten

DEFAULT = "all-MiniLM-L6-v2"
_ORGANIZATION = "sentence-transformers/"
# Encoders of networks that have a decoder too, which a text alone does not need.
_ENCODERS = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}


def load(name, request):
    """Load a network by its name, such as "transformers/bert-base-uncased".

    "sentence-transformers/NAME" is a repository of that organization, or any repository where
    NAME has an owner of its own.
    """
    short = name.removeprefix(_ORGANIZATION)
    if short == DEFAULT:
        folder = find_packaged_folder(DEFAULT)
        if folder is not None:
            return load_folder(folder, request, name, describe_package(DEFAULT))
        return load_repository(f"{_ORGANIZATION}{DEFAULT}", request, name)
    if name.startswith("transformers/") or "/" in short:
        return load_repository(name.partition("/")[2], request, name)
    return load_repository(name, request, name)


def is_text_repository(repo, modality="text"):
    """Whether a repository of a hub holds a network of texts or a dual encoder.

    Its configuration decides. A repository of timm may have the tower of texts beside its
    network of images, in the layout of open_clip. It is False where no configuration is
    available; loading then says so.
    """
    config = fetch_hub_config(repo)
    if is_text_config(config):
        return True
    return (modality == "text" or not config) and bool(fetch_hub_config(repo, OPEN_CLIP))


def load_repository(repo, request, label):
    """Load a network from a repository of a hub."""
    is_open = not is_text_config(fetch_hub_config(repo)) and fetch_hub_config(repo, OPEN_CLIP)
    weights = OPEN_CLIP_WEIGHTS if is_open else WEIGHTS
    folder = fetch_text_snapshot(repo, label, weights)
    note_revision(folder, repo.partition("@")[2] or "main")
    return load_folder(folder, request, label, f"hub {repo}")


def load_folder(folder, request, label, origin=None):
    """Load a network from a folder; "pretrained" weights are those in it."""
    folder = os.path.expanduser(folder)
    note_folder(folder)
    note_all_known()
    origin = str(folder) if origin is None else origin
    if is_audio_folder(folder):
        from sklearn_transfer._networks import sounds

        return sounds.load_folder(folder, request, label, origin)
    if is_dual_folder(folder):
        return load_tower(folder, request, label, origin)
    if is_open_clip_folder(folder):
        return load_open_clip_tower(folder, request, label, origin, fetch_hub_config)
    found = read_text_folder(folder, label)
    is_pretrained = request.weights == "pretrained"
    if found.tokenizer.is_file() and (config := read_bert_config(found.config)):
        network = Bert(config)
        definition = found.tokenizer.read_text(encoding="utf-8")
        if is_pretrained:
            load_matching(network, _find_weights(found.path), label)
    else:
        network, definition = _build_with_transformers(found, is_pretrained, label)
    projection = _build_projection(found, is_pretrained)
    module = _wrap_network(network, found.pooling, projection)
    if request.weights is None:
        origin = "random weights"
    elif not is_pretrained:
        origin = _load_given(module, request.weights, label)
    spec = TextSpec(
        label,
        definition,
        padding=_find_padding(found.config),
        max_length=found.max_length,
        n_positions=found.n_positions,
        prompts=tuple(found.prompts.items()),
        prompt=found.prompt,
        lowercase=found.lowercase,
        side=found.side,
        pools_prompt=found.pools_prompt,
    )
    return make_text_backbone(
        module,
        spec,
        origin,
        is_normalized=found.is_normalized,
        class_token=_has_class_token(definition, network),
    )


def _wrap_network(network, pooling, projection=None):
    """Return the `TextNetwork` of a network; without a pooling, that of its kind."""
    if pooling is None:
        pooling = "last" if is_causal(network) else "avg"
    known = inspect.signature(network.forward).parameters
    options = {"use_cache": False} if "use_cache" in known else {}
    return TextNetwork(network, pooling, projection, options)


def _find_weights(path):
    files = [path / name for name in ("model.safetensors", "pytorch_model.bin")]
    found = [file for file in files if file.is_file()]
    if not found:
        raise FileNotFoundError(
            f"{path} has none of model.safetensors, pytorch_model.bin; bring one of them, or"
            " pass weights=None for random weights"
        )
    return found[0]


def _load_given(module, weights, label):
    """Load weights that are given for all of a `TextNetwork`, or for its network alone."""
    names = list(module.state_dict())
    held = read_checkpoint(weights).select_names(names, label).state_dict
    if all(name in held for name in names):
        return load_strictly(module, weights, label)
    return load_matching(module.network, weights, label)


def _build_with_transformers(found, is_pretrained, label):
    """Return a network of transformers, and the definition of its tokenizer."""
    transformers = import_optional("transformers", "text", f"model={shorten(label)}")
    options = {"local_files_only": True, "trust_remote_code": False}
    kind = _ENCODERS.get(found.config["model_type"], "AutoModel")
    kind = getattr(transformers, kind)
    with silence_progress(transformers):
        if is_pretrained:
            module, info = kind.from_pretrained(
                found.path, output_loading_info=True, **options
            )
            missing = [n for n in info["missing_keys"] if not n.startswith("pooler.")]
            if missing:
                raise ValueError(
                    f"The weights in {found.path} do not fit {label!r}: they lack"
                    f" {len(missing)} tensors, such as {missing[0]!r}"
                )
        else:
            config = transformers.AutoConfig.from_pretrained(found.path, **options)
            module = kind.from_config(config) if kind.__name__ == "AutoModel" else kind(config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(found.path, **options)
    if isinstance(getattr(module, "pooler", None), nn.Module):
        module.pooler = None  # its output is not used, and its weights may be random
    module.name_or_path = module.config._name_or_path = ""  # copies of a folder are equal
    return module, export_tokenizer(tokenizer, label)


def export_tokenizer(tokenizer, label):
    """Return the JSON text of a tokenizer of transformers or of tokenizers."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "to_str"):
        raise ValueError(
            f"model={shorten(label)} has the tokenizer {type(tokenizer).__name__}, expected"
            " one with a tokenizer.json, which is called fast; convert it with"
            " transformers.AutoTokenizer and save it into the folder"
        )
    return backend.to_str()


def _build_projection(found, is_pretrained):
    """Return the layers that follow the pooling, or None."""
    layers = []
    for folder in found.projections:
        config, weights = read_projection(folder)
        layer = Projection(
            config["in_features"],
            config["out_features"],
            config.get("bias", True),
            _build_activation(config.get("activation_function")),
            config.get("use_residual", False),
        )
        if is_pretrained:
            load_matching(layer, str(weights), str(folder))
        layers.append(layer)
    return nn.Sequential(*layers) if layers else None


def _build_activation(name):
    """Return the activation that a configuration names, such as the class of torch.nn."""
    if name is None:
        return nn.Tanh()
    kind = getattr(nn, name.rpartition(".")[2], None)
    if not name.startswith("torch.nn.") or not isinstance(kind, type):
        raise ValueError(f"Activation {shorten(name)} is not supported, expected a torch.nn.*")
    return kind()


def _find_padding(config):
    """Return the number of a token that the network knows; the mask hides it."""
    numbers = [config.get("pad_token_id"), config.get("eos_token_id")]
    known = [n[0] if isinstance(n, list) else n for n in numbers]
    return next((n for n in known if n is not None and n >= 0), 0)


def _has_class_token(definition, network):
    """Whether texts begin with a special token, whose state stands for the whole text."""
    encoding = build_tokenizer(definition).encode("a")
    return bool(encoding.special_tokens_mask[:1] == [1]) and not is_causal(network)


def wrap_given_text_network(module, label, origin):
    """Return the backbone of a module with an attribute `tokenizer`.

    It is called with `input_ids` and `attention_mask`. A `SentenceTransformer` brings its
    pooling, limit and prompts.
    """
    if type(module).__module__.startswith("sentence_transformers."):
        return _wrap_sentence_transformer(module, label, origin)
    tokenizer = module.tokenizer
    del module.tokenizer  # a copy is at hand, whose attributes may change
    definition = export_tokenizer(tokenizer, label)
    config = getattr(module, "config", None)
    config = config.to_dict() if hasattr(config, "to_dict") else {}
    spec = TextSpec(
        label,
        definition,
        padding=_find_padding(config),
        side=_find_side(tokenizer),
        **_find_limits(tokenizer, config),
    )
    return make_text_backbone(
        _wrap_network(module, None),
        spec,
        origin,
        is_normalized=False,
        class_token=_has_class_token(definition, module),
    )


def _find_side(tokenizer):
    """Return the end at which a tokenizer of transformers cuts long texts."""
    return getattr(tokenizer, "truncation_side", "right")


def _find_limits(tokenizer, config):
    """Return `max_length` and `n_positions` as the spec takes them."""
    n_positions = find_n_positions(config)
    stated = {"model_max_length": getattr(tokenizer, "model_max_length", None)}
    max_length = find_max_length({}, stated, n_positions)
    return {"max_length": max_length, "n_positions": n_positions}


def _wrap_sentence_transformer(module, label, origin):
    """Return the backbone of a module of sentence-transformers."""
    parts = {type(part).__name__: part for part in module.children()}
    others = parts.keys() - {"Transformer", "Pooling", "Normalize", "Dropout"}
    if others or "Transformer" not in parts:
        raise ValueError(
            f"model={label} of sentence-transformers has modules {sorted(parts)}, expected a"
            " Transformer and a Pooling; save it with save_pretrained(folder) and pass the"
            " folder"
        )
    first = parts["Transformer"]
    network = next(child for child in first.children() if hasattr(child, "config"))
    config = network.config.to_dict()
    n_positions = find_n_positions(config)
    definition = export_tokenizer(first.tokenizer, label)
    pooling, pools_prompt = None, True
    if "Pooling" in parts:
        stated = parts["Pooling"].get_config_dict()
        pooling, pools_prompt = read_pooling(stated, label), stated.get("include_prompt", True)
    # Those that are empty are known by their names too, which are no texts.
    prompts = dict(module.prompts)
    spec = TextSpec(
        label,
        definition,
        padding=_find_padding(config),
        max_length=find_max_length({"max_seq_length": module.max_seq_length}, {}, n_positions),
        n_positions=n_positions,
        prompts=tuple(prompts.items()),
        prompt=prompts.get(module.default_prompt_name, ""),
        lowercase=bool(getattr(first, "do_lower_case", False)),
        side=_find_side(first.tokenizer),
        pools_prompt=pools_prompt,
    )
    return make_text_backbone(
        _wrap_network(network, pooling),
        spec,
        origin,
        is_normalized="Normalize" in parts,
        class_token=_has_class_token(definition, network),
    )
