"""Scorers that choose a model for a target without labels."""

import pickle

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.sparse import csr_matrix
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import TruncatedSVD
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, normalized_mutual_info_score
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from sklearn_transfer import (
    CORAL,
    KMM,
    ATCScorer,
    BNMScorer,
    ImportanceWeighted,
    InfoMaxScorer,
    NeighborInformationScorer,
    PretrainedFeatures,
    ReverseValidationScorer,
    TargetDomain,
)
from sklearn_transfer.selection._collapse import (
    TargetShares,
    estimate_target_shares,
    find_collapse,
    limit_accuracy,
)
from sklearn_transfer.selection._label_free import estimate_accuracy
from sklearn_transfer.selection._neighbors import find_neighbors
from tests import small_networks

DIVERSITY = [InfoMaxScorer, BNMScorer, NeighborInformationScorer]
BY_PROBABILITY = [*DIVERSITY, ATCScorer]
ALL = [*BY_PROBABILITY, ReverseValidationScorer]
NAMES = np.array([f"class {k}" for k in range(10)])


def draw(shares, source_shares=None, n=150, m=200, seed=0, shift=0.0, distance=3.5):
    """Draw clusters of classes in both domains, in these shares in the target."""
    rng = np.random.default_rng(seed)
    k = len(shares)
    source_shares = np.full(k, 1 / k) if source_shares is None else source_shares
    y, t = (
        np.repeat(np.arange(k), np.round(np.multiply(s, size)).astype(int))
        for s, size in ((source_shares, n), (shares, m))
    )
    y = rng.permutation(y)
    centers = distance * np.eye(k)
    centers = np.column_stack([centers, np.zeros(k)])  # the last feature tells domains only
    X, T = (centers[codes] + rng.normal(size=(len(codes), k + 1)) for codes in (y, t))
    return X, NAMES[y], T + shift * np.eye(k + 1)[k], NAMES[t]


class Fixed(ClassifierMixin, BaseEstimator):
    """A model of the source that gives the same classes, most surely, on all of the target.

    `kept` are the classes that it ever predicts for rows near those of the target.
    """

    def __init__(self, target=None, kept=(0,)):
        self.target = target
        self.kept = kept

    def fit(self, X, y):
        self.model_ = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        found = self.model_.predict_proba(X)
        known = set(self.target[:, 0])
        rows = np.array([value in known for value in np.asarray(X)[:, 0]])
        left_out = np.setdiff1d(np.arange(found.shape[1]), self.kept)
        surest = np.eye(len(self.kept))[found[:, self.kept].argmax(axis=1)]
        collapsed = np.full_like(found, 1e-6)
        collapsed[:, self.kept] = np.maximum(surest * (1 - 1e-6 * len(left_out)), 1e-6)
        return np.where(rows[:, None], collapsed / collapsed.sum(axis=1, keepdims=True), found)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Recorder(GaussianNB):
    """A model that keeps what it is fitted on."""

    seen = []

    def fit(self, X, y, X_target=None):
        self.seen.append((X, y, getattr(X_target, "X", X_target)))
        return super().fit(X, y)


@pytest.fixture
def domains():
    return draw([0.5, 0.5])


@pytest.fixture
def model(domains):
    X, y, *_ = domains
    return LogisticRegression(C=0.1).fit(X[:50], y[:50])


# Values


def test_infomax_is_the_mutual_information_of_the_paper(domains, model):
    X, y, T, _ = domains
    P = model.predict_proba(T)
    mean = P.mean(axis=0)
    marginal = -(mean * np.log(mean)).sum()
    conditional = -(P * np.log(P)).sum(axis=1).mean()
    found = InfoMaxScorer(X_target=T, shares="uniform")(model, X[50:], y[50:])
    assert found == pytest.approx((marginal - conditional) / np.log(2), abs=1e-9)


