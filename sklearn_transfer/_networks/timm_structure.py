"""Structure of networks of timm, as their modules state it."""

from dataclasses import replace

import torch

from sklearn_transfer._networks.layout import Stage, list_children


def describe_structure(module, prefix=""):
    """Return fields of the layout of a module, whose name in a larger one is the prefix."""
    class_token = getattr(module, "cls_token", None) is not None
    return {
        "stages": tuple(replace(s, name=prefix + s.name) for s in _list_stages(module)),
        "pooling": _find_head_pooling(module),
        "prefix_tokens": getattr(module, "num_prefix_tokens", int(class_token)),
        "class_token": class_token,
        "channels_last": getattr(module, "output_fmt", "NCHW") == "NHWC",
    }


def _list_stages(module):
    """Return the stages that timm lists, or children if it lists modules that never run."""
    never_run = torch.nn.ModuleList
    known = {name for name, m in module.named_modules() if name and type(m) is not never_run}
    listed = list(getattr(module, "feature_info", None) or ())
    if listed and all(info.get("module") in known for info in listed):
        return tuple(
            Stage(info["module"], info.get("num_chs"), info.get("reduction"))
            for info in listed
        )
    return list_children(module, skip=_find_classifier_child(module))


def _find_classifier_child(module):
    classifier = (getattr(module, "pretrained_cfg", None) or {}).get("classifier") or ""
    return str(classifier[0] if isinstance(classifier, tuple) else classifier).split(".")[0]


def _find_head_pooling(module):
    """Return the pooling of a network's own head, which is used for inner stages too."""
    pool = getattr(module, "global_pool", None)
    if pool is None:
        pool = getattr(getattr(module, "head", None), "global_pool", None)
    kind = pool if isinstance(pool, str) else getattr(pool, "pool_type", "avg")
    return {"token": "cls", "max": "max", "fastmax": "max"}.get(kind, "avg")
