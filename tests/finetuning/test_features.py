"""Target-aware features hold no label of their own row, and help where frozen ones fail."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_transfer import (
    FineTunedClassifier,
    FineTunedFeatures,
    FineTunedRegressor,
    PretrainedFeatures,
)
from tests import small_networks, small_texts


def make_tuner(kind=FineTunedClassifier, **params):
    options = {"preprocess": None, "freeze": None, "lr": 1e-2, "max_epochs": 3}
    return kind(small_networks.perceptron, **{**options, **params})


def make_features(cv=3, n_components=4, **params):
    return FineTunedFeatures(make_tuner(**params), cv=cv, n_components=n_components)


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(36, 5)).astype(np.float32)


@pytest.fixture
def labels(rows):
    return np.where(rows[:, 0] * rows[:, 1] > 0, "same", "other")


# ---- no label of a row is in its features


class Wide(nn.Module):
    """Layers so wide that they learn random labels by heart."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(5, 256), nn.ReLU(), nn.Linear(256, 16))

    def forward(self, x):
        return self.layers(x)


def score_own_rows(features, y):
    return cross_val_score(LogisticRegression(max_iter=500), features, y, cv=5).mean()


def test_random_labels_are_not_found_in_features_but_in_those_of_the_same_rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 5)).astype(np.float32), rng.integers(0, 2, 120)
    tuner = FineTunedClassifier(Wide(), preprocess=None, freeze=None, lr=1e-2, max_epochs=30)
    features = FineTunedFeatures(tuner, n_components=8)
    crossed = features.fit_transform(X, y)
    assert score_own_rows(crossed, y) < 0.6
    assert score_own_rows(features.transform(X), y) > 0.85  # the leak that this prevents


@pytest.mark.parametrize(
    "params",
    [{}, {"early_stopping": 2, "validation_fraction": 0.3}, {"class_weight": "balanced"}],
    ids=["plain", "early stopping", "class weights"],
)
@pytest.mark.parametrize("label", ["other", "same", "new"])
def test_the_label_of_a_row_changes_no_bit_of_its_features(rows, labels, params, label):
    features, flipped = make_features(**params), labels.copy().astype(object)
    flipped[7] = label
    before, folds = features.fit_transform(rows, labels), features.folds_
    fitted = features.transform(rows)
    after = features.fit_transform(rows, flipped)
    own = folds == folds[7]
    assert (after[own] == before[own]).all()
    if label != labels[7]:
        assert (after[~own] != before[~own]).any()
        assert (features.transform(rows)[7] != fitted[7]).any()


def test_the_number_of_a_row_changes_no_bit_of_its_features(rows):
    y = rows[:, 0].astype(np.float64)
    features = make_features(kind=FineTunedRegressor)
    before = features.fit_transform(rows, y)
    y[11] += 100
    assert (features.fit_transform(rows, y)[11] == before[11]).all()


def test_equal_rows_share_a_fold(rows, labels):
    rows[20], rows[30] = rows[3], rows[3]
    features = make_features(cv=6)
    before = features.fit_transform(rows, labels)
    assert len(set(features.folds_[[3, 20, 30]])) == 1
    labels[20] = "other" if labels[20] == "same" else "same"
    assert (features.fit_transform(rows, labels)[3] == before[3]).all()


def test_rows_that_differ_by_the_sign_of_a_zero_share_a_fold(rows, labels):
    rows[:, 2], rows[20] = 0, rows[3]
    rows[20, 2] = -0.0
    features = make_features(cv=6, max_epochs=1)
    features.fit_transform(rows, labels)
    assert features.folds_[3] == features.folds_[20]


def test_files_of_equal_content_share_a_fold(tmp_path, crops):
    from PIL import Image

    for i, crop in enumerate(crops[:6]):
        Image.fromarray(crop).save(tmp_path / f"{i}.png")
        Image.fromarray(crop).save(tmp_path / f"copy{i}.png")
    paths = [str(tmp_path / f"{name}{i}.png") for name in ("", "copy") for i in range(6)]
    tuner = FineTunedClassifier(small_networks.staged(), freeze="early", max_epochs=1)
    features = FineTunedFeatures(tuner, cv=6, n_components=2)
    features.fit_transform(paths, [0, 1] * 6)
    assert (features.folds_[:6] == features.folds_[6:]).all()
    assert sorted(features.folds_[:6]) == list(range(6))


def test_rows_of_a_group_share_a_fold(rows, labels):
    groups = np.arange(36) // 4
    features = make_features()
    features.fit_transform(rows, labels, groups=groups)
    assert all(len(set(features.folds_[groups == group])) == 1 for group in range(9))
    assert len(set(features.folds_)) == 3


