import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from sklearn_transfer import PretrainedFeatures, RankingDisplay
from sklearn_transfer.selection._ranking_table import BackboneRanking, Candidate


def candidate(name, layer, score, **facts):
    facts = {"n_features": 10, "seconds": 0.002, "n_parameters": 3_000_000, **facts}
    return Candidate(name, layer, PretrainedFeatures(), score=score, **facts)


@pytest.fixture
def ranking():
    rows = (
        candidate("large", "deep", 0.9, seconds=0.03, n_features=40),
        candidate("small", "deep", 0.7, n_features=20),
        candidate("small", "middle", 0.4),
        candidate("absent", "deep", None, problem="no such network"),
    )
    return BackboneRanking(rows, "logme")


def places(display):
    return np.concatenate([points.get_offsets() for points in display.points_])


def test_candidates_are_points_of_cost_and_score(ranking):
    display = RankingDisplay.from_ranking(ranking)
    np.testing.assert_allclose(places(display), [(30, 0.9), (2, 0.7), (2, 0.4)])
    assert display.ax_.get_xlabel() == "Milliseconds per sample"
    assert display.ax_.get_ylabel() == "logme"


@pytest.mark.parametrize(
    ("against", "expected"), [("n_parameters", [3, 3, 3]), ("n_features", [40, 20, 10])]
)
def test_horizontal_axis_is_the_one_that_was_chosen(ranking, against, expected):
    display = RankingDisplay.from_ranking(ranking, against=against)
    np.testing.assert_allclose(places(display)[:, 0], expected)


def test_legend_explains_the_numbers(ranking):
    display = RankingDisplay.from_ranking(ranking)
    assert [label.get_text() for label in display.labels_] == ["1", "2", "3"]
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == ["1  large, deep", "2  small, deep", "3  small, middle"]


def test_layers_of_one_network_share_a_color(ranking):
    display = RankingDisplay.from_ranking(ranking)
    large, deep, middle = (points.get_facecolor()[0] for points in display.points_)
    np.testing.assert_array_equal(deep, middle)
    assert (large != deep).any()


def test_given_axes_and_styles_are_used(ranking):
    figure, (left, right) = plt.subplots(1, 2)
    display = RankingDisplay.from_ranking(
        ranking, ax=right, scatter_kwargs={"s": 5, "color": "red", "alpha": 1}
    )
    assert display.ax_ is right
    assert display.figure_ is figure
    assert not left.collections
    assert display.points_[0].get_sizes() == [5]
    assert tuple(display.points_[0].get_facecolor()[0]) == to_rgba("red")


def test_ranking_draws_itself_as_the_display_does(ranking):
    display = ranking.plot(against="n_features")
    assert isinstance(display, RankingDisplay)
    expected = RankingDisplay.from_ranking(ranking, against="n_features")
    np.testing.assert_array_equal(places(display), places(expected))


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("cv_mean", "'cv_mean' is not known .* with cv"),
        ("time", "against='time' is unknown; expected one of"),
    ],
)
def test_unknown_costs_are_refused(ranking, against, message):
    with pytest.raises(ValueError, match=message):
        RankingDisplay.from_ranking(ranking, against=against)


def test_what_is_no_ranking_is_refused():
    with pytest.raises(ValueError, match="ranking is a list without candidates and"):
        RankingDisplay.from_ranking([1, 2])


def test_missing_matplotlib_names_the_extra(ranking, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"RankingDisplay.plot needs matplotlib: pip"):
        ranking.plot()
