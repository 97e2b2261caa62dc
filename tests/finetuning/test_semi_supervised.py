"""Learning from samples most of which have no label, by scikit-learn's own tools."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from sklearn_transfer import AutoencoderFeatures, PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of 40 crops of two photos in noise, in turn, and which photo each is from."""
    folder = tmp_path_factory.mktemp("crops")
    options = {"size": 64, "classes": ["flower", "pagoda"], "folder": folder}
    paths, y = load_photo_crops(20, shift="noisy", return_X_y=True, **options)
    order = np.argsort(y, kind="stable").reshape(2, 20).T.ravel()
    return [str(paths[row]) for row in order], (y[order] == "pagoda").astype(int)


def classifier():
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=500))


@pytest.fixture(scope="module")
def few(files):
    """The same labels, of which four are known; -1 stands for the others."""
    known = files[1].copy()
    known[4:] = -1
    return known


def features():
    return PretrainedFeatures(input_size=64, engine="torch")


def test_self_training_inside_a_pipeline_on_paths(files, few):
    paths, y = files
    head = SelfTrainingClassifier(classifier(), threshold=0.6)
    pipe = make_pipeline(features(), head).fit(paths, few)
    fitted = pipe[-1]
    assert (fitted.labeled_iter_ > 0).sum() > 10  # labels that it gave itself
    assert pipe.score(paths, y) > 0.75


def test_self_training_gives_what_it_gives_on_a_ready_matrix(files, few):
    paths, _ = files
    head = SelfTrainingClassifier(classifier(), threshold=0.6)
    pipe = make_pipeline(features(), clone(head)).fit(paths, few)
    matrix = features().transform(paths)
    alone = head.fit(matrix, few)
    np.testing.assert_array_equal(pipe[-1].transduction_, alone.transduction_)
    np.testing.assert_array_equal(pipe.predict_proba(paths), alone.predict_proba(matrix))


def test_images_pass_the_network_once_in_all_rounds(files, few):
    extractor = features().clear_cache()
    head = SelfTrainingClassifier(classifier(), threshold=0.6)
    make_pipeline(extractor, head).fit(files[0], few).predict(files[0])
    assert extractor.cache_info().misses == 40


def test_self_training_around_paths_is_refused_by_scikit_learn(files, few):
    """The reason why it stands inside the Pipeline."""
    whole = SelfTrainingClassifier(make_pipeline(features(), classifier()))
    with pytest.raises(ValueError, match="Expected 2D array"):
        whole.fit(files[0], few)


def test_autoencoder_learns_from_all_and_the_classifier_from_the_labelled(files, few):
    paths, _ = files
    options = {"n_components": 8, "input_size": 16, "max_epochs": 3}
    head = SelfTrainingClassifier(classifier(), threshold=0.6)
    pipe = make_pipeline(AutoencoderFeatures(**options), head).fit(paths, few)
    alone = AutoencoderFeatures(**options).fit(paths)
    np.testing.assert_array_equal(pipe[0].transform(paths), alone.transform(paths))
    assert pipe.predict(paths).shape == (40,)
