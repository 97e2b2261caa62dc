"""Fine-tuning of networks of texts."""

import pickle
import warnings

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_transfer import (
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedTextFeatures,
)
from sklearn_transfer._store.choice import choose_store
from tests.small_texts import TokenTable, write_bert

RUN = {"max_epochs": 2, "lr": 1e-2, "engine": "torch", "batch_size": 8}
RNG = np.random.default_rng(0)
COLORS, ANIMALS = ["red", "green", "blue"], ["cat", "dog", "fish"]
# A text of another length in each row; the class is what it names more of.
TEXTS = [
    " ".join(RNG.choice([COLORS, ANIMALS][i % 2], 1 + i % 8)) + " is" * (i % 3)
    for i in range(24)
]
CLASSES = np.array(["color", "animal"])[np.arange(24) % 2]
NUMBERS = np.array([len(text) for text in TEXTS], dtype=float)
# Whatever is frozen, and however it is trained.
WAYS = {
    "head alone": {"freeze": "all"},
    "middle": {"freeze": "middle"},
    "all but the last": {"freeze": 1},
    "the whole encoder": {"freeze": "deep"},
    "embeddings by name": {"freeze": "network.embeddings"},
    "patterns": {"freeze": ["network.embeddings", "network.encoder.layer.0"]},
    "nothing": {"freeze": None},
    "lp-ft": {"freeze": "middle", "schedule": "lp-ft"},
    "gradual": {"freeze": "shallow", "schedule": "gradual", "max_epochs": 4},
    "low rank": {"lora_rank": 2},
    "stopping": {"freeze": "middle", "early_stopping": 1, "validation_fraction": 0.3},
}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(write_bert(tmp_path_factory.mktemp("networks") / "bert"))


def fit(bert, y=CLASSES, kind=FineTunedClassifier, **options):
    return kind(bert, **{**RUN, **options}).fit(TEXTS, y)


@pytest.mark.parametrize("way", WAYS)
def test_outputs_do_not_depend_on_the_batch(way, bert):
    model = fit(bert, **WAYS[way])
    together = model.predict_proba(TEXTS)
    alone = np.concatenate([model.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_pickles_and_folders_predict_alike(way, bert, tmp_path):
    model = fit(bert, **WAYS[way])
    expected = model.predict_proba(TEXTS)
    found = pickle.loads(pickle.dumps(model)).predict_proba(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    model.save(tmp_path)
    found = FineTunedClassifier.load(tmp_path).predict_proba(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_a_frozen_prefix_changes_nothing(way, bert):
    found, expected = (fit(bert, cache=cache, **WAYS[way]) for cache in ("memory", None))
    np.testing.assert_allclose(found.transform(TEXTS), expected.transform(TEXTS), atol=1e-3)


@pytest.mark.filterwarnings("ignore:.*tokens beyond max_length:UserWarning")
def test_an_estimator_of_features_brings_its_options(bert):
    model = PretrainedTextFeatures(bert, max_length=5, prompt="is ")
    found = FineTunedClassifier(model, **RUN).fit(TEXTS, CLASSES)
    reader = found._make_reader(found._backbone)
    assert (reader.tokenization.max_length, reader.tokenization.prompt) == (5, "is ")
    np.testing.assert_array_equal(found.predict(["red cat dog"]), found.predict(["red cat"]))


@pytest.mark.filterwarnings("ignore:.*tokens beyond max_length:UserWarning")
def test_an_estimator_of_features_is_saved_with_the_network(bert, tmp_path):
    model = PretrainedTextFeatures(bert, max_length=5)
    found = FineTunedClassifier(model, **RUN).fit(TEXTS, CLASSES)
    found.save(tmp_path)
    loaded = FineTunedClassifier.load(tmp_path)
    assert loaded.model.max_length == 5
    np.testing.assert_allclose(loaded.transform(TEXTS), found.transform(TEXTS), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*tokens beyond max_length:UserWarning")
def test_options_of_reading_are_searched(bert):
    model = FineTunedClassifier(PretrainedTextFeatures(bert), **RUN)
    search = GridSearchCV(model, {"model__max_length": [3, 12]}, cv=2, error_score="raise")
    search.fit(TEXTS, CLASSES)
    assert search.best_params_["model__max_length"] in (3, 12)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"long_text": "windows"}, r"long_text='windows'\) cannot be fine-tuned.*truncate"),
        ({"n_dimensions": 8}, r"n_dimensions=8\) cannot be fine-tuned"),
        ({"layers": "middle"}, "freeze names layers"),
    ],
)
def test_options_without_meaning_are_refused(options, match, bert):
    model = FineTunedClassifier(PretrainedTextFeatures(bert, **options), **RUN)
    with pytest.raises(ValueError, match=match):
        model.fit(TEXTS, CLASSES)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"augment": "flip"}, "augment='flip'.*'text'; use augment='none'"),
        ({"mixup": 0.2}, "mixup=0.2.* a text has any number of them: set both to 0"),
        ({"cutmix": 1.0}, "cutmix=1.* a text has any number of them: set both to 0"),
    ],
)
def test_mixing_and_views_of_images_are_refused(options, match, bert):
    with pytest.raises(ValueError, match=match):
        fit(bert, **options)


