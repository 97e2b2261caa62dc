"""ZeroShotClassifier against its formula, its objective, Ridge and cosine_similarity."""

import functools
import pickle
from itertools import combinations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.metrics import recall_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler, normalize

from sklearn_transfer import ZeroShotClassifier
from sklearn_transfer.heads._bilinear import (
    RegularizationPath,
    compute_mean_eigenvalue,
    solve_compatibility,
)
from sklearn_transfer.heads._class_folds import (
    build_class_folds,
    choose_penalties,
    find_best_margin,
    find_seen_class_margin,
)

PLAIN = {"normalize": False, "gamma": 2.0, "alpha": 0.5}


@pytest.fixture
def task():
    """Rows, labels, and attributes of six classes of which four have samples."""
    return draw(n=60, d=8)


def draw(n, d, seed=0):
    rng = np.random.default_rng(seed)
    S = rng.normal(size=(6, 5)) + 1
    y = np.arange(n) % 4
    X = S[y] @ rng.normal(size=(5, d)) + 0.5 * rng.normal(size=(n, d)) + 3
    return X, y, dict(enumerate(S))


def parts(task):
    X, y, attributes = task
    S = np.array(list(attributes.values()))
    return X, np.where(y[:, None] == np.arange(4), 1.0, -1.0), S[:4], S


# The formula


def by_formula(X, Y, S, gamma, alpha):
    left = X.T @ X + gamma * np.eye(X.shape[1])
    right = S.T @ S + alpha * np.eye(S.shape[1])
    return np.linalg.solve(left, X.T @ Y @ S) @ np.linalg.inv(right)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (12, 40)], ids=["d < n", "d > n"])
