"""`save` and `load`, and training that goes on: partial_fit."""

import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, PretrainedFeatures
from tests import small_networks

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(40, 5))
CLASSES = np.array(["a", "b", "c"])[TABLE[:, :3].argmax(axis=1)]


def tabular(kind=FineTunedClassifier, **options):
    defaults = {
        "model": small_networks.perceptron,
        "preprocess": None,
        "freeze": None,
        "lr": 1e-2,
    }
    return kind(**{**defaults, "max_epochs": 4, "batch_size": 10, **options})


def visual(model=None, kind=FineTunedClassifier, **options):
    defaults = {"max_epochs": 2, "lr": 1e-2, "engine": "torch", "batch_size": 8}
    model = small_networks.staged() if model is None else model
    return kind(model, **{**defaults, "freeze": "early", **options})


def record_of(folder):
    return json.loads((folder / "estimator.json").read_text())


def rewrite(folder, **changes):
    record = {**record_of(folder), **changes}
    (folder / "estimator.json").write_text(json.dumps(record))


@pytest.mark.parametrize("freeze", ["all", "early", None, ["stem", "late"]])
def test_a_loaded_network_predicts_the_same(freeze, images, labels, tmp_path):
    model = small_networks.staged()
    fitted = visual(model, freeze=freeze).fit(images, labels)
    assert fitted.save(tmp_path) is fitted
    loaded = FineTunedClassifier.load(tmp_path, model=small_networks.staged_net)
    for method in ("predict_proba", "decision_function", "transform"):
        found, expected = (getattr(m, method)(images) for m in (loaded, fitted))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(loaded.predict(images), fitted.predict(images))
    assert loaded.history_ == fitted.history_
    assert loaded.weights_sha256_ == fitted.weights_sha256_
    assert loaded.freeze == fitted.freeze


def test_named_networks_need_no_objects(images, labels, tmp_path):
    fitted = visual("test_resnet", weights=None, freeze="middle", input_size=(32, 32))
    fitted.fit(images, labels).save(tmp_path)
    loaded = FineTunedClassifier.load(str(tmp_path))
    np.testing.assert_allclose(
        loaded.predict_proba(images), fitted.predict_proba(images), atol=1e-5
    )
    assert loaded.get_params() == fitted.get_params()


def test_names_of_columns_are_kept(tmp_path):
    frame = pd.DataFrame(TABLE, columns=list("vwxyz"))
    tabular().fit(frame, CLASSES).save(tmp_path)
    loaded = FineTunedClassifier.load(tmp_path, model=small_networks.perceptron)
    assert list(loaded.feature_names_in_) == list("vwxyz")
    assert loaded.n_features_in_ == 5
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame[list("zyxwv")])


TARGETS = {
    "gapped": np.array([5, 7, 300])[np.arange(40) % 3],
    "bools": np.arange(40) % 2 == 0,
    "floats": np.array([0.0, 2.0])[np.arange(40) % 2],
    "labels": (TABLE[:, :3] > 0).astype(int),
    "tasks": np.column_stack([CLASSES, np.array(["x", "y"])[np.arange(40) % 2]]),
}


@pytest.mark.parametrize("sort", TARGETS)
def test_targets_of_any_sort_are_kept(sort, tmp_path):
    fitted = tabular().fit(TABLE, TARGETS[sort])
    fitted.save(tmp_path)
    loaded = FineTunedClassifier.load(tmp_path, model=small_networks.perceptron)
    found, expected = loaded.predict(TABLE), fitted.predict(TABLE)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


def test_numbers_are_kept_on_their_scale(tmp_path):
    y = 1e4 * TABLE[:, :2] + 1e5
    fitted = tabular(FineTunedRegressor).fit(TABLE, y)
    fitted.save(tmp_path)
    loaded = FineTunedRegressor.load(tmp_path, model=small_networks.perceptron)
    np.testing.assert_allclose(loaded.predict(TABLE), fitted.predict(TABLE), rtol=1e-5)


def test_a_folder_holds_numbers_and_text_alone(images, labels, tmp_path):
    folder = tmp_path / "new" / "folder"
    visual().fit(images, labels).save(folder)
    assert sorted(os.listdir(folder)) == ["estimator.json", "weights.safetensors"]


class Bomb:
    def __reduce__(self):
        return (os.mkdir, (os.environ["BOMB"],))


