import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sklearn_transfer import CORAL, KMM, ImportanceWeighted, TargetDomain, rank_adaptations
from sklearn_transfer.selection._adaptation_candidates import AUTO
from sklearn_transfer.selection._adaptation_scores import Domains, FoldScores, score_folds
from sklearn_transfer.selection._feature_classifier import (
    CommonUnitScaler,
    build_feature_classifier,
)

LABELS = np.array(["ash", "elm", "oak"])


def draw_domains(shift=5.0, n=120, seed=0, n_classes=3):
    """Clusters of classes, moved as a whole in the target."""
    rng = np.random.default_rng(seed)
    codes, others = rng.integers(n_classes, size=(2, n))
    centers = 4 * np.eye(n_classes)
    X, T = (centers[c] + rng.normal(size=(n, n_classes)) for c in (codes, others))
    return X, LABELS[codes], T + shift * np.array([1, -1, 0])[:n_classes], LABELS[others]


def list_scores(ranking):
    return [row.scores for row in ranking.candidates]


class Failing(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, X_target=None):
        raise RuntimeError("no such luck")

    def predict_proba(self, X):
        raise NotImplementedError


class Collapsed(ClassifierMixin, BaseEstimator):
    """Right on the source, and of one class on the target."""

    def fit(self, X, y, X_target=None):
        self.model_ = GaussianNB().fit(X, y)
        self.classes_, self.target_mean_ = self.model_.classes_, np.mean(X_target.X, axis=0)
        self.source_mean_ = np.mean(X, axis=0)
        return self

    def predict_proba(self, X):
        found = self.model_.predict_proba(X)
        far = np.linalg.norm(X - self.target_mean_, axis=1)
        is_target = far < np.linalg.norm(X - self.source_mean_, axis=1)
        found[is_target] = [1 - 2e-3, 1e-3, 1e-3]
        return found

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_domains_that_differ_by_a_translation_are_aligned():
    X, y, T, y_target = draw_domains()
    ranking = rank_adaptations(["kmm", "mean", "coral"], X, y, T)
    assert ranking.chosen.kind == "aligned"
    assert ranking.chosen.estimator.score(T, y_target) > 0.95
    assert ranking.source_only.estimator.score(T, y_target) < 0.6
    assert ranking.chosen is ranking.candidates[0]
    assert ranking.chosen.agreement < 0.6


def test_equal_domains_keep_the_model_as_it_is():
    for seed in range(3):
        X, y, T, _ = draw_domains(0.0, seed=seed)
        ranking = rank_adaptations(AUTO, X, y, T, cv=None)
        assert ranking.chosen.name == "none"
        assert ranking.reason.startswith("Keep the model without adaptation")


def test_source_only_is_always_compared_and_wins_ties():
    X, y, T, _ = draw_domains()
    ranking = rank_adaptations({"copy": build_feature_classifier()}, X, y, T)
    assert [row.name for row in ranking.candidates] == ["none", "copy"]
    assert ranking.chosen.name == "none"
    assert ranking.candidates[1].gain == 0
    assert ranking.candidates[1].agreement == 1


def test_a_model_given_for_none_is_the_one_to_beat():
    X, y, T, _ = draw_domains()
    ranking = rank_adaptations({"none": GaussianNB(), "coral": "coral"}, X, y, T, cv=None)
    assert isinstance(ranking.source_only.estimator, GaussianNB)


def test_a_candidate_that_fails_keeps_its_row_and_the_others_go_on():
    X, y, T, _ = draw_domains()
    with pytest.warns(UserWarning, match="1 of 3 .* not be rated:\n- bad: no such"):
        ranking = rank_adaptations({"bad": Failing(), "mean": "mean"}, X, y, T)
    assert ranking.candidates[-1].problem == "no such luck"
    assert ranking.chosen.name == "mean"
    assert "no such luck" in str(ranking)


def test_a_failing_model_without_adaptation_is_an_error():
    X, y, T, _ = draw_domains()
    with pytest.raises(ValueError, match="could not be fitted: no such luck"):
        rank_adaptations({"none": Failing(), "mean": "mean"}, X, y, T)


