"""One pass of a network, which collects the activations of taps."""

import threading
from collections import Counter
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace

import torch

from sklearn_transfer._networks.families import get_family
from sklearn_transfer._networks.inputs import (
    find_mask,
    get_first_tensor,
    get_spatial_size,
)
from sklearn_transfer._networks.layout import Place, Stage
from sklearn_transfer._networks.levels import find_levels, pool_levels
from sklearn_transfer._networks.taps import list_stages
from sklearn_transfer._process.locks import RLock

# TF32 is a setting of the process. Without a lock, one thread could restore the setting of
# another while that one is still running.
_settings_lock = RLock()


@torch.inference_mode()
def forward(backbone, taps, inputs, precision="float32"):
    """Run one pass and return pooled activations, one tensor (n, width) per tap.

    `inputs` is the network's input, a tensor or a mapping of tensors. The pass ends at the
    deepest tap. The first pass for a set of taps runs to the end, to check that each place is
    reached exactly once.
    """
    places = frozenset((tap.kind, tap.name) for tap in taps)
    learning = places not in backbone.learned
    one_at_a_time = backbone.lock if backbone.stateful else nullcontext()
    with (
        one_at_a_time,
        _fix_numerics(get_first_tensor(inputs).device.type, precision),
        _Capture(backbone, taps, inputs, learning) as capture,
        suppress(_Complete),
    ):
        get_family(backbone.layout).run(backbone.module, inputs, capture)
    if learning:
        capture.check_calls()
        backbone.learned.add(places)
    return [capture.pooled[tap] for tap in taps]


@contextmanager
def _fix_numerics(device_type, precision):
    """Context without TF32, and with autocast for bfloat16, whatever the caller has set."""
    backends = torch.backends
    settings, lock = [], nullcontext()
    if device_type == "cuda":
        lock = _settings_lock
        settings = [(backends.cuda.matmul, "allow_tf32", False)]
        settings += [(backends.cudnn, "allow_tf32", False)]
        if hasattr(backends.cuda.matmul, "fp32_precision"):  # torch >= 2.9
            owners = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
            settings = [(owner, "fp32_precision", "ieee") for owner in owners]
    autocast = {"enabled": precision == "bfloat16", "dtype": torch.bfloat16}
    on_meta = device_type == "meta"  # for which torch refuses autocast
    with lock, nullcontext() if on_meta else torch.autocast(device_type, **autocast):
        before = [getattr(owner, name) for owner, name, _ in settings]
        try:
            for owner, name, value in settings:
                setattr(owner, name, value)
            yield
        finally:
            for (owner, name, _), value in zip(settings, before, strict=True):
                setattr(owner, name, value)


class _Complete(BaseException):
    """Raised to end a forward pass; no Exception, so that no module catches it by accident."""


class _Paused:
    """Context in which the hooks of a capture ignore activations."""

    def __init__(self, capture):
        self.capture = capture

    def __enter__(self):
        self.capture.active = False

    def __exit__(self, *error):
        self.capture.active = True


