"""Source and target features to features of one space."""

from sklearn_transfer.alignment._coral import CORAL
from sklearn_transfer.alignment._optimal_transport import OptimalTransport
from sklearn_transfer.alignment._subspace import SubspaceAlignment
from sklearn_transfer.alignment._tca import TransferComponentAnalysis

__all__ = ["CORAL", "OptimalTransport", "SubspaceAlignment", "TransferComponentAnalysis"]
