import numpy as np

from sklearn_transfer.selection._permutation import compute_p_value, draw_groups


def test_p_value_counts_the_observed_statistic():
    assert compute_p_value(2.0, np.array([1.0, 2.0, 3.0])) == 3 / 4
    assert compute_p_value(4.0, np.array([1.0, 2.0, 3.0])) == 1 / 4


def test_rounding_makes_no_difference():
    assert 0.1 + 0.2 > 0.3
    assert compute_p_value(0.1 + 0.2, np.array([0.3])) == 1
    assert compute_p_value(0.3 + 1e-9, np.array([0.3])) == 1 / 2
    assert compute_p_value(0.3 + 1e-9, np.array([0.3]), scale=1e6) == 1


def test_groups_are_random_rows_of_one_number():
    groups = draw_groups(3, 7, 4000, np.random.RandomState(0))
    assert groups.dtype == np.int8
    assert (groups.sum(axis=0) == 3).all()
    np.testing.assert_allclose(groups.mean(axis=1), 0.3, atol=0.03)