@pytest.mark.parametrize("score", ["neighbors", "infomax", "bnm"])
def test_a_collapsed_candidate_is_never_chosen(score):
    X, y, T, _ = draw_domains(shift=20.0)
    ranking = rank_adaptations({"bad": Collapsed(), "mean": "mean"}, X, y, T, score=score)
    assert ranking.chosen.name == "mean"


def test_candidates_that_leave_classes_out_are_marked():
    X, y, T, _ = draw_domains(shift=20.0)
    ranking = rank_adaptations({"bad": Collapsed(), "good": "coral"}, X, y, T, cv=None)
    is_marked = {row.name: row.collapsed for row in ranking.candidates}
    assert is_marked["bad"]
    assert not is_marked["good"]


def test_predictions_are_for_samples_as_they_were_given():
    X, y, T, y_target = draw_domains()
    texts, others = ([" ".join(map(str, row)) for row in rows] for rows in (X, T))
    parse = FunctionTransformer(lambda rows: np.array([r.split() for r in rows], dtype=float))
    ranking = rank_adaptations("mean", texts, y, others, representation=parse)
    assert ranking.chosen.name == "mean"
    assert ranking.chosen.estimator.score(others, y_target) > 0.95


def test_given_classifiers_get_samples_and_words_get_features():
    X, y, T, _ = draw_domains(shift=1.0)
    given = ImportanceWeighted(GaussianNB(), weighter=KMM())
    double = FunctionTransformer(lambda rows: 2 * np.asarray(rows))
    ranking = rank_adaptations(
        {"given": given, "mean": "mean"}, X, y, T, representation=double, cv=None
    )
    found = {row.name: row.estimator for row in ranking.candidates}
    np.testing.assert_array_equal(found["given"].estimator_.classes_, LABELS)
    alone = ImportanceWeighted(GaussianNB(), weighter=KMM()).fit(X, y, X_target=T)
    np.testing.assert_allclose(found["given"].predict_proba(T), alone.predict_proba(T))


def test_a_given_pipeline_with_an_aligner_gets_the_target():
    X, y, T, y_target = draw_domains()
    ranking = rank_adaptations({"mine": make_pipeline(CORAL(), GaussianNB())}, X, y, T)
    assert ranking.chosen.name == "mine"
    assert ranking.chosen.estimator.score(T, y_target) > 0.95
    # Held-out source rows pass the aligner as such, so that it is as good on them.
    assert ranking.chosen.scores["importance-weighted"] > 0.9


def test_frames_and_a_target_domain_give_the_same():
    X, y, T, _ = draw_domains()
    frames = [pd.DataFrame(rows, columns=["a", "b", "c"]) for rows in (X, T)]
    plain = rank_adaptations(["coral"], X, y, T)
    framed = rank_adaptations(["coral"], frames[0], pd.Series(y), TargetDomain(frames[1]))
    pairs = zip(list_scores(framed), list_scores(plain), strict=True)
    for found, expected in pairs:
        assert found == pytest.approx(expected, abs=1e-6)


def test_the_same_seed_gives_the_same_numbers():
    X, y, T, _ = draw_domains(n=60)
    first, second = (
        rank_adaptations(["label-shift", "coral"], X, y, T, random_state=3) for _ in range(2)
    )
    assert [row.scores for row in first.candidates] == [
        row.scores for row in second.candidates
    ]
    assert first.reason == second.reason


def test_scores_lie_between_zero_and_one():
    X, y, T, _ = draw_domains(n=60)
    for row in rank_adaptations(["kmm", "coral"], X, y, T).candidates:
        values = np.array([row.scores[name] for name in ("neighbors", "infomax", "bnm")])
        assert (values >= 0).all()
        assert (values <= 1).all()
        assert 0 <= row.accuracy <= 1


def test_a_representation_is_needed_for_what_is_no_table():
    with pytest.raises(ValueError, match="pass representation=PretrainedFeatures"):
        rank_adaptations("auto", ["a.jpg", "b.jpg"], [0, 1], ["c.jpg"])


