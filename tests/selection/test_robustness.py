"""Tests of scores under corruptions, against corruptions and intervals made here."""

import json

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_transfer import robustness_report
from sklearn_transfer.selection._corruptions import CORRUPTIONS, corrupt

RNG = np.random.default_rng(0)
Y = np.repeat(["dark", "light"], 20)
IMAGES = np.clip(
    np.where(Y == "dark", 90, 150)[:, None, None, None] + RNG.normal(0, 5, (40, 16, 16, 3)),
    0,
    255,
).astype(np.uint8)
TEXTS = ["a sunny and bright morning", "a rainy and cold evening"] * 20


def make_pixels():
    flat = FunctionTransformer(lambda X: np.reshape(np.stack(X), (len(X), -1)) / 255)
    return make_pipeline(flat, LogisticRegression())


def test_less_light_is_taken_for_the_dark_class():
    report = robustness_report(
        make_pixels(), IMAGES, Y, corruptions=["dark"], severities=[3], random_state=0
    )
    clean, dark = report.rows
    assert (clean.corruption, clean.score, clean.fall) == ("clean", 1, 0)
    assert (dark.corruption, dark.severity, dark.score, dark.fall) == ("dark", 3, 0.5, 0.5)
    assert "falls most under dark of severity 3, from 1.000 to 0.500" in str(report)


def test_models_are_fitted_on_clean_samples_and_scored_on_corrupted_ones():
    cv = KFold(3, shuffle=True, random_state=0)
    options = {"corruptions": ["noise"], "severities": [2], "cv": cv}
    report = robustness_report(make_pixels(), IMAGES, Y, **options, random_state=0)
    expected = []
    for train, test in cv.split(IMAGES):
        model = make_pixels().fit(IMAGES[train], Y[train])
        noisy = IMAGES[test] + RNG.normal(0, 25, IMAGES[test].shape)
        expected.append(model.score(np.clip(noisy, 0, 255), Y[test]))
    assert report.rows[1].score == pytest.approx(np.mean(expected), abs=0.08)


def test_difference_to_a_baseline_has_the_corrected_interval():
    cv = KFold(4, shuffle=True, random_state=1)
    baseline = DummyClassifier(strategy="most_frequent")
    options = {"corruptions": ["dark"], "severities": [1], "cv": cv}
    report = robustness_report(make_pixels(), IMAGES, Y, baseline=baseline, **options)
    folds = list(cv.split(IMAGES))
    of_baseline = [
        baseline.fit(IMAGES[train], Y[train]).score(IMAGES[test], Y[test])
        for train, test in folds
    ]
    differences = 1 - np.array(of_baseline)
    half = student.ppf(0.975, 3) * differences.std(ddof=1) * np.sqrt(1 / 4 + 10 / 30)
    row = report.rows[0]
    assert row.mean_difference == pytest.approx(differences.mean())
    assert row.interval == pytest.approx(
        (row.mean_difference - half, row.mean_difference + half)
    )
    assert row.verdict == "helps"
    assert "Against the baseline DummyClassifier" in report._repr_html_()
    assert json.loads(json.dumps(report.to_dict()))["rows"][0]["verdict"] == "helps"


def test_typos_grow_with_the_severity_and_repeat():
    many = ["the quick brown fox jumps over the lazy dog " * 20]
    first = [corrupt(many, "text", "typos", severity, 0)[0] for severity in (1, 2, 3)]
    changed = [
        sum(a != b for a, b in zip(text.split(), many[0].split(), strict=False))
        for text in first
    ]
    assert 0 < changed[0] < changed[1] < changed[2]
    assert first[0] == corrupt(many, "text", "typos", 1, 0)[0]
    model = make_pipeline(TfidfVectorizer(), MultinomialNB())
    report = robustness_report(model, TEXTS, [0, 1] * 20, random_state=0)
    assert report.kind == "text"
    assert report.rows[0].score == 1


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_noise_of_sounds_has_its_power(severity):
    wave = np.sin(np.arange(8000) / 10)
    noisy, rate = corrupt([(wave, 8000)], "audio", "noise", severity, 0)[0]
    ratio = 10 * np.log10(np.mean(wave**2) / np.mean((noisy - wave) ** 2))
    assert ratio == pytest.approx((20, 10, 0)[severity - 1], abs=0.3)
    assert rate == 8000


@pytest.mark.parametrize("name", CORRUPTIONS["image"])
def test_corruptions_of_images_grow_and_keep_the_shape(name):
    image = RNG.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    made = [corrupt([image], "image", name, severity, 0)[0] for severity in (1, 2, 3)]
    assert all(one.shape == image.shape and one.dtype == np.uint8 for one in made)
    far = [np.abs(one.astype(float) - image).mean() for one in made]
    assert 0 < far[0] < far[1] < far[2]


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (np.zeros((4, 2)), {}, "X is a table of numbers"),
        (IMAGES, {"corruptions": ["jpg"]}, "corruptions holds 'jpg'.*'jpeg'"),
        (IMAGES, {"severities": [4]}, "severities holds 4, expected numbers among"),
        (IMAGES, {"severities": []}, "corruptions or severities is empty"),
        ([*TEXTS[:39], None], {}, "row 39 of X is of type NoneType, expected a string"),
    ],
)
def test_wrong_arguments_are_refused(X, options, message):
    with pytest.raises(ValueError, match=message):
        robustness_report(make_pixels(), X, Y[: len(X)], **options)
