"""Aligners as steps of scikit-learn's pipelines, searches and cross-validation."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    CORAL,
    OptimalTransport,
    SubspaceAlignment,
    TargetDomain,
    TransferComponentAnalysis,
)

ALIGNERS = [
    CORAL(),
    SubspaceAlignment(n_components=1),
    TransferComponentAnalysis(2, mu=0.1),
    OptimalTransport(),
    OptimalTransport(class_reg="l1l2"),
]
every = pytest.mark.parametrize("aligner", ALIGNERS, ids=repr)


def domains(m):
    """Draw two classes; the target is rotated and moved until all rows seem one class."""
    rng = np.random.default_rng(0)

    def draw(n):
        y = np.arange(n) % 2
        return rng.normal(size=(n, 2)) * [0.5, 1] + np.outer(y, [5, 0]), y

    (X, y), (T, y_target) = draw(60), draw(m)
    turn = np.array([[0.96, 0.28], [-0.28, 0.96]])
    return X, np.where(y, "yes", "no"), T @ turn + [5, 3], np.where(y_target, "yes", "no")


def pipeline(aligner):
    steps = [("scale", StandardScaler()), ("align", clone(aligner))]
    return Pipeline([*steps, ("clf", LogisticRegression())])


@every
@pytest.mark.parametrize("m", [60, 45])  # as many as source rows, or fewer
def test_pipeline_learns_from_mapped_source_rows_and_predicts_target_rows(aligner, m):
    X, y, T, _ = domains(m)
    scaled = StandardScaler().fit(X)
    pipe = pipeline(aligner).fit(X, y, align__X_target=TargetDomain(scaled.transform(T)))
    aligned = clone(aligner)
    source = aligned.fit_transform(scaled.transform(X), y, X_target=scaled.transform(T))
    clf = LogisticRegression().fit(source, y)
    expected = clf.predict_proba(aligned.transform(scaled.transform(T)))
    np.testing.assert_allclose(pipe.predict_proba(T), expected)


def test_a_pipeline_that_aligns_knows_a_target_that_others_do_not():
    X, y, T, y_target = domains(60)
    plain = LogisticRegression().fit(X, y).score(T, y_target)
    for aligner in (CORAL(), SubspaceAlignment(n_components=1), OptimalTransport()):
        pipe = Pipeline([("align", aligner), ("clf", LogisticRegression())])
        pipe.fit(X, y, align__X_target=TargetDomain(T))
        assert pipe.score(T, y_target) > 0.95
    assert plain < 0.7


@every
@pytest.mark.parametrize("m", [60, 45])
def test_routed_target_passes_the_earlier_steps(aligner, m):
    X, y, T, _ = domains(m)
    scaled = StandardScaler().fit(X).transform(T)
    expected = pipeline(aligner).fit(X, y, align__X_target=TargetDomain(scaled))
    with sklearn.config_context(enable_metadata_routing=True):
        routed = pipeline(aligner).set_params(transform_input=["X_target"])
        routed["align"].set_fit_request(X_target=True)
        routed.fit(X, y, X_target=T)
        np.testing.assert_allclose(routed.predict_proba(T), expected.predict_proba(T))


@every
def test_stacked_domains_pass_a_pipeline_whose_model_weighs_target_rows_zero(aligner):
    X, y, T, _ = domains(45)
    stacked, domain = np.concatenate([T, X]), np.repeat([-1, 1], [45, 60])
    labels = np.concatenate([np.full(45, "no"), y])
    pipe = pipeline(aligner).fit(
        stacked, labels, align__sample_domain=domain, clf__sample_weight=domain >= 0
    )
    scaled = StandardScaler().fit(stacked)
    aligned = clone(aligner)
    source = aligned.fit_transform(scaled.transform(X), y, X_target=scaled.transform(T))
    clf = LogisticRegression().fit(source, y)
    expected = clf.predict_proba(aligned.transform(scaled.transform(T)))
    np.testing.assert_allclose(pipe.predict_proba(T), expected, atol=1e-4)


@every
def test_routed_domains_map_rows_in_fit_and_in_prediction(aligner):
    X, y, T, _ = domains(45)
    stacked, domain = np.concatenate([T, X]), np.repeat([-1, 1], [45, 60])
    labels = np.concatenate([np.full(45, "no"), y])
    weights = (domain >= 0).astype(float)
    plain = pipeline(aligner)
    plain.fit(stacked, labels, align__sample_domain=domain, clf__sample_weight=weights)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = pipeline(aligner)
        routed["align"].set_fit_request(sample_domain=True)
        routed["align"].set_transform_request(sample_domain=True)
        routed["clf"].set_fit_request(sample_weight=True)
        routed["scale"].set_fit_request(sample_weight=False)
        routed.fit(stacked, labels, sample_domain=domain, sample_weight=weights)
        found = routed.predict_proba(stacked, sample_domain=domain)
        np.testing.assert_allclose(routed.predict_proba(T), plain.predict_proba(T))
    rows = plain["align"].transform(plain["scale"].transform(stacked), sample_domain=domain)
    np.testing.assert_allclose(found, plain["clf"].predict_proba(rows))


@every
@pytest.mark.parametrize("m", [60, 45])
def test_search_passes_the_whole_target_to_each_fold(aligner, m):
    X, y, T, _ = domains(m)
    scaled = TargetDomain(StandardScaler().fit(X).transform(T))
    search = GridSearchCV(
        pipeline(aligner), {"clf__C": [0.1, 1]}, cv=3, error_score="raise", refit=True
    )
    search.fit(X, y, align__X_target=scaled)
    expected = pipeline(aligner).set_params(**search.best_params_)
    expected.fit(X, y, align__X_target=scaled)
    np.testing.assert_allclose(search.predict_proba(T), expected.predict_proba(T))


@every
def test_cross_validation_passes_the_whole_target_to_each_fold(aligner):
    X, y, T, _ = domains(60)
    target = TargetDomain(StandardScaler().fit(X).transform(T))
    folds = KFold(3)
    result = cross_validate(
        pipeline(aligner),
        X,
        y,
        params={"align__X_target": target},
        scoring=lambda model, X_test, y_test: model.predict_proba(T)[:, 1].sum(),
        cv=folds,
        error_score="raise",
    )
    expected = [
        pipeline(aligner).fit(X[rows], y[rows], align__X_target=target).predict_proba(T)
        for rows, _ in folds.split(X)
    ]
    np.testing.assert_allclose(result["test_score"], [p[:, 1].sum() for p in expected])


@every
@pytest.mark.parametrize("m", [60, 45])
def test_routed_search_passes_the_whole_target_to_each_fold(aligner, m):
    X, y, T, _ = domains(m)
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = Pipeline([("align", clone(aligner)), ("clf", LogisticRegression())])
        pipe["align"].set_fit_request(X_target=True)
        search = GridSearchCV(pipe, {"clf__C": [0.1, 1]}, cv=3, error_score="raise")
        search.fit(X, y, X_target=TargetDomain(T))
        expected = clone(pipe).set_params(**search.best_params_).fit(X, y, X_target=T)
        np.testing.assert_allclose(search.predict_proba(T), expected.predict_proba(T))


@every
def test_search_slices_domains_with_the_rows(aligner):
    X, y, T, _ = domains(45)
    order = np.random.default_rng(2).permutation(105)
    stacked, domain = np.concatenate([T, X])[order], np.repeat([-1, 1], [45, 60])[order]
    labels = np.concatenate([np.full(45, "no"), y])[order]
    search = GridSearchCV(pipeline(aligner), {"clf__C": [1]}, cv=3, error_score="raise")
    search.fit(stacked, labels, align__sample_domain=domain, clf__sample_weight=domain >= 0)
    assert search.best_estimator_["align"].adapts_