def test_infomax_is_lowered_by_the_divergence_from_estimated_shares(model):
    X, y, T, _ = draw([0.8, 0.2])
    P = model.predict_proba(T)
    shares = estimate_target_shares(X[50:], y[50:], T)
    assert shares.is_estimate
    w = shares.spread(model.classes_)
    mean = P.mean(axis=0)
    divergence = (mean * np.log(mean / w)).sum()
    conditional = -(P * np.log(P)).sum(axis=1).mean()
    found = InfoMaxScorer(X_target=T)(model, X[50:], y[50:])
    assert found == pytest.approx(1 - (divergence + conditional) / np.log(2), abs=1e-9)


def test_bnm_is_the_nuclear_norm_of_the_paper(domains, model):
    X, y, T, _ = domains
    P = model.predict_proba(T)
    expected = np.linalg.norm(P, "nuc") / np.sqrt(P.size)
    found = BNMScorer(X_target=T, shares="uniform")(model, X[50:], y[50:])
    assert found == pytest.approx(expected, rel=1e-9)


def test_bnm_weights_columns_by_the_estimated_shares(model):
    X, y, T, _ = draw([0.8, 0.2])
    w = estimate_target_shares(X[50:], y[50:], T).spread(model.classes_)
    P = model.predict_proba(T)
    expected = np.linalg.norm(P * np.sqrt(w), "nuc") / np.sqrt(len(P))
    assert BNMScorer(X_target=T)(model, X[50:], y[50:]) == pytest.approx(expected, rel=1e-9)


def test_neighbor_information_of_sure_predictions_is_that_of_all_pairs(domains):
    X, y, T, _ = domains
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e9)).fit(X * 1e3, y)
    scaler = FunctionTransformer(lambda rows: 1e3 * np.asarray(rows))
    sure = make_pipeline(scaler, model).fit(X, y)
    labels, neighbors = sure.predict(T), find_neighbors(T, 7)
    pairs = np.repeat(labels, 7), labels[neighbors].ravel()
    both = np.concatenate(pairs), np.concatenate(pairs[::-1])
    scorer = NeighborInformationScorer(X_target=T, shares="uniform", n_neighbors=7)
    # Marginals of symmetric pairs are equal, so that any normalization is their entropy.
    share = np.mean(both[0] == labels[0])
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share)) / np.log(2)
    expected = normalized_mutual_info_score(*both) * entropy
    assert scorer(sure, X, y) == pytest.approx(expected, abs=0.02)


def test_average_thresholded_confidence_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    source = rng.dirichlet([1, 1, 1], 40)
    codes = rng.integers(3, size=40)
    ordered = np.sort(source.max(axis=1))
    threshold = ordered[np.sum(source.argmax(axis=1) != codes)]
    target = source[rng.integers(40, size=300)]  # no confidence lies between two of the source
    expected = np.mean(target.max(axis=1) >= threshold)
    assert estimate_accuracy(source, codes, target) == pytest.approx(expected, abs=1e-12)


def test_the_other_confidence_is_negative_entropy():
    rng = np.random.default_rng(1)
    source, target = rng.dirichlet([1, 1, 1], 40), rng.dirichlet([1, 1, 1], 5000)
    codes = rng.integers(3, size=40)
    ordered = np.sort((source * np.log(source)).sum(axis=1))
    n_wrong = np.sum(source.argmax(axis=1) != codes)
    values = (target * np.log(target)).sum(axis=1)
    above, below = (np.mean(values >= ordered[n_wrong - i]) for i in (0, 1))
    found = estimate_accuracy(source, codes, target, confidence="entropy")
    assert above <= found <= below


@pytest.mark.parametrize("ties", [False, True])
def test_the_source_keeps_its_weighted_accuracy(ties):
    rng = np.random.default_rng(2)
    source = rng.dirichlet([1, 1], 50)
    if ties:
        source = source.round(1)
    codes, weights = rng.integers(2, size=50), rng.uniform(0.1, 3, 50)
    expected = accuracy_score(codes, source.argmax(axis=1), sample_weight=weights)
    rows = rng.choice(50, 200000, p=weights / weights.sum())
    found = estimate_accuracy(source, codes, source[rows], weights)
    assert found == pytest.approx(expected, abs=0.005)


