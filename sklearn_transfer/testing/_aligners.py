"""Checks of aligners: which rows are mapped how, and what data they take.

Each takes an estimator, and makes domains of its own. A check that does not apply raises
`unittest.SkipTest`, so that it never passes silently.
"""

import pickle
import warnings

import numpy as np
import sklearn
from sklearn.base import clone

from sklearn_transfer._validation import TargetDomain
from sklearn_transfer.alignment import CORAL, SubspaceAlignment, TransferComponentAnalysis
from sklearn_transfer.testing._assertions import (
    list_frame_types,
    require_error,
    require_warning,
)


def make_domains():
    rng = np.random.default_rng(0)
    turn = np.array([[1, 0.8, 0], [0, 0.6, 0], [0, 0, 2]])
    return rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) @ turn + [1, 0, -2]


def make_labels():
    return np.tile(["a", "b"], 20)


def make_frame(frame, rows, names):
    """Data frame of a type, with one column per name."""
    return frame(dict(zip(names, rows.T, strict=True)))


def map_domains(aligner, X, T, y=None):
    """Source and target rows in the common space."""
    aligner = clone(aligner)
    y = np.arange(len(X)) % 2 if y is None else y
    source = aligner.fit_transform(X, y, X_target=T)
    return np.asarray(source), np.asarray(aligner.transform(T))


def assert_mapped_alike(found, expected, tolerance=1e-6):
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


def check_target_domain_gives_what_its_array_gives(aligner):
    domains = make_domains()
    X, T = domains
    source, _ = map_domains(aligner, X, TargetDomain(T).X)
    found = clone(aligner).fit_transform(X, np.arange(40) % 2, X_target=TargetDomain(T))
    np.testing.assert_array_equal(found, source)


def check_fit_transform_maps_training_rows_as_transform_maps_source_rows(aligner):
    domains = make_domains()
    X, T = domains
    aligner = clone(aligner)
    source = aligner.fit_transform(X, np.arange(40) % 2, X_target=T)
    assert_mapped_alike([aligner.transform(X, sample_domain=np.zeros(40))], [source], 1e-12)


def check_transform_counts_rows_as_target(aligner):
    domains = make_domains()
    X, T = domains
    aligner = clone(aligner).fit(X, np.arange(40) % 2, X_target=T)
    marked = aligner.transform(T, sample_domain=-np.ones(30))
    np.testing.assert_array_equal(aligner.transform(T), marked)


def check_target_rows_stay_as_they_are(aligner):
    domains = make_domains()
    _, target = map_domains(aligner, *domains)
    np.testing.assert_array_equal(target, domains[1])


def check_stacked_domains_are_mapped_in_their_order(aligner):
    domains = make_domains()
    y = make_labels()
    X, T = domains
    order = np.random.default_rng(1).permutation(70)
    stacked, domain = np.concatenate([X, T])[order], np.repeat([2, -1], [40, 30])[order]
    labels = np.concatenate([y, np.full(30, "unread")])[order]
    found = clone(aligner).fit_transform(stacked, labels, sample_domain=domain)
    source = domain >= 0
    one = clone(aligner)
    expected = one.fit_transform(stacked[source], labels[source], X_target=stacked[~source])
    assert_mapped_alike([found[source]], [expected], 1e-9)
    assert_mapped_alike([found[~source]], [one.transform(stacked[~source])], 1e-9)


def check_rows_of_both_domains_are_transformed_in_their_order(aligner):
    domains = make_domains()
    y = make_labels()
    X, T = domains
    aligner = clone(aligner).fit(X, y, X_target=T)
    rows, domain = np.concatenate([T[:3], X[:2], T[3:5]]), [-1, -1, -1, 0, 3, -2, -1]
    found = aligner.transform(rows, sample_domain=domain)
    assert_mapped_alike([found[3:5]], [aligner.transform(X[:2], sample_domain=[0, 0])], 1e-12)
    assert_mapped_alike([found[[0, 1, 2, 5, 6]]], [aligner.transform(T[:5])], 1e-12)


