"""Taps: the places where features leave a network, and the choice of them by `layers`.

Nothing here needs the network itself, so that taps of a recorded network can be resolved.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from numbers import Integral

from sklearn_transfer._validation import shorten, suggest_near

POOLINGS = ("auto", "avg", "max", "gem", "cls", "last", "flatten")


@dataclass(frozen=True)
class Tap:
    """One place in a network where features leave it, and the pooling of the activation.

    `kind` is "embedding", "final_map", "logits" or "module"; `name` is that of the module,
    empty for the other kinds. Two values of `layers` that mean the same place give equal taps.
    The pooling "raw" keeps the activation as it is, for a computation that goes on from there.
    """

    kind: str
    name: str
    pooling: str
    label: str = field(compare=False)


def resolve_taps(backbone, layers, pooling):
    """Return the taps for a value of `layers`; raises ValueError with near matches."""
    if pooling not in POOLINGS:
        raise ValueError(
            f"pooling={shorten(pooling)} is not one of {', '.join(map(repr, POOLINGS))}."
            f"{suggest_near(pooling, POOLINGS)}"
        )
    choices = layers if isinstance(layers, (list, tuple)) else [layers]
    if not choices:
        raise ValueError("layers=[] names no layer; None is the network's embedding")
    taps = [_resolve(backbone, choice, pooling) for choice in choices]
    twice = [tap.label for tap, count in Counter(taps).items() if count > 1]
    if twice:
        raise ValueError(f"layers={shorten(layers)} names {twice[0]!r} more than once")
    return taps


def _resolve(backbone, choice, pooling):
    if isinstance(choice, bool) or not isinstance(choice, (str, Integral, type(None))):
        raise ValueError(
            f"layers names {shorten(choice)}, expected a string, a stage index or None, or"
            " one list of these"
        )
    if choice != "logits" and pooling == "cls" and not backbone.layout.class_token:
        raise ValueError(
            f"pooling='cls': {backbone.label} has no class token; use 'avg', 'max' or 'gem'"
        )
    _check_token_pooling(backbone, pooling)
    if choice is None:
        kind = "embedding" if pooling == "auto" else "final_map"
        return Tap(kind, "", pooling, "embedding")
    if choice == "logits":
        if not backbone.layout.has_classifier:
            raise ValueError(
                f"layers='logits': {backbone.label} has no classifier; use None for its"
                " embedding"
            )
        return Tap("logits", "", "auto", "logits")
    name = find_module_name(backbone, choice)
    label = str(choice)
    if isinstance(choice, Integral):
        label = f"stage{choice % len(backbone.layout.stages)}"
    return Tap("module", name, pooling, label)


def _check_token_pooling(backbone, pooling):
    """Raise ValueError for a pooling that networks of texts, or all others, do not have."""
    label = backbone.label
    if pooling == "last" and not backbone.layout.is_text:
        raise ValueError(
            f"pooling='last' is the last token of a text, but {label} takes no texts; use"
            " 'avg', 'max', 'gem' or 'cls'"
        )
    if pooling == "flatten" and backbone.layout.is_text:
        raise ValueError(
            f"pooling='flatten' keeps every token, but texts of {label} differ in length; use"
            " 'avg', 'max', 'gem', 'cls' or 'last'"
        )
    if pooling == "flatten" and backbone.layout.is_audio:
        raise ValueError(
            f"pooling='flatten' keeps every frame, but sounds of {label} differ in length; use"
            " 'avg', 'max' or 'gem'"
        )


def find_module_name(backbone, choice, parameter="layers", others=("logits", None)):
    """Return the name of the module that a word, an index or a name stands for.

    `parameter` is the one that has this value, and `others` are its other allowed values;
    both are for messages.
    """
    if isinstance(choice, Integral):
        return _find_stage(backbone, int(choice), parameter).name
    count = len(backbone.layout.stages)
    depth = {"shallow": count / 4, "middle": count / 2, "deep": count}
    if choice in depth:
        if not count:
            raise ValueError(
                f"{parameter}={shorten(choice)}: {backbone.label} has no inner stages"
            )
        return backbone.layout.stages[math.ceil(depth[choice]) - 1].name
    modules = backbone.module_names
    if choice not in modules:
        near = suggest_near(choice, [*depth, *others, *modules])
        raise ValueError(
            f"{parameter}={shorten(choice)} names no layer of {backbone.label}.{near} Give"
            f" 'shallow', 'middle', 'deep', {', '.join(map(repr, others))}, a stage index, or"
            f" the name of a module; the stages are {list_stages(backbone)}"
        )
    return choice


def _find_stage(backbone, index, parameter):
    count = len(backbone.layout.stages)
    if not -count <= index < count:
        raise ValueError(
            f"{parameter}={index}: {backbone.label} has {count} stages, 0 to {count - 1}:"
            f" {list_stages(backbone)}"
        )
    return backbone.layout.stages[index]


def list_stages(backbone):
    """Return the stages of a network as messages list them."""
    names = [f"{i} {stage.name}" for i, stage in enumerate(backbone.layout.stages)]
    return ", ".join(names if len(names) <= 12 else [*names[:10], "...", names[-1]])
