"""What a user passes: samples of every sort, labels of every sort, and faults in them."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor
from sklearn_transfer.finetuning.loop.net import Steps
from tests import small_networks

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(40, 5))
CLASSES = (TABLE[:, 0] > 0).astype(int)
NUMBERS = TABLE[:, 0] + 0.1 * RNG.normal(size=40)


def tabular(kind=FineTunedClassifier, **options):
    defaults = {
        "model": small_networks.perceptron,
        "preprocess": None,
        "freeze": None,
        "lr": 1e-2,
    }
    return kind(**{**defaults, "max_epochs": 8, "batch_size": 10, **options})


def visual(model=None, kind=FineTunedClassifier, **options):
    defaults = {"max_epochs": 3, "lr": 1e-2, "engine": "torch", "batch_size": 8}
    model = small_networks.staged() if model is None else model
    return kind(model, **{**defaults, "freeze": "early", **options})


@pytest.fixture
def files(images, tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(20)]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image).save(path)
    return paths


LABELS = {
    "strings": np.array(["cat", "owl"]),
    "gapped": np.array([5, 7]),
    "signs": np.array([-1, 1]),
    "bools": np.array([False, True]),
    "floats": np.array([1.0, 2.0]),
    "objects": np.array(["cat", "owl"], dtype=object),
}


@pytest.mark.parametrize("sort", LABELS)
def test_labels_of_any_sort_are_those_predicted(sort):
    y = LABELS[sort][CLASSES]
    before = y.copy()
    model = tabular(max_epochs=15).fit(TABLE, y)
    expected = tabular(max_epochs=15).fit(TABLE, CLASSES)
    np.testing.assert_array_equal(model.classes_, LABELS[sort])
    np.testing.assert_array_equal(model.predict(TABLE), LABELS[sort][expected.predict(TABLE)])
    assert model.score(TABLE, y) == expected.score(TABLE, CLASSES) > 0.8
    np.testing.assert_array_equal(y, before)


def test_one_class_is_refused_by_name():
    with pytest.raises(ValueError, match="one class, 'cat'"):
        tabular().fit(TABLE, ["cat"] * 40)


def test_regression_on_its_own_scale():
    y = 1e6 * NUMBERS + 5e6
    plain = tabular(FineTunedRegressor, max_epochs=30).fit(TABLE, NUMBERS)
    scaled = tabular(FineTunedRegressor, max_epochs=30).fit(TABLE, y)
    np.testing.assert_allclose(
        scaled.predict(TABLE), 1e6 * plain.predict(TABLE) + 5e6, rtol=1e-3, atol=1e3
    )
    assert plain.score(TABLE, NUMBERS) > 0.8


def test_outputs_of_a_regression_without_some_entries():
    y = np.column_stack([NUMBERS, -2 * NUMBERS, TABLE[:, 1]])
    holes = y.copy()
    holes[::3, 0] = holes[1::3, 2] = np.nan
    model = tabular(FineTunedRegressor, max_epochs=60).fit(TABLE, holes)
    assert model.predict(TABLE).shape == (40, 3)
    assert model.score(TABLE, holes) > 0.7
    assert model.score(TABLE, y) > 0.7


def test_values_under_missing_entries_do_not_matter():
    first, second = np.column_stack([NUMBERS, NUMBERS]), np.column_stack([NUMBERS, NUMBERS])
    first[5, 1] = second[5, 1] = np.nan
    one = tabular(FineTunedRegressor).fit(TABLE, first)
    other = tabular(FineTunedRegressor).fit(TABLE, pd.DataFrame(second))
    np.testing.assert_array_equal(one.predict(TABLE), other.predict(TABLE))


def test_several_labels_at_once():
    y = (TABLE[:, :3] > 0).astype(int)
    model = tabular(max_epochs=40).fit(TABLE, y)
    proba = model.predict_proba(TABLE)
    assert proba.shape == (40, 3)
    np.testing.assert_array_equal(model.predict(TABLE), (proba > 0.5).astype(int))
    assert model.score(TABLE, y) > 0.5


def test_several_tasks_with_gaps():
    y = np.empty((40, 2), dtype=object)
    y[:, 0] = np.array(["cat", "owl"])[CLASSES]
    y[:, 1] = np.array(["a", "b", "c"])[TABLE[:, 1:4].argmax(axis=1)]
    holes = y.copy()
    holes[::4, 0] = holes[1::4, 1] = None
    model = tabular(max_epochs=40).fit(TABLE, holes)
    assert [list(classes) for classes in model.classes_] == [["cat", "owl"], ["a", "b", "c"]]
    assert [proba.shape[1] for proba in model.predict_proba(TABLE)] == [2, 3]
    assert (model.predict(TABLE) == y).mean() > 0.8
    assert model.score(TABLE, holes) > 0.8


def test_tasks_of_several_kinds():
    frame = pd.DataFrame({"kind": np.array(["cat", "owl"])[CLASSES], "age": NUMBERS})
    tasks = [{"name": "kind", "weight": 2.0}, {"name": "age", "kind": "regression"}]
    model = tabular(tasks=tasks, max_epochs=40).fit(TABLE, frame)
    found = model.predict(TABLE)
    assert (found[:, 0] == frame["kind"]).mean() > 0.8
    assert np.corrcoef(found[:, 1].astype(float), NUMBERS)[0, 1] > 0.8
    assert model.predict_proba(TABLE)[1] is None


def hinge(output, target):
    return torch.nn.functional.multi_margin_loss(output, target, reduction="none")


def test_probabilities_of_a_loss_of_the_users_sum_to_one():
    model = tabular(loss=hinge, max_epochs=30).fit(TABLE, CLASSES)
    np.testing.assert_allclose(model.predict_proba(TABLE).sum(axis=1), 1)
    assert model.score(TABLE, CLASSES) > 0.8
    plain = tabular().fit(TABLE, CLASSES)
    assert not np.allclose(model.predict_proba(TABLE), plain.predict_proba(TABLE), atol=1e-3)


def test_the_decision_function_is_the_difference_of_logits():
    model = tabular().fit(TABLE, CLASSES)
    margin, proba = model.decision_function(TABLE), model.predict_proba(TABLE)
    np.testing.assert_allclose(margin, np.log(proba[:, 1] / proba[:, 0]), rtol=1e-6)


FORMS = {
    "paths": lambda paths, images: paths,
    "path objects": lambda paths, images: np.array(paths, dtype=object),
    "column": lambda paths, images: np.array(paths, dtype=object)[:, None],
    "frame": lambda paths, images: pd.DataFrame({"path": paths}),
    "series": lambda paths, images: pd.Series(paths, index=range(5, 25)),
    "polars": lambda paths, images: pl.Series(paths),
    "bytes": lambda paths, images: [Path(path).read_bytes() for path in paths],
    "pillow": lambda paths, images: [Image.fromarray(image) for image in images],
    "list": lambda paths, images: list(images),
    "strided": lambda paths, images: np.repeat(images, 2, axis=0)[::2],
    "floats": lambda paths, images: images / 255,
}


@pytest.mark.parametrize("form", FORMS)
def test_samples_of_any_form_train_the_same(form, files, images, labels):
    expected = visual().fit(images, labels).predict_proba(images)
    samples = FORMS[form](files, images)
    found = visual().fit(samples, labels).predict_proba(samples)
    np.testing.assert_allclose(found, expected, atol=1e-4)


TABLES = {
    "float64": lambda X: X,
    "float32": lambda X: X.astype(np.float32),
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "frame": pd.DataFrame,
    "polars": lambda X: pl.DataFrame({f"c{i}": column for i, column in enumerate(X.T)}),
    "list": lambda X: X.tolist(),
}


@pytest.mark.filterwarnings("ignore:X.*feature names")
@pytest.mark.parametrize("form", TABLES)
def test_tables_of_any_form_train_the_same(form):
    expected = tabular().fit(TABLE, CLASSES).predict_proba(TABLE)
    X = TABLES[form](TABLE)
    if form == "frame":
        X.columns = [f"c{i}" for i in range(5)]
    found = tabular().fit(X, CLASSES).predict_proba(X)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_integers_are_numbers_too():
    X = np.round(TABLE * 10).astype(np.int32)
    found = tabular().fit(X, CLASSES).predict_proba(X)
    expected = tabular().fit(X.astype(float), CLASSES).predict_proba(X.astype(float))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_a_probe_does_not_mind_the_scale_of_features(scale):
    model = {"model": torch.nn.Identity(), "freeze": "all", "max_epochs": 5}
    plain = tabular(**model).fit(TABLE, CLASSES).predict_proba(TABLE)
    scaled = tabular(**model).fit(TABLE * scale, CLASSES).predict_proba(TABLE * scale)
    np.testing.assert_allclose(scaled, plain, atol=1e-4)


def test_constant_columns_and_more_columns_than_rows():
    X = np.hstack([TABLE[:8], np.full((8, 3), 1e6), RNG.normal(size=(8, 60))])
    model = {"model": torch.nn.Identity(), "freeze": "all", "max_epochs": 20}
    fitted = tabular(**model).fit(X, CLASSES[:8])
    assert np.isfinite(fitted.predict_proba(X)).all()
    assert fitted.score(X, CLASSES[:8]) == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_tables_without_numbers_are_refused_as_scikit_learn_does(value):
    X = TABLE.copy()
    X[3, 2] = value
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        tabular().fit(X, CLASSES)
    fitted = tabular().fit(TABLE, CLASSES)
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        fitted.predict(X)


def never_trains(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("a step was taken")

    monkeypatch.setattr(Steps, "train_step_single", fail)
    monkeypatch.setattr("sklearn_transfer.finetuning.loop.first_head.fit_head_to_part", fail)


PLACES = {
    "reuse": {},
    "no reuse": {"cache": None},
    "no cut": {"freeze": None},
    "augmented": {"augment": "flip"},
    "lp-ft": {"schedule": "lp-ft"},
    "probe": {"freeze": "all", "schedule": "lp-ft"},
    "gradual": {"schedule": "gradual", "freeze": None},
}


@pytest.mark.parametrize("options", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("row", [0, 7, 19])
def test_a_bad_file_names_its_row_before_any_step(
    options, early_stopping, row, files, labels, monkeypatch
):
    never_trains(monkeypatch)
    with open(files[row], "wb") as file:
        file.write(b"no image")
    weights = np.ones(20)
    weights[[1, 2, 9]] = 0
    model = visual(early_stopping=early_stopping, validation_fraction=0.3, **options)
    with pytest.raises(ValueError, match=rf"^row {row} \(.*{row}.png"):
        model.fit(files, labels, sample_weight=weights)


@pytest.mark.parametrize("options", PLACES.values(), ids=PLACES)
def test_a_bad_file_to_validate_on_says_so(options, files, images, labels, monkeypatch):
    never_trains(monkeypatch)
    with open(files[3], "wb") as file:
        file.write(b"no image")
    with pytest.raises(ValueError, match=r"^X_val, row 3 \(.*3.png"):
        visual(**options).fit(images, labels, X_val=files, y_val=labels)


def test_a_bad_file_of_weight_zero_is_not_read(files, labels):
    with open(files[3], "wb") as file:
        file.write(b"no image")
    weights = np.ones(20)
    weights[3] = 0
    assert len(visual().fit(files, labels, sample_weight=weights).history_) == 3


def test_a_bad_file_to_predict_names_its_row(files, labels):
    fitted = visual().fit(files, labels)
    with open(files[3], "wb") as file:
        file.write(b"no image any more")
    with pytest.raises(ValueError, match="row 3"):
        fitted.predict(files)


def unequal(image):
    return torch.zeros(3, image.size[1], image.size[0])


@pytest.mark.parametrize("freeze", ["early", None])
def test_rows_of_unlike_shape_are_refused(freeze, images, labels):
    samples = [*images[:19], images[19][:20]]
    with pytest.raises(ValueError, match=r"row 19"):
        visual(freeze=freeze, preprocess=unequal).fit(samples, labels)


@pytest.mark.parametrize("preprocess", [None, small_networks.to_pixels])
def test_augmentation_needs_the_usual_preprocessing(preprocess, images, labels):
    samples = images if preprocess else RNG.normal(size=(20, 3, 32, 32))
    with pytest.raises(ValueError, match="augment='flip' needs preprocess='auto'"):
        visual(augment="flip", preprocess=preprocess).fit(samples, labels)


def test_in_a_pipeline_and_a_search_in_two_processes():
    pipe = make_pipeline(StandardScaler(), tabular())
    grid = {
        "finetunedclassifier__freeze": ["0", None],
        "finetunedclassifier__lr": [1e-9, 1e-2],
    }
    search = GridSearchCV(pipe, grid, cv=3, n_jobs=2).fit(TABLE, CLASSES)
    assert search.best_params_["finetunedclassifier__lr"] == 1e-2
    alone = GridSearchCV(pipe, grid, cv=3).fit(TABLE, CLASSES)
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(search.cv_results_[name], alone.cv_results_[name])


def test_after_a_column_transformer(files, labels):
    frame = pd.DataFrame({"file": files, "site": range(20)})
    columns = ColumnTransformer([("images", "passthrough", ["file"])])
    found = make_pipeline(columns, visual()).fit(frame, labels).predict_proba(frame)
    np.testing.assert_array_equal(found, visual().fit(files, labels).predict_proba(files))


MODELS = {
    "module": lambda: small_networks.staged(),
    "factory": lambda: small_networks.staged_net,
    "name": lambda: "test_resnet",
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("freeze", ["all", "stem", None])
def test_labels_drawn_at_random_stay_at_chance_after_a_fit(model, freeze):
    rng = np.random.default_rng(3)
    X = rng.integers(0, 255, (40, 32, 32, 3), dtype=np.uint8)
    y = rng.permutation(np.arange(40) % 2)
    freeze = 0 if freeze == "stem" else freeze
    estimator = visual(
        MODELS[model](), weights=None if model == "name" else "pretrained", freeze=freeze,
        max_epochs=3, input_size=32,
    )  # fmt: skip
    cv = StratifiedKFold(5)
    before = cross_val_score(estimator, X, y, cv=cv)
    estimator.fit(X, y)
    np.testing.assert_array_equal(cross_val_score(estimator, X, y, cv=cv), before)
    assert 0.2 <= before.mean() <= 0.8


def test_a_clone_of_a_fitted_estimator_begins_anew(images, labels):
    estimator = visual().fit(images, labels)
    other = clone(estimator)
    assert not hasattr(other, "history_")
    assert other.model is not estimator._network.body
    np.testing.assert_array_equal(
        other.fit(images, labels).predict_proba(images), estimator.predict_proba(images)
    )


def test_a_failed_fit_leaves_no_old_fit_behind(images, labels):
    estimator = visual().fit(images, labels)
    with pytest.raises(ValueError, match="freeze"):
        estimator.set_params(freeze="nowhere").fit(images, labels)
    assert not hasattr(estimator, "history_")
    assert not hasattr(estimator, "classes_")


def test_a_pickle_predicts_in_another_process(images, labels, tmp_path):
    import pickle

    fitted = visual().fit(images, labels)
    files = [str(tmp_path / name) for name in ("model", "X.npy", "P.npy")]
    with open(files[0], "wb") as file:
        pickle.dump(fitted, file)
    np.save(files[1], images)
    code = (
        "import pickle, sys, numpy as np\n"
        "m, X, P = sys.argv[1:]\n"
        "model = pickle.load(open(m, 'rb'))\n"
        "np.save(P, model.predict_proba(np.load(X)))\n"
        "model.partial_fit(np.load(X), ['dark', 'light'] * 10)\n"
        "assert len(model.history_) == 4\n"
    )
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", code, *files], check=True, env=env)
    np.testing.assert_allclose(np.load(files[2]), fitted.predict_proba(images), atol=1e-5)


def test_deterministic_random_states(images, labels):
    def proba(random_state):
        fitted = visual(model=small_networks.staged_net, random_state=random_state)
        return fitted.fit(images, labels).predict_proba(images)

    np.testing.assert_array_equal(
        proba(np.random.RandomState(4)), proba(np.random.RandomState(4))
    )
    assert not np.array_equal(proba(None), proba(None))
    state = np.random.RandomState(4)
    assert not np.array_equal(proba(state), proba(state))


def test_the_html_names_the_network(images, labels):
    fitted = visual(model="test_resnet", weights=None, input_size=32, freeze="middle")
    html = fitted.fit(images, labels)._repr_html_()
    assert "test_resnet, random weights, freeze=&#x27;middle&#x27;, 3 epochs" in html


def test_bytes_in_memory_are_files(images, labels):
    buffers = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "png")
        buffers.append(buffer.getvalue())
    fitted = visual().fit(buffers, labels)
    np.testing.assert_allclose(
        fitted.predict_proba(buffers), fitted.predict_proba(images), atol=1e-6
    )