@pytest.mark.parametrize(
    ("candidates", "kind", "match"),
    [
        ("corl", ValueError, "Did you mean 'coral'"),
        (["coral", "coral"], ValueError, "holds 'coral' 2 times: name them by a dict"),
        ([GaussianNB(), 3], TypeError, "candidates\\['int'\\] is 3: expected a word"),
        ([CORAL()], TypeError, "is CORAL\\(\\), which does not predict: put it before"),
        (GaussianNB(), TypeError, "candidates=GaussianNB\\(\\) is neither 'auto' nor a list"),
        (None, TypeError, "candidates=None is neither 'auto' nor a list"),
    ],
)
def test_bad_candidates(candidates, kind, match):
    X, y, T, _ = draw_domains(n=30)
    with pytest.raises(kind, match=match):
        rank_adaptations(candidates, X, y, T)


def test_one_class_is_an_error():
    X, _, T, _ = draw_domains(n=30)
    with pytest.raises(ValueError, match="y holds one class, 'ash'"):
        rank_adaptations("auto", X, np.full(30, "ash"), T)


def test_numbers_of_a_regression_are_refused():
    X, _, T, _ = draw_domains(n=60)
    with pytest.raises(ValueError, match="rank_adaptations takes classes"):
        rank_adaptations("auto", X, np.arange(60), T)


def test_table_frame_and_html_hold_every_candidate():
    X, y, T, _ = draw_domains(n=60)
    ranking = rank_adaptations(["kmm", "mean"], X, y, T)
    frame = ranking.to_frame()
    assert sorted(frame["name"]) == ["kmm", "mean", "none"]
    assert frame["chosen"].sum() == 1
    assert {"neighbors", "infomax", "bnm", "dev", "reverse"} <= set(frame.columns)
    for text in (str(ranking), ranking._repr_html_()):
        assert "kmm" in text
        assert f"{ranking.chosen.gain:.3f} above" in text


def test_auto_leaves_adversarial_networks_out():
    assert {"none", "kmm", "mean-scale", "coral", "transport", "mcc", "infomax"} <= set(AUTO)
    assert not {"cdan", "dann"} & set(AUTO)


def test_columns_of_different_units_are_standardized_first():
    """The classes lie in a column that varies a thousand times less than another."""
    X, y, T, _ = draw_domains()
    rng = np.random.default_rng(1)
    far, near = ([rng.normal(0, 1e4, (len(rows), 1)), rows] for rows in (X, T))
    wide, wide_target = np.hstack(far), np.hstack(near)
    ranking = rank_adaptations(["coral"], wide, y, wide_target, cv=None)
    assert [type(row.estimator[0]) for row in ranking.candidates] == [StandardScaler] * 2
    assert ranking.candidates[0].name == "coral"


def test_columns_of_one_unit_are_not_standardized():
    X, y, T, _ = draw_domains()
    ranking = rank_adaptations(["coral"], X, y, T, cv=None)
    types = {type(row.estimator[0]) for row in ranking.candidates}
    assert types == {CORAL, CommonUnitScaler}


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_of_all_features_does_not_matter(factor):
    X, y, T, _ = draw_domains()
    found, scaled = (rank_adaptations("auto", c * X, y, c * T, cv=None) for c in (1, factor))
    for row in found.candidates:
        other = next(one for one in scaled.candidates if one.name == row.name)
        assert other.scores["neighbors"] == pytest.approx(row.scores["neighbors"], abs=1e-3)


def test_steps_of_inner_pipelines_get_the_target():
    X, y, T, truth = draw_domains()
    inner = make_pipeline(CORAL(), build_feature_classifier())
    ranking = rank_adaptations({"nested": make_pipeline(StandardScaler(), inner)}, X, y, T)
    assert ranking.chosen.name == "nested"
    assert ranking.chosen.estimator.score(T, truth) > 0.95


