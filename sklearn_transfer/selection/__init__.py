"""Scores of candidates, and tests of whether and how the domains differ."""

from sklearn_transfer._public import publish_classes
from sklearn_transfer.selection._adaptations import rank_adaptations
from sklearn_transfer.selection._duplicates import duplicate_groups
from sklearn_transfer.selection._label_errors import label_errors
from sklearn_transfer.selection._label_free_scorers import (
    ATCScorer,
    BNMScorer,
    InfoMaxScorer,
    NeighborInformationScorer,
)
from sklearn_transfer.selection._label_sample import choose_rows_to_label
from sklearn_transfer.selection._label_shift import label_shift_test
from sklearn_transfer.selection._logme import logme
from sklearn_transfer.selection._mmd import mmd, mmd_test
from sklearn_transfer.selection._negative import negative_transfer_test
from sklearn_transfer.selection._ranking import rank_backbones
from sklearn_transfer.selection._reverse_validation import ReverseValidationScorer
from sklearn_transfer.selection._robustness import robustness_report
from sklearn_transfer.selection._scores import gbc, h_score, leep, nce
from sklearn_transfer.selection._shift import shift_report
from sklearn_transfer.selection._target_accuracy import target_accuracy
from sklearn_transfer.selection._two_sample import classifier_two_sample_test

__all__ = [
    "ATCScorer",
    "BNMScorer",
    "InfoMaxScorer",
    "NeighborInformationScorer",
    "ReverseValidationScorer",
    "choose_rows_to_label",
    "classifier_two_sample_test",
    "duplicate_groups",
    "gbc",
    "h_score",
    "label_errors",
    "label_shift_test",
    "leep",
    "logme",
    "mmd",
    "mmd_test",
    "nce",
    "negative_transfer_test",
    "rank_adaptations",
    "rank_backbones",
    "robustness_report",
    "shift_report",
    "target_accuracy",
]

publish_classes(__name__)
