"""Ensembles of networks can be built with scikit-learn's own tools, on paths."""

import numpy as np
import pytest
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops

LITE = {"input_size": 64, "engine": "torch"}
OTHER = {"model": "test_resnet", "weights": None, "engine": "torch"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the paths of 24 crops of two photos in random order, and the photos' names."""
    folder = tmp_path_factory.mktemp("crops")
    names = ["flower", "pagoda"]
    paths, y = load_photo_crops(12, size=64, classes=names, folder=folder, return_X_y=True)
    order = np.random.default_rng(0).permutation(24)
    return [str(paths[row]) for row in order], y[order]


def union():
    return FeatureUnion(
        [("lite", PretrainedFeatures(**LITE)), ("other", PretrainedFeatures(**OTHER))]
    )


def pipeline(options):
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return make_pipeline(PretrainedFeatures(**options), classifier)


def members():
    return [("lite", pipeline(LITE)), ("other", pipeline(OTHER))]


def test_union_puts_features_of_two_networks_side_by_side(files):
    paths, _ = files
    parts = [PretrainedFeatures(**options).fit_transform(paths) for options in (LITE, OTHER)]
    np.testing.assert_array_equal(union().fit_transform(paths), np.hstack(parts))


def test_union_names_the_network_of_each_feature(files):
    both = union().set_output(transform="pandas").fit(files[0])
    frame = both.transform(files[0])
    assert list(frame.columns) == list(both.get_feature_names_out())
    assert {name.split("__")[0] for name in frame.columns} == {"lite", "other"}


def test_union_takes_part_in_a_search(files):
    paths, y = files
    pipe = make_pipeline(union(), StandardScaler(), LogisticRegression(max_iter=500))
    grid = {
        "featureunion__transformer_weights": [None, {"lite": 1.0, "other": 0.0}],
        "logisticregression__C": [0.01, 1.0],
    }
    extractor = PretrainedFeatures(**LITE).clear_cache()
    search = GridSearchCV(pipe, grid, cv=3, error_score="raise").fit(paths, y)
    assert search.best_score_ > 0.9
    assert extractor.cache_info().misses == 2 * len(paths)  # once per network


def test_soft_vote_is_the_mean_of_two_pipelines_on_paths(files):
    paths, y = files
    vote = VotingClassifier(members(), voting="soft").fit(paths[:16], y[:16])
    alone = [p.fit(paths[:16], y[:16]).predict_proba(paths[16:]) for _, p in members()]
    np.testing.assert_allclose(vote.predict_proba(paths[16:]), np.mean(alone, axis=0), 1e-12)
    assert set(vote.predict(paths)) == {"flower", "pagoda"}


def test_hard_vote_counts_the_members(files):
    paths, y = files
    vote = VotingClassifier(members(), voting="hard", weights=[2, 1])
    vote.fit(paths[:16], y[:16])
    heavier = pipeline(LITE).fit(paths[:16], y[:16])
    np.testing.assert_array_equal(vote.predict(paths), heavier.predict(paths))


def test_stack_learns_from_the_outputs_of_two_pipelines(files):
    paths, y = files
    stack = StackingClassifier(members(), LogisticRegression(), cv=3).fit(paths, y)
    alone = [p.fit(paths, y).predict_proba(paths)[:, 1] for _, p in members()]
    np.testing.assert_allclose(stack.transform(paths), np.transpose(alone), rtol=1e-12)
    assert stack.score(paths, y) > 0.9