def test_the_estimate_has_no_steps_with_few_source_rows():
    rng = np.random.default_rng(3)
    source, codes = rng.dirichlet([1, 1], 6), np.array([0, 1, 0, 1, 0, 1])
    target = rng.dirichlet([1, 1], 100000)
    estimates = [
        estimate_accuracy(source + np.array([d, -d]), codes, target)
        for d in np.linspace(0, 1e-3, 5)
    ]
    assert np.abs(np.diff(estimates)).max() < 5e-3


def test_a_model_that_is_always_wrong_has_no_accuracy():
    source = np.array([[0.9, 0.1], [0.8, 0.2]])
    assert estimate_accuracy(source, np.array([1, 1]), source) == 0


def test_nothing_is_counted_under_the_least_confidence_of_the_source():
    source, target = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.6, 0.4], [1.0, 0.0]])
    assert estimate_accuracy(source, np.array([0, 1]), target) == 0.5


def test_weights_of_the_source_move_the_threshold():
    X, y, T, _ = draw([0.5, 0.5], distance=1.5)
    model = LogisticRegression().fit(X[:50], y[:50])
    is_right = model.predict(X[50:]) == y[50:]
    weights = np.where(is_right, 1.0, 20.0)
    found = [ATCScorer(X_target=T)(model, X[50:], y[50:], w) for w in (None, weights)]
    assert found[1] < found[0] - 0.1


def test_atc_maps_source_rows_of_an_aligner_as_such():
    X, y, T, _ = draw([0.5, 0.5])
    T = 1 + 2 * T[:, [1, 0, 2]]
    aligner = CORAL().fit(X, X_target=T)
    mapped = aligner.transform(X, sample_domain=np.zeros(len(X)))
    model = GaussianNB().fit(mapped, y)
    codes = np.searchsorted(model.classes_, y)
    pipe = Pipeline([("skip", "passthrough"), ("align", aligner), ("model", model)])
    target = pipe.predict_proba(T)
    expected = estimate_accuracy(model.predict_proba(mapped), codes, target)
    assert expected != estimate_accuracy(pipe.predict_proba(X), codes, target)
    assert ATCScorer(X_target=T)(pipe, X, y) == expected


def test_reverse_validation_is_the_procedure_of_the_paper(domains, model):
    X, y, T, _ = domains
    reverse = clone(model).fit(T, model.predict(T))
    weights = np.random.default_rng(0).uniform(0.1, 2, len(X) - 50)
    for w in (None, weights):
        expected = accuracy_score(y[50:], reverse.predict(X[50:]), sample_weight=w)
        found = ReverseValidationScorer(X_target=T)(model, X[50:], y[50:], sample_weight=w)
        assert found == pytest.approx(expected, abs=1e-12)


def test_the_source_is_the_target_of_the_reverse_model(domains):
    X, y, T, _ = domains
    model = Recorder().fit(X[:50], y[:50])
    ReverseValidationScorer(X_target=TargetDomain(T))(model, X[50:], y[50:])
    source, labels, target = Recorder.seen[-1]
    np.testing.assert_array_equal(source, T)
    np.testing.assert_array_equal(labels, model.predict(T))
    np.testing.assert_array_equal(target, X[50:])


def test_reverse_validation_takes_regressors_and_another_score():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(80, 2)), rng.normal(1, 1, size=(70, 2))
    y = X @ [1, 2] + 0.1 * rng.normal(size=80)
    model = Ridge().fit(X[:40], y[:40])
    reverse = Ridge().fit(T, model.predict(T))
    found = ReverseValidationScorer(X_target=T)(model, X[40:], y[40:])
    assert found == pytest.approx(reverse.score(X[40:], y[40:]))
    scorer = ReverseValidationScorer(X_target=T, scoring="neg_mean_squared_error")
    expected = -np.mean((reverse.predict(X[40:]) - y[40:]) ** 2)
    assert scorer(model, X[40:], y[40:]) == pytest.approx(expected)


