"""Texts and images in place of tables of numbers: errors say how they become numbers."""

import pathlib

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from sklearn_transfer import (
    CORAL,
    KLIEP,
    KMM,
    ULSIF,
    DomainDisplay,
    ImportanceWeighted,
    LabelShiftWeights,
    OptimalTransport,
    PrototypeClassifier,
    TargetDomain,
    ZeroShotClassifier,
    rank_adaptations,
    selection,
    shift_report,
)
from sklearn_transfer._tables import explain_samples

TEXTS = ["a good film", "a bad one", "so so", "1", "2", "nan"]
NUMBERS = np.random.default_rng(0).normal(size=(6, 3))
CLASSES = np.arange(6) % 2
IMAGE = Image.new("RGB", (4, 4))
FORMS = {
    "list": (TEXTS, "texts, such as 'a good film' in row 0"),
    "numbers first": (TEXTS[::-1], "texts, such as 'so so' in row 3"),
    "missing first": ([None, *TEXTS], "texts, such as 'a good film' in row 1"),
    "array": (np.array(TEXTS), "texts, such as 'a good film' in row 0"),
    "column": (
        np.array(TEXTS, dtype=object)[:, None],
        "texts, such as 'a good film' in row 0",
    ),
    "rows": ([[text] for text in TEXTS], "texts, such as 'a good film' in row 0"),
    "Series": (pd.Series(TEXTS), "texts, such as 'a good film' in row 0"),
    "frame": (pd.DataFrame({"text": TEXTS}), "texts, such as 'a good film' in row 0, and"),
    "polars": (pl.DataFrame({"text": TEXTS}), "texts, such as 'a good film' in row 0, and"),
    "names of files": (["a/b.JPG"] * 6, "files of images, such as 'a/b.JPG' in row 0"),
    "sounds": (["a/b.WAV"] * 6, "files of sounds, such as 'a/b.WAV' in row 0"),
    "paths of sounds": ([pathlib.Path("b.ogg")] * 6, "files of sounds, such as PosixPath in"),
    "paths": ([pathlib.Path("b.png")] * 6, "images, such as PosixPath in row 0"),
    "URIs": (["data:image/png;base64,AAAA"] * 6, "files of images, such as 'data:image"),
    "bytes": ([b"\xff\xd8"] * 6, "images, such as bytes in row 0"),
    "pictures": ([IMAGE] * 6, "images, such as Image in row 0"),
    "arrays": ([np.zeros((4, 4)), np.zeros((5, 4))], "images, such as ndarray in row 0"),
    "one array": (
        np.zeros((6, 4, 4, 3)),
        "an array of shape \\(6, 4, 4, 3\\), as images have",
    ),
}
WEIGHTERS = KMM(), KLIEP(), ULSIF(), LabelShiftWeights()
BY_REPRESENTATION = {
    "ImportanceWeighted": lambda X, T: ImportanceWeighted(LogisticRegression()).fit(
        X, CLASSES, X_target=T
    ),
    "shift_report": shift_report,
    "rank_adaptations": lambda X, T: rank_adaptations(["kmm"], X, CLASSES, T),
}
BY_FEATURES = {
    "CORAL": lambda X, T: CORAL().fit(X, X_target=T),
    "OptimalTransport": lambda X, T: OptimalTransport().fit_transform(X, CLASSES, X_target=T),
    "mmd": selection.mmd,
    "mmd_test": selection.mmd_test,
    "classifier_two_sample_test": selection.classifier_two_sample_test,
    "DomainDisplay": DomainDisplay.from_data,
}
OF_ONE_TABLE = {
    "PrototypeClassifier": lambda X: PrototypeClassifier().fit(X, CLASSES),
    "ZeroShotClassifier": lambda X: ZeroShotClassifier().fit(
        X, CLASSES, attributes={0: [0, 1], 1: [1, 0]}
    ),
    "CORAL": lambda X: CORAL().fit(NUMBERS, X_target=NUMBERS).transform(X),
    "logme": lambda X: selection.logme(X, CLASSES),
    "h_score": lambda X: selection.h_score(X, CLASSES),
    "gbc": lambda X: selection.gbc(X, CLASSES),
}