def test_groups_are_routed_through_a_pipeline(rows, labels):
    groups = np.arange(36) // 4
    with sklearn.config_context(enable_metadata_routing=True):
        features = make_features().set_fit_request(groups=True)
        pipe = make_pipeline(features, LogisticRegression()).fit(rows, labels, groups=groups)
    folds = pipe[0].folds_
    assert all(len(set(folds[groups == group])) == 1 for group in range(9))


def test_folds_are_those_of_a_splitter(rows, labels):
    features = make_features(cv=KFold(4))
    features.fit_transform(rows, labels)
    assert features.folds_.tolist() == np.repeat(range(4), 9).tolist()


def test_features_are_those_of_a_network_trained_without_the_fold(rows, labels):
    net = small_networks.mlp(5)
    tuner = make_tuner().set_params(model=net)
    features = FineTunedFeatures(tuner, cv=3, n_components=4)
    crossed = features.fit_transform(rows, labels)
    rest = features.folds_ != 1
    alone = clone(tuner).fit(rows[rest], labels[rest]).transform(rows)
    scores = PretrainedFeatures(net, preprocess=None)
    scores = scores.fit_transform(rows).astype(np.float64)
    scores -= scores.mean(axis=0)
    directions = np.linalg.svd(scores, full_matrices=False)[2][:4]
    cross = (alone - alone.mean(axis=0)).T @ (scores @ directions.T)
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    expected = (alone - alone.mean(axis=0)) @ left @ right
    assert np.allclose(np.abs(crossed[~rest]), np.abs(expected[~rest]), atol=1e-4)


# ---- what they are for


class Phases(nn.Module):
    """Convolutions with random weights, whose means do not tell phases apart."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 12, 5, 2, 2), nn.ReLU(), nn.Conv2d(12, 24, 3, 2, 1), nn.ReLU()
        )

    def forward(self, x):
        return self.layers(x).mean(dim=(2, 3))


def draw_waves(n, seed):
    """Waves of two frequencies whose relative phase tells three classes apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    stretch, shift, jitter, size, light = rng.uniform(
        [1.5, 0, -0.3, 0.3, -0.5], [2.5, 1, 0.3, 1, 0.5], (n, 5)
    ).T[:, :, None, None]
    t = 2 * np.pi * (stretch * np.arange(16) / 16 + shift)
    waves = np.sin(t) + 0.8 * np.sin(2 * t + 2 * np.pi * y[:, None, None] / 3 + jitter)
    images = size * waves + light + rng.normal(0, 0.3, (n, 16, 16))
    return images[:, None].astype(np.float32), y


def test_boosting_gains_where_frozen_features_miss_the_target():
    X, y = draw_waves(180, seed=0)
    X_test, y_test = draw_waves(400, seed=1)
    boosting = HistGradientBoostingClassifier(max_iter=40, random_state=0)
    tuner = FineTunedClassifier(Phases(), preprocess=None, freeze=None, lr=1e-2, max_epochs=15)
    frozen = make_pipeline(PretrainedFeatures(Phases(), preprocess=None), boosting)
    tuned = make_pipeline(FineTunedFeatures(tuner, cv=4), boosting)
    before, after = (model.fit(X, y).score(X_test, y_test) for model in (frozen, tuned))
    assert before < 0.6
    assert after > before + 0.2


# ---- the contract of scikit-learn


def test_a_second_fit_starts_anew(rows, labels):
    features = make_features()
    first = features.fit_transform(rows, labels)
    new = features.transform(rows)
    assert (features.fit_transform(rows, labels) == first).all()
    assert (features.transform(rows) == new).all()


def test_fit_makes_the_features_of_new_rows_that_fit_transform_makes(rows, labels):
    one, other = make_features(), make_features()
    one.fit_transform(rows, labels)
    other.fit(rows, labels)
    assert (one.transform(rows) == other.transform(rows)).all()
    assert not hasattr(other, "folds_")


def test_a_module_and_the_estimator_are_untouched(rows, labels):
    net = small_networks.mlp(5)
    state = copy.deepcopy(net.state_dict())
    tuner = FineTunedClassifier(net, preprocess=None, freeze=None, lr=1e-2, max_epochs=2)
    FineTunedFeatures(tuner, cv=2).fit_transform(rows, labels)
    assert not hasattr(tuner, "history_")
    assert all((net.state_dict()[name] == state[name]).all() for name in state)


def test_networks_of_random_weights_begin_alike_whatever_the_random_state(rows, labels):
    seed = np.random.RandomState(0)
    features = make_features(random_state=seed, n_components=5)
    assert features.fit_transform(rows, labels).std() > 0
    assert isinstance(features.estimator_.random_state, int)


