import numpy as np
import pytest
from sklearn.svm import LinearSVC

from sklearn_transfer import OcclusionDisplay


class Corner:
    """Sure of "lit" as far as the upper left quarter of an image is bright."""

    classes_ = np.array(["dark", "lit"])

    def predict_proba(self, X):
        lit = np.asarray(X, dtype=float)[:, :10, :10].mean(axis=(1, 2, 3)) / 255
        return np.column_stack([1 - lit, lit])


@pytest.fixture
def image():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:10, :10] = 255
    return image


def test_only_the_part_that_counts_is_marked(image):
    display = OcclusionDisplay.from_estimator(Corner(), image)
    assert display.label == "lit"
    assert display.probability == 1
    assert display.drop[:10, :10].min() > 0
    assert display.drop[14:, 14:].max() == 0


def test_a_patch_of_the_whole_quarter_takes_its_share(image):
    display = OcclusionDisplay.from_estimator(Corner(), image, patch=0.1)
    mean = image.mean(axis=(0, 1)).astype(np.uint8)[0]
    # A pixel within is covered by patches of four pixels alone.
    assert display.drop[4, 4] == pytest.approx(4 / 100 * (1 - mean / 255))


def test_another_class_may_be_asked_for(image):
    display = OcclusionDisplay.from_estimator(Corner(), image, label="dark")
    assert display.drop[5, 5] < 0
    assert display.ax_.get_title() == "dark (probability 0.00)"
    np.testing.assert_array_equal(display.map_.get_array(), display.drop)


@pytest.mark.parametrize("patch", [0.03, 0.3, 1])
def test_each_pixel_is_covered(image, patch):
    assert np.isfinite(
        OcclusionDisplay.from_estimator(Corner(), image, patch=patch).drop
    ).all()


def test_wrong_arguments_are_refused(image):
    with pytest.raises(ValueError, match="label='lid' is none of the classes.*'lit'"):
        OcclusionDisplay.from_estimator(Corner(), image, label="lid")
    with pytest.raises(ValueError, match="patch=0, expected a number above 0"):
        OcclusionDisplay.from_estimator(Corner(), image, patch=0)
    with pytest.raises(ValueError, match="LinearSVC has no predict_proba"):
        OcclusionDisplay.from_estimator(LinearSVC(), image)
