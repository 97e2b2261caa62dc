import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_transfer import NeighborsDisplay

IMAGES = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3), dtype=np.uint8)
FEATURES = np.random.default_rng(1).normal(size=(6, 4))


def test_neighbors_are_those_of_the_centered_cosine():
    display = NeighborsDisplay.from_features(
        IMAGES, FEATURES, IMAGES[:2], FEATURES[:2], n_neighbors=3
    )
    centered = FEATURES - FEATURES.mean(axis=0)
    norms = np.linalg.norm(centered, axis=1)
    cosines = centered[:2] @ centered.T / np.outer(norms[:2], norms)
    np.testing.assert_array_equal(display.rows, np.argsort(-cosines)[:, :3])
    np.testing.assert_allclose(display.similarity, -np.sort(-cosines)[:, :3])
    assert display.rows[:, 0].tolist() == [0, 1]


def test_samples_stand_left_of_their_neighbors():
    display = NeighborsDisplay.from_features(
        IMAGES, FEATURES, IMAGES[4:], FEATURES[4:], y=list("abcdef"), n_neighbors=2
    )
    assert display.axes_.shape == (2, 3)
    drawn = [ax.images[0].get_array() for ax in display.axes_[0]]
    near = display.rows[0]
    np.testing.assert_array_equal(drawn, [IMAGES[4], *IMAGES[near]])
    expected = f"row {near[1]} ({display.similarity[0, 1]:.2f})\n{'abcdef'[near[1]]}"
    assert display.axes_[0, 2].get_title() == expected


def test_pipeline_gives_features_and_predictions():
    pixels = FunctionTransformer(lambda X: np.reshape(X, (len(X), -1)) / 255)
    model = make_pipeline(pixels, LogisticRegression()).fit(IMAGES, [0, 1] * 3)
    display = NeighborsDisplay.from_estimator(model, IMAGES, IMAGES[:1], n_neighbors=1)
    assert display.rows.tolist() == [[0]]
    assert display.axes_[0, 0].get_title() == f"sample 0\n{model.predict(IMAGES[:1])[0]}"


def test_texts_of_a_column_are_written():
    texts = pd.Series([f"text number {i}" for i in range(6)], index=range(10, 16))
    display = NeighborsDisplay.from_features(
        texts, FEATURES, ["a new text"], FEATURES[3:4], n_neighbors=1
    )
    written = [ax.texts[0].get_text() for ax in display.axes_[0]]
    assert written == ["a new text", "text number 3"]


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="n_neighbors=7, and there are 6 training samples"):
        NeighborsDisplay.from_features(
            IMAGES, FEATURES, IMAGES[:1], FEATURES[:1], n_neighbors=7
        )
    with pytest.raises(ValueError, match="has no transform, which gives features"):
        NeighborsDisplay.from_estimator(LogisticRegression(), IMAGES, IMAGES)
    with pytest.raises(ValueError, match="3 bytes .*: give an image that can be read"):
        NeighborsDisplay.from_features(
            [b"abc"], FEATURES[:1], IMAGES[:1], FEATURES[:1], n_neighbors=1
        )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": [1, 2]}, r"inconsistent numbers of samples: \[6, 6, 2\]"),
        ({"X_new": IMAGES[:3]}, r"inconsistent numbers of samples: \[3, 2\]"),
        ({"predictions": [1]}, r"inconsistent numbers of samples: \[2, 2, 1\]"),
        ({"features_new": FEATURES[:2, :3]}, "features has 4 columns, and features_new 3"),
        ({"features_new": np.full((2, 4), np.nan)}, "features_new holds NaN or infinity"),
        ({"features": FEATURES[:, 0]}, r"shape \(6,\), expected a row of features"),
        ({"X_new": [], "features_new": np.empty((0, 4))}, "X_new has no samples"),
        ({"n_neighbors": 2.5}, "n_neighbors=2.5, and .* whole number from 1 to 6"),
        ({"axes": np.empty((2, 2), object)}, "axes holds 4 axes, and 2 samples with 2"),
    ],
)
def test_what_does_not_fit_together_is_refused(changed, message):
    given = {"X": IMAGES, "features": FEATURES, "X_new": IMAGES[:2], "n_neighbors": 2}
    with pytest.raises(ValueError, match=message):
        NeighborsDisplay.from_features(**{**given, "features_new": FEATURES[:2], **changed})


