"""PretrainedTextFeatures on a small network, and the default network where it counts."""

import json
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedFeatures, PretrainedTextFeatures
from tests import small_texts

ROOT = Path(__file__).parents[2]
X = ["red cat", "green dog is blue", "", "fish", "cat dog fish red green blue is is"]
LONG = "red cat dog fish green blue is red red cat dog fish green blue is cat fish"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_texts.write_bert(tmp_path_factory.mktemp("texts") / "net")


@pytest.fixture
def features(folder):
    return PretrainedTextFeatures(str(folder), cache=None, engine="torch")


def states_of(words):
    ids = [2, *map(small_texts.WORDS.index, words), 3]
    with torch.no_grad():
        return small_texts.make_bert()(torch.tensor([ids]))[0].numpy()


def embed(words):
    mean = states_of(words).mean(0)
    return mean / np.linalg.norm(mean)


def assert_rows(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected, axis=1).max() < tolerance


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
def test_embedding_is_the_normalized_mean(features, engine):
    found = features.set_params(engine=engine).fit_transform(X)
    assert_rows(found, np.stack([embed(text.split()) for text in X]))


@pytest.mark.parametrize("batch_size", [1, 2, "auto"])
def test_rows_depend_on_no_other_text(features, batch_size):
    features.set_params(batch_size=batch_size).fit(X)
    together = features.transform(X)
    assert_rows(np.vstack([features.transform([text]) for text in X]), together)
    assert_rows(features.transform(X[::-1])[::-1], together)


@pytest.mark.parametrize("pooling", ["avg", "max", "cls", "last"])
def test_poolings_leave_padding_out(features, pooling):
    found = features.set_params(pooling=pooling).fit_transform(X)
    reduce = {
        "avg": lambda s: s.mean(0),
        "max": lambda s: s.max(0),
        "cls": lambda s: s[0],
        "last": lambda s: s[-1],
    }[pooling]
    expected = np.stack([reduce(states_of(text.split())) for text in X])
    assert_rows(found, expected / np.linalg.norm(expected, axis=1, keepdims=True))


def test_flattening_is_refused(features):
    with pytest.raises(ValueError, match="pooling='flatten' keeps every token"):
        features.set_params(pooling="flatten").fit(X)


def test_last_token_of_an_image_is_refused(crops):
    with pytest.raises(ValueError, match="takes no texts"):
        PretrainedFeatures("test_vit", weights=None, pooling="last").fit(crops)


@pytest.mark.parametrize("layers", ["middle", 1, "network.encoder.layer.1"])
def test_layers_are_words_indices_and_names(features, layers):
    found = features.set_params(layers=layers).fit_transform(X)
    other = clone(features).set_params(layers=1).fit_transform(X)
    np.testing.assert_array_equal(found, other)
    assert not np.allclose(np.linalg.norm(found, axis=1), 1.0)


def test_list_of_layers_has_names(features):
    found = features.set_params(layers=["shallow", None]).fit(X)
    names = found.get_feature_names_out()
    assert [names[0], names[-1], len(names)] == ["shallow_0", "embedding_15", 32]
    assert found.transform(X).shape == (5, 32)


def test_leading_dimensions_are_normalized_again(features):
    whole = features.fit_transform(X)[:, :4]
    features.set_params(n_dimensions=4)
    expected = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    assert_rows(features.fit_transform(X), expected)
    assert len(features.get_feature_names_out()) == 4


def test_leading_dimensions_of_a_layer_are_refused(features):
    with pytest.raises(ValueError, match="n_dimensions=4 is for the embedding"):
        features.set_params(n_dimensions=4, layers="deep").fit(X)


def test_search_over_dimensions_computes_nothing_anew(folder):
    features = PretrainedTextFeatures(str(folder)).fit(X)
    features.clear_cache()
    features.transform(X)
    features.set_params(n_dimensions=2).transform(X)
    assert features.cache_info().misses == len(X)


def test_truncation_is_told_once(features):
    with pytest.warns(UserWarning, match=r"In 1 of 2 texts, first in row 1, .* 7 of 17, 41%"):
        found = features.fit_transform(["cat", LONG])
    assert_rows(found[1:], embed(LONG.split()[:10])[None])


def test_texts_that_are_equal_once_cut_are_counted(features):
    texts = [f"{LONG} {end}" for end in ("cat", "dog", "fish")]
    with pytest.warns(UserWarning, match=r"In 3 of 4 texts, first in row 1, .* 24 of 54, 44%"):
        features.fit_transform(["cat", *texts])


def test_nothing_is_told_where_nothing_is_cut(features):
    words = LONG.split()[:10]
    found = features.fit_transform([" ".join(words)])
    assert_rows(found, embed(words)[None])