def check_fit_then_transform_learns_what_fit_transform_learns(aligner):
    domains = make_domains()
    y = make_labels()
    X, T = domains
    one, other = clone(aligner).fit(X, y, X_target=T), clone(aligner)
    other.fit_transform(X, y, X_target=T)
    np.testing.assert_array_equal(one.transform(T), other.transform(T))


def check_without_target_both_domains_are_mapped_alike(aligner):
    domains = make_domains()
    y = make_labels()
    with require_warning("X_target=X_target"):
        one = clone(aligner).fit(domains[0], y)
    assert not one.adapts_
    rows = one.transform(domains[1])
    assert_mapped_alike([one.transform(domains[1], sample_domain=np.ones(30))], [rows], 1e-12)


def check_without_target_rows_stay_as_they_are(aligner):
    domains = make_domains()
    y = make_labels()
    with require_warning("no target samples"):
        found = clone(aligner).fit_transform(domains[0], y, sample_domain=np.zeros(40))
    np.testing.assert_array_equal(found, domains[0])
    assert not np.shares_memory(found, domains[0])


def check_without_target_no_array_is_handed_back(aligner):
    domains = make_domains()
    y = make_labels()
    with require_warning("no target samples"):
        found = clone(aligner).fit_transform(domains[0], y)
    assert not np.shares_memory(found, domains[0])


def check_nothing_of_an_earlier_fit_stays(aligner):
    domains = make_domains()
    y = make_labels()
    X, T = domains
    aligner = clone(aligner).fit(X, y, X_target=T)
    with require_warning("X_target"):
        aligner.fit(X[:20], y[:20])
    with require_warning("X_target"):
        fresh = clone(aligner).fit(X[:20], y[:20])
    assert vars(aligner).keys() == vars(fresh).keys()


def check_two_ways_to_give_a_target_are_refused(aligner):
    domains = make_domains()
    y = make_labels()
    X, T = domains
    with require_error(ValueError, "X_target and sample_domain were both given"):
        clone(aligner).fit_transform(X, y, X_target=T, sample_domain=np.zeros(40))


def check_domain_of_another_length_is_refused(aligner):
    domains = make_domains()
    y = make_labels()
    X, T = domains
    aligner = clone(aligner).fit(X, y, X_target=T)
    with require_error(ValueError, "inconsistent numbers of samples"):
        aligner.transform(X, sample_domain=[0])


def check_rows_that_are_not_finite_are_refused(aligner):
    for bad in [np.nan, np.inf]:
        domains = make_domains()
        y = make_labels()
        X, T = domains
        wrong = T.copy()
        wrong[2, 1] = bad
        with require_error(ValueError, "Input X_target contains"):
            clone(aligner).fit(X, y, X_target=wrong)
        aligner = clone(aligner).fit(X, y, X_target=T)
        with require_error(ValueError, "Input X contains"):
            aligner.transform(wrong)


def check_unit_of_the_features_does_not_matter(aligner):
    for scale in [1e-06, 0.001, 1000.0, 1000000.0]:
        domains = make_domains()
        expected = map_domains(aligner, *domains)
        found = map_domains(aligner, *(scale * rows for rows in domains))
        if not isinstance(aligner, SubspaceAlignment | TransferComponentAnalysis):
            found = [rows / scale for rows in found]
        assert_mapped_alike(found, expected)


def check_place_of_the_target_shifts_source_rows_as_much(aligner):
    domains = make_domains()
    if isinstance(aligner, TransferComponentAnalysis):
        aligner = clone(aligner).set_params(gamma=0.3)
        expected = map_domains(aligner, *domains)
        assert_mapped_alike(map_domains(aligner, *(rows + 1e3 for rows in domains)), expected)
    else:
        X, T = domains
        source, target = map_domains(aligner, X, T)
        moved, others = map_domains(aligner, X, T + 1e3)
        assert_mapped_alike([moved - others.mean(axis=0)], [source - target.mean(axis=0)])


def check_constant_columns_change_nothing(aligner):
    domains = make_domains()
    if isinstance(aligner, CORAL):
        aligner = CORAL(reg=0)  # else the trace is shared among more columns
    expected = map_domains(aligner, *domains)
    wider = [np.column_stack([rows, np.full(len(rows), 7.1)]) for rows in domains]
    found = [rows[:, : expected[0].shape[1]] for rows in map_domains(aligner, *wider)]
    assert_mapped_alike(found, expected)


