"""Fine-tuning on several columns at once: a network for each, and one head on all of them."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_transfer import (
    FineTunedClassifier,
    FineTunedFeatures,
    FineTunedRegressor,
    PretrainedAudioFeatures,
    PretrainedFeatures,
    PretrainedTextFeatures,
    TargetDomain,
)
from tests import small_networks, small_texts

WORDS = ["red", "green", "blue", "cat", "dog", "fish", "is"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(small_texts.write_bert(tmp_path_factory.mktemp("texts") / "net"))


@pytest.fixture
def table(images):
    rng = np.random.default_rng(0)
    titles = [" ".join(rng.choice(WORDS, size=rng.integers(1, 5))) for _ in range(20)]
    columns = {"photo": list(images), "title": titles, "size": rng.normal(size=20)}
    return pd.DataFrame({**columns, "unused": "x"})


def make_tuner(bert, kind=FineTunedClassifier, **params):
    model = {"photo": small_networks.staged(), "title": bert, "size": "passthrough"}
    options = {"max_epochs": 2, "lr": 1e-3, "engine": "torch", "model": model}
    return kind(**{**options, **params})


# ---- what is trained, and how


def test_the_head_gets_the_embeddings_of_all_columns(table, labels, bert):
    model = {"photo": small_networks.staged(), "title": bert, "size": "passthrough"}
    fitted = make_tuner(bert, freeze="all", model=model).fit(table, labels)
    photos = PretrainedFeatures(model["photo"], engine="torch").fit_transform(table["photo"])
    titles = PretrainedTextFeatures(bert, engine="torch").fit_transform(table["title"])
    found = fitted.transform(table)
    assert np.allclose(found[:, : photos.shape[1]], photos, atol=1e-6)
    middle = found[:, photos.shape[1] : -1]
    scale = np.linalg.norm(middle, axis=1, keepdims=True)
    assert np.allclose(middle / scale, titles, atol=1e-6)  # heads get norms, too
    assert np.allclose(found[:, -1], table["size"])


def test_what_only_one_column_tells_is_learned_from_it(bert, images):
    rng = np.random.default_rng(0)
    title = np.array(["red cat", "blue dog"])[np.arange(20) % 2]
    dark = rng.integers(0, 50, images.shape)
    light = np.arange(20) // 2 % 2
    photos = (dark + 150 * light[:, None, None, None]).astype(np.uint8)
    X = pd.DataFrame({"photo": list(photos), "title": title, "size": 0.0})
    y = [f"{a}{b}" for a, b in zip(np.arange(20) % 2, light, strict=True)]
    fitted = make_tuner(bert, freeze="all", schedule="lp-ft").fit(X, y)
    assert fitted.score(X, y) == 1.0
    assert fitted.score(X.assign(title=title[::-1]), y) == 0.0


@pytest.mark.parametrize(
    ("freeze", "ends", "fixed"),
    [
        ("all", ["embedding", "embedding", None], {"photo", "title"}),
        ("early", None, None),
        (0, ["body.stem", "body.network.encoder.layer.0", None], set()),
        ({"photo": "late", "title": "all"}, ["body.late", "embedding", None], {"title"}),
        ({"title": "shallow"}, [None, "body.network.encoder.layer.0", None], set()),
        (["photo.stem.*"], ["body.stem", None, None], set()),
        (["title.*"], [None, "body.network.encoder.layer.2", None], {"title"}),
        (None, [None, None, None], set()),
    ],
    ids=["all", "one column's", "index", "mapping", "one column", "stem", "text", "None"],
)
def test_each_column_is_frozen_by_itself(table, labels, bert, freeze, ends, fixed):
    tuner = make_tuner(bert, freeze=freeze, lr=1e-2)
    if ends is None:
        with pytest.raises(ValueError, match="'early' names no layer of"):
            tuner.fit(table, labels)
        return
    tuner.fit(table, labels)
    prefixes = tuner._prefix.prefixes.values()
    assert [None if p is None else p.boundary for p in prefixes] == ends
    start, _ = tuner._load_backbone()
    for name in ("photo", "title"):
        now = tuner._network.columns[name].body.state_dict()
        before = start.columns[name].module.state_dict()
        moved = [inner for inner in now if not torch.equal(now[inner], before[inner])]
        assert (not moved) == (name in fixed)


def test_activations_of_frozen_layers_are_computed_once(table, labels, bert):
    for _ in range(2):
        make_tuner(bert, freeze={"photo": "late", "title": 0}).fit(table, labels)
    counts = list(small_networks.Watched.seen.values())  # random images, too
    assert counts.count(1) >= 20


def test_with_and_without_kept_activations_the_network_is_the_same(table, labels, bert):
    first = make_tuner(bert, freeze="deep").fit(table, labels).predict_proba(table)
    second = make_tuner(bert, freeze="deep", cache=None).fit(table, labels)
    assert np.allclose(second.predict_proba(table), first, atol=1e-5)


@pytest.mark.parametrize("schedule", ["lp-ft", "gradual"])
def test_schedules_begin_with_the_head(table, labels, bert, schedule):
    fitted = make_tuner(bert, schedule=schedule, freeze=0, max_epochs=4).fit(table, labels)
    phases = [entry["phase"] for entry in fitted.history_]
    assert phases[0] == "probe"
    if schedule == "gradual":
        assert any("photo." in phase and "title." in phase for phase in phases)
    assert phases[-1] == "train"


def test_learning_rates_fall_with_the_depth_of_each_column(table, labels, bert):
    fitted = make_tuner(bert, freeze=None, layer_decay=0.5).fit(table, labels)
    rates = {group["base_lr"] for group in fitted.net_.optimizer_.param_groups}
    assert {1e-3, 5e-4, 2.5e-4} <= rates


def test_rows_of_weight_zero_are_left_out(table, labels, bert):
    weights = np.ones(20)
    weights[[3, 8]] = 0
    kept = weights > 0
    found = make_tuner(bert).fit(table, labels, weights).predict_proba(table)
    alone = make_tuner(bert).fit(table[kept], labels[kept]).predict_proba(table)
    assert np.allclose(found, alone, atol=1e-6)


@pytest.mark.parametrize("freeze", ["all", "middle"])
@pytest.mark.filterwarnings("ignore:Adaptation with")
def test_both_domains_are_tables(table, labels, bert, freeze):
    tuner = make_tuner(bert, adapt="coral", freeze=freeze)
    target = table.iloc[::-1]
    known = [None] * 18 + ["dark", "light"]
    tuner.fit(table, labels, X_target=TargetDomain(target, known))
    assert tuner.adapt_report_.n_target == 20
    assert tuner.adapt_report_.n_labeled == 22
    stacked = pd.concat([table, target])
    domain = np.repeat([1, -1], 20)
    tuner.fit(stacked, np.concatenate([labels, labels]), sample_domain=domain)
    assert tuner.adapt_report_.n_target == 20


def test_images_are_augmented_and_texts_are_not(table, labels, bert):
    fitted = make_tuner(bert, augment="flip").fit(table, labels)
    assert fitted._prefix.prefixes["photo"] is None
    assert fitted._prefix.prefixes["title"] is not None


def test_a_column_with_a_preprocess_is_not_augmented_without_a_word(table, labels):
    own = PretrainedFeatures(small_networks.staged(), preprocess=small_networks.to_pixels)
    model = {"photo": small_networks.staged(), "other": own}
    tuner = FineTunedClassifier(model, max_epochs=1, augment="flip")
    with pytest.warns(UserWarning, match="augment='flip' leaves column 'other' as it is"):
        tuner.fit(table.assign(other=table["photo"]), labels)


def test_early_stopping_and_validation_take_tables(table, labels, bert):
    stopped = make_tuner(bert, early_stopping=1, validation_fraction=0.3).fit(table, labels)
    given = make_tuner(bert).fit(table, labels, X_val=table, y_val=labels)
    for fitted in (stopped, given):
        assert {"valid_loss", "valid_score"} <= fitted.history_[0].keys()


def test_numbers_are_predicted_and_training_goes_on(table, bert):
    y = table["size"].to_numpy()
    fitted = make_tuner(bert, kind=FineTunedRegressor).fit(table, y)
    before = fitted.predict(table)
    fitted.partial_fit(table, y)
    assert (fitted.predict(table) != before).any()
    assert len(fitted.history_) == 3


# ---- tables


@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_frames_give_equal_predictions(tmp_path, table, labels, bert, frame):
    from PIL import Image

    paths = [str(tmp_path / f"{i}.png") for i in range(20)]
    for path, image in zip(paths, table["photo"], strict=True):
        Image.fromarray(image).save(path)
    X = table.assign(photo=paths, index=np.arange(20)[::-1]).set_index("index")
    X = pl.from_pandas(X) if frame == "polars" else X
    fitted = make_tuner(bert).fit(X, labels)
    expected = make_tuner(bert).fit(table, labels).predict_proba(table)
    assert np.allclose(fitted.predict_proba(X), expected, atol=1e-6)
    assert fitted.feature_names_in_.tolist() == list(X.columns)
    assert np.allclose(fitted.predict_proba(X[3:5]), expected[3:5], atol=1e-6)


def test_columns_in_another_order_and_unused_ones_change_nothing(table, labels, bert):
    fitted = make_tuner(bert).fit(table, labels)
    other = table[["size", "title", "photo"]]
    assert (fitted.predict_proba(other) == fitted.predict_proba(table)).all()


def test_column_names_of_any_kind(table, labels):
    model = {
        "type": PretrainedFeatures(small_networks.staged()),
        "a.b": "passthrough",
        "a_b": "passthrough",
    }
    X = table.rename(columns={"photo": "type", "size": "a.b"}).assign(a_b=1.0)
    fitted = FineTunedClassifier(model, max_epochs=1, freeze="late").fit(X, labels)
    assert fitted.transform(X).shape == (20, 7)


@pytest.mark.filterwarnings("ignore:.*cannot be used")
def test_missing_entries_count_as_the_mean(table, labels, bert):
    model = {
        "photo": PretrainedFeatures(small_networks.staged(), on_error="nan"),
        "title": PretrainedTextFeatures(bert, on_error="nan"),
    }
    table["photo"] = table["photo"].astype(object)
    table.at[3, "photo"], table.at[12, "photo"] = None, "no file.png"
    table.at[3, "title"] = None
    tuner = make_tuner(bert, model=model, freeze="all", schedule="lp-ft", adapt=None)
    with pytest.warns(UserWarning, match="2 of 20 entries of column 'photo' cannot be used"):
        tuner.fit(table, labels)
    with pytest.warns(UserWarning, match="1 of 1 entries of column 'photo'"):
        logits = tuner.decision_function(table.iloc[[3]])
    bias = tuner._network.head.linear.bias.detach().numpy()
    assert np.allclose(logits, bias[1] - bias[0], atol=1e-6)
    features = tuner.transform(table)
    n_photo = tuner._network.blocks["widths"][0]
    assert np.isnan(features[12, :n_photo]).all()
    assert np.isfinite(features[12, n_photo:]).all()
    assert np.allclose(tuner.decision_function(table)[3], logits, atol=1e-6)


@pytest.mark.parametrize("params", [{"freeze": None}, {"freeze": "all", "adapt": "coral"}])
@pytest.mark.filterwarnings("ignore:.*cannot be used", "ignore:Adaptation with")
def test_missing_entries_are_trained_with(table, labels, bert, params):
    model = {
        "photo": PretrainedFeatures(small_networks.staged(), on_error="nan"),
        "title": bert,
    }
    table["photo"] = table["photo"].astype(object)
    table.at[3, "photo"] = None
    target = {"X_target": table} if "adapt" in params else {}
    tuner = make_tuner(bert, model=model, **params).fit(table, labels, **target)
    assert np.isfinite(tuner.predict_proba(table)).all()
    state = tuner._network.state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


# ---- persistence and searches


def test_pickles_and_folders_predict_the_same(tmp_path, table, labels, bert):
    text = PretrainedTextFeatures(bert, max_length=6)
    model = {"photo": small_networks.staged(), "title": text, "size": "passthrough"}
    fitted = make_tuner(bert, model=model, freeze="middle", l2_sp=0.1).fit(table, labels)
    expected = fitted.predict_proba(table)
    copied = pickle.loads(pickle.dumps(fitted))
    assert np.allclose(copied.predict_proba(table), expected, atol=1e-6)
    assert joblib.hash(copied) == joblib.hash(fitted)
    fitted.save(tmp_path)
    with pytest.raises(ValueError, match=r"with model__photo of your own.* model__photo="):
        FineTunedClassifier.load(tmp_path)
    loaded = FineTunedClassifier.load(tmp_path, model__photo=small_networks.staged())
    assert np.allclose(loaded.predict_proba(table), expected, atol=1e-6)
    assert loaded.model["title"].max_length == 6
    assert len(loaded.partial_fit(table, labels).history_) == 3


def test_files_of_skops_predict_the_same(table, labels, bert):
    sio = pytest.importorskip("skops.io")
    model = {"photo": small_networks.staged_net, "title": bert, "size": "passthrough"}
    fitted = make_tuner(bert, model=model, max_epochs=1).fit(table, labels)
    written = sio.dumps(fitted)
    read = sio.loads(written, trusted=sio.get_untrusted_types(data=written))
    assert np.allclose(read.predict_proba(table), fitted.predict_proba(table), atol=1e-6)


def test_parameters_of_a_column_are_searched(table, labels, bert):
    text = PretrainedTextFeatures(bert)
    model = {"photo": small_networks.staged(), "title": text, "size": "passthrough"}
    tuner = make_tuner(bert, model=model, max_epochs=1)
    assert tuner.get_params()["model__title__max_length"] is None
    grid = {"model__title__max_length": [4, 6], "model__photo": [small_networks.staged()]}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tokens beyond")
        search = GridSearchCV(tuner, grid, cv=2, error_score="raise").fit(table, labels)
    assert search.best_estimator_.model["title"].max_length in (4, 6)
    assert text.max_length is None


def test_set_params_leaves_the_mapping_of_others(bert):
    tuner = make_tuner(bert)
    other = clone(tuner).set_params(model__size=bert, lr=0.5)
    assert other.model["size"] == bert
    assert tuner.model["size"] == "passthrough"
    given = dict(tuner.model)
    tuner.set_params(model__title="other")
    assert given["title"] == bert


def test_an_estimator_in_two_columns_is_searched_in_one(bert):
    text = PretrainedTextFeatures(bert)
    tuner = make_tuner(bert, model={"title": text, "unused": text})
    tuner.set_params(model__title__max_length=4)
    assert tuner.model["title"].max_length == 4
    assert tuner.model["unused"].max_length is None


def test_the_diagram_names_each_network(bert):
    text = make_tuner(bert)._repr_html_()
    assert "photo: Staged, its own weights; title: " in text
    assert "size: passthrough, freeze=" in text


def test_features_of_tables_are_cross_fitted(table, labels, bert):
    features = FineTunedFeatures(make_tuner(bert, max_epochs=1), cv=2, n_components=3)
    table.loc[5] = table.loc[2]
    assert features.fit_transform(table, labels).shape == (20, 3)
    assert features.folds_[5] == features.folds_[2]


@pytest.mark.parametrize("unit", [1e7, 1e-7])
def test_the_unit_of_a_column_does_not_matter_in_features_of_tables(table, labels, bert, unit):
    features = FineTunedFeatures(make_tuner(bert, max_epochs=1), cv=2, n_components=3)
    expected = features.fit_transform(table, labels)
    found = features.fit_transform(table.assign(size=unit * table["size"]), labels)
    assert np.allclose(found, expected, atol=1e-3)


# ---- messages


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"model": {}}, "model={} names no column"),
        ({"model": {"size": "passthrough"}}, "has no network: for numbers alone"),
        ({"model": {"photo": 3}}, r"model\['photo'\] is 3: expected the name of a network"),
        ({"model": {"nothing": "lite"}}, "X has no column 'nothing', which model names"),
        ({"model": {3: "lite"}}, "model has the key 3: expected names"),
        ({"input_size": 24}, "input_size=24 was given beside a model for each column"),
        ({"mixup": 0.2}, "mixup=0.2 mixes numbers of one array"),
        ({"freeze": {"photos": 0}}, "freeze names the column 'photos', and model has"),
        ({"freeze": ["stem.*"]}, "freeze names 'stem.*', which begins with no column"),
        ({"augment": "flap"}, "augment"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_parameters_that_do_not_fit_are_refused(table, labels, bert, params, match):
    with pytest.raises(ValueError, match=match):
        make_tuner(bert, **params).fit(table, labels)


def test_factories_of_outputs_and_tables_in_a_column_are_refused(table, labels):
    with pytest.raises(ValueError, match="is a callable that takes n_outputs"):
        FineTunedClassifier({"photo": small_networks.perceptron}).fit(table, labels)
    rows = PretrainedFeatures(small_networks.mlp, preprocess=None)
    with pytest.raises(ValueError, match="has preprocess=None, which takes tables"):
        FineTunedClassifier({"photo": rows}).fit(table, labels)


def test_options_of_a_column_that_cannot_be_trained_on_are_named(table, labels, bert):
    text = PretrainedTextFeatures(bert, long_text="windows")
    with pytest.raises(ValueError, match="Set model__title__long_text='truncate'"):
        FineTunedClassifier({"title": text}).fit(table, labels)


@pytest.mark.parametrize("freeze", ["all", "middle", None])
def test_sounds_are_a_column_like_others(tmp_path, table, labels, bert, freeze):
    from tests.sound_networks import make_sounds, write_network

    sounds = make_sounds(20)[0]
    network = PretrainedAudioFeatures(str(write_network(tmp_path / "net", "whisper")))
    model = {"sound": network, "title": bert}
    fitted = make_tuner(bert, model=model, freeze=freeze)
    X = table.assign(sound=sounds)
    fitted.fit(X, labels)
    alone = fitted.predict_proba(X[3:4])
    assert np.allclose(alone, fitted.predict_proba(X)[3], atol=1e-5)


def test_samples_without_columns_are_refused(table, labels, bert):
    with pytest.raises(ValueError, match="so X must be a DataFrame that has them, got list"):
        make_tuner(bert).fit(list(table["photo"]), labels)


def test_gaps_and_words_among_numbers_are_named(table, labels, bert):
    with pytest.raises(ValueError, match="column 'size': row 4 is missing or not finite"):
        make_tuner(bert).fit(table.assign(size=[1.0] * 4 + [np.nan] * 16), labels)
    with pytest.raises(ValueError, match=r"model\['size'\]='passthrough' is for numbers"):
        make_tuner(bert).fit(table.assign(size="big"), labels)


def test_an_entry_that_cannot_be_read_is_named(table, labels, bert):
    table["photo"] = table["photo"].astype(object)
    table.at[3, "photo"] = "no file.png"
    with pytest.raises(ValueError, match="row 3, column 'photo'"):
        make_tuner(bert).fit(table, labels)


@pytest.mark.parametrize(
    ("name", "match"),
    [("model__foto", "model has the columns"), ("model__title__depth", "has no parameters")],
)
def test_unknown_parameters_of_columns_are_refused(bert, name, match):
    with pytest.raises(ValueError, match=f"Invalid parameter '{name}'.*{match}"):
        make_tuner(bert).set_params(**{name: 1})


# ---- mappings in another order, or of other columns, after the training


@pytest.fixture
def sides(images):
    """Table of two columns of photos, with models of equal width, and a fitted tuner."""
    table = pd.DataFrame({"front": list(images), "back": list(images[::-1])})
    model = {"front": small_networks.staged_net, "back": small_networks.staged_net}
    y = np.arange(len(table)) % 2
    fitted = FineTunedClassifier(model, freeze="all", schedule="lp-ft")
    return table, model, fitted.fit(table, y)


def test_the_order_of_a_mapping_given_to_load_does_not_matter(tmp_path, sides):
    table, model, fitted = sides
    fitted.save(tmp_path)
    other = dict(reversed(model.items()))
    loaded = FineTunedClassifier.load(tmp_path, model=other)
    assert np.allclose(loaded.predict_proba(table), fitted.predict_proba(table), atol=1e-6)


def test_the_order_of_a_mapping_set_after_fit_does_not_matter(tmp_path, sides):
    table, model, fitted = sides
    expected = fitted.predict_proba(table)
    other = pickle.loads(pickle.dumps(fitted))
    other.set_params(model=dict(reversed(model.items())))
    assert np.allclose(other.predict_proba(table), expected, atol=1e-6)
    other.save(tmp_path)
    given = {f"model__{name}": value for name, value in model.items()}
    loaded = FineTunedClassifier.load(tmp_path, **given)
    assert np.allclose(loaded.predict_proba(table), expected, atol=1e-6)
    y = np.arange(len(table)) % 2
    expected = loaded.partial_fit(table, y).predict_proba(table)
    assert np.allclose(other.partial_fit(table, y).predict_proba(table), expected, atol=1e-6)


def test_other_columns_after_fit_are_refused(tmp_path, sides):
    table, model, fitted = sides
    other = pickle.loads(pickle.dumps(fitted))
    other.set_params(model={"front": model["front"]})
    with pytest.raises(ValueError, match="network was trained on.*'back'.*call fit"):
        other.predict(table)
    y = np.arange(len(table)) % 2
    assert other.set_params(max_epochs=1).fit(table, y).predict(table).shape == (len(table),)
    fitted.save(tmp_path)
    with pytest.raises(ValueError, match="network was trained on"):
        FineTunedClassifier.load(tmp_path, model={"front": model["front"]})


@pytest.mark.filterwarnings("ignore:.*cannot be used", "ignore:Adaptation with")
def test_trained_features_with_missing_entries_are_adapted(table, labels, bert):
    text = PretrainedTextFeatures(bert, on_error="nan")
    table.at[3, "title"] = None
    tuner = make_tuner(bert, model={"title": text}, freeze="middle", adapt="mmd")
    tuner.fit(table, labels, X_target=table)
    assert np.isfinite(tuner.history_[-1]["adapt_loss"])
    assert np.isfinite(tuner.predict_proba(table)).all()


def test_statistics_of_random_networks_are_learned_beside_pretrained_ones(table, labels, bert):
    model = {"photo": small_networks.staged_net, "title": bert}
    means = []
    for columns in ({"photo": model["photo"]}, model):
        fitted = make_tuner(bert, model=columns, freeze=None).fit(table, labels)
        means.append(fitted._network.columns["photo"].body.early.norm.running_mean)
    assert means[0].abs().max() > 0
    assert torch.allclose(means[0], means[1], atol=1e-3)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (
            {"model__titel": "other"},
            "Invalid parameter 'model__titel'.*saved with the columns",
        ),
        ({"model__size__max_length": 4}, "Invalid parameter 'model__size__max_length'"),
        ({"model__title": "other"}, "Column 'title' was saved with PretrainedTextFeatures"),
        (
            {"model": {"title": "other", "size": "passthrough"}},
            "Column 'title' was saved with",
        ),
        ({"model": "other"}, "saved with a model for each of the columns"),
    ],
    ids=["unknown", "of a plain model", "kind", "kind in a mapping", "no mapping"],
)
def test_what_load_cannot_use_is_refused(tmp_path, table, labels, bert, given, match):
    model = {"title": PretrainedTextFeatures(bert, max_length=6), "size": "passthrough"}
    make_tuner(bert, model=model, max_epochs=1, freeze="all").fit(table, labels).save(tmp_path)
    with pytest.raises(ValueError, match=match):
        FineTunedClassifier.load(tmp_path, **given)


@pytest.mark.parametrize(
    "entries",
    [
        pd.date_range("2026-01-01", periods=20),
        pd.to_timedelta(np.arange(20), "D"),
        np.arange(20) * 1j,
        pl.Series(np.zeros((20, 2))),
    ],
    ids=["dates", "durations", "complex", "arrays"],
)
def test_columns_of_other_than_real_numbers_are_refused(labels, bert, entries):
    X = pl.DataFrame({"title": ["red"] * 20})
    X = X.with_columns(size=entries) if isinstance(entries, pl.Series) else X.to_pandas()
    X = X if isinstance(entries, pl.Series) else X.assign(size=entries)
    model = {"title": bert, "size": "passthrough"}
    with pytest.raises(ValueError, match="is for one real number per row, and the column"):
        make_tuner(bert, model=model).fit(X, labels)


def test_numbers_that_float32_cannot_tell_apart_are_refused(table, labels, bert):
    seconds = 1.7e9 + 60 * np.arange(20)
    model = {"title": bert, "size": "passthrough"}
    with pytest.raises(ValueError, match="column 'size': numbers deviate .* lost in float32"):
        make_tuner(bert, model=model).fit(table.assign(size=seconds), labels)
    make_tuner(bert, model=model, max_epochs=1).fit(table.assign(size=0.1), labels)


@pytest.mark.parametrize("name", ["my photo", "type", "a.b"])
def test_patterns_begin_with_the_name_of_any_column(table, labels, bert, name):
    model = {name: small_networks.staged(), "a": bert}
    X = table.rename(columns={"photo": name, "title": "a"})
    tuner = make_tuner(bert, model=model, freeze=[f"{name}.stem.*"], max_epochs=1)
    fixed = tuner.fit(X, labels)._frozen.parameters
    assert {part.split(".")[2] for part in fixed} == {"stem"}


@pytest.mark.parametrize("max_epochs", [2, 4, 9])
def test_one_column_is_trained_as_its_network_alone(table, labels, max_epochs):
    network = small_networks.staged()
    options = {"schedule": "gradual", "freeze": 0, "max_epochs": max_epochs, "lr": 1e-2}
    alone = FineTunedClassifier(network, **options).fit(table["photo"], labels)
    fitted = FineTunedClassifier({"photo": network}, **options).fit(table, labels)
    expected = alone.predict_proba(table["photo"])
    assert np.allclose(fitted.predict_proba(table), expected, atol=1e-5)