def test_windows_are_averaged_by_their_tokens(features):
    found = features.set_params(long_text="windows").fit_transform(["cat", LONG, "dog"])
    words = LONG.split()
    means = [states_of(part).mean(0) for part in (words[:10], words[10:])]
    expected = np.average(means, axis=0, weights=[10, 7])
    assert_rows(found[1:2], (expected / np.linalg.norm(expected))[None])
    assert_rows(found[[0, 2]], np.stack([embed(["cat"]), embed(["dog"])]))


def test_windows_get_the_prompt(features):
    features.set_params(long_text="windows", prompt="is ", max_length=12)
    found = features.fit_transform([LONG])
    words = LONG.split()
    means = [states_of(["is", *part]).mean(0) for part in (words[:9], words[9:])]
    expected = np.average(means, axis=0, weights=[9, 8])
    assert_rows(found, (expected / np.linalg.norm(expected))[None])


def test_long_text_can_be_an_error(features):
    with pytest.raises(ValueError, match=r"row 1 .* has 17 tokens, and max_length=12"):
        features.set_params(long_text="raise").fit_transform(["cat", LONG])


def test_longer_limit_is_taken_up_to_the_positions(features):
    features.set_params(max_length=20).fit_transform([LONG])
    with pytest.raises(ValueError, match="takes 20 tokens at most"):
        features.set_params(max_length=21).fit(X)


def test_limit_without_room_is_refused(features):
    with pytest.raises(ValueError, match="max_length=2 leaves no room"):
        features.set_params(max_length=2).fit(X)


def test_prompt_is_as_if_it_were_in_the_text(tmp_path):
    folder = small_texts.write_bert(tmp_path / "net", prompts={"query": "is ", "none": ""})
    features = PretrainedTextFeatures(str(folder), cache=None, engine="torch")
    default = features.fit_transform(["red cat"])
    assert_rows(default, embed(["is", "red", "cat"])[None])
    for prompt in ("query", "is "):
        found = features.set_params(prompt=prompt).fit_transform(["red cat"])
        np.testing.assert_array_equal(found, default)
    features.set_params(prompt="none")
    assert_rows(features.fit_transform(["red cat"]), embed(["red", "cat"])[None])


def test_texts_of_equal_tokens_are_computed_once(folder):
    features = PretrainedTextFeatures(str(folder)).fit(X)
    features.clear_cache()
    features.transform(["red  cat", "red cat", "red\tcat"])
    features.set_params(prompt="red ").transform(["cat"])
    assert features.cache_info().misses == 1


def test_limit_is_in_no_key_of_a_short_text(folder):
    features = PretrainedTextFeatures(str(folder)).fit(X)
    features.clear_cache()
    features.transform(X)
    features.set_params(max_length=15, long_text="windows").transform(X)
    assert features.cache_info().misses == len(X)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (None, "is missing"),
        (float("nan"), "is missing"),
        (pd.NA, "is missing"),
        (np.float32("nan"), "is missing"),
        (3, "is of type int"),
        (b"cat", "is bytes"),
        (["cat"], "is of type list"),
        ("cat \ud83d", "lone surrogate"),
    ],
    ids=["None", "nan", "NA", "float32", "int", "bytes", "list", "surrogate"],
)
def test_bad_sample_is_named(features, sample, reason):
    with pytest.raises(ValueError, match=rf"row 1 .*{reason}"):
        features.fit_transform(["cat", sample, "dog"])


def test_bad_sample_gives_a_row_of_nan(features):
    features.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="3 of 4 samples cannot be used"):
        found = features.fit_transform(["cat", None, 5, "\udc00"])
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True]
    assert_rows(found[:1], embed(["cat"])[None])


@pytest.mark.parametrize(
    "container",
    [
        tuple,
        np.array,
        pd.Series,
        lambda X: np.array(X, dtype=object)[:, None],
        lambda X: pd.DataFrame({"text": X}),
        lambda X: pd.Series(X, dtype="category"),
    ],
    ids=["tuple", "array", "Series", "column", "DataFrame", "category"],
)
def test_containers(features, container):
    np.testing.assert_array_equal(features.fit_transform(container(X)), features.transform(X))


def test_single_text_is_refused(features):
    with pytest.raises(ValueError, match="put it into a list"):
        features.fit("a cat")


def test_numbers_are_refused(features):
    with pytest.raises(ValueError, match=r"row 0 .*is of type float"):
        features.fit_transform(np.zeros(3))
    with pytest.raises(ValueError, match=r"numeric array of shape \(3, 2\)"):
        features.fit(np.zeros((3, 2)))


def test_paths_are_warned_of(features, folder):
    paths = [str(folder / "config.json"), str(folder / "modules.json")]
    with pytest.warns(UserWarning, match="looks like a column of file paths"):
        features.fit(paths)


def test_network_of_images_is_refused():
    with pytest.raises(ValueError, match="'test_resnet' does not take texts"):
        PretrainedTextFeatures("test_resnet", weights=None).fit(X)


