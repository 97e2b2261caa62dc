"""Tests of the draws, scores and intervals of `episodes`."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_transfer import PrototypeClassifier
from sklearn_transfer.heads import episodes

SEEN = []


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps the rows of each fit and prediction, and predicts its first label."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        SEEN.append([list(X), list(y)])
        return self

    def predict(self, X):
        SEEN[-1].append(list(X))
        return np.repeat(self.classes_[:1], len(X))


@pytest.fixture
def draws():
    """Return what a recorder saw of 40 named samples of four classes whose labels are text."""
    SEEN.clear()
    y = np.repeat(["ant", "bee", "cat", "dog"], 10)
    names = [f"{label}-{i}" for i, label in enumerate(y)]
    episodes(names, y, 3, 2, 5, 30, estimator=Recorder(), random_state=0)
    return list(SEEN)


def test_support_and_query_never_share_a_row(draws):
    assert len(draws) == 30
    for support, _, query in draws:
        assert len(set(support) | set(query)) == 3 * (2 + 5)


def test_every_class_has_its_shots_and_queries(draws):
    for support, labels, query in draws:
        assert [name.split("-")[0] for name in support] == labels
        assert np.unique(labels, return_counts=True)[1].tolist() == [2, 2, 2]
        drawn, counts = np.unique([q.split("-")[0] for q in query], return_counts=True)
        assert drawn.tolist() == sorted(set(labels))
        assert counts.tolist() == [5, 5, 5]


def test_every_class_and_row_is_drawn_at_some_time(draws):
    assert len({tuple(sorted(set(labels))) for _, labels, _ in draws}) == 4
    assert len({row for support, _, query in draws for row in support + query}) == 40


def test_one_constant_label_scores_chance():
    y = np.repeat([-1, 1, 5], 9)
    result = episodes(
        np.zeros((27, 1)), y, 3, 1, 8, 20, estimator=DummyClassifier(), random_state=0
    )
    np.testing.assert_allclose(result.scores, 1 / 3)
    assert result.interval == pytest.approx((1 / 3, 1 / 3))


def test_interval_is_students():
    X, y = load_digits(return_X_y=True)
    result = episodes(X, y, n_episodes=30, random_state=0)
    expected = ttest_1samp(result.scores, 0).confidence_interval(0.95)
    assert result.mean == pytest.approx(result.scores.mean())
    assert result.interval == pytest.approx(tuple(expected))


def test_interval_covers_the_mean_of_many_episodes():
    X, y = load_digits(return_X_y=True)
    head = PrototypeClassifier(temperature=1.0)
    mean = episodes(X, y, n_episodes=600, estimator=head, random_state=0).mean
    covered = 0
    for seed in range(1, 31):
        result = episodes(X, y, n_episodes=20, estimator=head, random_state=seed)
        covered += result.interval[0] <= mean <= result.interval[1]
    assert covered >= 25  # of 30 at 95 %; fewer occur once in 300 runs
    assert 0.02 < result.interval[1] - result.interval[0] < 0.2


def test_more_shots_score_higher():
    X, y = load_digits(return_X_y=True)
    one, five = (episodes(X, y, n_shot=n, n_episodes=40, random_state=0) for n in (1, 5))
    assert five.interval[0] > one.interval[1]


def test_same_seed_draws_the_same_episodes_for_any_estimator():
    X, y = load_digits(return_X_y=True)
    options = {"n_episodes": 10, "random_state": 3}
    default = episodes(X, y, **options)
    again = episodes(X, y, estimator=PrototypeClassifier(), **options)
    through = make_pipeline(FunctionTransformer(), PrototypeClassifier())
    np.testing.assert_array_equal(default.scores, again.scores)
    np.testing.assert_array_equal(
        default.scores, episodes(X, y, estimator=through, **options).scores
    )
    assert (default.scores != episodes(X, y, n_episodes=10, random_state=4).scores).any()


def test_estimator_is_left_alone():
    X, y = load_digits(return_X_y=True)
    estimator = LogisticRegression()
    episodes(X, y, n_episodes=2, estimator=estimator, random_state=0)
    assert not hasattr(estimator, "classes_")


def test_text_tells_accuracy_and_interval():
    X, y = load_digits(return_X_y=True)
    result = episodes(X, y, n_episodes=25, random_state=0)
    half = (result.interval[1] - result.interval[0]) / 2
    assert str(result).startswith(f"accuracy {result.mean:.3f} +- {half:.3f} (95 % of 25")


def test_class_with_too_few_samples_is_named():
    y = ["cat"] * 20 + ["dog"] * 15 + ["owl"] * 4
    with pytest.raises(ValueError, match=r"16 samples .* of 'dog' \(15\), 'owl' \(4\): lower"):
        episodes(np.zeros((39, 2)), y, n_way=2)


def test_more_classes_than_there_are_is_refused():
    with pytest.raises(ValueError, match="y has 2 classes and n_way=5"):
        episodes(np.zeros((40, 2)), [0, 1] * 20)


def test_missing_labels_are_refused():
    y = np.repeat([0.0, 1.0], 20)
    y[3] = np.nan
    with pytest.raises(ValueError, match="Input y contains NaN"):
        episodes(np.ones((40, 2)), y, 2)


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        episodes(np.zeros((39, 2)), [0, 1] * 20, n_way=2)


def test_repr_is_one_line_without_the_scores():
    X, y = load_digits(return_X_y=True)
    result = episodes(X, y, n_episodes=120, random_state=0)
    assert "\n" not in repr(result)
    assert len(repr(result)) < 200
    assert f"mean={result.mean!r}" in repr(result)
    assert "scores=<array of shape (120,)>" in repr(result)
