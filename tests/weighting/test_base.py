"""Tests of what all weighters share: how source and target are distinguished."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from sklearn_transfer import KMM, TargetDomain

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 2)), rng.normal(0.5, 1, size=(60, 2))


def test_target_domain_gives_what_its_array_gives(domains):
    X, T = domains
    expected = KMM().fit(X, X_target=T).weights_
    found = KMM().fit(X, X_target=TargetDomain(T)).weights_
    np.testing.assert_array_equal(found, expected)


def test_target_domain_has_neither_length_nor_shape(domains):
    target = TargetDomain(domains[1])
    assert not any(hasattr(target, name) for name in ("__len__", "shape", "__array__"))


def test_search_slices_an_array_and_passes_a_target_domain_whole(domains):
    X, T = domains
    params = {"array": T, "target": TargetDomain(T)}
    passed = _check_method_params(X, params, indices=np.arange(10))
    assert len(passed["array"]) == 10
    assert passed["target"] is params["target"]


def test_target_domain_survives_pickle(domains):
    target = pickle.loads(pickle.dumps(TargetDomain(domains[1])))
    np.testing.assert_array_equal(target.X, domains[1])


def test_target_domain_shows_what_it_holds(domains):
    assert repr(TargetDomain(domains[1])) == "TargetDomain(ndarray)"


def test_stacked_domains_give_what_separate_ones_give(domains):
    X, T = domains
    rng = np.random.default_rng(1)
    order = rng.permutation(120)
    sample_domain = np.repeat([1, -2], 60)[order]
    stacked = np.concatenate([X, T])[order]
    kmm = KMM().fit(stacked, sample_domain=sample_domain)
    expected = KMM().fit(
        _safe_indexing(stacked, np.flatnonzero(sample_domain >= 0)),
        X_target=stacked[sample_domain < 0],
    )
    np.testing.assert_array_equal(kmm.weights_, expected.weights_)


def test_domain_zero_is_source(domains):
    stacked = np.concatenate(domains)
    assert len(KMM().fit(stacked, sample_domain=np.repeat([0, -1], 60)).weights_) == 60


@pytest.mark.parametrize("labels", [["a", "b"], [-1, 1], [0, 7]])
def test_labels_may_be_anything_and_stay(domains, labels):
    y = np.tile(labels, 60)
    before = y.copy()
    KMM().fit(np.concatenate(domains), y, sample_domain=np.repeat([0, -1], 60))
    np.testing.assert_array_equal(y, before)


def test_two_ways_to_give_a_target_are_refused(domains):
    X, T = domains
    with pytest.raises(ValueError, match="X_target and sample_domain were both given"):
        KMM().fit(X, X_target=T, sample_domain=np.zeros(60))


def test_no_target_leaves_weights_one(domains):
    with pytest.warns(UserWarning, match="X_target=X_target"):
        kmm = KMM().fit(domains[0])
    np.testing.assert_array_equal(kmm.weights_, np.ones(60))
    assert kmm.ess_ == 60


def test_stack_without_target_rows_leaves_weights_one(domains):
    with pytest.warns(UserWarning, match="no target samples"):
        kmm = KMM().fit(domains[0], sample_domain=np.zeros(60))
    np.testing.assert_array_equal(kmm.weights_, np.ones(60))


def test_stack_without_source_rows_is_refused(domains):
    with pytest.raises(ValueError, match="sample_domain marks no source rows"):
        KMM().fit(domains[0], sample_domain=-np.ones(60))


def test_sample_domain_of_another_length_is_refused(domains):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        KMM().fit(domains[0], sample_domain=np.ones(3))


def test_target_with_other_features_is_refused(domains):
    with pytest.raises(ValueError, match="X_target has 1 features and X has 2"):
        KMM().fit(domains[0], X_target=domains[1][:, :1])


def test_target_with_other_names_is_refused(domains):
    names = ["ab", "ac"]
    X, T = (
        pd.DataFrame(rows, columns=list(name))
        for rows, name in zip(domains, names, strict=True)
    )
    with pytest.raises(ValueError, match="feature names"):
        KMM().fit(X, X_target=T)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_target_that_is_not_finite_is_refused_by_name(domains, bad):
    T = domains[1].copy()
    T[3, 1] = bad
    with pytest.raises(ValueError, match="Input X_target contains"):
        KMM().fit(domains[0], X_target=T)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_source_that_is_not_finite_is_refused(domains, bad):
    X = domains[0].copy()
    X[3, 1] = bad
    with pytest.raises(ValueError, match="Input X contains"):
        KMM().fit(X, X_target=domains[1])


@pytest.mark.parametrize("shape", [(0, 2), (2,), ()])
def test_target_that_is_no_table_is_refused_by_name(domains, shape):
    with pytest.raises(ValueError, match="X_target: (Found|Expected)"):
        KMM().fit(domains[0], X_target=np.ones(shape))


def test_nothing_of_an_earlier_fit_stays():
    X = np.random.default_rng(0).normal(size=(20, 2))
    kmm = KMM(B=5).fit(X, X_target=X + 0.5)
    with pytest.warns(UserWarning, match="X_target"):
        kmm.fit(X[:10])
    assert not hasattr(kmm, "solution_")
    assert kmm.weights_.shape == (10,)


@pytest.mark.parametrize(
    "domain",
    [["a", "b", "a", "b"], [1, -1, np.nan, 1], [True, True, False, False], [1, -1, None, 1]],
)
def test_domain_that_is_no_number_is_refused(domain):
    X = np.random.default_rng(0).normal(size=(4, 2))
    with pytest.raises(ValueError, match="sample_domain holds text, truth values"):
        KMM().fit(X, sample_domain=domain)


def test_linear_kernel_of_zeros_has_no_approximation_error():
    T = np.random.default_rng(0).normal(size=(5, 2))
    kmm = KMM(kernel="linear", n_components=2, random_state=0)
    assert kmm.fit(np.zeros((20, 2)), X_target=T).approximation_error_ == 0


def test_stacked_target_that_is_not_finite_is_named_as_part_of_x(domains):
    stacked = np.concatenate(domains)
    stacked[-1, 0] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        KMM().fit(stacked, sample_domain=np.repeat([0, -1], 60))


def test_mean_weight_scales_weights_to_the_estimate(domains):
    kmm = KMM(eps=0.3, B=2).fit(domains[0], X_target=domains[1])
    np.testing.assert_allclose(kmm.weights_ * kmm.mean_weight_, kmm.solution_, rtol=1e-12)
    assert kmm.mean_weight_ != 1