def test_names_pickles_clones_and_frames(rows, labels):
    features = make_features().set_output(transform="pandas")
    crossed = features.fit_transform(rows, labels)
    names = ["tuned_0", "tuned_1", "tuned_2", "tuned_3"]
    assert list(crossed.columns) == list(features.get_feature_names_out()) == names
    again = pickle.loads(pickle.dumps(features)).transform(rows)
    pd.testing.assert_frame_equal(again, features.transform(rows))
    assert not hasattr(clone(features), "estimator_")


def test_html_shows_the_estimator_inside(rows, labels):
    html = make_features()._repr_html_()
    assert "FineTunedFeatures" in html
    assert "FineTunedClassifier" in html


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_names_of_columns_are_kept_and_checked(rows, labels, frame):
    table = frame({name: rows[:, i] for i, name in enumerate("abcde")})
    features = make_features()
    crossed = features.fit_transform(table, labels)
    assert features.feature_names_in_.tolist() == list("abcde")
    assert (crossed == make_features().fit_transform(rows, labels)).all()
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        features.get_feature_names_out(list("edcba"))


def test_a_search_reaches_the_parameters_of_the_estimator(rows, labels):
    grid = {"finetunedfeatures__estimator__lr": [1e-3, 1e-2]}
    pipe = make_pipeline(make_features(cv=2, max_epochs=1), LogisticRegression())
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(rows, labels)
    assert len(search.cv_results_["params"]) == 2


def test_numbers_and_several_targets(rows):
    y = np.column_stack([rows[:, 0], rows[:, 1] > 0])
    features = make_features(kind=FineTunedRegressor)
    assert features.fit_transform(rows, y).shape == (36, 4)
    score = make_pipeline(make_features(kind=FineTunedRegressor), Ridge()).fit(rows, y)
    assert np.isfinite(score.predict(rows)).all()


def test_rows_of_weight_zero_change_nothing_and_get_features(rows, labels):
    weights = np.ones(36)
    weights[[4, 9, 30]] = 0
    kept = weights > 0
    features, alone = make_features(), make_features()
    found = features.fit_transform(rows, labels, weights)
    expected = alone.fit_transform(rows[kept], labels[kept], weights[kept])
    assert np.isfinite(found).all()
    assert np.allclose(found[kept], expected, atol=1e-5)
    assert np.allclose(features.transform(rows), alone.transform(rows), atol=1e-5)


def test_texts_have_features(tmp_path):
    texts = ["red cat", "green dog", "blue fish", "red dog", "green cat", "blue cat"] * 2
    tuner = FineTunedClassifier(str(small_texts.write_bert(tmp_path)), max_epochs=1)
    features = FineTunedFeatures(tuner, cv=3, n_components=3)
    assert features.fit_transform(texts, [0, 1] * 6).shape == (12, 3)
    assert (features.folds_[:6] == features.folds_[6:]).all()


def test_a_network_made_for_the_outputs_has_features(rows, labels):
    tuner = make_tuner(random_state=3).set_params(model=make_with_outputs)
    features = FineTunedFeatures(tuner, cv=2, n_components=3)
    before = features.fit_transform(rows, labels)
    y = labels.astype(object)
    y[5] = "a third class"
    after = features.fit_transform(rows, y)
    assert (after[5] == before[5]).all()


def make_with_outputs(n_features_in, n_outputs):
    return nn.Sequential(nn.Linear(n_features_in, 6), nn.ReLU(), nn.Linear(6, n_outputs))


def test_samples_of_a_target_reach_every_training(rows, labels):
    features = make_features(adapt="coral", freeze="all")
    features.fit_transform(rows, labels, X_target=rows + 1)
    assert features.estimator_.adapt_report_.n_target == 36


# ---- messages


@pytest.mark.parametrize(
    ("estimator", "error", "match"),
    [
        (PretrainedFeatures(), TypeError, "trains no network: expected a FineTunedClassifier"),
        (LogisticRegression(), ValueError, "The 'estimator' parameter"),
        (make_tuner(lr=-1), ValueError, "The 'lr' parameter"),
    ],
    ids=["extractor", "classifier", "bad parameter"],
)
def test_estimators_that_do_not_fit_are_refused(rows, labels, estimator, error, match):
    with pytest.raises(error, match=match):
        FineTunedFeatures(estimator).fit(rows, labels)


def test_targets_are_required(rows):
    with pytest.raises(ValueError, match="requires y to be passed"):
        make_features().fit_transform(rows, None)


def test_stacked_domains_are_refused(rows, labels):
    with pytest.raises(ValueError, match="give them as X_target"):
        make_features().fit_transform(rows, labels, sample_domain=np.ones(36))


def test_an_error_of_a_fold_says_which_rows_it_had(rows):
    y = np.zeros(36, dtype=int)
    y[3] = 1
    with pytest.raises(ValueError, match="class") as raised:
        make_features(cv=4).fit_transform(rows, y)
    assert "trained on 27 of 36 rows, as cv=4 divides them" in str(raised.value.__notes__)