class _Capture:
    """Hooks on the places of some taps for one pass, which are removed also after an error.

    Several threads may run the same module at once, each with hooks of its own, and torch
    calls all hooks of a module in every thread. Hooks therefore ignore activations of other
    threads than the one that registered them.
    """

    def __init__(self, backbone, taps, inputs, learning):
        self.backbone, self.taps, self.learning = backbone, taps, learning
        self.n_rows = len(get_first_tensor(inputs))
        self.spatial = get_spatial_size(inputs)
        self.mask = find_mask(inputs, backbone.layout.end)
        self.pooled, self.calls, self.handles = {}, Counter(), []
        self.active, self.thread = True, threading.get_ident()

    def __enter__(self):
        try:
            for kind, name in {(tap.kind, tap.name) for tap in self.taps}:
                self._add_hook(kind, name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()

    def skip_hooks(self):
        """Return a context in which hooks ignore activations."""
        return _Paused(self)

    def needs(self, kind):
        """Whether a tap asks for an activation of this kind."""
        return any(tap.kind == kind for tap in self.taps)

    def offer(self, kind, activation, name=""):
        """Take an activation if a tap asks for it; ends the pass after the last one."""
        asking = [tap for tap in self.taps if (tap.kind, tap.name) == (kind, name)]
        if not asking or not self.active or threading.get_ident() != self.thread:
            return
        self.calls[kind, name] += 1
        for tap in asking:
            self.pooled[tap] = self._pool(tap, activation)
        if not self.learning and len(self.pooled) == len(self.taps):
            raise _Complete

    def check_calls(self):
        """Raise ValueError unless each tap was reached exactly once."""
        for tap in self.taps:
            count = self.calls[tap.kind, tap.name]
            if count != 1:
                times = "is never run" if count == 0 else f"runs {count} times"
                raise ValueError(
                    f"layers={tap.label!r}: module {tap.name!r} of {self.backbone.label}"
                    f" {times} in one pass, so it does not name a single layer; choose a"
                    f" module that runs once, such as a stage: {list_stages(self.backbone)}"
                )

    def _add_hook(self, kind, name):
        place = Place(name)
        if kind != "module":
            layout = self.backbone.layout
            place = get_family(layout).get_place(layout, kind)
        if place is None:  # the family offers it
            return
        module = self.backbone.module.get_submodule(place.module)
        if place.side == "output":
            handle = module.register_forward_hook(
                lambda _, args, output: self.offer(kind, output, name)
            )
        else:
            handle = module.register_forward_pre_hook(
                lambda _, args: self.offer(kind, args[0], name)
            )
        self.handles.append(handle)

    def _pool(self, tap, activation):
        # Pooled and copied here, since a later in-place operation of the network may overwrite
        # the activation.
        levels = _find_levels(activation, tap, self.backbone)
        if tap.kind == "final_map" and self.backbone.layout.final_relu:
            levels = [level.relu() for level in levels]
        for level in levels:
            self._check_rows(tap, level)
        pooled = pool_levels(
            levels,
            tap.pooling,
            self.backbone.layout,
            _describe_stage(self.backbone, tap),
            spatial=self.spatial,
            mask=self.mask,
        )
        return pooled.clone()

    def _check_rows(self, tap, activation):
        if activation.shape[:1] != (self.n_rows,):
            raise ValueError(
                f"layers={tap.label!r}: the output of {tap.name or tap.kind!r} has shape"
                f" {tuple(activation.shape)} for {self.n_rows} samples; tap a module whose"
                f" first axis is the samples, such as a stage: {list_stages(self.backbone)}"
            )


def _find_levels(activation, tap, backbone):
    try:
        return find_levels(activation, repr(tap.name or backbone.label))
    except ValueError as error:
        stages = list_stages(backbone)
        choose = f"; choose among {stages}" if stages else ""
        raise ValueError(f"layers={tap.label!r}: {error}{choose}") from None


def _describe_stage(backbone, tap):
    """Return what is known of the layout of a tap's activation."""
    if tap.kind != "module":
        family = get_family(backbone.layout)
        channels = family.get_map_channels(backbone.module)
        order = _find_time_order(backbone, tap) or family.get_map_order()
        return Stage(tap.name, channels, order=order)
    module = backbone.module.get_submodule(tap.name)
    width = getattr(module, "out_channels", None)  # of a convolution
    found = [stage for stage in backbone.layout.stages if stage.name == tap.name]
    stage = found[0] if found else Stage(tap.name, width)
    own = _find_time_order(backbone, tap) or getattr(module, "output_fmt", None)
    return replace(
        stage,
        channels=stage.channels or width,
        order=str(getattr(own, "value", own)).upper(),
    )


def _find_time_order(backbone, tap):
    """Return the order of the axes of a tap's activation if it is known which is time."""
    return {1: "NLC", 2: "NCL"}.get(backbone.time_axes.get(tap.name))
