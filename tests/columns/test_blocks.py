"""Components of one column, against scikit-learn's PCA on the rows that are present."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix, random_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from sklearn_transfer.columns._blocks import EmbeddedColumn

FEATURES = np.random.default_rng(0).normal(2, 1, (40, 12)) * np.arange(1, 13)


class Lookup(TransformerMixin, BaseEstimator):
    """Return a row of FEATURES for each number; "broken" has NaN."""

    def __init__(self, factor=1.0, sparse=False, wide=True):
        self.factor = factor
        self.sparse = sparse
        self.wide = wide

    def fit(self, X, y=None):
        assert None not in X
        self.y_ = y
        return self

    def transform(self, X):
        rows = [np.full(12, np.nan) if x == "broken" else FEATURES[int(x)] for x in X]
        features = self.factor * np.array(rows)
        features = features if self.wide else features[:, :1]
        return csr_matrix(features) if self.sparse else features


def embed(entries, n_components=5, **options):
    block = EmbeddedColumn(Lookup(**options), n_components, "a")
    return block, block.fit_transform(make_column(entries))


def make_column(entries):
    return pd.DataFrame({"a": pd.Series(entries, dtype=object)})


def compute_components(rows, n_components=5):
    pca = PCA(n_components, svd_solver="full").fit(FEATURES[rows])
    return pca, pca.transform(FEATURES[rows]) / np.sqrt(pca.explained_variance_.sum())


@pytest.mark.parametrize("sparse", [False, True])
def test_components_are_those_of_a_pca_with_total_variance_one(sparse):
    block, found = embed(range(40), sparse=sparse)
    _, expected = compute_components(range(40))
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-4)
    assert np.var(found, axis=0, ddof=1).sum() == pytest.approx(1, abs=1e-5)
    assert not block.has_missing_


def test_sparse_features_stay_sparse():
    class Wide(Lookup):
        def transform(self, X):
            return random_array((len(X), 100_000), density=1e-4, rng=0, format="csr")

    tracemalloc.start()
    EmbeddedColumn(Wide(), 2, "a").fit(make_column(range(300)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6  # 240 MB as an array


def test_the_scale_of_an_extractor_does_not_matter():
    np.testing.assert_allclose(
        np.abs(embed(range(40), factor=1000.0)[1]), np.abs(embed(range(40))[1]), atol=1e-4
    )


def test_components_are_fitted_to_rows_that_are_present():
    entries = list(range(40))
    entries[3], entries[8], entries[9] = None, "broken", np.nan
    block, found = embed(entries)
    present = [row for row in range(40) if row not in (3, 8, 9)]
    pca, expected = compute_components(present)
    np.testing.assert_allclose(np.abs(found[present, :5]), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(block.mean_, pca.mean_, rtol=1e-5)
    assert np.flatnonzero(found[:, 5]).tolist() == [3, 8, 9]
    assert (found[[3, 8, 9], :5] == 0).all()
    names = ["a_0", "a_1", "a_2", "a_3", "a_4", "a_missing"]
    assert block.get_feature_names_out().tolist() == names


def test_targets_of_missing_rows_are_left_out():
    block = EmbeddedColumn(Lookup(), 2, "a")
    block.fit_transform(make_column([0, None, 2, 3]), np.array([10, 11, 12, 13]))
    assert block.extractor_.y_.tolist() == [10, 12, 13]


def test_entries_that_are_missing_after_fit_are_the_mean():
    block, found = embed(range(40))
    output = block.transform(make_column([None, 5, "broken"]))
    assert output.shape == (3, 5)
    np.testing.assert_allclose(output[1], found[5], atol=1e-6)
    assert (output[[0, 2]] == 0).all()
    assert (block.transform(make_column([None])) == 0).all()


@pytest.mark.parametrize("sparse", [False, True])
def test_all_features_are_kept_without_components(sparse):
    _, found = embed(range(40), n_components=None, sparse=sparse)
    centered = StandardScaler(with_std=False).fit_transform(FEATURES)
    scale = np.sqrt(FEATURES.var(axis=0, ddof=1).sum())
    np.testing.assert_allclose(found, centered / scale, atol=1e-5)


@pytest.mark.parametrize(
    ("entries", "width"),
    [
        ([1, 2, 3], 2),  # as many as three rows can have
        ([1, 1, 1], 0),
        ([1], 0),
        ([1, None], 1),
        ([None, None], 1),
    ],
)
def test_few_or_equal_rows_give_few_components(entries, width):
    block, found = embed(entries)
    assert found.shape == (len(entries), width)
    assert np.isfinite(found).all()
    assert block.transform(make_column([4, None])).shape == (2, width)


def test_one_feature_is_standardized():
    _, found = embed(range(40), wide=False)
    assert found.std(ddof=1) == pytest.approx(1, abs=1e-5)


def test_a_column_without_a_usable_entry_is_refused():
    message = "None of the 2 entries of column 'a' can be used.*'drop', \\['a'\\]"
    with pytest.raises(ValueError, match=message):
        embed(["broken", None, "broken"])


def test_errors_of_extractors_have_a_note_with_the_column():
    with pytest.raises(ValueError, match="could not|invalid literal") as caught:
        embed(["no number"])
    assert caught.value.__notes__ == ["while computing features of column 'a'"]
