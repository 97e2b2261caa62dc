"""Splits of networks of texts and sounds: the rest needs the mask beside the activation.

The input costs nothing, so that the rest is called with the true one, of any length.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from sklearn_transfer._networks.inputs import MASK, get_first_tensor, map_tensors
from sklearn_transfer._networks.splits import Events, Resumption, is_close

ACTIVATION = "activation"
_ROWS, _POSITIONS, _FRAMES = "rows", "positions", "frames"


@dataclass(frozen=True)
class TextSplit:
    """Where a network of texts, or of sounds of any length, is split.

    `shape` is that of the activation of one position, and `others` is what the boundary
    returns after it, None where it returns nothing else. `passed` are the outermost modules
    with parameters that give states of positions before the boundary begins, with what they
    return, where a `_Blank` stands for each tensor. Other modules, such as those that turn
    positions into angles, run again, since layers behind the split may use what they return.
    """

    boundary: str
    shape: tuple
    others: tuple | None
    passed: tuple

    def resume(self, module):
        """Context in which a network goes on from here."""
        return TextResumption(module, self)


@dataclass(frozen=True)
class _Blank:
    """Shape of a tensor, in which words stand for numbers of rows and positions, and type.

    Sounds have positions of the network, of which convolutions make fewer than there are
    frames of the input. For texts, both numbers are one.
    """

    shape: tuple
    dtype: torch.dtype


class TextResumption(Resumption):
    """Context in which a network can go on from the activation at a split.

    It is called with a batch of the input that has the activation (n, positions, ...) beside
    the tokens or frames, under the name "activation".
    """

    def __call__(self, run, batch):
        """Result of `run(inputs)` where the boundary's output is the activation."""
        activation = batch[ACTIVATION]
        others, self.device = self.split.others, activation.device
        self.injection.activation = activation if others is None else (activation, *others)
        self.sizes = dict(zip((_ROWS, _POSITIONS), activation.shape, strict=False))
        self.sizes[_FRAMES] = batch[MASK].shape[1]
        return run({name: t for name, t in batch.items() if name != ACTIVATION})

    def make_ghosts(self, output):
        """What a module before the split returned, as zeros."""
        return tree_map(self._make_zeros, output)

    def _make_zeros(self, item):
        if not isinstance(item, _Blank):
            return item
        shape = [self.sizes.get(edge, edge) for edge in item.shape]
        return torch.zeros(shape, dtype=item.dtype, device=self.device)


def split_text(module, run, inputs, boundary):
    """`TextSplit` of a network of texts at the module `boundary`, or None without one there.

    The split is checked as that of other networks is, with other numbers of rows and
    positions.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode. It is unchanged afterwards.
    run : callable
        `run(inputs)` is one pass through `module`, to a tensor (n_samples, ...).
    inputs : dict of torch.Tensor of shape (n_samples, positions)
        Input of three samples or more, with a mask.
    boundary : str
        Name of the module, which runs once in a pass.
    """
    return _split(module, run, inputs, boundary, _take_longer)


def split_sound(module, run, inputs, boundary):
    """The same for a network of sounds of any length; takes what `split_text` does."""
    return _split(module, run, inputs, boundary, _take_shorter)


def _split(module, run, inputs, boundary, change_length):
    if not isinstance(inputs, Mapping) or MASK not in inputs:
        return None
    is_text = change_length is _take_longer
    batches = [inputs, map_tensors(change_length, inputs)]
    with torch.no_grad():
        passes = [_Pass(module, run, batch, boundary) for batch in batches]
        first = passes[0]
        if not all(one.has_rows() for one in passes):
            return None
        if is_text and not all(one.has_positions() for one in passes):
            return None
        if first.activation.shape[1] == passes[1].activation.shape[1]:
            return None
        shape = tuple(first.activation.shape[2:])
        record = TextSplit(boundary, shape, first.others, _join_passed(*passes))
        try:
            with record.resume(module) as resumed:
                found = [
                    resumed(run, {**one.inputs, ACTIVATION: one.activation.clone()})
                    for one in passes
                ]
        except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError):
            return None
    pairs = zip(found, passes, strict=True)
    return record if all(is_close(again, one.whole) for again, one in pairs) else None


def _take_longer(tensor):
    """The first two rows, with their first position twice."""
    return torch.cat([tensor[:2, :1], tensor[:2]], dim=1)


def _take_shorter(tensor):
    """The first half of the first two rows."""
    return tensor[:2, : tensor.shape[1] // 4 * 2]


class _Pass:
    """A pass of a batch: its result, and the outputs of the modules up to the boundary."""

    def __init__(self, module, run, inputs, boundary):
        self.inputs = inputs
        events = Events(module)
        with events:
            self.whole = run(inputs)
        begin, end = events.find_only_call(boundary)
        self.activation, self.others = events.outputs[end], None
        if isinstance(self.activation, tuple) and self.activation:
            self.activation, *others = self.activation
            self.others = tuple(others)
        self.sizes = tuple(get_first_tensor(inputs).shape[:2])
        self.passed = {
            name: outputs
            for name, outputs in events.list_passed(begin).items()
            if next(module.get_submodule(name).parameters(), None) is not None
        }

    def has_rows(self):
        """Whether nothing but the activation is returned, with positions for each sample."""
        activation, others = self.activation, self.others
        return (
            isinstance(activation, torch.Tensor)
            and activation.ndim > 1
            and len(activation) == self.sizes[0]
            and (others is None or all(other is None for other in others))
        )

    def has_positions(self):
        """Whether the activation has a position for each one of the input."""
        return self.activation.shape[:2] == self.sizes


def _join_passed(first, second):
    """Modules of states with what they return, from passes of different sizes."""
    sizes = dict(
        zip(zip(first.sizes, second.sizes, strict=True), (_ROWS, _FRAMES), strict=True)
    )
    sizes[first.activation.shape[1], second.activation.shape[1]] = _POSITIONS
    joined = []
    for name, outputs in first.passed.items():
        found, structure = tree_flatten(outputs)
        others = tree_flatten(second.passed.get(name))[0]
        pairs = zip(found, others, strict=False)
        blanks = [_make_blank(one, other, sizes) for one, other in pairs]
        if len(found) == len(others) > 0 and _is_states(blanks[0]):
            joined.append((name, tuple(tree_unflatten(blanks, structure))))
    return tuple(joined)


def _is_states(item):
    """Whether an output has values for each sample, and for positions or frames."""
    if not isinstance(item, _Blank) or item.shape[:1] != (_ROWS,):
        return False
    return not {_POSITIONS, _FRAMES}.isdisjoint(item.shape[1:3])


def _make_blank(item, other, sizes):
    """`_Blank` of a tensor that two passes gave; other objects are kept."""
    if not (isinstance(item, torch.Tensor) and isinstance(other, torch.Tensor)):
        return item
    edges = zip(item.shape, other.shape, strict=False)
    # An edge that follows neither is wrong for other batches, which the check notices.
    return _Blank(tuple(sizes.get(pair, pair[0]) for pair in edges), item.dtype)
