import numpy as np
import pytest
from scipy.stats import chi2_contingency
from sklearn.neighbors import KNeighborsClassifier

from sklearn_transfer.selection import _label_shift, label_shift_test
from tests.levels import assert_level_is_kept


def pair(seed, share=0.5, n=300, m=300, apart=3.0):
    """Draw a source with equal class shares and a target with a given share of class 1."""
    rng = np.random.default_rng(seed)
    y, y_target = rng.random(n) < 0.5, rng.random(m) < share
    X, T = (rng.normal(size=(len(c), 2)) + apart * c[:, None] for c in (y, y_target))
    return X, y.astype(int), T


def test_statistic_is_the_chi_square_of_scipy():
    source, target = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 1, 2])
    table = [np.bincount(source), np.bincount(target)]
    found, _ = _label_shift._test_chi_square(source, target, 4, 9, np.random.RandomState(0))
    assert found == pytest.approx(chi2_contingency(table, correction=False).statistic)


def test_p_value_is_near_that_of_the_chi_square_distribution():
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 6, 400), rng.choice(6, 300, p=[0.22, *[0.156] * 5])
    _, found = _label_shift._test_chi_square(source, target, 6, 4999, np.random.RandomState(0))
    table = [np.bincount(source), np.bincount(target)]
    assert found == pytest.approx(chi2_contingency(table).pvalue, abs=0.03)


@pytest.mark.parametrize("names", [["cat", "dog"], [-1, 1], [3, 70]])
def test_other_shares_are_seen_for_any_labels(names):
    X, y, T = pair(0, 0.85)
    result = label_shift_test(X, np.array(names)[y], T, random_state=0)
    assert result.p_value == 0.001
    assert list(result.classes) == names
    assert result.target_priors[1] == pytest.approx(0.85, abs=0.08)
    assert result.source_priors[1] == pytest.approx(np.mean(y))


def test_shares_are_right_though_the_classifier_errs():
    found = []
    for seed in range(5):
        X, y, T = pair(seed, 0.9, 2000, 2000, apart=1.0)
        found.append(label_shift_test(X, y, T, n_permutations=9, random_state=0).target_priors)
    assert np.mean(found, axis=0)[1] == pytest.approx(0.9, abs=0.04)


def p_values(n_draws, **options):
    return [
        label_shift_test(*pair(seed, **options), n_permutations=99, random_state=seed).p_value
        for seed in range(n_draws)
    ]


@pytest.mark.slow
def test_level_is_kept():
    found = p_values(500, n=100, m=100)
    assert_level_is_kept(found)
    # 100 predictions of two classes have few different splits, and ties lower the level.
    assert np.mean(np.array(found) <= 0.05) >= 0.02


def test_level_is_kept_in_few_draws():
    assert_level_is_kept(p_values(150, n=60, m=60))


def test_own_classifier_is_cloned():
    X, y, T = pair(0, 0.9)
    model = KNeighborsClassifier(5)
    assert label_shift_test(X, y, T, estimator=model, random_state=0).p_value == 0.001
    assert not hasattr(model, "classes_")


def test_class_that_is_drawn_alone_is_predicted_always():
    X, y = np.arange(4.0)[:, None], ["a", "a", "a", "b"]
    p_values = [
        label_shift_test(X, y, X, n_permutations=9, random_state=s).p_value for s in range(8)
    ]
    assert max(p_values) == 1


def test_class_that_is_not_held_out_keeps_its_share():
    priors = np.array([0.5, 0.4, 0.1])
    codes = np.array([0, 0, 1, 1])
    found = _label_shift._estimate_priors(codes, codes, np.array([0, 0, 0, 1]), priors)
    np.testing.assert_allclose(found[:2], [0.75, 0.25], atol=1e-12)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="y holds one class, 7; at least two"):
        label_shift_test([[0.0], [1.0]], [7, 7], [[0.0]])


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        label_shift_test([[0.0], [1.0]], [0, 1, 1], [[0.0]])


def test_continuous_labels_are_refused():
    with pytest.raises(ValueError, match="continuous"):
        label_shift_test([[0.0], [1.0]], [0.5, 1.2], [[0.0]])


def test_repr_is_one_line_with_many_classes():
    rng = np.random.default_rng(0)
    y = np.arange(400) % 40
    X = rng.normal(size=(400, 2)) + y[:, None]
    found = label_shift_test(X, y, X, n_permutations=19, random_state=0)
    assert "\n" not in repr(found)
    assert "source_priors=<array of shape (40,)>" in repr(found)
