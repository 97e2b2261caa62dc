import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer.selection import _two_sample, classifier_two_sample_test
from tests.levels import assert_level_is_kept


def pair(seed, n=100, m=100, d=1, shift=0.0):
    rng = np.random.default_rng(seed)
    X, T = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    T[:, 0] += shift
    return X, T


def test_statistic_is_the_area_on_held_out_rows():
    X, T = pair(0, 60, 40, 2, 1)
    result = classifier_two_sample_test(X, T, random_state=0)
    draws = np.random.RandomState(0)
    seen, held = zip(
        *(_two_sample.split_rows(rows, 0.5, draws) for rows in (X, T)), strict=True
    )
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(np.concatenate(seen), np.repeat([0, 1], [30, 20]))
    scores = model.decision_function(np.concatenate(held))
    assert (result.n_source, result.n_target) == (30, 20)
    assert result.statistic == pytest.approx(roc_auc_score([0] * 30 + [1] * 20, scores))


def test_halves_share_no_row():
    seen, held = _two_sample.split_rows(np.arange(11)[:, None], 0.3, np.random.RandomState(0))
    assert len(held) == 3
    assert sorted(np.concatenate([seen, held]).ravel()) == list(range(11))


def test_p_value_is_near_that_of_mann_and_whitney():
    from scipy.stats import mannwhitneyu

    X, T = pair(3, 60, 200, 1, 0.3)
    result = classifier_two_sample_test(X, T, n_permutations=9999, random_state=0)
    draws = np.random.RandomState(0)
    held = [_two_sample.split_rows(rows, 0.5, draws)[1].ravel() for rows in (X, T)]
    expected = mannwhitneyu(held[1], held[0], alternative="greater").pvalue
    assert 0.01 < expected < 0.9
    assert result.p_value == pytest.approx(expected, abs=0.02)


def p_values(n_draws, **options):
    return [
        classifier_two_sample_test(
            *pair(seed, **options), n_permutations=99, random_state=seed
        ).p_value
        for seed in range(n_draws)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(40, 40), (20, 100)])
def test_level_is_kept(sizes):
    assert_level_is_kept(p_values(500, n=sizes[0], m=sizes[1], d=5), uniform=True)


def test_level_is_kept_in_few_draws():
    assert_level_is_kept(p_values(200, n=20, m=60, d=2), uniform=True)


@pytest.mark.parametrize("d", [1, 10])
def test_shift_of_one_standard_deviation_is_seen(d):
    assert np.mean(np.array(p_values(40, d=d, shift=1)) <= 0.05) > 0.9


def test_few_target_rows_do_not_matter():
    result = classifier_two_sample_test(*pair(0, 500, 20, 1, 3), random_state=0)
    assert result.p_value <= 0.01
    assert result.statistic > 0.95


def test_forest_sees_what_a_linear_model_does_not():
    X, T = pair(0, 400, 400, 2)
    forest = RandomForestClassifier(50, random_state=0)
    assert classifier_two_sample_test(X, 3 * T, random_state=0).p_value > 0.05
    result = classifier_two_sample_test(X, 3 * T, estimator=forest, random_state=0)
    assert result.p_value == 0.001
    assert not hasattr(forest, "classes_")


def test_classifier_of_probabilities_is_taken():
    result = classifier_two_sample_test(
        *pair(0, shift=2), estimator=GaussianNB(), random_state=0
    )
    assert result.p_value == 0.001


def test_constant_features_are_chance():
    result = classifier_two_sample_test(np.ones((8, 2)), np.ones((9, 2)))
    assert (result.statistic, result.p_value) == (0.5, 1)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_unit_of_the_features_does_not_matter(scale):
    X, T = pair(0, 50, 50, 3, 0.5)
    expected = classifier_two_sample_test(X, T, random_state=0)
    found = classifier_two_sample_test(scale * X, scale * T, random_state=0)
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-3)


def test_two_rows_of_each_are_enough():
    result = classifier_two_sample_test([[0.0], [1.0]], [[5.0], [6.0]], random_state=0)
    assert (result.statistic, result.n_source) == (1, 1)
    assert result.p_value > 0.3


def test_one_row_is_refused():
    with pytest.raises(ValueError, match="X has 1 row; at least 2 are needed"):
        classifier_two_sample_test([[0.0]], [[1.0], [2.0]])
