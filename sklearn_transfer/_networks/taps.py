"""Where features leave a network: layer names, pooling, one forward pass."""

import math
import threading
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from numbers import Integral

import torch

from sklearn_transfer._networks.backbone import Stage
from sklearn_transfer._process.locks import RLock
from sklearn_transfer._validation import did_you_mean, shortened

POOLINGS = ("auto", "avg", "max", "gem", "cls", "flatten")
# TF32 is a setting of the process: two threads must not restore each other's.
_settings_lock = RLock()
_GEM_POWER, _GEM_FLOOR = 3.0, 1e-6


@dataclass(frozen=True)
class Tap:
    """One place in a network and what is made of its activation.

    `kind` is "embedding", "final_map", "logits" or "module"; `name` is the module's,
    empty for the other kinds. Two ways to say the same place give equal taps. The pooling
    "raw" keeps the activation as it is, for what runs on from there.
    """

    kind: str
    name: str
    pooling: str
    label: str = field(compare=False)


def resolve_taps(backbone, layers, pooling):
    """Taps for a value of the parameter `layers`; raises ValueError with near matches."""
    if pooling not in POOLINGS:
        raise ValueError(
            f"pooling={shortened(pooling)} is not one of {', '.join(map(repr, POOLINGS))}."
            f"{did_you_mean(pooling, POOLINGS)}"
        )
    choices = layers if isinstance(layers, (list, tuple)) else [layers]
    if not choices:
        raise ValueError("layers=[] names no layer; None is the network's embedding")
    taps = [_resolve(backbone, choice, pooling) for choice in choices]
    twice = [tap.label for tap, count in Counter(taps).items() if count > 1]
    if twice:
        raise ValueError(f"layers={shortened(layers)} names {twice[0]!r} more than once")
    return taps


def _resolve(backbone, choice, pooling):
    if isinstance(choice, bool) or not isinstance(choice, (str, Integral, type(None))):
        raise ValueError(
            f"layers names {shortened(choice)}, expected a string, a stage index or None, or"
            " one list of these"
        )
    if choice != "logits" and pooling == "cls" and not backbone.class_token:
        raise ValueError(
            f"pooling='cls': {backbone.label} has no class token; use 'avg', 'max' or 'gem'"
        )
    if choice is None:
        kind = "embedding" if pooling == "auto" else "final_map"
        return Tap(kind, "", pooling, "embedding")
    if choice == "logits":
        if not backbone.has_classifier:
            raise ValueError(
                f"layers='logits': {backbone.label} has no classifier; use None for its"
                " embedding"
            )
        return Tap("logits", "", "auto", "logits")
    name = module_name(backbone, choice)
    label = str(choice)
    if isinstance(choice, Integral):
        label = f"stage{choice % len(backbone.stages)}"
    return Tap("module", name, pooling, label)


def module_name(backbone, choice, parameter="layers", others=("logits", None)):
    """Name of the module that a word, an index or a name means as value of a parameter.

    `others` are the values that it takes beside these, for messages.
    """
    if isinstance(choice, Integral):
        return _stage_by_index(backbone, int(choice), parameter).name
    count = len(backbone.stages)
    depth = {"shallow": count / 4, "middle": count / 2, "deep": count}
    if choice in depth:
        if not count:
            raise ValueError(
                f"{parameter}={shortened(choice)}: {backbone.label} has no inner stages"
            )
        return backbone.stages[math.ceil(depth[choice]) - 1].name
    modules = [name for name, _ in backbone.module.named_modules() if name]
    if choice not in modules:
        near = did_you_mean(choice, [*depth, *others, *modules])
        raise ValueError(
            f"{parameter}={shortened(choice)} names no layer of {backbone.label}.{near} Give"
            f" 'shallow', 'middle', 'deep', {', '.join(map(repr, others))}, a stage index, or"
            f" the name of a module; the stages are {_stage_names(backbone)}"
        )
    return choice


def _stage_by_index(backbone, index, parameter):
    count = len(backbone.stages)
    if not -count <= index < count:
        raise ValueError(
            f"{parameter}={index}: {backbone.label} has {count} stages, 0 to {count - 1}:"
            f" {_stage_names(backbone)}"
        )
    return backbone.stages[index]


def _stage_names(backbone):
    names = [f"{i} {stage.name}" for i, stage in enumerate(backbone.stages)]
    return ", ".join(names if len(names) <= 12 else [*names[:10], "...", names[-1]])