def test_reverse_validation_takes_several_outputs():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(2, 60, 2))
    y = X @ rng.normal(size=(2, 3))
    model = LinearRegression().fit(X, y)
    assert ReverseValidationScorer(X_target=T)(model, X, y) == pytest.approx(1)


def test_reverse_validation_of_one_predicted_class_is_its_share():
    X, y, T, _ = draw([1.0, 0.0], [0.7, 0.3])
    model = GaussianNB().fit(X[:80], y[:80])
    model.class_prior_ = np.array([1.0, 1e-300])
    assert set(model.predict(T)) == {"class 0"}
    found = ReverseValidationScorer(X_target=T)(model, X, y)
    assert found == pytest.approx(np.mean(y == "class 0"))


def test_reverse_validation_by_probabilities_of_classes_that_are_left_out():
    X, y, T, _ = draw([0.5, 0.0, 0.5], n=150, distance=6.0)
    model = LogisticRegression().fit(X[:75], y[:75])
    reverse = LogisticRegression().fit(T, model.predict(T))
    assert len(reverse.classes_) == 2
    P = np.insert(reverse.predict_proba(X), 1, 0, axis=1)
    found = ReverseValidationScorer(X_target=T, scoring="neg_log_loss")(model, X, y)
    assert found == pytest.approx(-log_loss(y, P, labels=model.classes_))


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc", "average_precision"])
def test_a_search_by_probabilities_outlives_a_collapsed_model(scoring):
    X, y, T, _ = draw([0.5, 0.5])
    y = (y == "class 1").astype(int)
    scorer = ReverseValidationScorer(X_target=T, scoring=scoring)
    found = cross_val_score(collapse(T), X, y, scoring=scorer, cv=3)
    assert (found < -999_000).all()
    assert np.isfinite(found).all()


def test_reverse_validation_needs_only_predict():
    X, y, T, _ = draw([0.3, 0.3, 0.4])
    assert ReverseValidationScorer(X_target=T)(LinearSVC().fit(X, y), X, y) > 0.9


# The guard


def collapse(T, kept=(0,)):
    return Fixed(T, kept)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("shift", [0.0, 6.0])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1)])
@pytest.mark.parametrize("source", [(0.5, 0.5), (0.9, 0.1)])
def test_a_collapsed_model_never_wins(kind, shares, source, shift):
    for seed in range(2):
        X, y, T, _ = draw(shares, source, shift=shift, n=200, seed=seed)
        scorer = kind(X_target=T)
        # The other one predicts all classes, and is worse on the source.
        other = make_pipeline(
            StandardScaler(), LogisticRegression(C=1e-3, class_weight="balanced")
        )
        other.fit(X[:100], y[:100])
        assert min(np.unique(other.predict(T), return_counts=True)[1]) > 20 * 0.5
        scores = [
            scorer(m, X[100:], y[100:]) for m in (other, collapse(T).fit(X[:100], y[:100]))
        ]
        assert scores[1] < -1 <= scores[0]
        assert np.isfinite(scores).all()


@pytest.mark.parametrize("kind", ALL)
def test_a_model_that_drops_half_of_the_classes_never_wins(kind):
    for shift in (0.0, 5.0):
        X, y, T, _ = draw(np.full(10, 0.1), n=400, shift=shift)
        scorer = kind(X_target=T)
        full = LogisticRegression(C=0.01).fit(X[:200], y[:200])
        half = collapse(T, kept=[0, 1, 2, 3, 4]).fit(X[:200], y[:200])
        assert scorer(full, X[200:], y[200:]) > scorer(half, X[200:], y[200:])
        assert scorer(half, X[200:], y[200:]) < -1