@pytest.mark.parametrize("form", FORMS)
def test_samples_of_any_form_are_named_by_row(form):
    X, words = FORMS[form]
    with pytest.raises(ValueError, match=f"X holds {words}.*KMM takes a table of numbers"):
        KMM().fit(X, X_target=X)


@pytest.mark.parametrize("weighter", WEIGHTERS, ids=lambda w: type(w).__name__)
def test_weighters_say_what_to_do(weighter):
    match = r"PretrainedTextFeatures\(\).fit_transform\(X\), or .*representation=Pretrained"
    with pytest.raises(ValueError, match=match):
        weighter.fit(TEXTS, CLASSES, X_target=TEXTS)


@pytest.mark.parametrize("target", [TEXTS, TargetDomain(TEXTS)], ids=["plain", "held"])
def test_texts_of_the_target_are_named_by_its_parameter(target):
    with pytest.raises(ValueError, match=r"X_target holds texts.*fit_transform\(X_target\)"):
        KMM().fit(NUMBERS, X_target=target)


def test_texts_of_stacked_domains_are_named():
    with pytest.raises(ValueError, match="X holds texts"):
        KMM().fit(TEXTS, sample_domain=[1, 1, 1, -1, -1, -1])


@pytest.mark.parametrize("user", BY_REPRESENTATION)
def test_a_representation_is_recommended_where_there_is_the_parameter(user):
    match = rf"{user} takes .*: pass representation=PretrainedTextFeatures\(\)$"
    with pytest.raises(ValueError, match=match):
        BY_REPRESENTATION[user](TEXTS, TEXTS)
    with pytest.raises(ValueError, match=f"X_target holds texts.*{match}"):
        BY_REPRESENTATION[user](NUMBERS, TEXTS)


@pytest.mark.parametrize("user", BY_FEATURES)
def test_features_are_recommended_for_two_domains(user):
    match = rf"{user} takes .* such as PretrainedTextFeatures\(\).fit_transform\(X\)$"
    with pytest.raises(ValueError, match=match):
        BY_FEATURES[user](TEXTS, TEXTS)
    with pytest.raises(ValueError, match="X_target holds texts"):
        BY_FEATURES[user](NUMBERS, TEXTS)


@pytest.mark.parametrize("user", OF_ONE_TABLE)
def test_features_are_recommended_for_one_table(user):
    match = rf"{user} takes .* such as PretrainedFeatures\(\).fit_transform\(X\)$"
    with pytest.raises(ValueError, match=match):
        OF_ONE_TABLE[user](["a.png"] * 6)


def test_a_column_among_others_is_named():
    X = pd.DataFrame({"width": range(6), "text": TEXTS})
    with pytest.raises(ValueError, match="in row 0 of column 'text', .*drop or encode that"):
        KMM().fit(X, X_target=X)


def test_texts_that_are_numbers_are_taken():
    X = NUMBERS.astype(str).astype(object)
    assert KMM().fit(X, X_target=NUMBERS).weights_.shape == (6,)


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (NUMBERS[0], "Expected 2D array, got 1D array"),
        (np.full((6, 2), np.nan), "contains NaN"),
        (csr_array(NUMBERS), "Sparse data was passed"),
        ([[1.0, 2.0], [3.0]], "inhomogeneous"),
    ],
    ids=["one row", "missing", "sparse", "ragged"],
)
def test_errors_about_numbers_stay_as_they_are(X, match):
    with pytest.raises((TypeError, ValueError), match=match):
        KMM().fit(X, X_target=NUMBERS)


def test_errors_without_samples_pass():
    with pytest.raises(ValueError, match="^mine$"), explain_samples("user", X=NUMBERS):
        raise ValueError("mine")