def test_bare_name_of_a_text_network_is_explained():
    with pytest.raises(ValueError, match="no network that timm") as caught:
        PretrainedTextFeatures("bert-base-uncased").fit(X)
    assert "'transformers/NAME'" in caught.value.__notes__[0]


def test_search_passes_each_text_once(folder, tmp_path):
    texts = [f"{color} {animal}" for color in X[0].split() for animal in ("cat", "dog")] * 6
    texts = [f"{text} {'is ' * (i % 5)}" for i, text in enumerate(texts)]
    y = ["cat" in text.split()[1] for text in texts]
    features = PretrainedTextFeatures(str(folder), cache=str(tmp_path))
    pipe = make_pipeline(features, LogisticRegression())
    GridSearchCV(pipe, {"logisticregression__C": [1.0, 10.0]}, cv=3).fit(texts, y)
    assert features.cache_info().misses == len({" ".join(text.split()) for text in texts})


def test_column_transformer_and_pickle(folder):
    table = pd.DataFrame({"text": X, "n": range(5)})
    features = PretrainedTextFeatures(str(folder))
    columns = ColumnTransformer([("text", features, ["text"])], remainder="passthrough")
    found = columns.fit_transform(table)
    assert found.shape == (5, 17)
    again = pickle.loads(pickle.dumps(columns))
    np.testing.assert_array_equal(again.transform(table), found)
    assert len(pickle.dumps(columns.named_transformers_["text"])) < 6000


def test_changed_folder_is_another_network(tmp_path):
    folder = small_texts.write_bert(tmp_path / "net")
    features = PretrainedTextFeatures(str(folder), engine="torch").fit(X)
    first = features.transform(X)
    config = json.loads((folder / "config.json").read_text())
    small_texts.write_json(folder / "config.json", {**config, "num_hidden_layers": 2})
    with pytest.raises(ValueError, match="was fitted with"):
        features.transform(X)
    assert not np.allclose(features.fit_transform(X), first)


def test_a_changed_tokenizer_is_refused_after_fit(tmp_path):
    folder = small_texts.write_bert(tmp_path / "net")
    features = PretrainedTextFeatures(str(folder), engine="torch").fit(X)
    features.transform(X)
    definition = (folder / "tokenizer.json").read_text()
    changed = definition.replace('"cat": 7', '"cat": 8').replace('"dog": 8', '"dog": 7')
    assert changed != definition
    (folder / "tokenizer.json").write_text(changed)
    with pytest.raises(ValueError, match="its tokenizer, prompts or preprocessing"):
        features.transform(X)
    features.fit(X).transform(X)


def test_cached_rows_are_of_the_configuration(tmp_path):
    folder = small_texts.write_bert(tmp_path / "net")
    first = PretrainedTextFeatures(str(folder), engine="torch").fit_transform(X)
    config = json.loads((folder / "config.json").read_text())
    # The same weights in the same modules, used in another way.
    small_texts.write_json(folder / "config.json", {**config, "num_attention_heads": 4})
    features = PretrainedTextFeatures(str(folder), engine="torch")
    found = features.fit_transform(X)
    np.testing.assert_array_equal(clone(features).set_params(cache=None).transform(X), found)
    assert not np.allclose(found, first)


def test_random_weights_are_drawn_from_the_seed(features):
    features.set_params(weights=None)
    first = features.fit_transform(X)
    np.testing.assert_array_equal(clone(features).fit_transform(X), first)
    assert not np.allclose(features.set_params(random_state=1).fit_transform(X), first)


def test_given_weights_are_loaded(features, folder):
    state = {f"bert.{n}": t for n, t in small_texts.make_bert().state_dict().items()}
    expected = features.fit_transform(X)
    np.testing.assert_array_equal(
        clone(features).set_params(weights=state).fit_transform(X), expected
    )
    path = str(folder / "model.safetensors")
    np.testing.assert_array_equal(
        clone(features).set_params(weights=path).fit_transform(X), expected
    )


def test_default_network_loads_no_other_library():
    code = (
        "import sys, numpy as np\n"
        "from sklearn_transfer import PretrainedTextFeatures\n"
        "features = PretrainedTextFeatures(cache=None)\n"
        "found = features.fit_transform(['a dog', 'the puppy', 'tax'])\n"
        "assert found[0] @ found[1] > 0.5 > found[0] @ found[2], found @ found.T\n"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"transformers", "sentence_transformers"} & set(run.stdout.split())


def test_rows_are_scaled_without_a_copy_of_the_matrix(features):
    backbone = features._load_backbone()
    taps = features._resolve(backbone, None)
    output = np.random.default_rng(0).normal(size=(20_000, 16)).astype(np.float32)
    expected = output / np.linalg.norm(output, axis=1, keepdims=True)
    tracemalloc.start()
    try:
        found, widths = features._finish_features(backbone, taps, output, [16])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < output.nbytes / 4
    assert widths == [16]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