def check_one_row_is_a_domain(aligner):
    for n, m in [(1, 30), (40, 1), (1, 1)]:
        domains = make_domains()
        if isinstance(aligner, SubspaceAlignment):
            aligner = SubspaceAlignment(n_components=1)
        source, target = map_domains(aligner, domains[0][:n], domains[1][:m])
        assert len(source) == n
        assert len(target) == m
        assert np.isfinite(source).all()
        assert np.isfinite(target).all()


def check_domains_of_equal_rows_are_mapped_to_numbers(aligner):
    """Of 19 times 0.1 and 14 times 0.3 the mean is neither, by rounding."""
    source, target = map_domains(aligner, np.full((19, 2), 0.1), np.full((14, 2), 0.3))
    assert np.isfinite(source).all()
    if not isinstance(aligner, TransferComponentAnalysis):  # all that varies is the domain
        assert_mapped_alike([source], [np.broadcast_to(target[0], source.shape)])


def check_duplicate_rows_are_borne(aligner):
    domains = make_domains()
    X, T = (np.repeat(rows, 2, axis=0) for rows in domains)
    source, _ = map_domains(aligner, X, T, np.repeat(np.arange(40) % 2, 2))
    assert np.isfinite(source).all()


def check_more_features_than_rows(aligner):
    rng = np.random.default_rng(0)
    source, target = map_domains(
        aligner, rng.normal(size=(12, 60)), rng.normal(0.5, 2, size=(9, 60))
    )
    assert np.isfinite(source).all()
    assert np.ptp(source) < 100 * np.ptp(target)


def check_float32_and_lists_agree_with_float64(aligner):
    domains = make_domains()
    single = [rows.astype(np.float32) for rows in domains]
    expected = map_domains(aligner, *(rows.astype(np.float64) for rows in single))
    assert_mapped_alike(map_domains(aligner, *single), expected, 1e-12)
    assert_mapped_alike(
        map_domains(aligner, *(rows.tolist() for rows in single)), expected, 1e-12
    )


def check_memory_layout_does_not_matter(aligner):
    domains = make_domains()
    X, T = domains
    wide = np.zeros((80, 6))
    wide[::2, ::2] = X
    found = map_domains(aligner, wide[::2, ::2], np.asfortranarray(T))
    assert_mapped_alike(found, map_domains(aligner, X, T), 1e-9)


def check_frames_agree_with_arrays(aligner):
    for frame in list_frame_types():
        domains = make_domains()
        X, T = (make_frame(frame, rows, "abc") for rows in domains)
        assert_mapped_alike(map_domains(aligner, X, T), map_domains(aligner, *domains), 1e-9)


def check_output_has_names(aligner):
    for frame in list_frame_types():
        X, T = (make_frame(frame, rows, "abc") for rows in make_domains())
        aligner = clone(aligner).set_output(transform=frame.__module__.partition(".")[0])
        found = aligner.fit_transform(X, make_labels(), X_target=T)
        assert isinstance(found, frame)
        assert list(found.columns) == list(aligner.get_feature_names_out())
        assert list(aligner.transform(T).columns) == list(found.columns)
        assert found.shape[0] == 40


def check_columns_keep_their_names(aligner):
    domains = make_domains()
    y = make_labels()
    frame = list_frame_types()[0]
    X, T = (make_frame(frame, rows, "abc") for rows in domains)
    names = clone(aligner).fit(X, y, X_target=T).get_feature_names_out()
    assert list(names) == ["a", "b", "c"]


def check_other_names_of_the_target_are_refused(aligner):
    domains = make_domains()
    y = make_labels()
    frame = list_frame_types()[0]
    X, T = (
        make_frame(frame, rows, names)
        for rows, names in zip(domains, ["abc", "xyz"], strict=True)
    )
    with require_error(ValueError, "feature names"):
        clone(aligner).fit(X, y, X_target=T)


