import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
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
