"""Labels of the target that a fit cannot take, and samples that come with labels."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.finetuning.test_adapting import (
    LABELS,
    draw_domains,
    make_classifier,
    make_regressor,
)


@pytest.mark.parametrize(
    ("make", "few"),
    [
        (make_classifier, [5.5] + [None] * 49),
        (make_classifier, ["oak"] + [None] * 49),
        (make_regressor, ["oak"] + [None] * 49),
        (make_regressor, [np.inf] + [None] * 49),
    ],
)
def test_errors_in_labels_of_the_target_name_them(make, few):
    X, y, T, _ = draw_domains()
    with pytest.raises(ValueError, match="y together with y_target: "):
        make().fit(X, np.searchsorted(LABELS, y), X_target=T, y_target=few)


def test_errors_in_y_do_not_blame_labels_of_the_target():
    X, _, T, _ = draw_domains()
    with pytest.raises(ValueError, match="^Unknown label type: continuous"):
        make_classifier().fit(X, X[:, 0], X_target=T, y_target=[1] + [None] * 49)


@pytest.mark.parametrize(("codes", "mark"), [([0, 1, 2], -1), (["a", "b", "c"], "nan")])
def test_marks_of_missing_labels_are_no_class(codes, mark):
    X, y, T, _ = draw_domains()
    labels = np.array(codes)[np.searchsorted(LABELS, y)]
    with pytest.raises(ValueError, match="give None or NaN where a label is missing"):
        make_classifier().fit(X, labels, X_target=T, y_target=[codes[0]] + [mark] * 49)


def make_pictures(n, edge, seed):
    return np.random.default_rng(seed).random((n, 3, edge, edge), dtype=np.float32)


def make_picture_classifier(**params):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return make_classifier(**params).set_params(model=nn.Sequential(*layers))


def test_labels_of_target_rows_join_in_input_of_any_shape():
    X, T, y = make_pictures(6, 16, 0), make_pictures(4, 16, 1), [0, 1] * 3
    few = [1, None, None, 0]
    model = make_picture_classifier().fit(X, y, X_target=T, y_target=few)
    assert model.adapt_report_.n_labeled == 8


def test_labeled_target_rows_of_another_shape_are_an_error():
    X, T, y = make_pictures(6, 16, 0), make_pictures(4, 12, 1), [0, 1] * 3
    with pytest.raises(ValueError, match=r"rows of shape \(3, 12, 12\), and rows of X have"):
        make_picture_classifier().fit(X, y, X_target=T, y_target=[1, None, None, None])


def test_a_class_that_partial_fit_is_told_of_is_no_mark():
    X, y, T, _ = draw_domains()
    few = [-1] + [None] * 49
    model = make_classifier()
    model.partial_fit(X, np.searchsorted(LABELS, y), [-1, 0, 1, 2], X_target=T, y_target=few)
    assert model.adapt_report_.n_labeled == 61
