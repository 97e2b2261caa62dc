import numpy as np
import pytest

from sklearn_transfer._sampling import draw_rows, draw_seed


def test_rows_are_distinct_and_in_order():
    rows = draw_rows(100, 30, np.random.RandomState(0))
    assert len(rows) == 30
    assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize("most", [None, 5, 6])
def test_few_rows_are_all_kept_and_nothing_is_drawn(most):
    random_state = np.random.RandomState(0)
    np.testing.assert_array_equal(draw_rows(5, most, random_state), np.arange(5))
    assert random_state.rand() == np.random.RandomState(0).rand()


def test_all_rows_are_equally_likely():
    random_state = np.random.RandomState(0)
    counts = np.bincount(np.concatenate([draw_rows(10, 3, random_state) for _ in range(3000)]))
    assert np.abs(counts - 900).max() < 5 * np.sqrt(900 * 0.7)


def test_seeds_follow_the_random_state():
    seeds = [draw_seed(np.random.RandomState(3)) for _ in range(2)]
    assert seeds[0] == seeds[1] == np.random.RandomState(3).randint(2**31 - 1)