@pytest.mark.parametrize("kind", BY_PROBABILITY)
def test_the_collapsed_model_wins_where_the_target_holds_one_class(kind):
    X, y, T, _ = draw([1.0, 0.0], n=200)
    scorer = kind(X_target=T)
    held = X[100:], y[100:]
    rotated = make_pipeline(
        FunctionTransformer(lambda rows: rows - T.mean(axis=0)), GaussianNB()
    )
    rotated.fit(X[:100] - X.mean(axis=0) + T.mean(axis=0), y[:100])
    shares = np.mean(rotated.predict(T) == "class 0")
    assert 0.2 < shares < 0.8
    assert scorer(collapse(T).fit(X[:100], y[:100]), *held) > scorer(rotated, *held)


def test_without_an_estimate_the_shares_of_the_source_count():
    X, y, T, _ = draw([0.9, 0.1], shift=10.0)
    shares = estimate_target_shares(X, y, T)
    assert not shares.is_estimate
    np.testing.assert_allclose(shares.shares, [0.5, 0.5])
    assert limit_accuracy(np.array([0.9, 0.1]), shares.classes, shares) == 1


def test_estimated_shares_are_within_their_errors():
    errors = []
    for seed in range(15):
        X, y, T, _ = draw([0.7, 0.2, 0.1], seed=seed, distance=2.5)
        found = estimate_target_shares(X, y, T)
        if found.is_estimate:
            errors.append((found.shares - [0.7, 0.2, 0.1]) / found.errors)
    assert len(errors) >= 12
    assert 0.5 < np.sqrt(np.mean(np.square(errors))) < 1.7


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [((1, 0, 0), True), ((0.5, 0.5, 0), False), ((0.5, 0.01, 0.49), True)],
)
def test_a_class_that_the_target_holds_must_be_predicted(predicted, expected):
    errors = np.array([0.05, 0.05, 0.05])
    shares = TargetShares(np.arange(3), np.array([0.6, 0.34, 0.06]), errors, is_estimate=True)
    assert find_collapse(np.array(predicted, dtype=float), np.arange(3), shares) is expected


def test_a_class_that_the_model_does_not_know_counts_as_left_out():
    errors = np.array([0.05, 0.05])
    shares = TargetShares(np.array(["a", "b"]), np.array([0.5, 0.5]), errors, is_estimate=True)
    assert find_collapse(np.array([0.5, 0.5]), np.array(["a", "c"]), shares)


@pytest.mark.parametrize(("n_classes", "n_errors"), [(2, 0.9945), (10, 2.1020)])
def test_more_errors_are_taken_off_shares_of_more_classes(n_classes, n_errors):
    shares, errors = np.full(n_classes, 1 / n_classes), np.full(n_classes, 0.01)
    known = TargetShares(np.arange(n_classes), shares, errors, is_estimate=True)
    np.testing.assert_allclose(known.least, shares - 0.01 * n_errors, atol=1e-6)
    # Classes of the model that the source does not hold are not among them.
    wider = known.align(np.arange(n_classes + 5))
    np.testing.assert_allclose(wider.least[:n_classes], known.least)


def test_an_estimate_cannot_tell_the_least_shares_from_none():
    shares, errors = np.array([0.984, 0.016]), np.array([0.008, 0.008])
    known = TargetShares(np.arange(2), shares, errors, is_estimate=True)
    assert not find_collapse(np.array([1.0, 0.0]), np.arange(2), known)
    of_source = TargetShares(np.arange(2), shares, errors, is_estimate=False)
    assert find_collapse(np.array([1.0, 0.0]), np.arange(2), of_source)


def test_collapse_is_found_in_small_folds():
    found = []
    for seed in range(20):
        X, y, T, _ = draw([0.9, 0.1], n=20, seed=seed, distance=3.0)
        shares = estimate_target_shares(X, y, T)
        found.append(find_collapse(np.array([1.0, 0.0]), shares.classes, shares))
    assert np.mean(found) >= 0.8