@torch.inference_mode()
def forward(backbone, taps, batch, precision="float32"):
    """Pooled activations, one (n, width) tensor a tap, from one pass of a batch.

    The pass ends at the deepest tap. The first pass for a set of taps runs to the end
    to see that each place is reached exactly once.
    """
    places = frozenset((tap.kind, tap.name) for tap in taps)
    learning = places not in backbone.learned
    one_at_a_time = backbone.lock if backbone.stateful else nullcontext()
    with (
        one_at_a_time,
        _numerics(batch.device.type, precision),
        _Capture(backbone, taps, batch, learning) as capture,
    ):
        _run(backbone, batch, capture)
    if learning:
        capture.check_calls()
        backbone.learned.add(places)
    return [capture.pooled[tap] for tap in taps]


@contextmanager
def _numerics(device_type, precision):
    """No TF32, and autocast as `precision` says, whatever the caller has set."""
    backends = torch.backends
    settings, lock = [], nullcontext()
    if device_type == "cuda":
        lock = _settings_lock
        settings = [(backends.cuda.matmul, "allow_tf32", False)]
        settings += [(backends.cudnn, "allow_tf32", False)]
        if hasattr(backends.cuda.matmul, "fp32_precision"):  # torch >= 2.9
            places = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
            settings = [(place, "fp32_precision", "ieee") for place in places]
    autocast = {"enabled": precision == "bfloat16", "dtype": torch.bfloat16}
    with lock, torch.autocast(device_type, **autocast):
        before = [getattr(place, name) for place, name, _ in settings]
        try:
            for place, name, value in settings:
                setattr(place, name, value)
            yield
        finally:
            for (place, name, _), value in zip(settings, before, strict=True):
                setattr(place, name, value)


def _run(backbone, batch, capture):
    module = backbone.module
    try:
        if not backbone.is_timm:
            module(batch)
            return
        final_map = module.forward_features(batch)
        capture.offer("final_map", final_map)
        if capture.wants("embedding"):
            with capture.paused():
                embedding = module.forward_head(final_map, pre_logits=True)
            capture.offer("embedding", embedding)
        capture.offer("logits", module.forward_head(final_map))
    except _Complete:
        pass


class _Complete(BaseException):
    """Ends a forward pass; not an Exception, so that no module can swallow it."""


class _Paused:
    def __init__(self, capture):
        self.capture = capture

    def __enter__(self):
        self.capture.active = False

    def __exit__(self, *error):
        self.capture.active = True


