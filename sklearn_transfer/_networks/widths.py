"""Widths of features, found by a pass of one blank sample."""

import numpy as np

from sklearn_transfer._modalities.contents import add_input_note
from sklearn_transfer._networks.engines.plan import Plan, to_tensors
from sklearn_transfer._process.threads import run_apart


def find_width(backbone, tap, reader, signature):
    """Return the number of features at a tap for payloads of a signature."""
    if (tap, signature) not in backbone.widths:
        plan = Plan(backbone, [tap], reader.format, "float32", signature)
        blank = {name: np.zeros((1, *shape), dtype) for name, shape, dtype in signature}
        shape = reader.format.input_shape(signature)
        with add_input_note(backbone.label, shape, reader.input_source):
            (features,) = run_apart(plan.forward, to_tensors(blank, backbone.device))
        backbone.widths[tap, signature] = features.shape[1]
    return backbone.widths[tap, signature]
