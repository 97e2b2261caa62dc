"""Scores of candidates, and tests of whether and how the domains differ."""

from sklearn_transfer.selection._label_free_scorers import (
    ATCScorer,
    BNMScorer,
    InfoMaxScorer,
    NeighborInformationScorer,
)
from sklearn_transfer.selection._label_shift import label_shift_test
from sklearn_transfer.selection._logme import logme
from sklearn_transfer.selection._mmd import mmd, mmd_test
from sklearn_transfer.selection._negative import negative_transfer_test
from sklearn_transfer.selection._ranking import rank_backbones
from sklearn_transfer.selection._reverse_validation import ReverseValidationScorer
from sklearn_transfer.selection._scores import gbc, h_score, leep, nce
from sklearn_transfer.selection._shift import shift_report
from sklearn_transfer.selection._two_sample import classifier_two_sample_test

__all__ = [
    "ATCScorer",
    "BNMScorer",
    "InfoMaxScorer",
    "NeighborInformationScorer",
    "ReverseValidationScorer",
    "classifier_two_sample_test",
    "gbc",
    "h_score",
    "label_shift_test",
    "leep",
    "logme",
    "mmd",
    "mmd_test",
    "nce",
    "negative_transfer_test",
    "rank_backbones",
    "shift_report",
]