class _Capture:
    """Hooks on the places of some taps, for one pass; removed also after an error.

    They heed their own thread alone, since several may run the same module at once.
    """

    def __init__(self, backbone, taps, batch, learning):
        self.backbone, self.taps, self.learning = backbone, taps, learning
        self.n_rows, self.spatial = len(batch), tuple(batch.shape[2:])
        self.pooled, self.calls, self.handles = {}, Counter(), []
        self.active, self.thread = True, threading.get_ident()

    def __enter__(self):
        try:
            for kind, name in {(tap.kind, tap.name) for tap in self.taps}:
                self._hook(kind, name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()

    def paused(self):
        """Context in which hooks ignore what passes them."""
        return _Paused(self)

    def wants(self, kind):
        return any(tap.kind == kind for tap in self.taps)

    def offer(self, kind, activation, name=""):
        """Take an activation if a tap asks for it; end the pass when all are served."""
        asking = [tap for tap in self.taps if (tap.kind, tap.name) == (kind, name)]
        if not asking or not self.active or threading.get_ident() != self.thread:
            return
        self.calls[kind, name] += 1
        for tap in asking:
            self.pooled[tap] = self._pool(tap, activation)
        if not self.learning and len(self.pooled) == len(self.taps):
            raise _Complete

    def check_calls(self):
        for tap in self.taps:
            count = self.calls[tap.kind, tap.name]
            if count != 1:
                times = "is never run" if count == 0 else f"runs {count} times"
                raise ValueError(
                    f"layers={tap.label!r}: module {tap.name!r} of {self.backbone.label}"
                    f" {times} in one pass, so it names no one layer; choose a module that"
                    f" runs once, such as a stage: {_stage_names(self.backbone)}"
                )

    def _hook(self, kind, name):
        point = (name, "output")
        if kind != "module":
            if self.backbone.is_timm:
                return
            point = getattr(self.backbone, kind)
        module = self.backbone.module.get_submodule(point[0])
        if point[1] == "output":
            handle = module.register_forward_hook(
                lambda _, args, output: self.offer(kind, output, name)
            )
        else:
            handle = module.register_forward_pre_hook(
                lambda _, args: self.offer(kind, args[0], name)
            )
        self.handles.append(handle)

    def _pool(self, tap, activation):
        # Pooled at once: a later in-place operation may overwrite the activation.
        activation = _one_tensor(activation, tap, self.backbone)
        if tap.kind == "final_map" and self.backbone.final_relu:
            activation = activation.relu()
        if activation.shape[:1] != (self.n_rows,):
            raise ValueError(
                f"layers={tap.label!r}: the output of {tap.name or tap.kind!r} has shape"
                f" {tuple(activation.shape)} for {self.n_rows} samples; tap a module whose"
                f" first axis is the samples, such as a stage: {_stage_names(self.backbone)}"
            )
        stage = _stage_of(self.backbone, tap)
        return pool(activation, tap.pooling, self.backbone, stage, self.spatial).clone()


def _one_tensor(activation, tap, backbone):
    if isinstance(activation, list) and len(activation) > 1:
        raise ValueError(
            f"layers={tap.label!r}: {tap.name or backbone.label!r} returns a list of"
            f" {len(activation)} tensors, which are no one layer; choose among"
            f" {_stage_names(backbone)}"
        )
    if isinstance(activation, (tuple, list)) and activation:
        activation = activation[0]
    if not isinstance(activation, torch.Tensor):
        raise ValueError(
            f"layers={tap.label!r}: {tap.name or backbone.label!r} returns"
            f" {type(activation).__name__}, expected a tensor or a tuple that starts with one"
        )
    return activation


def _stage_of(backbone, tap):
    """What is known of the layout of a tap's activation."""
    if tap.kind != "module":
        if backbone.is_timm:
            return Stage(tap.name, getattr(backbone.module, "num_features", None))
        return Stage(tap.name, layout="NCHW")
    module = backbone.module.get_submodule(tap.name)
    width = getattr(module, "out_channels", None)  # of a convolution
    found = [stage for stage in backbone.stages if stage.name == tap.name]
    stage = found[0] if found else Stage(tap.name, width)
    own = getattr(module, "output_fmt", None)
    return replace(
        stage,
        channels=stage.channels or width,
        layout=str(getattr(own, "value", own)).upper(),
    )


def pool(activation, pooling, backbone, stage, spatial):
    """One row per sample, (n, width), from an activation of any layout.

    Maps may be channels-first or channels-last, token sequences may begin with class and
    register tokens, which only "cls" and "flatten" see. "gem" is the generalised mean of
    power 3 [Radenovic 2018]. `spatial` is the size of the network's input.
    """
    activation = activation.float()
    if activation.ndim <= 2 or pooling == "raw":
        return activation.reshape(len(activation), -1)
    maps, n_prefix = _positions(activation, backbone, stage, spatial)
    if pooling == "auto":
        has_token = n_prefix and backbone.class_token
        pooling = backbone.auto_pooling
        if pooling == "cls" and not has_token:
            pooling = "avg"
    if pooling == "flatten":
        return maps.transpose(1, 2).reshape(len(maps), -1)
    if pooling == "cls":
        if not n_prefix:
            raise ValueError(
                f"pooling='cls': {stage.name or 'the last map'!r} of {backbone.label} has no"
                " class token; use 'avg', 'max' or 'gem'"
            )
        return maps[:, 0]
    maps = maps[:, n_prefix:]
    if pooling == "max":
        return maps.amax(1)
    if pooling == "gem":
        mean = maps.clamp(min=_GEM_FLOOR).pow(_GEM_POWER).mean(1)
        return mean.pow(1 / _GEM_POWER)
    return maps.mean(1)


def _positions(activation, backbone, stage, spatial):
    """Activation as (n, positions, channels), and how many prefix tokens lead it."""
    if activation.ndim == 3:
        if _is_channels_first(activation.shape[1], activation.shape[2], stage.channels):
            activation = activation.transpose(1, 2)
        return activation, _n_prefix(activation.shape[1], backbone, stage, spatial)
    if not _is_channels_last(activation, backbone, stage):
        activation = activation.movedim(1, -1)
    return activation.flatten(1, -2), 0


def _is_channels_first(second, third, channels):
    return channels is not None and second == channels != third


def _is_channels_last(activation, backbone, stage):
    first, last = activation.shape[1], activation.shape[-1]
    if stage.layout in ("NCHW", "NHWC"):
        return stage.layout == "NHWC"
    if stage.channels is not None and (first == stage.channels) != (last == stage.channels):
        return last == stage.channels
    if not backbone.channels_last_maps:
        return False
    # A convolution inside a channels-last network still gives square maps at the end.
    return not (activation.shape[-2] == last != first)


def _n_prefix(length, backbone, stage, spatial):
    """Prefix tokens in a sequence: none where it is as long as the grid of patches."""
    reductions = [s.reduction for s in (stage, *backbone.stages[-1:]) if s.reduction]
    if reductions and len(spatial) == 2:
        grid = math.prod(math.ceil(edge / reductions[0]) for edge in spatial)
        if length == grid:
            return 0
    return min(backbone.prefix_tokens, length - 1)