def test_parameters_of_images_are_refused_beside_an_estimator_of_texts(bert):
    model = FineTunedClassifier(PretrainedTextFeatures(bert), input_size=64, **RUN)
    with pytest.raises(ValueError, match="input_size=64.*reads no images: leave input_size"):
        model.fit(TEXTS, CLASSES)


@pytest.mark.parametrize("option", [{"input_size": 64}, {"background": "red"}])
def test_parameters_of_images_are_refused_beside_a_name(option, bert):
    with pytest.raises(ValueError, match=r"is for images, and .* takes texts: leave"):
        fit(bert, **option)


@pytest.mark.filterwarnings("ignore:.*tokens beyond max_length:UserWarning")
def test_paths_are_warned_of(bert, tmp_path):
    paths = [tmp_path / f"{i}.txt" for i in range(4)]
    for path in paths:
        path.write_text("red")
    with pytest.warns(UserWarning, match="X looks like a column of file paths"):
        FineTunedClassifier(bert, **RUN).fit(list(map(str, paths)), [0, 1, 0, 1])


def test_files_of_skops_hold_the_network(bert):
    model = FineTunedClassifier(PretrainedTextFeatures(bert), freeze="middle", **RUN)
    model.fit(TEXTS, CLASSES)
    content = skops.io.dumps(model)
    trusted = skops.io.get_untrusted_types(data=content)
    found = skops.io.loads(content, trusted=trusted)
    np.testing.assert_allclose(found.transform(TEXTS), model.transform(TEXTS), atol=1e-5)


@pytest.mark.parametrize("freeze", ["all", "middle", None])
def test_a_missing_text_is_named_by_its_row(freeze, bert):
    texts = [*TEXTS[:5], None, *TEXTS[6:]]
    model = FineTunedClassifier(PretrainedTextFeatures(bert), freeze=freeze, **RUN)
    with pytest.raises(ValueError, match=r"row 5.*is missing, expected a string"):
        model.fit(texts, CLASSES)


def test_lower_layers_run_once_for_each_text(bert):
    model = fit(bert, freeze="middle", max_epochs=3)
    info = choose_store("memory", activations=True).info()
    assert (info.hits, info.misses) == (24 - len(set(TEXTS)), len(set(TEXTS)))
    model.predict(TEXTS)
    assert choose_store("memory", activations=True).info().misses == len(set(TEXTS))


def test_activations_beyond_the_folder_are_warned_of(bert, tmp_path, monkeypatch):
    monkeypatch.setenv("SKLEARN_TRANSFER_DISK_CACHE_BYTES", "2000")
    message = (
        r"The activations of 24 samples, .*do not fit into the cache.*DISK_CACHE_BYTES\.$"
    )
    with pytest.warns(UserWarning, match=message):
        fit(bert, freeze="middle", cache=tmp_path / "cache")


def test_activations_that_fit_into_the_folder_are_silent(bert, tmp_path):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        fit(bert, freeze="middle", cache=tmp_path / "cache")
    assert found == []


def test_activations_beyond_a_limit_are_kept_in_a_file(bert, monkeypatch):
    expected = fit(bert, freeze="middle").transform(TEXTS)
    monkeypatch.setenv("SKLEARN_TRANSFER_TRAINING_BYTES", "1000")
    found = fit(bert, freeze="middle").transform(TEXTS)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("freeze", ["all", "middle"])
