from dataclasses import replace
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from sklearn_transfer import NegativeTransferDisplay
from sklearn_transfer.selection._negative_result import NegativeTransferResult


def result_of(
    differences=(0.01, 0.05, 0.03), interval=(-0.02, 0.08), verdict="undecided", **k
):
    differences = np.array(differences)
    facts = {
        "differences": differences,
        "scores_transferred": 0.8 + differences,
        "scores_baseline": np.full(len(differences), 0.8),
        "p_value": 0.2,
        "mean_difference": np.mean(differences),
        "interval": interval,
        "verdict": verdict,
        "scoring": "accuracy",
        "baseline": "raw pixels",
        "confidence": 0.95,
    }
    return NegativeTransferResult(**(facts | k))


@pytest.fixture
def three():
    return {
        "network A": result_of((0.1, 0.2), (0.05, 0.25), "helps"),
        "network B": result_of((-0.1, -0.2, -0.3), (-0.35, -0.05), "hurts"),
        "network C": result_of((-0.1, 0.1), (-0.4, 0.4)),
    }


def rows(display):
    return [label.get_text() for label in display.ax_.get_yticklabels()]


def test_one_result_is_one_row():
    display = NegativeTransferDisplay.from_result(result_of())
    np.testing.assert_array_equal(display.points_[0].get_offsets()[:, 0], [0.01, 0.05, 0.03])
    assert display.means_[0].get_xdata()[0] == pytest.approx(0.03)
    np.testing.assert_array_equal(display.intervals_[0].get_xdata(), [-0.02, 0.08])
    assert [text.get_text() for text in display.verdicts_] == ["undecided"]
    assert set(display.line_.get_xdata()) == {0}
    assert rows(display) == ["against raw pixels"]
    assert display.ax_.get_title() == "Folds, mean and 95 % confidence interval"


def test_several_results_are_rows_from_the_top(three):
    display = NegativeTransferDisplay.from_result(three)
    assert rows(display) == list(three)
    assert [len(points.get_offsets()) for points in display.points_] == [2, 3, 2]
    assert [text.get_text() for text in display.verdicts_] == ["helps", "hurts", "undecided"]
    heights = display.ax_.transData.transform(
        [(0, line.get_ydata()[0]) for line in display.means_]
    )
    assert (np.diff(heights[:, 1]) < 0).all()
    for line, result in zip(display.intervals_, three.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), result.interval)


def test_each_row_holds_its_own_marks(three):
    display = NegativeTransferDisplay.from_result(three)
    for row in range(3):
        assert set(display.intervals_[row].get_ydata()) == {row}
        assert set(display.means_[row].get_ydata()) == {row}
        assert (np.abs(display.points_[row].get_offsets()[:, 1] - row) < 0.5).all()
        assert display.verdicts_[row].xy[1] == row


def test_colors_tell_the_verdict(three):
    display = NegativeTransferDisplay.from_result(three | {"again": three["network A"]})
    colors = [to_rgb(line.get_color()) for line in display.intervals_]
    assert len(set(colors)) == 3
    assert colors[0] == colors[3]
    assert colors == [to_rgb(text.get_color()) for text in display.verdicts_]


def test_all_is_in_sight(three):
    display = NegativeTransferDisplay.from_result(three)
    display.figure_.draw_without_rendering()
    page = display.figure_.bbox
    for text in [*display.verdicts_, *display.ax_.get_yticklabels()]:
        box = text.get_window_extent()
        assert page.x0 <= box.x0 < box.x1 <= page.x1
    low, high = display.ax_.get_xlim()
    assert low < -0.4 < 0.4 < high
    right = display.ax_.get_window_extent().x1
    assert all(text.get_window_extent().x0 > right for text in display.verdicts_)


def test_many_rows_have_room():
    many = {f"network {row}": result_of() for row in range(20)}
    display = NegativeTransferDisplay.from_result(many)
    display.figure_.draw_without_rendering()
    boxes = [label.get_window_extent() for label in display.ax_.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def test_long_name_of_the_baseline_takes_lines():
    baseline = "Pipeline of StandardScaler and LogisticRegression on raw pixels"
    display = NegativeTransferDisplay.from_result(result_of(baseline=baseline))
    lines = rows(display)[0].split("\n")
    assert " ".join(lines) == f"against {baseline}"
    assert max(map(len, lines)) <= 28


def test_axis_names_the_score_that_all_share(three):
    display = NegativeTransferDisplay.from_result(three)
    assert display.ax_.get_xlabel() == "Difference in accuracy (above 0: transfer helps)"
    three["network B"] = replace(three["network B"], scoring="roc_auc", confidence=0.9)
    display = NegativeTransferDisplay.from_result(three)
    assert display.ax_.get_xlabel() == "Difference in score (above 0: transfer helps)"
    assert display.ax_.get_title() == "Folds, mean and confidence interval"


@pytest.mark.parametrize("interval", [(-np.inf, np.inf), (np.nan, np.nan)])
def test_interval_that_is_not_finite_is_left_out(interval):
    display = NegativeTransferDisplay.from_result(result_of((0.1,), interval))
    display.figure_.draw_without_rendering()
    assert np.isnan(display.intervals_[0].get_xdata()).all()
    assert np.isfinite(display.ax_.get_xlim()).all()


def test_equal_differences_are_drawn():
    display = NegativeTransferDisplay.from_result(result_of((0.0,) * 5, (0.0, 0.0)))
    display.figure_.draw_without_rendering()
    assert not np.any(display.points_[0].get_offsets()[:, 0])


def test_given_axes_keep_their_size(three):
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    display = NegativeTransferDisplay.from_result(three, ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert tuple(figure.get_size_inches()) == (8, 3)
    assert not left.lines


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({}, "result is an empty dict"),
        (3.0, "result is a float without differences, .*give what negative_transfer_test"),
        ({"a": result_of(), "b": None}, r"result\['b'\] is a NoneType without differences"),
        (result_of(verdict="better"), "result has the verdict 'better', expected one of"),
    ],
)
def test_other_results_are_refused(result, message):
    with pytest.raises(ValueError, match=message):
        NegativeTransferDisplay.from_result(result)


def test_a_missing_field_is_named():
    result = result_of()
    object.__delattr__(result, "interval")  # of a frozen record
    with pytest.raises(ValueError, match="NegativeTransferResult without interval: give"):
        NegativeTransferDisplay.from_result(result)
