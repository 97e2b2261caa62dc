"""Networks of fitted estimators as modules of PyTorch, from inputs to features or outputs."""

import copy
from dataclasses import replace

import torch
from torch.nn import functional

from sklearn_transfer._networks.engines.plan import Plan, to_tensors
from sklearn_transfer._networks.taps import Tap


class FittedModule(torch.nn.Module):
    """The network of a fitted estimator, from what a file takes to features or outputs.

    Parameters
    ----------
    plan : Plan
        What the network computes.
    front : Front
        What it takes.
    finish : callable
        Makes the list of pooled activations of the plan into one matrix.

    Attributes
    ----------
    inputs : list of InputSpec
        What `forward` takes, in order.
    width : int
        Columns of what it returns.
    """

    def __init__(self, plan, front, finish):
        super().__init__()
        self.plan, self.body, self.prepare = plan, plan.backbone.module, front.prepare
        self.inputs, self._finish = front.inputs, finish
        self.eval()
        self.width = self(*self.example(2).values()).shape[1]

    def forward(self, *arrays):
        """Return a matrix (n_samples, width), float32."""
        if self.prepare is None:
            batch = dict(zip(self.plan.names, arrays, strict=True))
        else:
            batch = self.prepare(*arrays)
        return self._finish(self.plan.forward(batch, precision="float32"))

    def example(self, n):
        """Return a batch of n deterministic random inputs, by name."""
        if self.prepare is None:
            return to_tensors(self.plan.example(n))
        return to_tensors({self.inputs[0].name: self.prepare.draw_input(n)})


def make_extractor_module(estimator, backbone, front):
    """Return the `FittedModule` of an extractor, which gives its features."""
    taps = estimator._resolve(backbone, estimator.layers)
    plan = Plan(backbone, taps, front.reader.format, "float32", front.signature)
    example = to_tensors(plan.example(2))
    widths = [output.shape[1] for output in plan.forward(example)]
    kept = estimator._finish_widths(backbone, taps, widths)
    scaled = [backbone.layout.is_normalized and tap.label == "embedding" for tap in taps]

    def finish(outputs):
        parts = []
        for output, width, is_scaled in zip(outputs, kept, scaled, strict=True):
            part = output[:, :width]
            parts.append(functional.normalize(part, eps=1e-12) if is_scaled else part)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    return FittedModule(plan, front, finish)


def make_trained_module(estimator, front, kind):
    """Return the `FittedModule` of a fine-tuner: its "logits", or "embedding" as features."""
    backbone = _merge_adapters(_copy_to_cpu(estimator._backbone))
    taps = [Tap(kind, "", "auto", kind)]
    plan = Plan(backbone, taps, front.reader.format, "float32", front.signature)
    return FittedModule(plan, front, _take_first)


def _take_first(outputs):
    return outputs[0]


def _copy_to_cpu(backbone):
    """Return the same network on the CPU, a copy that may be changed."""
    from sklearn_transfer._networks.backbone import Backbone

    module = copy.deepcopy(backbone.module).to("cpu").eval()
    return Backbone(replace(backbone.description), module, torch.device("cpu"))


def _merge_adapters(backbone):
    """Put the products of low rank of LoRA into the weights beside them, in place."""
    for name, module in list(backbone.module.named_modules()):
        if hasattr(module, "get_base_layer") and hasattr(module, "merge"):
            module.merge()
            parent, _, child = name.rpartition(".")
            owner = backbone.module.get_submodule(parent)
            setattr(owner, child, module.get_base_layer())
    return backbone