def test_coefficients_are_those_of_the_formula(n, d):
    task = draw(n, d)
    X, Y, S, everyone = parts(task)
    model = ZeroShotClassifier(**PLAIN, temperature=1.0)
    model.fit(*task[:2], attributes=task[2])
    expected = by_formula(X, Y, S, 2.0, 0.5)
    np.testing.assert_allclose(model.coef_, expected, rtol=1e-8, atol=1e-12)
    scores = X @ expected @ everyone.T
    np.testing.assert_allclose(model.decision_function(X), scores, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(model.predict_proba(X), softmax(scores, axis=1), atol=1e-10)
    np.testing.assert_array_equal(model.predict(X), scores.argmax(axis=1))


def test_coefficients_are_where_the_objective_has_no_slope(task):
    X, Y, S, _ = parts(task)
    V = ZeroShotClassifier(**PLAIN).fit(*task[:2], attributes=task[2]).coef_

    def objective(v):
        W = v.reshape(V.shape)
        fit, sides = X @ W @ S.T - Y, [W @ S.T, X @ W, W]
        rest = 2.0 * (sides[0] ** 2).sum() + 0.5 * (sides[1] ** 2).sum()
        return (fit**2).sum() + rest + 2.0 * 0.5 * (sides[2] ** 2).sum()

    slope = approx_fprime(V.ravel(), objective, 1e-6)
    beside = approx_fprime(V.ravel() + 0.01, objective, 1e-6)
    assert np.abs(slope).max() < 1e-4 * np.abs(beside).max()


@pytest.mark.parametrize("shape", [(30, 7, 4, 9), (7, 30, 4, 9), (30, 7, 9, 4), (7, 30, 9, 4)])
def test_smaller_and_larger_systems_have_one_solution(shape):
    n, d, z, a = shape
    rng = np.random.default_rng(0)
    X, S, Y = rng.normal(size=(n, d)), rng.normal(size=(z, a)), rng.normal(size=(n, z))
    found = solve_compatibility(X, Y, S, 0.3, 0.7)
    np.testing.assert_allclose(found, by_formula(X, Y, S, 0.3, 0.7), rtol=1e-9, atol=1e-12)
    path = RegularizationPath(X, Y, S)
    held, others = rng.normal(size=(5, d)), rng.normal(size=(3, a))
    for gamma, alpha, scores in path.iterate_scores(held, others, [0.3, 2.0], [0.7]):
        expected = held @ by_formula(X, Y, S, gamma, alpha) @ others.T
        np.testing.assert_allclose(scores, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("d", [4, 30])
def test_left_out_scores_are_those_of_n_fits(d):
    rng = np.random.default_rng(0)
    X, S, Y = rng.normal(size=(12, d)), rng.normal(size=(3, 5)), rng.normal(size=(12, 3))
    found = RegularizationPath(X, Y, S).score_left_out(0.3, 0.7)
    for i in range(12):
        rest = np.delete(np.arange(12), i)
        V = by_formula(X[rest], Y[rest], S, 0.3, 0.7)
        np.testing.assert_allclose(found[i], X[i] @ V @ S.T, rtol=1e-7, atol=1e-9)


def test_normalization_by_definition(task):
    X, Y, S, everyone = parts(task)
    model = ZeroShotClassifier(gamma=2.0, alpha=0.5, temperature=1.0)
    model.fit(*task[:2], attributes=task[2])
    rows, classes = normalize(X - X.mean(axis=0)), normalize(S - S.mean(axis=0))
    V = by_formula(rows, Y, classes, 2.0, 0.5)
    np.testing.assert_allclose(model.coef_, V, rtol=1e-8, atol=1e-12)
    expected = rows @ V @ normalize(everyone - S.mean(axis=0)).T
    np.testing.assert_allclose(model.decision_function(X), expected, atol=1e-10)


def test_without_attributes_it_is_a_ridge_of_signs(task):
    X, Y, _, _ = parts(task)
    with pytest.warns(UserWarning, match="got no attributes.*attributes=attributes"):
        model = ZeroShotClassifier(**PLAIN, temperature=1.0).fit(*task[:2])
    ridge = Ridge(alpha=2.0, fit_intercept=False).fit(X, Y)
    # The other penalty divides by 1 + alpha.
    np.testing.assert_allclose(model.decision_function(X), ridge.predict(X) / 1.5, atol=1e-9)
    np.testing.assert_array_equal(model.classes_, model.seen_classes_)


# What is chosen


def test_penalties_tell_held_out_classes_best():
    rng = np.random.default_rng(3)
    S = rng.normal(size=(5, 4))
    # Classes have equal weights although their sizes differ.
    codes = np.array([0, 1, 2, 3, 3, 4, 4, 4, 4, 4] * 6)
    X = S[codes] @ rng.normal(size=(4, 6)) + 2 * rng.normal(size=(60, 6))
    folds = build_class_folds(S)
    grids = [compute_mean_eigenvalue(A) * 10.0 ** np.arange(-3, 2) for A in (X, S)]
    right = np.zeros((5, 5))
    for held in combinations(range(5), 2):
        kept = [k for k in range(5) if k not in held]
        train, test = np.isin(codes, kept), np.isin(codes, held)
        Y = np.where(codes[train][:, None] == kept, 1.0, -1.0)
        for i, gamma in enumerate(grids[0]):
            for j, alpha in enumerate(grids[1]):
                V = by_formula(X[train], Y, S[kept], gamma, alpha)
                found = np.array(held)[(X[test] @ V @ S[list(held)].T).argmax(axis=1)]
                right[i, j] += recall_score(codes[test], found, average="macro")
    padded = np.pad(right, 1, mode="edge")
    smooth = sum(padded[i : i + 5, j : j + 5] for i in range(3) for j in range(3))
    row, column = np.unravel_index(smooth.argmax(), smooth.shape)
    found = choose_penalties(X, codes, S, "auto", "auto", folds)
    assert found == pytest.approx((grids[0][row], grids[1][column]))
    assert choose_penalties(X, codes, S, 7.0, 3.0, folds) == (7.0, 3.0)


def test_penalty_without_enough_classes_has_least_error_on_rows_left_out(task):
    X, Y, S, _ = parts(task)
    X = X - X.mean(axis=0)
    grid = compute_mean_eigenvalue(X) * 10.0 ** np.arange(-3, 2)
    errors = []
    for gamma in grid:
        error = 0.0
        for i in range(len(X)):
            rest = np.delete(np.arange(len(X)), i)
            ridge = Ridge(alpha=gamma, fit_intercept=False).fit(X[rest], Y[rest])
            error += ((ridge.predict(X[i : i + 1]) - Y[i]) ** 2).sum()
        errors.append(error)
    found, _ = choose_penalties(X, task[1], S, "auto", 0.5, [])
    assert 0 < np.argmin(errors) < 4
    assert found == pytest.approx(grid[np.argmin(errors)])


@pytest.mark.parametrize("n_classes", [4, 5, 9, 10, 23])
def test_folds_hold_out_each_class_and_leave_more_than_they_take(n_classes):
    S = np.random.default_rng(0).normal(size=(n_classes, 3))
    folds = build_class_folds(S)
    assert min(len(held) for held in folds) >= 2
    assert max(len(held) for held in folds) <= n_classes / 2
    assert np.bincount(np.concatenate(folds), minlength=n_classes).min() >= 2
    assert len(folds) <= 36


def test_under_four_classes_none_are_held_out():
    assert build_class_folds(np.eye(3)) == []


def brute_force(seen, unseen):
    tried = np.linspace(0, 3, 3001)
    right = np.array([seen[1][seen[0] > c].sum() for c in tried])
    caught = np.array([unseen[1][unseen[0] <= c].sum() for c in tried])
    return 2 * right * caught / np.maximum(right + caught, 1e-12), tried


def test_best_margin_is_that_of_a_fine_grid():
    rng = np.random.default_rng(0)
    for _ in range(20):
        seen = np.stack([rng.normal(1, 0.5, 40), rng.integers(0, 2, 40) / 40])
        unseen = np.stack([rng.normal(0.4, 0.5, 30), rng.integers(0, 2, 30) / 30])
        means, _ = brute_force(seen, unseen)
        found = find_best_margin(seen, unseen)
        right = seen[1][seen[0] > found].sum()
        caught = unseen[1][unseen[0] <= found].sum()
        assert found >= 0
        assert 2 * right * caught / (right + caught) >= means.max() - 1e-12


def test_best_margin_is_not_negative():
    seen, unseen = np.array([[-2.0], [1.0]]), np.array([[-3.0], [1.0]])
    assert find_best_margin(seen, unseen) == 0


def margins_by_definition(X, codes, S, i, held):
    """Return margins and shares of one fold by class; a third of the rows of seen ones is new.

    A class of one row keeps it.
    """
    counts = np.bincount(codes)
    kept = np.setdiff1d(np.arange(len(S)), held)
    rank = np.concatenate([np.arange(n) for n in counts])
    new = np.isin(codes, held)
    rest = ~new & (rank % 3 == i % 3) & (counts[codes] > 1)
    train = ~new & ~rest
    Y = np.where(codes[train][:, None] == kept, 1.0, -1.0)
    scores = X @ by_formula(X[train], Y, S[kept], 1.0, 1.0) @ S.T
    lead = scores[:, kept].max(axis=1) - scores[:, held].max(axis=1)
    for rows, group in [(rest, kept), (new, held)]:
        present = np.unique(codes[rows])
        part = []
        for k in present:
            own = rows & (codes == k)
            right = group[scores[own][:, group].argmax(axis=1)] == k
            part.append(np.stack([lead[own], right / own.sum() / len(present)]))
        yield np.concatenate(part, axis=1)


def test_margin_by_definition_where_classes_differ_in_size():
    rng = np.random.default_rng(0)
    S = rng.normal(size=(6, 4))
    codes = np.arange(6).repeat([200, 9, 9, 1, 1, 1])
    X = S[codes] @ rng.normal(size=(4, 5)) + 0.3 * rng.normal(size=(len(codes), 5))
    folds = build_class_folds(S)
    parts = [list(margins_by_definition(X, codes, S, i, held)) for i, held in enumerate(folds)]
    seen, unseen = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    means, _ = brute_force(seen, unseen)
    found = find_seen_class_margin(X, codes, S, 1.0, 1.0, folds)
    right, caught = seen[1][seen[0] > found].sum(), unseen[1][unseen[0] <= found].sum()
    assert found > 0
    assert 2 * right * caught / (right + caught) >= means.max() - 1e-9
    assert find_best_margin(seen, unseen) == pytest.approx(found)


def test_calibration_lowers_scores_of_seen_classes_alone(task):
    X, y, attributes = task
    fit = {"temperature": 1.0, **PLAIN}
    plain, lowered = (
        ZeroShotClassifier(calibration=c, **fit).fit(X, y, attributes=attributes)
        for c in (0.0, 0.25)
    )
    gap = plain.decision_function(X) - lowered.decision_function(X)
    np.testing.assert_allclose(gap, np.tile([0.25] * 4 + [0.0] * 2, (len(X), 1)), atol=1e-12)
    far = ZeroShotClassifier(calibration=1e6, **fit).fit(X, y, attributes=attributes)
    assert set(far.predict(X)) <= {4, 5}
    seen = {k: attributes[k] for k in range(4)}
    np.testing.assert_array_equal(
        far.decision_function(X, seen), plain.decision_function(X, seen)
    )


def test_calibration_is_zero_if_all_classes_are_seen(task):
    X, y, attributes = task
    seen = {k: attributes[k] for k in range(4)}
    model = ZeroShotClassifier(calibration="auto").fit(X, y, attributes=seen)
    assert model.calibration_ == 0


def test_calibration_is_zero_with_one_row_per_class():
    S = np.random.default_rng(0).normal(size=(5, 3))
    assert (
        find_seen_class_margin(S @ S.T, np.arange(5), S, 1.0, 1.0, build_class_folds(S)) == 0
    )


def test_temperature_makes_left_out_rows_likelier_than_others(task):
    X, y, attributes = task
    model = ZeroShotClassifier(normalize=False).fit(X, y, attributes=attributes)
    _, Y, S, _ = parts(task)
    scores = RegularizationPath(X, Y, S).score_left_out(model.gamma_, model.alpha_)
    prior = 0.1 * np.ptp(scores, axis=1).mean()

    def loss(temperature):
        own = softmax(scores / temperature, axis=1)[np.arange(len(y)), y]
        return -np.log(own).sum() + np.log(temperature / prior) ** 2 / 2

    best = loss(model.temperature_)
    assert best < min(loss(model.temperature_ * f) for f in (0.97, 1.03))


# Unseen digits

# Segments a to g of a display, then features of handwriting: a loop at the top, a loop at the
# bottom, a loop that is the whole digit, and a stroke from top to bottom.
DIGITS = {
    0: "1111110 0010",
    1: "0110000 0001",
    2: "1101101 0000",
    3: "1111001 0000",
    4: "0110011 0001",
    5: "1011011 0000",
    6: "1011111 0100",
    7: "1110000 0001",
    8: "1111111 1100",
    9: "1111011 1000",
}
ATTRIBUTES = {k: [int(bit) for bit in v.replace(" ", "")] for k, v in DIGITS.items()}


def digits(n_per_class, unseen):
    """Rows of the seen digits to learn from, and rows of all digits to predict."""
    X, y = load_digits(return_X_y=True)
    rank = pd.Series(y).groupby(y).cumcount().to_numpy()
    train = (rank < n_per_class) & ~np.isin(y, unseen)
    test = rank >= 120
    return X[train], y[train], X[test], y[test]


@functools.cache
def scores_without(pair):
    """Accuracy between two unseen digits, and harmonic means, calibrated and not."""
    X, y, X_test, y_test = digits(40, pair)
    model = ZeroShotClassifier(calibration="auto").fit(X, y, attributes=ATTRIBUTES)
    new = np.isin(y_test, pair)
    found = model.predict(X_test[new], {k: ATTRIBUTES[k] for k in pair})
    alone = recall_score(y_test[new], found, average="macro")
    plain = ZeroShotClassifier(gamma=model.gamma_, alpha=model.alpha_)
    plain.fit(X, y, attributes=ATTRIBUTES)
    models = (model, plain)
    return alone, *(m.generalized_score(X_test, y_test).harmonic_mean for m in models)


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_unseen_digits_are_recognized_above_chance(step):
    pairs = list(combinations(range(10), 2))[::step]
    alone, scores, uncalibrated = zip(*map(scores_without, pairs), strict=True)
    assert np.mean(alone) > 0.62  # of two classes
    assert np.mean(scores) > 0.5  # of ten
    assert np.mean(scores) > 2 * np.mean(uncalibrated)


def test_generalized_score_is_the_harmonic_mean_of_mean_recalls():
    X, y, X_test, y_test = digits(40, (4, 6))
    model = ZeroShotClassifier(calibration=0.05).fit(X, y, attributes=ATTRIBUTES)
    X_test, y_test = X_test[20:], y_test[20:]
    found = model.generalized_score(X_test, y_test)
    recalls = recall_score(y_test, model.predict(X_test), average=None)
    assert found.seen == pytest.approx(np.delete(recalls, [4, 6]).mean())
    assert found.unseen == pytest.approx(recalls[[4, 6]].mean())
    assert found.harmonic_mean == pytest.approx(2 / (1 / found.seen + 1 / found.unseen))
    assert f"harmonic mean {found.harmonic_mean:.3f}" in str(found)
    model = clone(model).set_params(predict_over="unseen").fit(X, y, attributes=ATTRIBUTES)
    assert model.generalized_score(X_test, y_test) == found


def test_generalized_score_needs_both_kinds(task):
    X, y, attributes = task
    model = ZeroShotClassifier().fit(X, y, attributes=attributes)
    with pytest.raises(ValueError, match="y holds no unseen class"):
        model.generalized_score(X, y)
    with pytest.raises(ValueError, match=r"y holds \[77\], which attributes did not"):
        model.generalized_score(X, np.full(len(X), 77))


# Cosine


@pytest.fixture
def texts():
    """Embeddings of images and of the names of three classes, in one space."""
    rng = np.random.default_rng(0)
    names = rng.normal(size=(3, 10))
    y = np.arange(30) % 3
    images = names[y] * rng.uniform(1, 9, (30, 1)) + rng.normal(size=(30, 10))
    return images, np.array(["cat", "dog", "owl"])[y], (names, ["cat", "dog", "owl"])


def test_cosine_is_that_of_scikit_learn(texts):
    images, y, attributes = texts
    model = ZeroShotClassifier("cosine", temperature=0.05)
    model.fit(images, y, attributes=attributes)
    scores = cosine_similarity(images, attributes[0])
    np.testing.assert_allclose(model.decision_function(images), scores / 0.05, atol=1e-12)
    np.testing.assert_array_equal(
        model.predict(images), np.array(attributes[1])[scores.argmax(axis=1)]
    )


def test_cosine_scales_and_never_centers(texts):
    images, y, attributes = texts
    scaled, plain = (
        ZeroShotClassifier("cosine", normalize=n).fit(images, y, attributes=attributes)
        for n in (True, False)
    )
    np.testing.assert_array_equal(scaled.predict_proba(images), plain.predict_proba(images))


def test_cosine_needs_no_labels(texts):
    images, y, attributes = texts
    model = ZeroShotClassifier("cosine").fit(images, attributes=attributes)
    assert model.temperature_ == 0.01
    assert model.seen_classes_.tolist() == []
    assert model.unseen_classes_.tolist() == ["cat", "dog", "owl"]
    labeled = ZeroShotClassifier("cosine").fit(images, y, attributes=attributes)
    np.testing.assert_array_equal(model.predict(images), labeled.predict(images))
    assert labeled.temperature_ != 0.01


def test_temperature_of_cosine_makes_rows_likelier_than_others(texts):
    images, y, attributes = texts
    model = ZeroShotClassifier("cosine").fit(images, y, attributes=attributes)
    scores, codes = (
        cosine_similarity(images, attributes[0]),
        np.unique(y, return_inverse=True)[1],
    )

    def loss(temperature):
        own = softmax(scores / temperature, axis=1)[np.arange(len(y)), codes]
        return -np.log(own).sum() + np.log(temperature / 0.01) ** 2 / 2

    best = loss(model.temperature_)
    assert best < min(loss(model.temperature_ * f) for f in (0.97, 1.03))


def test_cosine_of_another_width_is_refused(texts):
    images, y, attributes = texts
    with pytest.raises(ValueError, match="vectors of length 10, and X has 4: both must be"):
        ZeroShotClassifier("cosine").fit(images[:, :4], y, attributes=attributes)
    with pytest.raises(ValueError, match="got none: pass fit"):
        ZeroShotClassifier("cosine").fit(images, y)


# Classes and their attributes


def forms(attributes):
    labels, vectors = list(attributes), np.array(list(attributes.values()))
    order = np.random.default_rng(0).permutation(len(labels))
    return {
        "shuffled": {labels[k]: vectors[k] for k in order},
        "pair": (vectors[order], np.array(labels)[order]),
        "lists": (vectors.tolist(), labels),
        "DataFrame": pd.DataFrame(vectors[order], index=np.array(labels)[order]),
        "polars": (pl.DataFrame(vectors), pl.Series(labels)),
    }


@pytest.mark.parametrize("form", ["shuffled", "pair", "lists", "DataFrame", "polars"])
def test_attributes_of_any_form(task, form):
    X, y, attributes = task
    given = forms(attributes)[form]
    expected = ZeroShotClassifier(calibration="auto").fit(X, y, attributes=attributes)
    found = ZeroShotClassifier(calibration="auto").fit(X, y, attributes=given)
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    np.testing.assert_array_equal(found.predict(X, given), expected.predict(X))


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "dog", "owl", "ant", "bee", "fly"],
        [7, 5, 100, -3, 0, 1],
        [0.0, 2.0, 4.0, 9.0, -1.0, 3.0],
        np.array(["x", "yy", "z", "w", "a long name", "b"], dtype=object),
    ],
    ids=str,
)
@pytest.mark.parametrize("calibration", [0.0, "auto"])
def test_names_of_classes_change_nothing(task, names, calibration):
    X, y, attributes = task
    names = np.asarray(names)
    model = ZeroShotClassifier(calibration=calibration)
    expected = names[clone(model).fit(X, y, attributes=attributes).predict(X)]
    renamed = {names[k]: v for k, v in attributes.items()}
    found = model.fit(X, names[y], attributes=renamed)
    np.testing.assert_array_equal(found.predict(X), expected)
    np.testing.assert_array_equal(found.classes_, np.unique(names))
    np.testing.assert_array_equal(found.unseen_classes_, np.unique(names[4:]))