def test_of_guarded_models_the_least_collapsed_has_the_largest_accuracy():
    X, y, T, _ = draw([0.9, 0.1], shift=10.0)
    shares = estimate_target_shares(X, y, T)
    assert not shares.is_estimate
    limits = [limit_accuracy(np.array([1 - q, q]), shares.classes, shares) for q in (0, 0.03)]
    assert limits[0] < limits[1] < 0.7


def test_accuracies_are_bounded_by_the_shares():
    errors = np.array([0.05, 0.02])
    shares = TargetShares(np.arange(2), np.array([0.8, 0.2]), errors, is_estimate=True)
    found = limit_accuracy(np.array([0.4, 0.6]), np.arange(2), shares)
    assert found == pytest.approx(0.4 + 0.24)


def test_atc_of_a_confident_wrong_model_is_bounded():
    X, y, T, _ = draw([0.9, 0.1], n=200)
    model = LogisticRegression(C=100).fit(X[:100], y[:100])
    moved = make_pipeline(FunctionTransformer(lambda rows: rows), model)
    moved.steps[0][1].func = lambda rows: (
        rows + (len(rows) == len(T)) * np.array([-3.5, 3.5, 0])
    )
    predicted = np.mean(moved.predict(T) == "class 1")
    assert predicted > 0.7
    assert ATCScorer(X_target=T)(moved, X[100:], y[100:]) < 0.5


@pytest.mark.parametrize("rows", [slice(0, 8), "one class"])
def test_too_few_rows_guard_nothing(rows):
    X, y, T, _ = draw([0.5, 0.5])
    rows = np.flatnonzero(y == "class 1") if rows == "one class" else rows
    fitted = collapse(T).fit(X, y)
    assert InfoMaxScorer(X_target=T)(fitted, X[rows], y[rows]) > -1


# As scoring


@pytest.mark.parametrize("kind", ALL)
def test_searches_choose_by_it_without_warnings(kind, domains):
    X, y, T, _ = domains
    scorer = kind(X_target=TargetDomain(T))
    search = GridSearchCV(LogisticRegression(), {"C": [1e-4, 1.0]}, scoring=scorer, cv=3)
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    found = cross_val_score(LogisticRegression(), X, y, scoring=kind(X_target=T), cv=3)
    by_fold = [search.cv_results_[f"split{i}_test_score"][1] for i in range(3)]
    np.testing.assert_allclose(by_fold, found)


def test_several_scores_at_once(domains):
    X, y, T, _ = domains
    scoring = {kind.__name__: kind(X_target=T) for kind in ALL}
    found = cross_validate(GaussianNB(), X, y, scoring=scoring, cv=3)
    for name, scorer in scoring.items():
        expected = cross_val_score(GaussianNB(), X, y, scoring=scorer, cv=3)
        np.testing.assert_array_equal(found[f"test_{name}"], expected)


@pytest.mark.parametrize("kind", [ATCScorer, ReverseValidationScorer])
def test_weights_are_routed_on_request(kind, domains):
    X, y, T, _ = domains
    weights = np.where(y == "class 0", 0.0, np.random.default_rng(0).uniform(1, 5, len(y)))
    weights[:75:3] = 1
    with config_context(enable_metadata_routing=True):
        model = LogisticRegression(C=0.01).set_fit_request(sample_weight=False)
        found = [
            cross_val_score(
                model,
                X,
                y,
                scoring=kind(X_target=T).set_score_request(sample_weight=wanted),
                params={"sample_weight": weights} if wanted else {},
                cv=3,
            )
            for wanted in (True, False)
        ]
    assert (found[0] != found[1]).any()


