"""A few rows far from all others do not change the weights of the others."""

import warnings

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from sklearn_transfer import (
    KLIEP,
    KMM,
    ULSIF,
    DomainClassifierWeights,
    LabelShiftWeights,
    NearestNeighborWeights,
)
from sklearn_transfer._strays import find_strays

WEIGHTERS = [
    KMM(),
    KMM(kernel="linear"),
    KLIEP(random_state=0),
    ULSIF(random_state=0),
    DomainClassifierWeights(random_state=0),
    DomainClassifierWeights(LogisticRegression(), random_state=0),
    NearestNeighborWeights(),
    LabelShiftWeights(random_state=0),
]
each_weighter = pytest.mark.parametrize("weighter", WEIGHTERS, ids=lambda w: repr(w)[:40])
# Number of rows, standard deviations, and whether only one feature is affected.
STRAYS = [(1, 30, False), (1, 30, True), (1, 1000, False), (3, 30, False), (3, 1000, True)]


def domains(n=60, d=3, seed=0):
    rng = np.random.default_rng(seed)
    y, y_target = np.arange(n) % 2, np.arange(n) % 4 > 0
    X, T = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    T[:, 0] += 0.7
    X[:, -1] += 2 * y
    T[:, -1] += 2 * y_target
    return X, y, T


def strays(n, sd, one, d=3, seed=1):
    rng = np.random.default_rng(seed)
    rows, signs = rng.normal(size=(n, d)), rng.choice([-1, 1], size=(n, d))
    rows[:, : 1 if one else d] += sd * signs[:, : 1 if one else d]
    return rows


@each_weighter
@pytest.mark.parametrize("stray", STRAYS, ids=str)
def test_stray_target_rows_are_left_out_and_named(weighter, stray):
    X, y, T = domains()
    expected = clone(weighter).fit(X, y, X_target=T).weights_
    rows = np.concatenate([T[:20], strays(*stray), T[20:]])
    named = "row 20 of" if stray[0] == 1 else "rows 20, 21 and 22 of"
    with pytest.warns(UserWarning, match=f"leaves out {named} the target, far from all"):
        found = clone(weighter).fit(X, y, X_target=rows).weights_
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


# A linear kernel in three features does not determine most weights, so they are not compared.
@pytest.mark.parametrize("weighter", [w for w in WEIGHTERS if repr(w) != repr(WEIGHTERS[1])])
@pytest.mark.parametrize("stray", STRAYS, ids=str)
def test_stray_source_rows_leave_the_other_weights(weighter, stray):
    X, y, T = domains()
    expected = clone(weighter).fit(X, y, X_target=T).weights_
    rows = np.concatenate([X, strays(*stray)])
    labels = np.concatenate([y, np.zeros(stray[0], dtype=int)])
    weights = clone(weighter).fit(rows, labels, X_target=T).weights_
    found = weights[:60] / weights[:60].mean()
    # KMM constrains the mean of all weights by eps, which depends on the number of rows.
    allowed = 0.02 if isinstance(weighter, KMM) else 1e-6
    assert np.abs(found - expected).mean() < allowed
    assert weights[60:].max() <= weights[:60].max() * (1 + 1e-6)


@each_weighter
@pytest.mark.parametrize(("n", "d"), [(40, 1), (40, 50), (300, 5)])
def test_sizes_do_not_matter(weighter, n, d):
    X, y, T = domains(n, d)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The weights amount to")
        expected = clone(weighter).fit(X, y, X_target=T).weights_
        rows = np.concatenate([T, strays(1, 40, False, d)])
        warnings.filterwarnings("ignore", ".* leaves out row")
        found = clone(weighter).fit(X, y, X_target=rows).weights_
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_the_warning_points_to_the_call():
    X, _, T = domains()
    with pytest.warns(UserWarning, match="leaves out row 60") as caught:
        KMM().fit(X, X_target=np.concatenate([T, strays(1, 30, False)]))
    assert [w.filename for w in caught] == [__file__]


def test_a_class_of_nothing_but_a_stray_is_kept():
    X, y, T = domains()
    rows, labels = np.concatenate([X, strays(1, 30, False)]), np.append(y, 2)
    weighter = LabelShiftWeights(method="bbse", random_state=0)
    with pytest.warns(UserWarning, match="predicts some classes alike"):
        weighter.fit(rows, labels, X_target=T)
    np.testing.assert_array_equal(weighter.classes_, [0, 1, 2])