def test_labels_have_the_type_of_those_in_y(task):
    X, y, attributes = task
    model = ZeroShotClassifier().fit(X, y.astype(float), attributes=attributes)
    assert model.classes_.dtype == model.predict(X).dtype == np.float64


@pytest.mark.parametrize("over", ["all", "seen", "unseen"])
def test_classes_that_are_predicted(task, over):
    X, y, attributes = task
    model = ZeroShotClassifier(predict_over=over).fit(X, y, attributes=attributes)
    expected = {"all": range(6), "seen": range(4), "unseen": [4, 5]}[over]
    assert model.classes_.tolist() == list(expected)
    assert model.predict_proba(X).shape == (len(X), len(expected))
    everyone = ZeroShotClassifier().fit(X, y, attributes=attributes)
    described = {k: attributes[k] for k in expected}
    np.testing.assert_array_equal(model.predict(X), everyone.predict(X, described))
    np.testing.assert_array_equal(
        model.predict_proba(X), everyone.predict_proba(X, attributes=described)
    )


def test_two_candidates_have_one_score(task):
    X, y, attributes = task
    model = ZeroShotClassifier(predict_over="unseen").fit(X, y, attributes=attributes)
    scores, p = model.decision_function(X), model.predict_proba(X)
    assert scores.shape == (len(X),)
    np.testing.assert_allclose(scores, np.log(p[:, 1] / p[:, 0]), atol=1e-8)
    np.testing.assert_array_equal(model.predict(X), np.where(scores > 0, 5, 4))


