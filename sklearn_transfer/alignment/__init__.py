"""Transformers that map source and target features into one space.

`fit_transform` maps rows as source, `transform` as target, as a Pipeline needs it that learns
on the source and predicts the target. What follows from that:

- A search scores held-out rows of the source as if they were the target's. Give it a
  scorer that holds target rows of its own.
- Steps before an aligner do not see a target given as ``align__X_target``: give it as they
  would return it, or route it, with ``set_fit_request(X_target=True)`` on the aligner and
  ``Pipeline(transform_input=["X_target"])``.
- With stacked domains, ``align__sample_domain``, the steps after an aligner get all rows:
  give the last one ``sample_weight=(sample_domain >= 0)``.
"""

from sklearn_transfer._public import publish_classes
from sklearn_transfer.alignment._coral import CORAL
from sklearn_transfer.alignment._mean import MeanAlignment
from sklearn_transfer.alignment._optimal_transport import OptimalTransport
from sklearn_transfer.alignment._subspace import SubspaceAlignment
from sklearn_transfer.alignment._tca import TransferComponentAnalysis

__all__ = [
    "CORAL",
    "MeanAlignment",
    "OptimalTransport",
    "SubspaceAlignment",
    "TransferComponentAnalysis",
]

publish_classes(__name__)