def test_nothing_in_a_folder_is_executed(images, labels, tmp_path, monkeypatch):
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    folder = tmp_path / "model"
    visual().fit(images, labels).save(folder)
    for name in ("weights.pkl", "weights.pt", "estimator.pkl", "targets.pickle"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    FineTunedClassifier.load(folder, model=small_networks.staged())
    (folder / "weights.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="weights.safetensors"):
        FineTunedClassifier.load(folder, model=small_networks.staged())
    assert not (tmp_path / "exploded").exists()


def test_objects_that_files_cannot_hold_are_named(images, labels, tmp_path):
    visual(preprocess=small_networks.to_pixels).fit(images, labels).save(tmp_path)
    with pytest.raises(
        ValueError, match=r"with model and preprocess of your own.*model=\.\.\."
    ):
        FineTunedClassifier.load(tmp_path)
    with pytest.raises(ValueError, match="with preprocess of your own"):
        FineTunedClassifier.load(tmp_path, model=small_networks.staged())
    FineTunedClassifier.load(
        tmp_path, model=small_networks.staged(), preprocess=small_networks.to_pixels
    )


def test_other_classes_are_refused(images, labels, tmp_path):
    visual().fit(images, labels).save(tmp_path)
    with pytest.raises(ValueError, match=r"holds a FineTunedClassifier: use Fine.*\.load"):
        FineTunedRegressor.load(tmp_path, model=small_networks.staged())


def test_other_formats_are_refused(images, labels, tmp_path):
    visual().fit(images, labels).save(tmp_path)
    rewrite(tmp_path, format=99)
    with pytest.raises(ValueError, match="has format 99, expected 1"):
        FineTunedClassifier.load(tmp_path, model=small_networks.staged())


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder that save"):
        FineTunedClassifier.load(tmp_path)


def test_a_folder_without_weights_is_refused(images, labels, tmp_path):
    visual().fit(images, labels).save(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="weights.safetensors"):
        FineTunedClassifier.load(tmp_path, model=small_networks.staged())


@pytest.mark.parametrize("name", ["estimator.json", "weights.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_files_cut_short_are_refused(name, share, images, labels, tmp_path):
    visual().fit(images, labels).save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"{name}.*damaged.*save it again"):
        FineTunedClassifier.load(tmp_path, model=small_networks.staged())


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        '{"class": "FineTunedClassifier"}',
        '{"class": "FineTunedClassifier", "format": 1}',
    ],
)
def test_records_of_something_else_are_refused(content, tmp_path):
    (tmp_path / "estimator.json").write_text(content)
    with pytest.raises(ValueError, match=r"estimator.json.*damaged"):
        FineTunedClassifier.load(tmp_path)


def test_a_folder_without_the_shape_of_samples_is_refused(images, labels, tmp_path):
    visual().fit(images, labels).save(tmp_path)
    record = record_of(tmp_path)
    del record["signature"]
    (tmp_path / "estimator.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"estimator.json.*damaged \(signature missing"):
        FineTunedClassifier.load(tmp_path, model=small_networks.staged())


def test_another_network_is_refused(images, labels, tmp_path):
    visual().fit(images, labels).save(tmp_path)
    with pytest.raises(ValueError, match="do not fit model=ByPassed"):
        FineTunedClassifier.load(tmp_path, model=small_networks.ByPassed())


def test_saving_again_replaces(images, labels, tmp_path):
    visual().fit(images, labels).save(tmp_path)
    second = visual(random_state=5, max_epochs=3).fit(images, labels).save(tmp_path)
    loaded = FineTunedClassifier.load(tmp_path, model=small_networks.staged())
    np.testing.assert_allclose(
        loaded.predict_proba(images), second.predict_proba(images), atol=1e-5
    )


def test_unfitted_estimators_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match="not fitted yet"):
        visual().save(tmp_path)


def test_first_call_of_partial_fit_takes_the_classes():
    model = tabular().partial_fit(TABLE[:2], ["a", "b"], classes=["a", "b", "c", "d"])
    assert list(model.classes_) == ["a", "b", "c", "d"]
    model.partial_fit(TABLE, CLASSES).partial_fit(TABLE[:1], ["d"])
    assert model.predict_proba(TABLE).shape == (40, 4)
    assert model.n_iter_ == 3


@pytest.mark.parametrize("classes", [[7, 5], (5, 7), np.array([7, 5])], ids=str)
def test_classes_may_be_given_in_every_call_in_any_order(classes):
    y = np.array([5, 7])[np.arange(40) % 2]
    model = tabular()
    for _ in range(2):
        model.partial_fit(TABLE, y, classes=classes)
    assert list(model.classes_) == [5, 7]


def test_classes_of_several_tasks_are_one_list_a_task():
    y = np.column_stack([CLASSES, np.array(["x", "y"])[np.arange(40) % 2]])
    model = tabular()
    for _ in range(2):
        model.partial_fit(TABLE, y, classes=[["a", "b", "c", "d"], ["y", "x"]])
    assert [len(classes) for classes in model.classes_] == [4, 2]
    with pytest.raises(ValueError, match="are not those of the first call"):
        model.partial_fit(TABLE, y, classes=[["a", "b", "c", "d"], ["y", "z"]])


def test_partial_fit_learns():
    model = tabular(lr=0.03)
    for _ in range(30):
        model.partial_fit(TABLE, CLASSES)
    assert model.score(TABLE, CLASSES) > 0.9
    losses = [row["train_loss"] for row in model.history_]
    assert losses[-1] < 0.5 * losses[0]
    assert all(row["lr"] == 0.03 for row in model.history_)


def test_unknown_classes_are_named():
    model = tabular().partial_fit(TABLE, CLASSES)
    with pytest.raises(ValueError, match="'zebra' in row 2"):
        model.partial_fit(TABLE[:3], ["a", "b", "zebra"])
    model = tabular()
    with pytest.raises(ValueError, match="'c' in row"):
        model.partial_fit(TABLE, CLASSES, classes=["a", "b"])


def test_other_classes_in_a_later_call_are_refused():
    model = tabular().partial_fit(TABLE, CLASSES, classes=["c", "a", "b"])
    model.partial_fit(TABLE, CLASSES, classes=np.array(["a", "b", "c"]))
    with pytest.raises(ValueError, match="are not those of the first call"):
        model.partial_fit(TABLE, CLASSES, classes=["a", "b"])


@pytest.mark.parametrize("freeze", ["all", "early", None])
@pytest.mark.parametrize("start", ["fit", "partial_fit", "pickle", "load"])
def test_partial_fit_keeps_frozen_layers(freeze, start, images, labels, tmp_path):
    net = small_networks.staged()
    model = visual(net, freeze=freeze)
    if start != "partial_fit":
        model.fit(images, labels)
    if start == "pickle":
        model = pickle.loads(pickle.dumps(model))
    if start == "load":
        model = FineTunedClassifier.load(model.save(tmp_path) and tmp_path, model=net)
    for rows in (slice(None), slice(3, 12), slice(9, 10)):
        model.partial_fit(images[rows], labels[rows], classes=["dark", "light"])
    before, after = net.state_dict(), model._network.body.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    kept = {"all": "", "early": ("stem", "early"), None: "-"}[freeze]
    assert {name for name in before if name.startswith(kept)} <= same
    assert len(same) == len(before) or freeze != "all"
    assert freeze == "all" or "late.conv.weight" not in same
    np.testing.assert_allclose(model.predict_proba(images).sum(axis=1), 1)


def test_partial_fit_of_a_regressor_keeps_the_first_scale():
    model = tabular(FineTunedRegressor).partial_fit(TABLE, TABLE[:, 0])
    model.partial_fit(TABLE, TABLE[:, 0] + 100)
    expected = tabular(FineTunedRegressor).partial_fit(TABLE, TABLE[:, 0])
    task, first = model._targets.tasks[0], expected._targets.tasks[0]
    np.testing.assert_array_equal(task.mean, first.mean)
    np.testing.assert_array_equal(task.scale, first.scale)


def test_features_of_a_probe_are_those_of_the_network(images, labels):
    model = small_networks.staged()
    fitted = visual(model, freeze="all").fit(images, labels)
    features = PretrainedFeatures(model, engine="torch").fit_transform(images)
    np.testing.assert_allclose(fitted.transform(images), features, atol=1e-6)


def test_fine_tuned_features_reach_the_head(images, labels):
    fitted = visual(freeze=None).fit(images, labels)
    features = torch.from_numpy(fitted.transform(images))
    with torch.no_grad():
        logits = fitted._network.head(features).numpy()
    margin = logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(fitted.decision_function(images), margin, atol=1e-5)
