import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

from sklearn_transfer import (
    CORAL,
    PrototypeClassifier,
    SubspaceAlignment,
    TargetDomain,
)

SIZE = (40, 30)
SCALE = StandardScaler()


def fit_behind(pipe, X, y, *steps):
    return make_pipeline(pipe[0], *steps).fit(X, y)


def check_scores(fitted, X, found):
    method = "predict_proba" if hasattr(fitted, "predict_proba") else "decision_function"
    name = "probabilities" if method == "predict_proba" else "scores"
    expected = getattr(fitted, method)(X)
    assert expected.shape == found[name].shape
    assert np.abs(found[name] - expected).max() < 1e-4 * max(1, np.abs(expected).max())
    assert (found["label"] == fitted.predict(X)).all()


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize(
    "steps",
    [
        [SCALE, PCA(6, random_state=0), LinearSVC()],
        [SCALE, SVC()],
        [SCALE, RidgeClassifier()],
        [RandomForestClassifier(10, random_state=0)],
        [HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5)],
        [CalibratedClassifierCV(PrototypeClassifier(), cv=2)],
    ],
    ids=lambda steps: type(steps[-1]).__name__,
)
def test_classifiers_equal_python(pipe, pictures, run, steps, n_classes):
    X, y = pictures
    y = y if n_classes == 4 else np.where(np.isin(y, ["red", "blue"]), "warm", "cold")
    fitted = fit_behind(pipe, X, y, *steps)
    check_scores(fitted, X, run(fitted, input_size=SIZE)(pixels=X))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metric": "cosine", "center": None, "normalize": False},
        {"metric": "euclidean", "normalize": False, "shrinkage": 2.0},
        {"temperature": 0.05},
    ],
    ids=str,
)
def test_prototypes_equal_python(pipe, pictures, run, options):
    fitted = fit_behind(pipe, *pictures, SCALE, PrototypeClassifier(**options))
    X = pictures[0]
    check_scores(fitted, X, run(fitted, input_size=SIZE)(pixels=X))


def test_a_class_without_samples_has_probability_zero(pipe, pictures, run):
    X, y = pictures
    features = pipe[0].transform(X)
    head = PrototypeClassifier().partial_fit(features, y, classes=["black", *np.unique(y)])
    found = run(make_pipeline(pipe[0], head), input_size=SIZE)(pixels=X)
    assert (found["probabilities"][:, 0] == 0).all()
    assert (found["label"] == y).mean() > 0.9


@pytest.mark.parametrize(
    "head",
    [
        Ridge(),
        SVR(),
        RandomForestRegressor(5, random_state=0),
        HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5),
        KNeighborsRegressor(3),
    ],
    ids=lambda head: type(head).__name__,
)
def test_regressors_equal_python(pipe, pictures, run, head):
    X, _ = pictures
    y = 1e5 * X.mean(axis=(1, 2, 3))
    fitted = fit_behind(pipe, X, y, SCALE, head)
    found = run(fitted, input_size=SIZE)(pixels=X)["variable"]
    expected = fitted.predict(X)
    assert np.ptp(expected) > 0
    assert np.abs(found[:, 0] - expected).max() < 1e-4 * np.abs(expected).max()


def test_each_column_of_numbers_has_its_own_scale(pipe, pictures, run):
    X, _ = pictures
    level = X.mean(axis=(1, 2, 3))
    fitted = fit_behind(pipe, X, np.c_[1e6 * level, 1e-6 * level], SCALE, Ridge())
    expected = fitted.predict(X)
    difference = np.abs(run(fitted, input_size=SIZE)(pixels=X)["variable"] - expected)
    assert (difference.max(axis=0) < 1e-4 * np.abs(expected).max(axis=0)).all()


@pytest.mark.parametrize(
    "labels",
    [[False, True], [-7, 100], [0.0, 1.0], ["nö", "yes"]],
    ids=lambda labels: type(labels[0]).__name__,
)
@pytest.mark.parametrize(
    "head", [LogisticRegression(), PrototypeClassifier()], ids=lambda head: type(head).__name__
)
def test_labels_keep_their_type(pipe, pictures, run, head, labels):
    X, y = pictures
    fitted = fit_behind(pipe, X, np.array(labels)[(y == "red").astype(int)], SCALE, head)
    found, expected = run(fitted, input_size=SIZE)(pixels=X)["label"], fitted.predict(X)
    assert found.tolist() == expected.tolist()
    assert type(found.tolist()[0]) is type(expected.tolist()[0])


@pytest.mark.parametrize("aligner", [CORAL(), SubspaceAlignment(n_components=5)])
def test_aligners_map_rows_of_the_target(pipe, pictures, run, aligner):
    X, y = pictures
    target = TargetDomain(pipe[0].transform(255 - X))
    fitted = make_pipeline(pipe[0], aligner, LogisticRegression())
    fitted.fit(X, y, **{f"{type(aligner).__name__.lower()}__X_target": target})
    check_scores(fitted, X, run(fitted, input_size=SIZE)(pixels=X))


def test_steps_that_give_frames_are_exported(pipe, pictures, run):
    X, y = pictures
    fitted = make_pipeline(clone(pipe[0]), StandardScaler(), LogisticRegression())
    fitted.set_output(transform="pandas").fit(X, y)
    check_scores(fitted, X, run(fitted, input_size=SIZE)(pixels=X))


def test_features_are_exported_without_a_model(pipe, pictures, run):
    X, _ = pictures
    found = run(pipe[0], input_size=SIZE)(pixels=X)["variable"]
    expected = pipe[0].transform(X)
    lengths = np.linalg.norm(expected, axis=1)
    assert (np.linalg.norm(found - expected, axis=1) < 1e-4 * lengths).all()