TEXTS = ["great", "costs $5 and $6", "", "a b", "\u6f22\u5b57" * 90, "x_1 ^2 y"]


def test_texts_of_one_word_or_with_signs_of_money_are_written():
    display = NeighborsDisplay.from_features(
        TEXTS, FEATURES, TEXTS[:2], FEATURES[:2], y=["$a_{"] * 6, n_neighbors=5
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # of the font
        display.figure_.canvas.draw()
    written = {ax.texts[0].get_text() for ax in display.axes_.ravel()}
    assert {"great", "costs $5 and $6", ""} <= written
    chinese = max(written, key=len)
    assert len(chinese.replace("\n", "")) == 161
    assert max(map(len, chinese.split("\n"))) == 12


def test_sounds_are_drawn_as_waveforms():
    waves = [(np.sin(np.arange(900) / (i + 3)).astype(np.float32), 8000) for i in range(6)]
    display = NeighborsDisplay.from_features(
        pd.Series(waves), FEATURES, waves[:1], FEATURES[:1], n_neighbors=1
    )
    path = display.axes_[0, 1].collections[0].get_paths()[0]
    assert path.get_extents().ymin == pytest.approx(-1, abs=0.01)
    assert path.get_extents().ymax == pytest.approx(1, abs=0.01)


def test_rows_of_tables_are_lines_or_named_entries():
    numbers = NeighborsDisplay.from_features(
        FEATURES, FEATURES, FEATURES[:1], FEATURES[:1], n_neighbors=1
    )
    np.testing.assert_array_equal(numbers.axes_[0, 0].lines[0].get_ydata(), FEATURES[0])
    table = pd.DataFrame({"color": list("rgbcmy"), "size": np.arange(6) / 7})
    named = NeighborsDisplay.from_features(
        table, FEATURES, table[:1], FEATURES[:1], n_neighbors=1
    )
    assert named.axes_[0, 0].texts[0].get_text() == "color: r\nsize: 0"


def test_sparse_features_give_the_cosines_of_dense_ones():
    texts = ["a cat sat on a mat", "a dog ran off", "the market fell", "a cat ran"] * 3
    y = [0, 0, 1, 0] * 3
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    search = GridSearchCV(model, {"logisticregression__C": [1, 2]}, cv=2).fit(texts, y)
    sparse = NeighborsDisplay.from_estimator(search, texts, texts[:3], n_neighbors=2)
    vectorizer = search.best_estimator_[0]
    features = vectorizer.transform(texts).toarray()
    dense = NeighborsDisplay.from_features(
        texts, features, texts[:3], features[:3], n_neighbors=2
    )
    np.testing.assert_allclose(sparse.similarity, dense.similarity)
    np.testing.assert_array_equal(sparse.predictions, search.predict(texts[:3]))


def test_samples_without_features_are_no_neighbors():
    features = FEATURES.copy()
    features[0, 1] = np.nan
    display = NeighborsDisplay.from_features(
        IMAGES, features, IMAGES[:1], FEATURES[:1], n_neighbors=5
    )
    assert sorted(display.rows[0]) == [1, 2, 3, 4, 5]
    known = NeighborsDisplay.from_features(
        IMAGES[1:], FEATURES[1:], IMAGES[:1], FEATURES[:1], n_neighbors=5
    )
    np.testing.assert_allclose(display.similarity, known.similarity)


def test_each_new_sample_is_transformed_once():
    seen = []

    def flatten(X):
        seen.append(len(X))
        return np.reshape(X, (len(X), -1)) / 255

    model = make_pipeline(FunctionTransformer(flatten), LogisticRegression())
    model.fit(IMAGES, [0, 1] * 3)
    seen.clear()
    NeighborsDisplay.from_estimator(model, IMAGES, IMAGES[:2], n_neighbors=1)
    assert seen == [6, 2]


def test_given_axes_are_drawn_on():
    figure, axes = plt.subplots(2, 3)
    display = NeighborsDisplay.from_features(
        IMAGES, FEATURES, IMAGES[:2], FEATURES[:2], n_neighbors=2, axes=axes.ravel()
    )
    assert display.figure_ is figure
    np.testing.assert_array_equal(display.axes_, axes)
    assert len(axes[1, 2].images) == 1