def check_arrays_of_the_caller_stay_as_they_are(aligner):
    domains = make_domains()
    y = make_labels()
    arrays = [*(rows.copy() for rows in domains), y.copy()]
    for array in arrays:
        array.flags.writeable = False
    X, T, labels = arrays
    aligner = clone(aligner)
    outputs = [aligner.fit_transform(X, labels, X_target=T), aligner.transform(T)]
    outputs.append(aligner.transform(X, sample_domain=np.zeros(40)))
    for output in outputs:
        output += 1  # what was handed out may be written to
    np.testing.assert_array_equal(X, domains[0])
    np.testing.assert_array_equal(T, domains[1])
    np.testing.assert_array_equal(labels, y)


def check_writing_to_the_data_or_the_result_does_not_change_the_fit(aligner):
    domains = make_domains()
    y = make_labels()
    X, T = (rows.copy() for rows in domains)
    aligner = clone(aligner)
    result = aligner.fit_transform(X, y, X_target=T)
    expected = result.copy()
    X[:], T[:], result[:] = 0, 0, 0
    found = aligner.transform(domains[0], sample_domain=np.zeros(40))
    assert_mapped_alike([found], [expected], 1e-12)


def check_labels_may_be_anything_and_stay(aligner):
    for labels in [["b", "a"], [-1, 1], [0, 7], [True, False]]:
        domains = make_domains()
        named = np.tile(labels, 20)
        before = named.copy()
        found = map_domains(aligner, *domains, named)
        np.testing.assert_array_equal(named, before)
        assert_mapped_alike(found, map_domains(aligner, *domains, np.tile([0, 1], 20)), 1e-9)


def check_same_data_give_the_same_answer(aligner):
    domains = make_domains()
    assert_mapped_alike(map_domains(aligner, *domains), map_domains(aligner, *domains), 0)


def check_pickle_and_clone(aligner):
    domains = make_domains()
    y = make_labels()
    fitted = clone(aligner).fit(domains[0], y, X_target=domains[1])
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.transform(domains[1]), fitted.transform(domains[1]))
    assert clone(fitted).get_params() == aligner.get_params()


def check_a_fit_warns_of_nothing_and_changes_no_configuration(aligner):
    domains = make_domains()
    y = make_labels()
    before = (sklearn.get_config(), np.geterr(), warnings.filters[:])
    map_domains(aligner, *domains, y)
    assert (sklearn.get_config(), np.geterr(), warnings.filters[:]) == before


ALIGNER_CHECKS = [
    check_target_domain_gives_what_its_array_gives,
    check_fit_transform_maps_training_rows_as_transform_maps_source_rows,
    check_transform_counts_rows_as_target,
    check_stacked_domains_are_mapped_in_their_order,
    check_rows_of_both_domains_are_transformed_in_their_order,
    check_fit_then_transform_learns_what_fit_transform_learns,
    check_without_target_both_domains_are_mapped_alike,
    check_nothing_of_an_earlier_fit_stays,
    check_two_ways_to_give_a_target_are_refused,
    check_domain_of_another_length_is_refused,
    check_rows_that_are_not_finite_are_refused,
    check_unit_of_the_features_does_not_matter,
    check_place_of_the_target_shifts_source_rows_as_much,
    check_constant_columns_change_nothing,
    check_one_row_is_a_domain,
    check_domains_of_equal_rows_are_mapped_to_numbers,
    check_duplicate_rows_are_borne,
    check_more_features_than_rows,
    check_float32_and_lists_agree_with_float64,
    check_memory_layout_does_not_matter,
    check_frames_agree_with_arrays,
    check_output_has_names,
    check_other_names_of_the_target_are_refused,
    check_arrays_of_the_caller_stay_as_they_are,
    check_writing_to_the_data_or_the_result_does_not_change_the_fit,
    check_labels_may_be_anything_and_stay,
    check_same_data_give_the_same_answer,
    check_pickle_and_clone,
    check_a_fit_warns_of_nothing_and_changes_no_configuration,
]

COLUMN_ALIGNER_CHECKS = [
    check_target_rows_stay_as_they_are,
    check_without_target_rows_stay_as_they_are,
    check_without_target_no_array_is_handed_back,
    check_columns_keep_their_names,
]