def draw_shares(seed=0, n=400):
    """Overlapping clusters, alike in both domains, of equal shares and of 9 to 1."""
    rng = np.random.default_rng(seed)
    domains = []
    for share in (0.5, 0.1):
        codes = (rng.random(n) < share).astype(int)
        rows = rng.normal(size=(n, 6))
        rows[:, 0] += 2.5 * codes
        domains += [rows, LABELS[codes]]
    return domains


def test_other_shares_of_classes_are_no_reason_to_align():
    X, y, T, _ = draw_shares()
    aligned = make_pipeline(CORAL(), build_feature_classifier())
    ranking = rank_adaptations(
        {"mcc": "mcc", "infomax": "infomax", "transport": "transport", "own": aligned},
        *(X, y, T),
        cv=None,
    )
    assert max(row.gain - 2 * row.gain_error for row in ranking.candidates) > 0.02
    assert not any(row.supported for row in ranking.candidates)
    assert ranking.chosen.kind == "none"
    assert "only the shares of the classes differ" in ranking.reason


def test_reweighted_candidates_are_chosen_where_shares_differ():
    X, y, T, _ = draw_shares()
    own = ImportanceWeighted(DecisionTreeClassifier(max_depth=3), KMM())
    assert rank_adaptations({"own": own}, X, y, T, cv=None).chosen.name == "own"


def test_models_of_frames_know_the_columns():
    X, y, T, _ = draw_domains()
    X, T = (pd.DataFrame(rows, columns=["p", "q", "r"]) for rows in (X, T))
    ranking = rank_adaptations(["mean", "kmm"], X, y, T, cv=None)
    for row in ranking.candidates:
        row.estimator.predict_proba(T)  # without a warning about names
        with pytest.raises(ValueError, match="feature names should match"):
            row.estimator.predict(T[["q", "p", "r"]])


class Undefined(GaussianNB):
    def predict_proba(self, X):
        return np.where(np.arange(len(X))[:, None] == 4, np.nan, super().predict_proba(X))


def test_candidates_whose_probabilities_are_not_finite_are_not_rated():
    X, y, T, _ = draw_domains()
    with pytest.warns(UserWarning, match="bad: predict_proba is not finite in row 4"):
        ranking = rank_adaptations({"bad": Undefined(), "mean": "mean"}, X, y, T, cv=None)
    assert ranking.chosen.name == "mean"


def test_an_aligner_that_the_target_does_not_reach_is_not_rated():
    X, y, T, _ = draw_domains()
    hidden = CalibratedClassifierCV(make_pipeline(CORAL(), GaussianNB()))
    with pytest.warns(UserWarning, match="hidden: CORAL got no target samples"):
        ranking = rank_adaptations({"hidden": hidden}, X, y, T, cv=None)
    assert ranking.chosen.name == "none"


def test_problems_are_warned_of_where_the_ranking_is_asked_for():
    X, y, T, _ = draw_domains()
    with pytest.warns(UserWarning, match="not be rated") as caught:
        rank_adaptations({"bad": Failing()}, X, y, T, cv=None)
    assert caught[0].filename == __file__


def test_a_class_of_one_row_leaves_its_fold_out():
    X, _, T, _ = draw_domains()
    y = np.where(np.arange(len(X)) == 7, "rare", "common")
    ranking = rank_adaptations(["mean"], X, y, T)
    for row in ranking.candidates:
        assert row.problem is None
        assert row.scores["importance-weighted"] > 0.9


def test_folds_that_all_leave_one_class_give_no_scores():
    X, y = np.arange(6.0)[:, None], np.arange(6) == 5
    folds = np.where(y, 1, 0)
    found = score_folds(GaussianNB(), Domains(X, y, X, np.unique(y)), folds, np.ones(6))
    assert found == FoldScores()


def test_the_reason_does_not_count_gains_of_collapsed_candidates():
    X, y, T, _ = draw_domains(shift=20.0)
    ranking = rank_adaptations({"bad": Collapsed()}, X, y, T, cv=None)
    assert ranking.chosen.name == "none"
    assert "of all other candidates leave out classes" in ranking.reason
