"""SubspaceAlignment against principal components of scikit-learn."""

import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from sklearn_transfer import SubspaceAlignment


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    scales = np.array([[5, 3, 2, 1, 0.5], [9, 1, 0.3, 2, 0.1]])
    return rng.normal(size=(60, 5)) * scales[0] + 4, rng.normal(size=(40, 5)) * scales[1]


def both(X, T, **options):
    """Return rows of both domains in the unit of the features."""
    aligner = SubspaceAlignment(**options)
    source = aligner.fit_transform(X, X_target=T)
    return aligner.unit_ * source, aligner.unit_ * aligner.transform(T)


def test_the_target_has_deviation_one_along_its_first_axis(domains):
    X, T = domains
    aligner = SubspaceAlignment(n_components=2).fit(X, X_target=T)
    assert aligner.transform(T)[:, 0].std(ddof=1) == pytest.approx(1)
    assert aligner.unit_ == pytest.approx(PCA(1).fit(T).explained_variance_[0] ** 0.5)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_coordinates_are_those_of_the_definition(domains, k):
    X, T = domains
    source, target = both(X, T, n_components=k)
    s, t = PCA(k).fit(X), PCA(k).fit(T)
    signs = np.sign(np.sum(target * t.transform(T), axis=0))
    np.testing.assert_allclose(target, t.transform(T) * signs)
    expected = s.transform(X) @ s.components_ @ t.components_.T * signs
    np.testing.assert_allclose(source, expected, atol=1e-10)


def test_rows_not_seen_in_fit_are_mapped_in_the_same_way(domains):
    X, T = domains
    aligner = SubspaceAlignment(n_components=2).fit(X, X_target=T)
    source = PCA(2).fit(X)
    rows = np.random.default_rng(1).normal(size=(4, 5))
    expected = source.inverse_transform(source.transform(rows)) - X.mean(axis=0)
    found = aligner.unit_ * aligner.transform(rows, sample_domain=np.ones(4))
    np.testing.assert_allclose(found, expected @ aligner.target_components_.T, atol=1e-10)


def test_turning_the_features_changes_at_most_signs(domains):
    turn = ortho_group.rvs(5, random_state=0)
    expected = both(*domains, n_components=2)
    found = both(*(rows @ turn for rows in domains), n_components=2)
    signs = np.sign(np.sum(found[1] * expected[1], axis=0))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a * signs, b, atol=1e-9)


def test_order_of_the_rows_does_not_turn_axes(domains):
    X, T = domains
    source, _ = both(X, T, n_components=3)
    np.testing.assert_allclose(
        both(X[::-1], T[::-1], n_components=3)[0][::-1], source, atol=1e-9
    )


def test_equal_domains_are_projected_alike(domains):
    X, _ = domains
    source, target = both(X, X, n_components=2)
    np.testing.assert_allclose(source, target, atol=1e-10)


def test_all_components_only_center_and_turn(domains):
    X, T = domains
    source, target = both(X, T, n_components=5)
    for found, rows in [(source, X), (target, T)]:
        centered = rows - rows.mean(axis=0)
        np.testing.assert_allclose(found @ found.T, centered @ centered.T, atol=1e-9)


@pytest.mark.parametrize("share", [0.7, 0.95, 0.9999])
def test_share_is_held_in_both_domains_by_no_more_components_than_needed(domains, share):
    aligner = SubspaceAlignment(n_components=share).fit(domains[0], X_target=domains[1])
    needed = [PCA(share, svd_solver="full").fit(rows).n_components_ for rows in domains]
    assert aligner.n_components_ == max(needed)
    assert needed[0] != needed[1] or share > 0.99


@pytest.mark.parametrize(("n", "m", "most"), [(60, 40, 5), (3, 40, 3), (60, 2, 2)])
def test_more_components_than_there_are_is_refused(domains, n, m, most):
    X, T = domains[0][:n], domains[1][:m]
    with pytest.raises(ValueError, match=f"n_components=6 is more than the {most} that"):
        SubspaceAlignment(n_components=6).fit(X, X_target=T)


def test_directions_in_which_a_domain_does_not_vary_are_zero():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(4, 20)), rng.normal(size=(30, 20))
    aligner = SubspaceAlignment(n_components=4).fit(X, X_target=T)
    np.testing.assert_array_equal(aligner.source_components_[3], 0)
    assert np.abs(aligner.target_components_[3]).max() > 0
    assert np.isfinite(aligner.fit_transform(X, X_target=T)).all()


def test_a_turned_source_is_turned_back_for_a_classifier():
    """The third feature is noise in the source and uninformative in the target."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    plane = rng.normal(size=(200, 2)) * [1, 0.3] + 3 * np.stack([y, y], axis=1)
    X = np.column_stack([plane, 0.1 * rng.normal(size=200)])
    turn = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    source, target = both(X, X @ turn + 7, n_components=1)
    threshold = source[:100].mean() / 2 + source[100:].mean() / 2
    sign = np.sign(source[100:].mean() - source[:100].mean())
    assert np.mean((sign * (target[:, 0] - threshold) > 0) == y) > 0.95


def test_without_target_rows_are_projected_on_the_source(domains):
    X, T = domains
    with pytest.warns(UserWarning, match="no target samples"):
        aligner = SubspaceAlignment(n_components=2).fit(X)
    pca = PCA(2).fit(X)
    found = aligner.unit_ * aligner.transform(T)
    np.testing.assert_allclose(np.abs(found), np.abs(pca.transform(T)))
