"""Tests of the evidence against the assumption under which class shares are estimated."""

import numpy as np
import pytest
from scipy.stats import binom

from sklearn_transfer import shift_report
from sklearn_transfer.selection._within_classes import compare_within_classes

DOUBT = "unreliable: it assumes that samples of a class look the same"


def domains(seed, n=150, share=0.9, shift=0.0, scale=1.0):
    """Draw two classes, equally frequent in the source, that may look different in T."""
    rng = np.random.default_rng(seed)
    y, y_target = np.arange(n) % 2, rng.random(n) < share
    X = rng.normal(size=(n, 2)) + 3 * np.column_stack([y, 0 * y])
    T = scale * rng.normal(size=(n, 2)) + 3 * np.column_stack([y_target, 0 * y_target])
    return X, y, T + np.array([0, shift])


def report(**options):
    X, y, T = domains(0, **options)
    return shift_report(X, T, y, n_permutations=99, random_state=0)


def test_other_shares_alone_are_trusted():
    found = report()
    assert found.label_p_value < 0.05 < found.class_p_value
    assert "unreliable" not in str(found) + found._repr_html_()
    assert found.target_priors[1] == pytest.approx(0.9, abs=0.1)


@pytest.mark.parametrize(
    "change", [{"shift": 1.0}, {"scale": 1.6}, {"shift": 1, "share": 0.5}]
)
def test_samples_of_a_class_that_differ_are_told(change):
    found = report(**change)
    assert found.class_p_value <= 0.05
    line = next(line for line in str(found).splitlines() if line.startswith("Label shift"))
    assert DOUBT in line
    assert f"{found.label_p_value:.3g}" in line
    assert "in the target, unreliable" in found._repr_html_()
    assert found.to_dict()["class_p_value"] == found.class_p_value


def test_without_classes_there_is_nothing_to_doubt():
    X, _, T = domains(0, shift=1.0)
    found = shift_report(X, T, n_permutations=99, random_state=0)
    assert found.class_p_value is None
    assert "unreliable" not in str(found)


def test_the_seed_decides():
    assert list(p_values(3)) == list(p_values(3))


def test_too_few_rows_say_nothing():
    X, y, T = domains(0, n=8)
    state = np.random.RandomState(0)
    assert compare_within_classes(X, y, np.array([0.5, 0.5]), T, 1.0, 0.05, state) is None


def p_values(n_draws, **options):
    for seed in range(n_draws):
        X, y, T = domains(seed, n=60, share=0.8, **options)
        state = np.random.RandomState(seed)
        yield compare_within_classes(X, y, np.array([0.2, 0.8]), T, 0.1, 0.05, state)


def test_its_level_holds_where_only_shares_differ():
    hits = sum(p <= 0.05 for p in p_values(100))
    assert hits <= binom.ppf(0.999, 100, 0.05)


def test_it_finds_what_differs_within_classes():
    assert sum(p <= 0.05 for p in p_values(10, shift=1.5)) >= 9