@pytest.mark.parametrize("adapt", ["mcc", "coral", "dann"])
def test_networks_adapt_to_texts_of_another_domain(adapt, freeze, bert):
    target = [f"is {text}" for text in TEXTS[:10]]
    model = FineTunedClassifier(bert, freeze=freeze, adapt=adapt, **RUN)
    model.fit(TEXTS, CLASSES, X_target=target)
    assert model.adapt_report_.n_steps == 6
    together = model.predict_proba(target)
    alone = np.concatenate([model.predict_proba([text]) for text in target])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_labels_of_several_tasks_are_learned(bert):
    y = np.column_stack([CLASSES, np.where(NUMBERS > 12, "long", "short")])
    model = fit(bert, y, freeze="middle")
    assert [len(p[0]) for p in model.predict_proba(TEXTS)] == [2, 2]


def test_a_weight_of_two_counts_as_two_texts(bert):
    weights = np.where(np.arange(24) < 4, 2.0, 1.0)
    options = {"freeze": "middle", "batch_size": 64, "schedule": "lp-ft"}
    found = FineTunedClassifier(bert, **{**RUN, **options})
    found.fit(TEXTS, CLASSES, sample_weight=weights)
    twice = FineTunedClassifier(bert, **{**RUN, **options})
    twice.fit([*TEXTS, *TEXTS[:4]], [*CLASSES, *CLASSES[:4]])
    assert found.history_[0]["train_loss"] == pytest.approx(
        twice.history_[0]["train_loss"], abs=1e-5
    )


def test_training_goes_on(bert):
    model = FineTunedClassifier(bert, freeze="middle", **RUN)
    model.partial_fit(TEXTS, CLASSES).partial_fit(TEXTS[:9], CLASSES[:9])
    assert [entry["phase"] for entry in model.history_] == ["partial_fit"] * 2


def test_the_net_takes_tokens_by_name(bert):
    model = fit(bert, freeze=None)
    tokens = {"input_ids": [[2, 4, 3]], "attention_mask": [[1, 1, 1]]}
    logits = model.net_.predict(tokens)
    found = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(found, model.predict_proba(["red"]), atol=1e-5)


def test_a_number_is_predicted_for_each_text(bert):
    model = fit(bert, NUMBERS, FineTunedRegressor)
    assert model.predict(TEXTS[:3]).shape == (3,)


def test_a_module_with_a_tokenizer_is_trained():
    model = FineTunedClassifier(TokenTable(), freeze="middle", **RUN).fit(TEXTS, CLASSES)
    assert model.predict_proba(TEXTS).shape == (24, 2)


def make_reviews(n, seed):
    """Sentences whose class is what they say, with a denial or without."""
    rng = np.random.default_rng(seed)
    words = [
        ["good", "great", "superb", "brilliant", "charming", "moving", "clever", "delightful"],
        ["bad", "poor", "awful", "terrible", "boring", "clumsy", "silly", "disappointing"],
    ]
    things = ["film", "plot", "camera", "battery", "book", "hotel", "song", "soup"]
    forms = [
        ("the {} was {}", False),
        ("what a {1} {0}", False),
        ("nobody would call this {} {}", True),
        ("this {} is anything but {}", True),
        ("I expected a {1} {0}, and got one", False),
        ("the {} was never {}, not even once", True),
    ]
    texts, classes = [], []
    for _ in range(n):
        form, denies = forms[rng.integers(len(forms))]
        kind = rng.integers(2)
        texts.append(form.format(rng.choice(things), rng.choice(words[kind])))
        classes.append(["good", "bad"][kind ^ denies])
    return texts, np.array(classes)


@pytest.mark.slow
def test_fine_tuning_is_at_least_as_good_as_frozen_features():
    X, y = make_reviews(120, 0)
    X_new, y_new = make_reviews(200, 1)
    frozen = make_pipeline(PretrainedTextFeatures(), LogisticRegression(max_iter=1000))
    expected = frozen.fit(X, y).score(X_new, y_new)
    model = FineTunedClassifier("all-MiniLM-L6-v2", max_epochs=8).fit(X, y)
    assert model.score(X_new, y_new) >= expected - 0.02
    together = model.predict_proba(X_new)
    alone = np.concatenate([model.predict_proba([text]) for text in X_new[:20]])
    np.testing.assert_allclose(alone, together[:20], atol=1e-4)
