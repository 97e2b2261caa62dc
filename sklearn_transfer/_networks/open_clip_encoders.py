"""Networks of transformers as the towers of texts of dual encoders of open_clip."""

from pathlib import Path

from torch import nn

from sklearn_transfer._networks.silence import silence_progress
from sklearn_transfer._networks.towers import read_json
from sklearn_transfer._validation import format_list, import_optional, shorten

_POOLERS = {"mean_pooler": "avg", "cls_pooler": "cls", "cls_last_hidden_state_pooler": "cls"}


def build_encoder(stated, dim, folder, label, fetch_config):
    """Return a network of transformers, its pooling and the projection behind that.

    Only weights lie in the folder of open_clip. The configuration of the network comes from
    its own repository, which `fetch_config` asks, or from a file `text_config.json` in the
    folder.
    """
    transformers = import_optional("transformers", "text", f"model={shorten(label)}")
    name = stated["hf_model_name"]
    config = _find_config(name, folder, label, fetch_config)
    pooler = stated["hf_pooler_type"] or _POOLER_OF.get(config["model_type"])
    options = transformers.AutoConfig.for_model(**config)
    with silence_progress(transformers):
        network = transformers.AutoModel.from_config(options)
    if options.is_encoder_decoder:
        network = network.encoder
    own = getattr(network, "pooler", None)
    if pooler not in _POOLERS or (pooler == "cls_pooler" and isinstance(own, nn.Module)):
        raise ValueError(
            f"model={shorten(label)}: its tower of texts has hf_pooler_type={pooler!r} on"
            f" {shorten(name)}, expected {format_list(_POOLERS)} on a network without a layer"
            " of its own for that; load the network with open_clip"
        )
    if own is not None:
        network.pooler = None
    width = getattr(options, "hidden_size", None) or options.d_model
    projection = _build_projection(stated["hf_proj_type"], width, dim, label)
    network.name_or_path = network.config._name_or_path = ""  # copies of a folder are equal
    return network, _POOLERS[pooler], projection


_POOLER_OF = {"roberta": "mean_pooler", "xlm-roberta": "mean_pooler", "mt5": "mean_pooler"}
_POOLER_OF |= {"bert": "cls_pooler", "m2m_100": "cls_pooler"}


def _find_config(name, folder, label, fetch_config):
    """Return the content of the configuration of a network of transformers."""
    own = folder / "text_config.json"
    config = read_json(own) or read_json(Path(name) / "config.json") or fetch_config(name)
    if "model_type" not in config:
        raise FileNotFoundError(
            f"model={shorten(label)}: its tower of texts is the network of {shorten(name)},"
            f" whose config.json is neither available nor in {own}; bring it from"
            f" https://huggingface.co/{name} under that name"
        )
    return config


def _build_projection(kind, width, dim, label):
    if kind == "linear":
        return nn.Linear(width, dim, bias=False)
    if kind == "mlp":
        inner = (width + dim) // 2
        layers = nn.Linear(width, inner, bias=False), nn.Linear(inner, dim, bias=False)
        return nn.Sequential(layers[0], nn.GELU(), layers[1])
    if not kind and width == dim:
        return nn.Identity()
    raise ValueError(
        f"model={shorten(label)}: its tower of texts has hf_proj_type={kind!r} between"
        f" {width} and {dim} values, expected 'linear' or 'mlp'"
    )
