"""Source and target to an answer: how do they differ, and what to do about it."""

from sklearn_transfer.selection._label_shift import label_shift_test
from sklearn_transfer.selection._mmd import mmd, mmd_test
from sklearn_transfer.selection._shift import shift_report
from sklearn_transfer.selection._two_sample import classifier_two_sample_test

__all__ = [
    "classifier_two_sample_test",
    "label_shift_test",
    "mmd",
    "mmd_test",
    "shift_report",
]
