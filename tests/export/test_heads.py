import numpy as np
import onnxruntime
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

from sklearn_transfer import (
    CORAL,
    PrototypeClassifier,
    SubspaceAlignment,
    TargetDomain,
    TransferComponentAnalysis,
)
from sklearn_transfer.export._onnx.heads import build_head_graph

SCALE = StandardScaler()


@pytest.fixture(scope="module")
def rows():
    """Return features of 60 samples in four classes, and the names of these."""
    rng = np.random.default_rng(0)
    names = np.array(["a", "b", "c", "d"])[np.arange(60) % 4]
    centers = 3 * rng.normal(size=(4, 12))
    X = 5 + centers[np.arange(60) % 4] + 2 * rng.normal(size=(60, 12))
    return X.astype(np.float32), names


def run_steps(fitted, X):
    """Return the outputs of the graph of a fitted pipeline, as a file holds it."""
    model = build_head_graph(list(fitted.steps), X.shape[1])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"features": X}), strict=True))


def check_scores(fitted, X):
    found = run_steps(fitted, X)
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
        [SCALE, LogisticRegression()],
        [SCALE, PCA(6, random_state=0), LinearSVC()],
        [SCALE, SVC()],
        [SCALE, RidgeClassifier()],
        [RandomForestClassifier(10, random_state=0)],
        [HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5)],
        [PrototypeClassifier()],
        [CalibratedClassifierCV(PrototypeClassifier(), cv=2)],
    ],
    ids=lambda steps: type(steps[-1]).__name__,
)
def test_classifiers_equal_python(rows, steps, n_classes):
    X, y = rows
    y = y if n_classes == 4 else np.where(np.isin(y, ["a", "b"]), "left", "right")
    check_scores(make_pipeline(*steps).fit(X, y), X)


@pytest.mark.parametrize(
    "options",
    [
        {"metric": "cosine", "center": None, "normalize": False},
        {"metric": "euclidean", "normalize": False, "shrinkage": 2.0},
        {"temperature": 0.05},
    ],
    ids=str,
)
def test_prototypes_equal_python(rows, options):
    check_scores(make_pipeline(PrototypeClassifier(**options)).fit(*rows), rows[0])


def test_a_class_without_samples_has_probability_zero(rows):
    X, y = rows
    head = PrototypeClassifier().partial_fit(X, y, classes=["A", *np.unique(y)])
    found = run_steps(make_pipeline(head), X)
    assert (found["probabilities"][:, 0] == 0).all()
    assert (found["label"] == head.predict(X)).all()


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
def test_regressors_equal_python(rows, head):
    X, _ = rows
    fitted = make_pipeline(SCALE, head).fit(X, 1e5 * X[:, 0])
    expected = fitted.predict(X)
    assert np.ptp(expected) > 0
    found = run_steps(fitted, X)["variable"]
    assert np.abs(found[:, 0] - expected).max() < 1e-4 * np.abs(expected).max()


def test_several_numbers_equal_python(rows):
    X, _ = rows
    fitted = make_pipeline(SCALE, Ridge()).fit(X, np.c_[1e6 * X[:, 0], 1e-6 * X[:, 1]])
    expected = fitted.predict(X)
    difference = np.abs(run_steps(fitted, X)["variable"] - expected)
    assert (difference.max(axis=0) < 1e-4 * np.abs(expected).max(axis=0)).all()


@pytest.mark.parametrize(
    "labels",
    [[False, True], [-7, 100], [0.0, 1.0], ["nö", "yes"]],
    ids=lambda labels: type(labels[0]).__name__,
)
@pytest.mark.parametrize(
    "head", [LogisticRegression(), PrototypeClassifier()], ids=lambda head: type(head).__name__
)
def test_labels_keep_their_type(rows, head, labels):
    X, y = rows
    fitted = make_pipeline(head).fit(X, np.array(labels)[(y == "a").astype(int)])
    found, expected = run_steps(fitted, X)["label"], fitted.predict(X)
    assert found.tolist() == expected.tolist()
    assert type(found.tolist()[0]) is type(expected.tolist()[0])


@pytest.mark.parametrize(
    "aligner", [CORAL(), SubspaceAlignment(n_components=5)], ids=lambda a: type(a).__name__
)
def test_aligners_map_rows_of_the_target(rows, aligner):
    X, y = rows
    fitted = make_pipeline(aligner, LogisticRegression())
    target = TargetDomain(X[::-1] * 1.5 + 1)
    fitted.fit(X, y, **{f"{type(aligner).__name__.lower()}__X_target": target})
    check_scores(fitted, X)


@pytest.mark.filterwarnings("ignore:TransferComponentAnalysis got no target")
@pytest.mark.parametrize("step", [FunctionTransformer(np.abs), TransferComponentAnalysis()])
def test_steps_without_a_conversion_are_named(rows, step):
    fitted = make_pipeline(SCALE, step, RidgeClassifier()).fit(*rows)
    name = type(step).__name__
    message = rf"{name} \(step '{name.lower()}'\) cannot be converted to ONNX"
    with pytest.raises(ValueError, match=message):
        run_steps(fitted, rows[0])


def test_probabilities_in_lists_are_refused(rows):
    X, y = rows
    head = MultiOutputClassifier(LogisticRegression()).fit(X, np.c_[y == "a", y == "b"])
    with pytest.raises(ValueError, match="in a list, which is no array"):
        run_steps(make_pipeline(head), X)
