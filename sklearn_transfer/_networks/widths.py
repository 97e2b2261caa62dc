"""Widths of features, from shapes alone or by a pass of one blank sample."""

import copy
import sys
from collections import OrderedDict

import numpy as np

from sklearn_transfer._modalities.contents import add_input_note
from sklearn_transfer._networks.backbone import Backbone
from sklearn_transfer._process.threads import run_apart

# Parameters of a network that computes one sample faster than torch imports its compiler.
_SMALL = 100_000_000


def find_width(backbone, tap, reader, signature):
    """Return the number of features at a tap for payloads of a signature."""
    if (tap, signature) not in backbone.widths:
        from sklearn_transfer._networks.engines.plan import Plan

        network = backbone.load()
        plan = Plan(network, [tap], reader.format, "float32", signature)
        shape = reader.format.input_shape(signature)
        with add_input_note(backbone.label, shape, reader.input_source):
            blank = _make_blank(reader.format, signature, network.device)
            (features,) = run_apart(plan.forward, blank)
        backbone.widths[tap, signature] = features.shape[1]
    return backbone.widths[tap, signature] * reader.n_channels


def infer_widths(backbone, taps, reader, signature):
    """Number of features at each tap for payloads of a signature, without computing any.

    A copy of the network runs on torch's device "meta", where tensors have shapes and no
    content. Code that needs the content raises an error of any type. Where torch has not
    imported its compiler yet, which that device needs and which takes seconds, a small network
    computes the features of one blank sample instead.
    """
    if any((tap, signature) not in backbone.widths for tap in taps):
        import torch

        from sklearn_transfer._networks.engines.plan import Plan

        network = backbone.load()
        if "torch._dynamo" not in sys.modules and network.n_parameters < _SMALL:
            return [find_width(backbone, tap, reader, signature) for tap in taps]
        outline = Backbone(
            network.description, _copy_to_meta(network.module), torch.device("meta")
        )
        plan = Plan(outline, taps, reader.format, "float32", signature)
        features = plan.forward(_make_blank(reader.format, signature, outline.device))
        for tap, matrix in zip(taps, features, strict=True):
            backbone.widths.setdefault((tap, signature), matrix.shape[1])
    return [backbone.widths[tap, signature] * reader.n_channels for tap in taps]


def _make_blank(format, signature, device):
    blank = {
        name: np.zeros((1, *format.fill_shape(shape)), dtype)
        for name, shape, dtype in signature
    }
    from sklearn_transfer._networks.engines.plan import to_tensors

    return to_tensors(blank, device)


def _copy_to_meta(module):
    import torch

    # `deepcopy` takes what its memo holds for the copy, so no tensor is copied.
    memo = {
        id(p): torch.nn.Parameter(p.detach().to("meta"), requires_grad=False)
        for p in module.parameters()
    }
    memo |= {id(buffer): buffer.to("meta") for buffer in module.buffers()}
    for layer in module.modules():  # passes in other threads may add hooks meanwhile
        memo[id(layer._forward_hooks)] = OrderedDict()
        memo[id(layer._forward_pre_hooks)] = OrderedDict()
    return copy.deepcopy(module, memo)