@pytest.mark.parametrize("kind", ALL)
def test_rows_of_weight_zero_are_left_out(kind, domains, model):
    X, y, T, _ = domains
    weights = np.ones(len(X))
    weights[100:] = 0
    found = kind(X_target=T)(model, X, y, sample_weight=weights)
    expected = kind(X_target=T)(model, X[:100], y[:100])
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("kind", [NeighborInformationScorer, ReverseValidationScorer])
def test_inner_searches_of_weighted_models_use_it(kind, routing, domains):
    X, y, T, _ = domains
    scorer = kind(X_target=T)
    search = GridSearchCV(LogisticRegression(), {"C": [1e-3, 1.0]}, scoring=scorer, cv=3)
    with config_context(enable_metadata_routing=routing):
        weighted = ImportanceWeighted(search, KMM(B=5)).fit(X, y, X_target=T)
    assert weighted.estimator_.best_params_["C"] in (1e-3, 1.0)
    assert np.isfinite(weighted.estimator_.cv_results_["mean_test_score"]).all()


CALLS = []


def extract(rows):
    CALLS.append(len(rows))
    return rows


def as_texts(rows):
    return [" ".join(map(repr, row.tolist())) for row in np.asarray(rows)]


def parse(texts):
    return np.array([text.split() for text in texts], dtype=float)


@pytest.mark.parametrize("kind", ALL)
def test_lists_of_samples_need_a_representation(kind, domains):
    X, y, T, _ = domains
    reader = FunctionTransformer(parse)
    pipe = make_pipeline(FunctionTransformer(parse), LogisticRegression())
    scorer = kind(X_target=as_texts(T), representation=reader)
    found = cross_val_score(pipe, as_texts(X), y, scoring=scorer, cv=3)
    expected = cross_val_score(LogisticRegression(), X, y, scoring=kind(X_target=T), cv=3)
    np.testing.assert_allclose(found, expected)
    fitted = pipe.fit(as_texts(X), y)
    bare = kind(X_target=as_texts(T))
    with pytest.raises(ValueError, match="pass representation=PretrainedTextFeatures"):
        bare(fitted, as_texts(X), y)


@pytest.mark.parametrize("kind", ALL)
def test_paths_of_images(kind, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 128, (36, 40, 40, 3), dtype=np.uint8)
    y = np.tile(["dark", "light"], 12)
    pixels[1::2] += 100
    paths = [str(tmp_path / f"{i}.png") for i in range(36)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    features = PretrainedFeatures(small_networks.counting_net, weights=None, engine="torch")
    model = make_pipeline(features, StandardScaler(), GaussianNB())
    scorer = kind(X_target=TargetDomain(paths[24:]), representation=features)
    small_networks.CountingNet.reset()
    found = cross_val_score(model, paths[:24], y, scoring=scorer, cv=2)
    assert small_networks.CountingNet.images_seen == 36
    assert (found >= 0).all()


def test_sparse_tables_need_a_representation(domains, model):
    X, y, T, _ = domains
    scorer = InfoMaxScorer(X_target=csr_matrix(T))
    with pytest.raises(ValueError, match="got a sparse matrix: pass representation=Truncated"):
        scorer(model, csr_matrix(X), y)
    scorer.set_params(representation=TruncatedSVD(2))
    assert 0 < scorer(model, csr_matrix(X), y) < 1


@pytest.mark.parametrize("kind", ALL)
def test_frames_and_series(kind, domains):
    X, y, T, _ = domains
    frames = [pd.DataFrame(rows, columns=["a", "b", "c"]) for rows in (X, T)]
    found = kind(X_target=frames[1])(
        GaussianNB().fit(frames[0], pd.Series(y)), frames[0], pd.Series(y)
    )
    assert found == pytest.approx(kind(X_target=T)(GaussianNB().fit(X, y), X, y))


@pytest.mark.parametrize("kind", ALL)
def test_scoring_again_gives_the_same_and_pickles_stay_small(kind, domains, model):
    X, y, T, _ = domains
    scorer = kind(X_target=T)
    size = len(pickle.dumps(scorer))
    scores = {scorer(model, X, y) for _ in range(2)}
    assert len(pickle.dumps(scorer)) == size
    scores |= {
        other(model, X, y) for other in (clone(scorer), pickle.loads(pickle.dumps(scorer)))
    }
    assert len(scores) == 1


def test_the_target_is_looked_at_once_per_fold(domains):
    X, y, T, _ = domains
    CALLS.clear()
    scorer = InfoMaxScorer(X_target=T, representation=FunctionTransformer(extract))
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 0.1, 1.0]}, scoring=scorer, cv=2)
    search.fit(X, y)
    assert CALLS.count(len(T)) == 2


