import matplotlib.pyplot as plt
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
    mean = np.rint(image.mean(axis=(0, 1)))[0]
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


def test_map_is_that_of_covered_pictures_one_by_one():
    image = np.random.default_rng(0).integers(0, 255, (13, 17, 3), dtype=np.uint8)

    def predict(picture):
        weights = np.arange(picture.size).reshape(picture.shape) % 7 / 7
        sure = 1 / (1 + np.exp(-((picture / 255 - 0.5) * weights).mean() * 9))
        return [1 - sure, sure]

    class Weighted(Corner):
        def predict_proba(self, X):
            return np.array([predict(picture) for picture in X])

    display = OcclusionDisplay.from_estimator(Weighted(), image, label="lit", patch=0.3)
    falls = [[[] for _ in range(17)] for _ in range(13)]
    for top in range(-2, 13, 2):  # a patch of 4 x 5, moved by 2 x 2
        for left in range(-3, 17, 2):
            inside = [
                (i, j)
                for i in range(max(top, 0), min(top + 4, 13))
                for j in range(max(left, 0), min(left + 5, 17))
            ]
            covered = image.copy()
            for i, j in inside:
                covered[i, j] = np.rint(image.mean(axis=(0, 1)))
            fall = predict(image)[1] - predict(covered)[1]
            for i, j in inside:
                falls[i][j].append(fall)
    expected = [[np.mean(values) for values in row] for row in falls]
    np.testing.assert_allclose(display.drop, expected, atol=1e-12)


@pytest.mark.parametrize(
    "classes",
    [np.array(["a", "$b_{"], dtype=object), np.array([False, True]), np.array([3, 9])],
    ids=["objects", "bool", "gap"],
)
def test_classes_of_any_type_are_named(image, classes):
    model = Corner()
    model.classes_ = classes
    display = OcclusionDisplay.from_estimator(model, image)
    assert display.label == classes[1]
    assert type(display.label) in (str, bool, int)
    display.figure_.canvas.draw()
    assert OcclusionDisplay.from_estimator(model, image, label=classes[0]).probability == 0


def test_large_images_are_covered_a_few_at_a_time(monkeypatch):
    lengths = []

    class Counted(Corner):
        def predict_proba(self, X):
            lengths.append(len(X))
            return super().predict_proba(X)

    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    whole = OcclusionDisplay.from_estimator(Counted(), image).drop
    assert len(lengths) == 1
    monkeypatch.setattr("sklearn_transfer.plotting._occlusion._BYTES", 50_000)
    np.testing.assert_array_equal(
        OcclusionDisplay.from_estimator(Counted(), image).drop, whole
    )
    assert max(lengths[1:]) == 50_000 // image.nbytes
    assert sum(lengths[1:]) == lengths[0]


def test_image_of_five_channels_reaches_the_classifier_as_it_is():
    image = np.random.default_rng(0).random((20, 20, 5), dtype=np.float32)
    image[:10, :10] += 5

    class Counted(Corner):
        def predict_proba(self, X):
            assert X.shape[1:] == (20, 20, 5)
            assert X.dtype == np.float32
            return super().predict_proba(X)

    display = OcclusionDisplay.from_estimator(Counted(), image, label="lit")
    assert display.drop[2, 2] > 0
    assert display.picture_.get_array().max() > 4


def test_axes_that_are_drawn_on_again_keep_one_colorbar(image):
    figure, ax = plt.subplots()
    display = OcclusionDisplay.from_estimator(Corner(), image, ax=ax)
    assert display.plot(ax).ax_ is ax
    assert len(figure.axes) == 2
