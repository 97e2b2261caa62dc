import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from sklearn_transfer.selection import gbc, h_score, leep, logme, nce

FEATURE_SCORES = [
    logme,
    h_score,
    lambda X, y: h_score(X, y, shrinkage=None),
    lambda X, y: h_score(X, y, shrinkage=0.3),
    gbc,
    lambda X, y: gbc(X, y, covariance="spherical", n_components=None),
    lambda X, y: gbc(X, y, covariance="full"),
]
NAMES = ["logme", "h_score", "h_score-none", "h_score-0.3", "gbc", "gbc-spherical", "gbc-full"]
on_features = pytest.mark.parametrize("score", FEATURE_SCORES, ids=NAMES)
SIZES = [(60, 4), (20, 50), (30, 1)]


def problem(n=60, d=4, n_classes=3, seed=0):
    """Draw overlapping classes whose means differ in every feature."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    X = rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d)
    return X + 0.7 * rng.normal(size=(n_classes, d))[y] + 5, y


def probabilities(n=50, n_source=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n_source), n), rng.integers(0, 3, n)


def highest_evidence(X, target):
    """Maximize the density of the target by a general optimizer from many starting points."""
    X = X - X.mean(axis=0)
    K, one = X @ X.T, np.eye(len(X))

    def loss(logs):
        cov = one * np.exp(-logs[1]) + K * np.exp(-logs[0])
        sign, log_det = np.linalg.slogdet(cov)
        if sign <= 0:
            return np.inf
        fit = target @ np.linalg.solve(cov, target)
        return (len(X) * np.log(2 * np.pi) + log_det + fit) / 2

    bounds = [(-12, 30), (-12, 12)]
    options = {"xatol": 1e-7, "fatol": 1e-11, "maxiter": 2000}
    starts = [(-1, 0), (3, 1), (7, 3), (22, 1)]
    method = {"method": "Nelder-Mead", "bounds": bounds, "options": options}
    runs = [minimize(loss, s, **method) for s in starts]
    return -min(run.fun for run in runs) / len(X)


@pytest.mark.parametrize(("n", "d"), [(30, 4), (16, 40), (25, 1)])
def test_logme_is_the_highest_evidence_of_the_classes(n, d):
    X, y = problem(n, d)
    expected = np.mean([highest_evidence(X, (y == c).astype(float)) for c in range(3)])
    assert logme(X, y) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("n", "d"), [(30, 4), (16, 40)])
def test_logme_is_the_highest_evidence_of_outputs(n, d):
    X, _ = problem(n, d)
    rng = np.random.default_rng(1)
    Y = X @ rng.normal(size=(d, 2)) + rng.normal(size=(n, 2)) + 1
    expected = [highest_evidence(X, target) for target in Y.T]
    assert logme(X, Y) == pytest.approx(np.mean(expected), abs=1e-8)
    assert logme(X, Y[:, 0]) == pytest.approx(expected[0], abs=1e-8)


def test_logme_of_features_without_signal_is_that_of_noise():
    y = np.array([0, 1] * 10)
    pairs = np.repeat(np.random.default_rng(0).normal(size=(10, 3)), 2, axis=0)
    noise = multivariate_normal(np.zeros(20), np.eye(20) / 2).logpdf(y) / 20
    assert logme(pairs, y) == pytest.approx(noise, abs=1e-8)
    assert logme(np.full((20, 3), 0.1), y) == pytest.approx(noise, abs=1e-8)


def test_logme_changes_with_the_unit_of_outputs_by_its_logarithm():
    X, _ = problem()
    y = X @ [1, -1, 0.5, 0] + np.random.default_rng(1).normal(size=60)
    assert logme(X, 1e200 * y) == pytest.approx(logme(X, y) - 200 * np.log(10), rel=1e-12)


def test_logme_reports_the_bound_on_the_noise():
    X, _ = problem()
    y = (X - X.mean(axis=0)) @ [1, -1, 0.5, 0]
    with pytest.warns(UserWarning, match="give 1 of 1 targets without error"):
        score = logme(X, y)
    assert np.isfinite(score)


def test_warnings_point_at_the_caller():
    X, _ = problem()
    with pytest.warns(UserWarning, match="without error") as caught:
        logme(X, 0.5 * (X - X.mean(axis=0))[:, 0])
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="shrunk") as caught:
        h_score(np.random.default_rng(0).normal(size=(6, 5)), [0, 1] * 3)
    assert caught[0].filename == __file__


def test_logme_takes_whole_numbers_as_classes_or_outputs():
    X, y = problem()
    assert logme(X, y.astype(float)) == logme(X, y)
    expected = highest_evidence(X[:30], y[:30].astype(float))
    assert logme(X[:30], y[:30], task="regression") == pytest.approx(expected, abs=1e-8)


def test_leep_is_its_definition():
    P, y = probabilities()
    n, n_source = P.shape
    total = 0
    for i in range(n):
        expected = 0
        for z in range(n_source):
            joint = sum(P[j, z] for j in range(n) if y[j] == y[i]) / n
            expected += joint / (sum(P[:, z]) / n) * P[i, z]
        total += np.log(expected)
    assert leep(P, y) == pytest.approx(total / n, abs=1e-8)


def test_nce_is_its_definition():
    P, y = probabilities()
    z = P.argmax(axis=1)
    total = 0
    for i in range(len(y)):
        alike = [j for j in range(len(y)) if z[j] == z[i]]
        total += np.log(sum(y[j] == y[i] for j in alike) / len(alike))
    assert nce(z, y) == pytest.approx(total / len(y), abs=1e-8)


def test_leep_of_certain_predictions_is_nce():
    P, y = probabilities()
    z = P.argmax(axis=1)
    assert leep(np.eye(P.shape[1])[z], y) == pytest.approx(nce(z, y), abs=1e-12)


def class_means(X, y):
    return np.array([X[y == label].mean(axis=0) for label in y])


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_h_score_is_its_definition(n, d):
    X, y = problem(n, d)
    between = np.cov(class_means(X, y).T).reshape(d, d)
    inverse = np.linalg.pinv(np.cov(X.T).reshape(d, d), rcond=1e-10)
    expected = np.trace(inverse @ between)
    assert h_score(X, y, shrinkage=None) == pytest.approx(expected, abs=1e-8)
    assert h_score(X, y, shrinkage=0) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_h_score_shrinks_as_ledoit_and_wolf(n, d):
    X, y = problem(n, d)
    model = LedoitWolf().fit(X)
    between = np.cov(class_means(X, y).T, bias=True).reshape(d, d)
    shrunk = (1 - model.shrinkage_) * between
    expected = np.trace(np.linalg.solve(model.covariance_, shrunk))
    assert h_score(X, y) == pytest.approx(expected, abs=1e-8)
    assert h_score(X, y, shrinkage=model.shrinkage_) == pytest.approx(expected, abs=1e-8)


def test_h_score_reports_a_covariance_shrunk_wholly():
    with pytest.warns(UserWarning, match="6 samples is shrunk to a multiple of the identity"):
        score = h_score(np.random.default_rng(0).normal(size=(6, 5)), [0, 1] * 3)
    assert score == pytest.approx(0, abs=1e-12)


def overlap(X, y, form, reg_covar):
    """Compute the score by its definition, pair by pair, with matrices for every form."""
    d, total = X.shape[1], 0
    ridge = reg_covar * np.mean(np.var(X, axis=0)) * np.eye(d)
    for a in np.unique(y):
        for b in np.unique(y):
            if a == b:
                continue
            S = []
            for label in (a, b):
                cov = np.cov(X[y == label].T, bias=True).reshape(d, d)
                if form == "diag":
                    cov = np.diag(np.diag(cov))
                if form == "spherical":
                    cov = np.eye(d) * np.trace(cov) / d
                S.append(cov + ridge)
            apart = X[y == a].mean(axis=0) - X[y == b].mean(axis=0)
            mixed = (S[0] + S[1]) / 2
            distance = apart @ np.linalg.inv(mixed) @ apart / 8
            roots = np.sqrt(np.linalg.det(S[0]) * np.linalg.det(S[1]))
            total -= np.exp(-distance) * np.sqrt(roots / np.linalg.det(mixed))
    return total


@pytest.mark.parametrize("form", ["diag", "full", "spherical"])
@pytest.mark.parametrize(("n", "d"), [(60, 4), (20, 12), (30, 1)])
def test_gbc_is_its_definition(form, n, d):
    X, y = problem(n, d)
    expected = overlap(X, y, form, 1e-3)
    score = gbc(X, y, covariance=form, n_components=None, reg_covar=1e-3)
    assert score == pytest.approx(expected, abs=1e-8)
    k = min(3, d)
    expected = overlap(PCA(k, svd_solver="full").fit_transform(X), y, form, 1e-3)
    score = gbc(X, y, covariance=form, n_components=k, reg_covar=1e-3)
    assert score == pytest.approx(expected, abs=1e-8)


def test_gbc_of_classes_far_apart_is_zero_without_a_sign():
    assert str(gbc([[0.0], [0.1], [1e6], [1e6 + 1]], [0, 0, 1, 1])) == "0.0"


LABELS = {
    "strings": np.array(["zebra", "ant", "monkey"]),
    "gaps": np.array([0, 40, -7]),
    "objects": np.array(["b", "c", "a"], dtype=object),
    "floats": np.array([2.0, 0.0, 4.0]),
}
TWO_LABELS = {"signs": np.array([-1, 1]), "truth": np.array([False, True])}


@on_features
@pytest.mark.parametrize("labels", [*LABELS.values(), *TWO_LABELS.values()])
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_names_of_labels_do_not_matter(score, labels, n, d):
    X, y = problem(n, d, len(labels))
    assert score(X, labels[y]) == pytest.approx(score(X, y), abs=1e-8)


@pytest.mark.parametrize("labels", LABELS.values())
def test_names_of_labels_do_not_matter_to_predictions(labels):
    P, y = probabilities()
    z = P[:, :3].argmax(axis=1)
    assert leep(P, labels[y]) == pytest.approx(leep(P, y), abs=1e-8)
    assert nce(labels[z], labels[y]) == pytest.approx(nce(z, y), abs=1e-8)


@on_features
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_a_shift_of_the_features_does_not_matter(score, n, d):
    X, y = problem(n, d)
    shift = np.random.default_rng(1).normal(0, 10, d)
    assert score(X + shift, y) == pytest.approx(score(X, y), abs=1e-8)


@on_features
@pytest.mark.parametrize("factor", [1e-200, 1e-6, 1e6, 1e200])
def test_the_unit_of_the_features_does_not_matter(score, factor):
    X, y = problem()
    assert score(factor * X, y) == pytest.approx(score(X, y), abs=1e-8)


@pytest.mark.parametrize("score", FEATURE_SCORES[:5], ids=NAMES[:5])
@pytest.mark.parametrize(("n", "d"), SIZES)
def test_a_rotation_of_the_features_does_not_matter(score, n, d):
    X, y = problem(n, d)
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(d, d)))[0]
    assert score(X @ Q, y) == pytest.approx(score(X, y), abs=1e-8)


@on_features
def test_informative_features_score_higher_than_random_ones(score):
    X, y = problem(90, 5)
    assert score(X, y) > score(np.random.default_rng(1).normal(size=X.shape), y)


def test_informative_predictions_score_higher_than_random_ones():
    P, y = probabilities()
    informed = 0.5 * P + 0.5 * np.eye(6)[y]
    assert leep(informed, y) > leep(P, y)
    assert nce(informed.argmax(axis=1), y) > nce(P.argmax(axis=1), y)


@on_features
def test_degenerate_features_give_a_number(score):
    X, y = problem(12, 5)
    constant = X.copy()
    constant[:, 1:3] = 0.1
    for features in (constant, np.full((12, 5), 0.1), np.repeat(X[:4], 3, axis=0)):
        assert np.isfinite(score(features, y))
    assert np.isfinite(score(X, [0] * 11 + [1]))


@pytest.mark.parametrize("score", [logme, h_score, gbc])
@pytest.mark.parametrize("n", [3, 30])
def test_one_sample_a_class_gives_a_number(score, n):
    X = np.random.default_rng(0).normal(size=(n, 4)) * [1, 2, 4, 8]
    assert np.isfinite(score(X, np.arange(n).astype(str)))


@on_features
def test_kinds_of_input_do_not_matter(score):
    X, y = problem()
    X = X.astype(np.float32).astype(float)
    expected = score(X, y)
    X.flags.writeable = y.flags.writeable = False
    for features in (X.astype(np.float32), np.asfortranarray(X), pd.DataFrame(X), X.tolist()):
        assert score(features, pd.Series(y)) == pytest.approx(expected, abs=1e-8)
    assert isinstance(score(X, y), float)


def test_source_classes_without_mass_add_nothing():
    P, y = probabilities()
    padded = np.insert(P, [0, 2], 0, axis=1)
    assert leep(padded, y) == pytest.approx(leep(P, y), abs=1e-12)


@on_features
def test_one_class_is_refused(score):
    X, y = problem()
    with pytest.raises(ValueError, match="y has one class only"):
        score(X, np.zeros_like(y))


def test_one_class_of_predictions_is_refused():
    with pytest.raises(ValueError, match="y has one class only"):
        leep([[0.5, 0.5]], ["a"])
    with pytest.raises(ValueError, match="y has one class only"):
        nce([0, 1], ["a", "a"])


def test_constant_output_is_refused():
    X, _ = problem()
    with pytest.raises(ValueError, match="one value only in output 0"):
        logme(X, np.full(60, 0.5))


@on_features
@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_missing_and_infinite_values_are_refused(score, value, said):
    X, y = problem()
    X[3, 0] = value
    with pytest.raises(ValueError, match=f"Input X contains {said}"):
        score(X, y)
    y = y.astype(float)
    y[2] = value
    with pytest.raises(ValueError, match=f"Input y contains {said}"):
        score(problem()[0], y)


@on_features
def test_numbers_of_rows_must_agree(score):
    X, y = problem()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        score(X[1:], y)


def test_numbers_of_rows_of_predictions_must_agree():
    P, y = probabilities()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        leep(P[1:], y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        nce(y[1:], y)


@pytest.mark.parametrize("score", FEATURE_SCORES[1:], ids=NAMES[1:])
def test_continuous_labels_are_refused(score):
    X, _ = problem()
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        score(X, X[:, 0])


def test_probabilities_must_be_probabilities():
    P, y = probabilities()
    wrong = P.copy()
    wrong[7] *= 1.1
    with pytest.raises(ValueError, match="sum to 1.1 in row 7"):
        leep(wrong, y)
    wrong[4, :2] += [0.5, -0.5 - wrong[4, 1]]
    with pytest.raises(ValueError, match="has -0.5 in row 4"):
        leep(wrong, y)
    wrong[2, 0] = np.nan
    with pytest.raises(ValueError, match="probabilities contains NaN"):
        leep(wrong, y)


def test_rounding_of_half_precision_passes():
    P, y = probabilities()
    assert leep(P.astype(np.float16), y) == pytest.approx(leep(P, y), abs=1e-3)
    assert leep(1.0005 * P, y) == pytest.approx(leep(P, y), abs=1e-12)