def test_classes_may_be_described_after_fit(task):
    X, y, attributes = task
    late = {k: v for k, v in attributes.items() if k != 5}
    model = ZeroShotClassifier(calibration=0.2).fit(X, y, attributes=late)
    whole = ZeroShotClassifier(calibration=0.2).fit(X, y, attributes=attributes)
    np.testing.assert_array_equal(model.predict(X, attributes), whole.predict(X))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({0: [1.0], 1: [2.0], 2: [3.0]}, r"no vector for \[3\], which y holds"),
        ({}, "attributes is empty: give a mapping"),
        ([[1.0], [2.0]], "of type list; expected a mapping from label to vector, a pair"),
        (([[1.0]], [0, 1]), "1 vectors and 2 labels"),
        (([[1.0], [2.0]], [3, 3]), "describes 3 more than once"),
        ({0: [1.0], 1: [2.0, 3.0]}, r"vectors of shapes \(1,\) and \(2,\)"),
        ({0: [1.0], 1: [np.nan]}, "attributes contains NaN"),
        ({"a": [1.0], "b": [2.0]}, "Mix of label input types"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(task, attributes, message):
    X, y, _ = task
    with pytest.raises(ValueError, match=message):
        ZeroShotClassifier().fit(X, y, attributes=attributes)


def test_attributes_of_another_width_are_refused_in_predict(task):
    X, y, attributes = task
    model = ZeroShotClassifier().fit(X, y, attributes=attributes)
    with pytest.raises(ValueError, match="vectors of length 2, and those in fit have 5"):
        model.predict(X, {9: [0.0, 1.0]})


def test_predicting_over_no_class_is_refused(task):
    X, y, attributes = task
    seen = {k: attributes[k] for k in range(4)}
    with pytest.raises(ValueError, match="predict_over='unseen'.*describe one"):
        ZeroShotClassifier(predict_over="unseen").fit(X, y, attributes=seen)


# Inputs

MODELS = [
    ZeroShotClassifier(calibration="auto"),
    ZeroShotClassifier(normalize=False),
    ZeroShotClassifier(gamma=1.0, alpha=1.0),
]
each = pytest.mark.parametrize("model", MODELS, ids=str)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("model", MODELS[:2], ids=str)
def test_scales_of_features_and_attributes_change_nothing(model, task, factor, dtype):
    X, y, attributes = task
    X = X.astype(dtype)
    expected = clone(model).fit(X, y, attributes=attributes).predict_proba(X)
    scaled = {k: v / factor for k, v in attributes.items()}
    X = X * dtype(factor)
    found = clone(model).fit(X, y, attributes=scaled).predict_proba(X)
    np.testing.assert_allclose(found, expected, atol=2e-3 if dtype == np.float32 else 1e-6)


@each
def test_float32_stays_float32_and_near(model, task):
    X, y, attributes = task
    model = clone(model).fit(X, y, attributes=attributes)
    found = model.predict_proba(X.astype(np.float32))
    assert found.dtype == model.decision_function(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(found, model.predict_proba(X), atol=1e-3)


@each
def test_tables_and_strides(model, task):
    X, y, attributes = task
    expected = clone(model).fit(X, y, attributes=attributes).predict_proba(X)
    names = list("abcdefgh")
    strided = np.repeat(X, 2, axis=1)[:, ::2]
    for form in (pd.DataFrame(X, columns=names), pl.DataFrame(X, names), strided):
        found = clone(model).fit(form, y, attributes=attributes).predict_proba(form)
        np.testing.assert_allclose(found, expected, atol=1e-9)


@each
def test_constant_columns_copies_and_more_features_than_rows(model):
    X, y, attributes = draw(8, 40)
    X[:, :20] = 3.0
    X, y = np.repeat(X, 2, axis=0), np.repeat(y, 2)
    model = clone(model).fit(X, y, attributes=attributes)
    assert np.isfinite(model.predict_proba(X)).all()
    assert np.mean(model.predict(X, {k: attributes[k] for k in range(4)}) == y) > 0.9


@each
@pytest.mark.parametrize("n", [1, 5])
def test_one_class_and_equal_rows(model, n):
    X = np.full((n, 3), 0.1)
    attributes = {"only": [1.0, 0.0], "other": [0.0, 1.0]}
    model = clone(model).set_params(predict_over="seen")
    model.fit(X, ["only"] * n, attributes=attributes)
    assert set(model.predict(X)) == {"only"}
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((n, 1)))
    assert model.predict(X, {"new": [1.0, 2.0]}).tolist() == ["new"] * n


@each
def test_arrays_are_never_written_to(model, task):
    X, y, attributes = task
    S = np.array(list(attributes.values()))
    before = [array.copy() for array in (X, y, S)]
    for array in (X, y, S):
        array.flags.writeable = False
    model = clone(model).fit(X, y, attributes=(S, np.arange(6)))
    model.predict(X, (S, np.arange(6))), model.predict_proba(X)
    for array, copy in zip((X, y, S), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    S.flags.writeable = True
    expected = model.predict_proba(X)
    S[:] = 0  # the model has its own
    np.testing.assert_array_equal(model.predict_proba(X), expected)


@each
def test_pickle_and_second_fit_predict_the_same(model, task):
    X, y, attributes = task
    model = clone(model).fit(X, y, attributes=attributes)
    expected = model.predict_proba(X)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    model.fit(X[:, :3], y + 50, attributes={k + 50: v for k, v in attributes.items()})
    np.testing.assert_array_equal(
        model.fit(X, y, attributes=attributes).predict_proba(X), expected
    )


def test_another_method_leaves_nothing_of_the_first(texts):
    images, y, attributes = texts
    model = ZeroShotClassifier().fit(images, y, attributes=attributes)
    model.set_params(method="cosine").fit(images, y, attributes=attributes)
    assert not hasattr(model, "coef_")
    assert not hasattr(model, "gamma_")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_values_are_refused(task, bad):
    X, y, attributes = task
    model = ZeroShotClassifier().fit(X, y, attributes=attributes)
    X = X.copy()
    X[3, 2] = bad
    for call in (lambda: model.predict(X), lambda: model.fit(X, y, attributes=attributes)):
        with pytest.raises(ValueError, match="contains (NaN|infinity)"):
            call()


def test_attributes_travel_through_searches(task):
    X, y, attributes = task
    steps = [("scale", StandardScaler()), ("clf", ZeroShotClassifier(predict_over="seen"))]
    fit = {"clf__attributes": attributes}
    scores = cross_val_score(Pipeline(steps), X, y, cv=3, params=fit)
    search = GridSearchCV(Pipeline(steps), {"clf__gamma": [0.1, "auto"]}, cv=3)
    search.fit(X, y, **fit)
    assert scores.min() > 0.6
    assert search.best_score_ > 0.6


def test_logarithms_of_probabilities_that_vanish_are_finite(task):
    X, y, attributes = task
    model = ZeroShotClassifier(temperature=1e-4).fit(X, y, attributes=attributes)
    found = model.predict_log_proba(X)
    assert (model.predict_proba(X) == 0).any()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, log_softmax(model.decision_function(X), axis=1))


def test_logarithms_of_probabilities_of_classes_named_later(task):
    X, y, attributes = task
    model = ZeroShotClassifier().fit(X, y, attributes=attributes)
    found = model.predict_log_proba(X, attributes=attributes)
    np.testing.assert_allclose(np.exp(found), model.predict_proba(X, attributes=attributes))
