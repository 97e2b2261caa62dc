import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sklearn_transfer import KMM, WeightsDisplay


def heights(display):
    return np.array([bar.get_height() for bar in display.bars_])


def test_bars_count_the_weights():
    display = WeightsDisplay.from_weights([1, 1, 1, 5])
    np.testing.assert_allclose(display.weights, [0.5, 0.5, 0.5, 2.5])
    edges = [bar.get_x() for bar in display.bars_] + [2.5]
    np.testing.assert_array_equal(heights(display), np.histogram(display.weights, edges)[0])
    assert heights(display).sum() == 4


def test_title_tells_what_the_weights_rest_on():
    display = WeightsDisplay.from_weights([1, 1, 1, 5], name="mine")
    assert display.ess == pytest.approx(64 / 28)
    assert display.largest_share == pytest.approx(5 / 8)
    title = display.ax_.get_title()
    assert title == "mine\neffective sample size 2 of 4, largest weight 62.5% of all"
    assert display.ax_.get_xlabel() == "Weight (mean 1)"
    assert display.ax_.get_ylabel() == "Source samples"


def test_equal_weights_are_marked():
    display = WeightsDisplay.from_weights(np.ones(10))
    assert set(display.line_.get_xdata()) == {1}
    assert heights(display).sum() == 10


@pytest.mark.parametrize("weights", [[-1.0, 2.0], [0.0, 0.0]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weights is (-1 in row 0|zero in every row)"):
        WeightsDisplay.from_weights(weights)


def test_fitted_weighter_gives_its_weights(domains):
    kmm = KMM(B=5).fit(domains[0], X_target=domains[1])
    display = WeightsDisplay.from_estimator(kmm)
    np.testing.assert_allclose(display.weights, kmm.weights_)
    assert display.ess == pytest.approx(kmm.ess_)
    assert display.ax_.get_title().startswith("KMM\n")


def test_weighter_that_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        WeightsDisplay.from_estimator(KMM())