def test_a_representation_that_cannot_be_pickled_is_used(domains, model):
    X, y, T, _ = domains
    scorer = InfoMaxScorer(X_target=T, representation=FunctionTransformer(lambda rows: rows))
    assert scorer(model, X, y) == InfoMaxScorer(X_target=T)(model, X, y)


def test_another_target_is_noticed(domains, model):
    X, y, T, _ = domains
    scorer = InfoMaxScorer(X_target=T)
    scorer(model, X, y)
    scorer.set_params(X_target=T[:50])
    assert scorer(model, X, y) == InfoMaxScorer(X_target=T[:50])(model, X, y)


@pytest.mark.parametrize("labels", [["no", "yes"], [False, True], [3, 7]])
@pytest.mark.parametrize("kind", ALL)
def test_labels_of_any_kind(kind, labels, domains):
    X, y, T, _ = domains
    named = np.array(labels)[(y == "class 1").astype(int)]
    found = kind(X_target=T)(GaussianNB().fit(X, named), X, named)
    assert found == pytest.approx(kind(X_target=T)(GaussianNB().fit(X, y), X, y))


# Errors


@pytest.mark.parametrize("kind", BY_PROBABILITY)
def test_regressors_are_refused(kind, domains):
    X, _, T, _ = domains
    model = Ridge().fit(X, X[:, 0])
    with pytest.raises(TypeError, match="got the regressor Ridge: use ReverseValidation"):
        kind(X_target=T)(model, X, X[:, 0])


@pytest.mark.parametrize("kind", BY_PROBABILITY)
def test_missing_probabilities_are_told_of(kind, domains):
    X, y, T, _ = domains
    model = LinearSVC().fit(X, y)
    with pytest.raises(TypeError, match="LinearSVC has no predict_proba: wrap it in Calib"):
        kind(X_target=T)(model, X, y)
    assert np.isfinite(kind(X_target=T)(CalibratedClassifierCV(model).fit(X, y), X, y))


@pytest.mark.parametrize("kind", ALL)
def test_no_target_is_refused(kind, domains, model):
    X, y, *_ = domains
    with pytest.raises(ValueError, match=f"{kind.__name__} got X_target=None"):
        kind(X_target=None)(model, X, y)


def test_a_model_of_one_class_is_refused(domains):
    X, y, T, _ = domains
    model = DummyClassifier().fit(X, np.repeat("a", len(X)))
    with pytest.raises(ValueError, match=r"a classifier of one class, \['a'\]"):
        InfoMaxScorer(X_target=T)(model, X, y)


def test_several_outputs_are_refused(domains):
    X, y, T, _ = domains
    model = MultiOutputClassifier(GaussianNB()).fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="a classifier of 2 outputs"):
        InfoMaxScorer(X_target=T)(model, X, y)


@pytest.mark.parametrize(
    ("scorer", "match"),
    [
        (lambda T: InfoMaxScorer(X_target=T, shares="uniforms"), "Did you mean 'uniform'"),
        (lambda T: ATCScorer(X_target=T, confidence="max"), "none of .*'maximum', 'entropy'"),
        (lambda T: NeighborInformationScorer(X_target=T[:1]), "got 1 target sample"),
    ],
)
def test_bad_parameters(scorer, match, domains, model):
    X, y, T, _ = domains
    scorer = scorer(T)
    with pytest.raises(ValueError, match=match):
        scorer(model, X, y)
