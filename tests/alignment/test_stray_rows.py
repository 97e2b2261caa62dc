"""A few rows far from all others do not change how the others are mapped."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_transfer import (
    CORAL,
    OptimalTransport,
    SubspaceAlignment,
    TransferComponentAnalysis,
)

ALIGNERS = [
    CORAL(),
    CORAL(reg="auto"),
    SubspaceAlignment(n_components=2),
    TransferComponentAnalysis(n_components=2),
    TransferComponentAnalysis(n_components=2, kernel="linear"),
    OptimalTransport(),
    OptimalTransport(reg=0),
    OptimalTransport(class_reg="lpl1"),
]
RNG = np.random.default_rng(0)
X, T, Y = RNG.normal(size=(40, 3)), RNG.normal([2, 0, 0], 1.5, size=(50, 3)), np.arange(40) % 2
STRAYS = {
    "far": 30 + RNG.normal(size=(1, 3)),
    "farther": -1000 + RNG.normal(size=(1, 3)),
    "in one feature": RNG.normal(size=(1, 3)) + np.array([0, 40, 0]),
    "several": RNG.normal(size=(3, 3)) + np.array([[30, 0, 0], [-1000, 50, 0], [0, 0, 35]]),
}
each_aligner = pytest.mark.parametrize("aligner", ALIGNERS, ids=lambda a: repr(a)[:50])
each_stray = pytest.mark.parametrize("strays", STRAYS.values(), ids=STRAYS)


@each_aligner
@each_stray
def test_stray_target_rows_are_left_out_and_named(aligner, strays):
    plain = clone(aligner)
    expected = plain.fit_transform(X, Y, X_target=T)
    aligner = clone(aligner)
    with pytest.warns(UserWarning, match="leaves out rows? 50.* of the target, far from all"):
        found = aligner.fit_transform(X, Y, X_target=np.concatenate([T, strays]))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(aligner.transform(T), plain.transform(T), atol=1e-9)


@each_aligner
@each_stray
def test_stray_source_rows_are_left_out_and_named(aligner, strays):
    plain = clone(aligner)
    expected = plain.fit_transform(X, Y, X_target=T)
    rows, labels = np.concatenate([X, strays]), np.append(Y, np.zeros(len(strays), int))
    aligner = clone(aligner)
    with pytest.warns(UserWarning, match="leaves out rows? 40.* of the source, far from all"):
        found = aligner.fit_transform(rows, labels, X_target=T)
    np.testing.assert_allclose(found[:40], expected, rtol=1e-9, atol=1e-9)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(aligner.transform(T), plain.transform(T), atol=1e-9)


def test_the_plan_has_a_row_and_a_column_for_strays():
    rows, others = (np.concatenate([part, STRAYS["far"]]) for part in (X, -T))
    with pytest.warns(UserWarning, match="row 40 of the source and row 50 of the target"):
        aligner = OptimalTransport().fit(rows, X_target=others)
    assert aligner.coupling_.shape == (41, 51)
    assert not aligner.coupling_[40].any()
    assert not aligner.coupling_[:, 50].any()
    assert aligner.coupling_.sum() == pytest.approx(1)
    nearest = np.linalg.norm(X - STRAYS["far"], axis=1).argmin()
    step = aligner.X_moved_[40] - rows[40]
    np.testing.assert_allclose(step, aligner.X_moved_[nearest] - X[nearest])


@pytest.mark.parametrize("class_reg", ["l1l2", "lpl1"])
def test_plans_of_a_penalty_share_their_iterations(class_reg):
    aligner = OptimalTransport(class_reg=class_reg, reg=0.002, eta=10, max_iter=50)
    with pytest.warns(ConvergenceWarning, match="after 15[0-9] iterations"):
        aligner.fit(X, Y, X_target=T)
    assert aligner.n_iter_ < 3 * 50 + 10