def test_nearer_rows_do_not_make_kliep_uniform():
    """Rows at ten standard deviations are not stray and do not affect the choice of gamma."""
    X, _, T = domains(120, 5)
    plain = KLIEP(random_state=0).fit(X, X_target=T)
    far = np.concatenate([T, strays(1, 10, True, 5)])
    assert KLIEP(random_state=0).fit(X, X_target=far).gamma_ == pytest.approx(
        plain.gamma_, rel=0.05
    )


@pytest.mark.parametrize("sign", ["random direction", "each feature"])
def test_rows_far_over_all_features_are_strays(sign):
    """In no single feature are they more than twice as far away as other rows."""
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(150, 60)), rng.normal(size=(100, 60))
    T[:, 0] += 1
    expected = KLIEP(random_state=0).fit(X, X_target=T).weights_
    away = rng.normal(size=60) if sign == "random direction" else rng.choice([-1, 1], 60)
    rows = np.concatenate([T, [5 * np.sqrt(60) * away / np.linalg.norm(away)]])
    with pytest.warns(UserWarning, match="leaves out row 100 of the target, far from all"):
        found = KLIEP(random_state=0).fit(X, X_target=rows).weights_
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_nearer_rows_over_many_features_do_not_turn_kliep():
    """Rows at 30 standard deviations in 300 features are not stray; gamma is unaffected."""
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(150, 300)), rng.normal(size=(100, 300))
    T[:, 0] += 1
    away = rng.normal(size=300)
    rows = np.concatenate([T, [30 * away / np.linalg.norm(away)]])
    expected = KLIEP(random_state=0).fit(X, X_target=T).weights_
    found = KLIEP(random_state=0).fit(X, X_target=rows).weights_
    assert np.corrcoef(found, expected)[0, 1] > 0.95


def test_rows_far_over_all_features_that_the_other_domain_has_too_are_no_strays():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(100, 60)), rng.normal(size=(100, 60))
    X[::2] += 5
    T[:2] += 5
    assert not np.any(find_strays(X, T))
    assert not np.any(find_strays(T, X))


def test_rows_that_the_other_domain_has_too_are_no_strays():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(60, 2)), rng.normal(size=(60, 2))
    X[::2] += 50
    T[:2] += 50
    assert not np.any(find_strays(X, T))
    assert not np.any(find_strays(T, X))


def test_a_domain_far_from_the_other_has_no_strays():
    rng = np.random.default_rng(0)
    assert not np.any(find_strays(rng.normal(size=(50, 2)), rng.normal(size=(50, 2)) + 1000))


def test_nothing_is_written_to_the_rows():
    for d in (1, 3):
        X, _, T = domains(d=d)
        X.flags.writeable = T.flags.writeable = False
        assert not np.any(find_strays(X, T))


CLEAN = {
    "normal": lambda rng, n, d: rng.normal(size=(n, d)),
    "units": lambda rng, n, d: rng.normal(size=(n, d)) * 10.0 ** np.linspace(-6, 6, d),
    "exponential": lambda rng, n, d: rng.exponential(size=(n, d)),
    "binary": lambda rng, n, d: 1000.0 * (rng.random((n, d)) < 0.03),
    "sparse": lambda rng, n, d: (rng.random((n, d)) < 0.05) * rng.lognormal(size=(n, d)),
    "counts": lambda rng, n, d: rng.poisson(0.05, size=(n, d)).astype(float),
    "rectified": lambda rng, n, d: np.maximum(rng.normal(size=(n, d)) - 1, 0),
    "lengths": lambda rng, n, d: (
        rng.normal(size=(n, d)) * rng.lognormal(sigma=0.3, size=(n, 1))
    ),
    "constant": lambda rng, n, d: np.ones((n, d)),
    "groups": lambda rng, n, d: (
        rng.normal(size=(n, d)) + 30 * (np.arange(n) % 12 == 0)[:, None]
    ),
}


def alarms(draw, n_draws):
    sizes = [(40, 1), (40, 5), (60, 30), (300, 3), (100, 200)]
    for seed in range(n_draws):
        rng = np.random.default_rng(seed)
        n, d = sizes[seed % len(sizes)]
        yield np.any([mask.any() for mask in find_strays(draw(rng, n, d), draw(rng, n, d))])


@pytest.mark.parametrize("draw", CLEAN.values(), ids=CLEAN)
def test_clean_rows_raise_no_alarm(draw):
    assert sum(alarms(draw, 200)) <= 1


def test_heavy_tails_raise_few_alarms():
    """Of 400 pairs of domains with three degrees of freedom, 1 to 2 % have a stray row."""
    hits = sum(alarms(lambda rng, n, d: rng.standard_t(3, size=(n, d)), 400))
    assert hits <= binom.ppf(0.999, 400, 0.02)
