"""Folding of batch normalization into the convolutions before it, where that is safe.

On two cores, PyTorch computes 13 to 26 % more images per second with `tf_efficientnet_lite0`
and 4 % more with `resnet18`; with `resnet50`, the difference is within the noise (`python -m
benchmarks --cases folding`).
"""

import copy
import sys
from collections import Counter

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary


def _list_norm_types():
    """Return types that compute normalization, then dropout and activation, and nothing else.

    Subclasses may compute more, so only these very types are folded.
    """
    # A network with layers of timm has imported it, which takes seconds.
    layers = sys.modules.get("timm.layers")
    return [nn.BatchNorm2d] if layers is None else [nn.BatchNorm2d, layers.BatchNormAct2d]


class _FoldedNorm(nn.Module):
    """Dropout and activation of a normalization that was folded, under the same names."""

    def __init__(self, norm):
        super().__init__()
        self.drop, self.act = norm.drop, norm.act

    def forward(self, x):
        return self.act(self.drop(x))


def fold_batch_norms(module, pairs):
    """Return a copy of a network with normalizations folded into convolutions [1]_.

    `pairs` are names of convolutions and normalizations, from `Observation.list_pairs`. The
    copy shares all other parameters with `module`.

    References
    ----------
    .. [1] B. Jacob et al. "Quantization and Training of Neural Networks for Efficient
       Integer-Arithmetic-Only Inference". CVPR, 2018, section 3.2.
    """
    # What the memo of `deepcopy` holds is not copied: parameters and buffers are shared.
    memo = {id(p): p for p in (*module.parameters(), *module.buffers())}
    folded = copy.deepcopy(module, memo)
    for conv_name, norm_name in pairs:
        conv, norm = folded.get_submodule(conv_name), folded.get_submodule(norm_name)
        _fold(conv, norm)
        left = _FoldedNorm(norm) if hasattr(norm, "act") else nn.Identity()
        folded.set_submodule(norm_name, left)
    return folded


def _fold(conv, norm):
    weight, bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    order = torch.channels_last
    conv.weight = nn.Parameter(weight.contiguous(memory_format=order), requires_grad=False)
    conv.bias = nn.Parameter(bias, requires_grad=False)


class Observation(TorchFunctionMode):
    """Context that observes which functions use the output of each convolution in one pass.

    A normalization can be folded only if it is all that uses the output of a convolution. The
    structure of modules does not show that, since a forward pass may call functions and may
    reuse a tensor; torch reports each call to `__torch_function__` here.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    batch : dict of torch.Tensor
        The input of the pass.

    Attributes
    ----------
    largest : int
        Number of elements of the largest tensor that was computed from `batch`, directly or
        through other tensors.
    """

    def __init__(self, module, batch):
        super().__init__()
        self.derived = WeakIdKeyDictionary(dict.fromkeys(batch.values(), True))
        modules = list(module.named_modules(remove_duplicate=False))
        self.convs = {id(m.weight): n for n, m in modules if isinstance(m, nn.Conv2d)}
        norm_types = _list_norm_types()
        self.norms = {
            id(m.running_mean): n
            for n, m in modules
            if type(m) in norm_types and m.track_running_stats
        }
        self.outputs, self.alive = {}, []
        self.conv_calls, self.norm_calls, self.uses = Counter(), Counter(), Counter()
        self.found, self.largest = [], 1

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        convs = {self.outputs[id(t)] for t in tensors if id(t) in self.outputs}
        if function is nn.functional.batch_norm:
            self._note_norm(convs, args)
        result = function(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        # Reading `x.shape` or calling `x.dim()` is reported too, but uses no values: only
        # functions that return tensors do, and assignment, which returns None.
        if made or function is torch.Tensor.__setitem__:
            self.uses.update(convs)
        if any(tensor in self.derived for tensor in tensors):
            self.largest = max([self.largest, *(tensor.numel() for tensor in made)])
            self.derived.update((tensor, True) for tensor in made)
        if getattr(function, "__name__", "") == "conv2d":
            self._note_conv(tensors, result)
        return result

    def _note_conv(self, tensors, result):
        for tensor in tensors[1:]:
            if id(tensor) in self.convs:
                conv = self.convs[id(tensor)]
                self.conv_calls[conv] += 1
                self.outputs[id(result)] = conv
                self.alive.append(result)  # an id is unique only while its object is alive

    def _note_norm(self, convs, args):
        norm = self.norms.get(id(args[1])) if len(args) > 1 else None
        if norm is not None:
            self.norm_calls[norm] += 1
            self.found += [(conv, norm) for conv in convs]

    def list_pairs(self):
        """Return pairs of names (convolution, normalization) that can be folded.

        Both run exactly once, and nothing else uses the output of the convolution.
        """
        return [
            (conv, norm)
            for conv, norm in self.found
            if self.conv_calls[conv] == self.norm_calls[norm] == self.uses[conv] == 1
        ]
