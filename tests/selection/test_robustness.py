"""Tests of scores under corruptions, against corruptions and intervals made here."""

import io
import json
import re
import weakref

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_transfer import robustness_report
from sklearn_transfer.selection._corruptions import (
    CORRUPTIONS,
    corrupt,
    find_corruptible_kind,
    read_plain,
)

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
        ([*TEXTS[:39], None], {}, r"row 39 of X .* missing value \(None\)"),
        (IMAGES, {"baseline": "source-only"}, "'source-only' is a model without X_target"),
        (IMAGES, {"scoring": lambda *_: np.nan}, "score of the estimator is nan on fold 0"),
    ],
)
def test_wrong_arguments_are_refused(X, options, message):
    with pytest.raises(ValueError, match=message):
        robustness_report(make_pixels(), X, Y[: len(X)], **options)


def test_regressor_is_refused():
    with pytest.raises(ValueError, match="Ridge is a regressor, and robustness_report"):
        robustness_report(Ridge(), IMAGES, Y)


def test_splits_of_more_labels_than_samples_are_refused():
    halves = [(range(20), range(20, 42)), (range(20, 42), range(20))]
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[40, 42\]"):
        robustness_report(make_pixels(), IMAGES, [*Y, *Y[:2]], cv=halves)


def test_fall_has_the_corrected_interval_of_paired_folds():
    cv = KFold(4, shuffle=True, random_state=1)
    options = {"corruptions": ["dark"], "severities": [1], "cv": cv, "random_state": 0}
    row = robustness_report(make_pixels(), IMAGES, Y, **options).rows[1]
    falls = []
    for train, test in cv.split(IMAGES):
        model = make_pixels().fit(IMAGES[train], Y[train])
        dark = np.rint(IMAGES[test] * 0.7)
        falls.append(model.score(IMAGES[test], Y[test]) - model.score(dark, Y[test]))
    half = student.ppf(0.975, 3) * np.std(falls, ddof=1) * np.sqrt(1 / 4 + 10 / 30)
    assert row.fall == pytest.approx(np.mean(falls))
    assert row.fall_interval == pytest.approx((row.fall - half, row.fall + half))
    assert f"({-row.fall:+.3f}, {-row.fall - half:+.3f} to" in row.describe()


def test_report_says_where_nothing_falls():
    report = robustness_report(
        DummyClassifier(), IMAGES, Y, corruptions=["dark"], severities=[1], cv=2
    )
    assert "accuracy does not fall under any of these corruptions." in str(report)


def test_corrupted_samples_of_one_test_are_in_memory_at_a_time(monkeypatch):
    alive, counts = weakref.WeakSet(), []

    class Pixels(np.ndarray):
        def __hash__(self):
            return id(self)

    def copy_rows(samples, kind, name, severity, seed, rows):
        made = [samples[row].copy().view(Pixels) for row in rows]
        counts.append(len(alive))
        for pixels in made:
            alive.add(pixels)
        return made

    monkeypatch.setattr("sklearn_transfer.selection._robustness.corrupt", copy_rows)
    robustness_report(make_pixels(), IMAGES, Y, cv=2)
    assert len(counts) == 30
    assert max(counts) <= 20


def make_sounds(n=8):
    wave = np.sin(np.arange(800) / 5) * np.hanning(800)
    return [(np.rint(wave * (8000 + 100 * i)).astype(np.int16), 8000) for i in range(n)]


def write_sound(pair):
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, *pair, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda sounds: sounds,
        pd.Series,
        lambda sounds: [write_sound(pair) for pair in sounds],
        lambda sounds: [(wave / 32768, rate) for wave, rate in sounds],
    ],
    ids=["int16", "Series", "files", "floats"],
)
def test_sounds_of_any_form_are_waveforms_of_one_scale(wrap):
    X = wrap(make_sounds())
    assert find_corruptible_kind(X) == "audio"
    for (wave, rate), (expected, _) in zip(read_plain(X, "audio"), make_sounds(), strict=True):
        assert rate == 8000
        np.testing.assert_allclose(wave, expected / 32768, atol=1e-7)


TYPED = [
    "e\u0301te\u0301 a\u0302ge " * 30,
    "a\U0001f44d\U0001f3fdb \U0001f469\u200d\U0001f467c " * 30,
    "\u0915\u093f\u0924\u093e\u092c \u092a\u0922\u093c\u0928\u093e " * 30,
    "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 " * 30,
]


def split_letters(text):
    """Characters with what belongs to them, by a pattern."""
    marks = "\u0300-\u036f\u093a-\u094f\ufe0f\U0001f3fb-\U0001f3ff"
    return re.findall(f"[^{marks}][{marks}]*(?:\u200d[^{marks}][{marks}]*)*", text)


@pytest.mark.parametrize("text", TYPED, ids=["accents", "emoji", "Devanagari", "Cyrillic"])
def test_typos_leave_letters_whole(text):
    known = {letter.lower() for letter in split_letters(text)}
    for severity in (1, 2, 3):
        typed = corrupt([text], "text", "typos", severity, 0)[0]
        new = {letter for letter in split_letters(typed) if letter.lower() not in known}
        assert typed != text
        assert all(letter.isascii() for letter in new)
        assert not new or text[0].isascii()


@pytest.mark.parametrize(("severity", "share"), [(1, 0.03), (2, 0.08), (3, 0.16)])
def test_share_of_typos_is_that_of_the_severity(severity, share):
    """Each letter occurs once, so that each typo can be counted."""
    text = "".join(chr(0x4E00 + i) for i in range(5000))
    typed = corrupt([text], "text", "typos", severity, 1)[0]
    n_lost = len(set(text) - set(typed))  # dropped or replaced
    n_doubled = sum(typed.count(letter * 2) for letter in text)
    n_swapped = sum(typed.count(text[i + 1] + text[i]) for i in range(4999))
    assert (n_lost + n_doubled + n_swapped) / 5000 == pytest.approx(share, rel=0.2)
