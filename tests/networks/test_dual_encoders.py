"""Towers of dual encoders, against transformers' and open_clip's own."""

import json
import shutil
import string

import numpy as np
import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from sklearn.pipeline import make_pipeline

from sklearn_transfer import (
    FineTunedClassifier,
    PretrainedFeatures,
    PretrainedTextFeatures,
    ZeroShotClassifier,
)
from sklearn_transfer._networks.registry import clear_registry
from tests import small_dual_encoders as small

TEXTS = ["a photo of a cat", "fish", "a red dog is blue xyz!", ""]
LONG = "a photo of a red cat is a photo of a blue fish is is"
pytestmark = pytest.mark.usefixtures("fresh")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40, 56, 3), dtype=np.uint8) for _ in range(3)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder of transformers, its model and its tokenizer."""
    folder = tmp_path_factory.mktemp("networks") / "clip"
    model = small.make_clip()
    return folder, model, small.write_transformers(folder, model)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks") / "siglip"
    model = small.make_siglip()
    return folder, model, small.write_transformers(folder, model)


@pytest.fixture(scope="module")
def open_clip(tmp_path_factory):
    """A folder of open_clip, its model and its tokenizer."""
    folder = tmp_path_factory.mktemp("networks") / "open_clip"
    return folder, *small.write_open_clip(folder, quick_gelu=True)


def embed_texts(model, texts=TEXTS, **params):
    features = PretrainedTextFeatures(str(model), cache=None, engine="torch", **params)
    return features.fit_transform(texts)


def embed_images(model, images, **params):
    features = PretrainedFeatures(str(model), cache=None, engine="torch", **params)
    return features.fit_transform(images)


def encode(tokenizer, texts):
    options = {"padding": "max_length", "max_length": small.LENGTH, "truncation": True}
    return tokenizer(texts, **options, return_tensors="pt")


@torch.no_grad()
def ask(method, **inputs):
    return method(**inputs).pooler_output.numpy()


def assert_equal(found, expected):
    assert np.abs(expected).max() > 0.5  # so that 1e-5 means something
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_texts_of_clip_are_those_of_transformers(clip):
    folder, model, tokenizer = clip
    expected = ask(model.get_text_features, **encode(tokenizer, TEXTS))
    assert_equal(embed_texts(folder), expected)


@pytest.mark.parametrize("file", ["preprocessor_config.json", "processor_config.json"])
def test_preprocessing_is_that_of_the_folder(clip, images, tmp_path, file):
    folder = tmp_path / "net"
    shutil.copytree(clip[0], folder)
    path = folder / "preprocessor_config.json"
    stated = json.loads(path.read_text())
    stated |= {"size": 38, "crop_size": 32, "resample": 2, "image_std": [0.2, 0.3, 0.4]}
    path.write_text(json.dumps(stated))
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    if file == "processor_config.json":
        path.unlink()
        (folder / file).write_text(json.dumps({"image_processor": stated}))
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    expected = ask(clip[1].get_image_features, pixel_values=pixels)
    assert_equal(embed_images(folder, images), expected)


def copy_preprocessing(folder, target, **changes):
    """Copy a folder with another preprocessing; returns the copy."""
    shutil.copytree(folder, target)
    path = target / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return target


def test_images_may_go_without_normalization(clip, images, tmp_path):
    folder = copy_preprocessing(clip[0], tmp_path / "net", do_normalize=False)
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    expected = ask(clip[1].get_image_features, pixel_values=pixels)
    assert_equal(embed_images(folder, images), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [("do_resize", False), ("do_rescale", False), ("rescale_factor", 1 / 127.5)],
)
def test_other_preprocessing_is_refused(clip, images, tmp_path, name, value):
    folder = copy_preprocessing(clip[0], tmp_path / "net", **{name: value})
    with pytest.raises(ValueError, match=f"has {name}={value!r}, and only"):
        embed_images(folder, images)


def test_images_of_clip_are_those_of_transformers(clip, images):
    folder, model, _ = clip
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    expected = ask(model.get_image_features, pixel_values=pixels)
    assert_equal(embed_images(folder, images), expected)


def test_long_texts_are_cut_before_the_token_that_ends_them(clip):
    folder, model, tokenizer = clip
    expected = ask(model.get_text_features, **encode(tokenizer, [LONG]))
    with pytest.warns(UserWarning, match="tokens beyond max_length=12 are cut"):
        found = embed_texts(folder, [LONG])
    assert_equal(found, expected)


ENDINGS = [
    "<|endoftext|>",
    "a cat <|endoftext|> red dog",
    "a <|startoftext|> cat <|endoftext|><|endoftext|>",
    f"red <|endoftext|> {LONG}",
    f"{LONG[:32]} <|endoftext|> {LONG}",
]


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("end", [None, 2])  # the number of old configurations
@pytest.mark.filterwarnings("ignore:.*tokens beyond max_length")
def test_first_token_that_ends_a_text_counts(clip, tmp_path, end, engine):
    folder, model, tokenizer = clip
    if end is not None:
        shutil.copytree(folder, tmp_path / "net")
        folder = tmp_path / "net"
        stated = json.loads((folder / "config.json").read_text())
        stated["text_config"]["eos_token_id"] = end
        (folder / "config.json").write_text(json.dumps(stated))
        model = transformers.CLIPModel.from_pretrained(folder)
    expected = ask(model.eval().get_text_features, **encode(tokenizer, ENDINGS))
    found = PretrainedTextFeatures(str(folder), cache=None, engine=engine)
    assert_equal(found.fit_transform(ENDINGS), expected)


def test_inner_layers_end_where_the_text_does(clip):
    for pooling in ("last", "avg"):
        found = embed_texts(
            clip[0], ["a cat <|endoftext|> dog", "a cat"], layers=0, pooling=pooling
        )
        np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_texts_of_siglip_are_those_of_transformers(siglip):
    folder, model, tokenizer = siglip
    ids = encode(tokenizer, TEXTS)["input_ids"]
    assert_equal(embed_texts(folder), ask(model.get_text_features, input_ids=ids))


def test_images_of_siglip_are_those_of_transformers(siglip, images):
    folder, model, _ = siglip
    processor = transformers.SiglipImageProcessorPil.from_pretrained(folder)
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    expected = ask(model.get_image_features, pixel_values=pixels)
    assert_equal(embed_images(folder, images), expected)


def test_texts_of_siglip_have_no_case_and_no_punctuation(siglip, tmp_path):
    folder = tmp_path / "net"
    shutil.copytree(siglip[0], folder)
    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text()) | {"tokenizer_class": "SiglipTokenizer"}
    path.write_text(json.dumps(stated))
    texts = [f"A photo, of  a CAT{string.punctuation}", " fish\n"]
    clean = embed_texts(siglip[0], ["a photo of a cat", "fish"])
    np.testing.assert_array_equal(embed_texts(folder, texts), clean)
    assert not np.allclose(embed_texts(siglip[0], ["a photo, of a cat!"]), clean[:1])


def write_hub(cache, repo, *folders):
    """Lay the files of folders into a cache of the hub."""
    base = cache / f"models--{repo.replace('/', '--')}"
    snapshot = base / "snapshots" / "0123abc"
    for folder in folders:
        shutil.copytree(folder, snapshot, dirs_exist_ok=True)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text("0123abc")
    return snapshot


@pytest.fixture
def cache(monkeypatch, tmp_path, offline):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.mark.parametrize("prefix", ["transformers/", "hf-hub:"])
def test_towers_come_from_a_hub(cache, clip, images, prefix):
    write_hub(cache, "openai/clip", clip[0])
    name = f"{prefix}openai/clip"
    np.testing.assert_array_equal(embed_texts(name), embed_texts(clip[0]))
    np.testing.assert_array_equal(embed_images(name, images), embed_images(clip[0], images))


def test_towers_of_open_clip_come_from_a_hub(cache, open_clip, images):
    write_hub(cache, "laion/clip", open_clip[0])
    name = "hf-hub:laion/clip"
    np.testing.assert_array_equal(embed_texts(name), embed_texts(open_clip[0]))
    np.testing.assert_array_equal(
        embed_images(name, images), embed_images(open_clip[0], images)
    )


def write_timm(folder, model):
    """Write the image tower of a model of open_clip as timm does."""
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": small.WIDTH, "depth": 2}
    sizes |= {"num_heads": 4, "num_classes": small.DIM}
    name = "vit_base_patch32_clip_quickgelu_224"
    network = timm.create_model(name, **sizes)
    convert = timm.models.vision_transformer.checkpoint_filter_fn
    network.load_state_dict(convert(model.state_dict(), network))
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    stated = {"mean": small.MEAN, "std": small.STD, "interpolation": "bicubic"}
    stated |= {"input_size": [3, 32, 32], "crop_pct": 1.0, "classifier": "head"}
    stated |= {"first_conv": "patch_embed.proj", "fixed_input_size": True}
    stated |= {"num_classes": small.DIM}
    config = {"architecture": name, "num_classes": small.DIM, "pretrained_cfg": stated}
    del sizes["num_classes"]
    config["model_args"] = sizes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_images_of_timm_and_texts_of_open_clip_share_a_repository(
    cache, open_clip, images, tmp_path
):
    folder, model, _ = open_clip
    write_hub(cache, "timm/clip", folder, write_timm(tmp_path / "timm", model))
    name = "hf-hub:timm/clip"
    assert_equal(embed_texts(name), embed_texts(folder))
    assert_equal(embed_images(name, images, layers="logits"), embed_images(folder, images))


def test_folder_in_the_layout_of_timm_is_a_network_of_images(open_clip, images, tmp_path):
    folder = write_timm(tmp_path / "timm", open_clip[1])
    found = embed_images(folder, images, layers="logits")
    assert_equal(found, embed_images(open_clip[0], images))


def test_compiled_towers_agree_with_torch(clip, images):
    options = {"model": str(clip[0]), "cache": None, "engine": "openvino"}
    found = PretrainedTextFeatures(**options).fit_transform(TEXTS)
    np.testing.assert_allclose(found, embed_texts(clip[0]), atol=1e-4)
    found = PretrainedFeatures(**options).fit_transform(images)
    np.testing.assert_allclose(found, embed_images(clip[0], images), atol=1e-4)


@pytest.mark.parametrize("network", ["clip", "siglip"])
def test_row_of_a_text_is_the_same_alone(request, network):
    folder = request.getfixturevalue(network)[0]
    alone = np.vstack([embed_texts(folder, [text]) for text in TEXTS])
    np.testing.assert_allclose(alone, embed_texts(folder), atol=1e-5)


def test_towers_do_not_share_cached_rows(clip, images):
    folder = str(clip[0])
    rows = PretrainedTextFeatures(folder).fit_transform(TEXTS)
    PretrainedFeatures(folder).fit_transform(images)
    np.testing.assert_array_equal(PretrainedTextFeatures(folder).fit_transform(TEXTS), rows)


def test_padding_that_is_seen_is_in_the_key(siglip, tmp_path):
    shutil.copytree(siglip[0], tmp_path / "net")
    path = tmp_path / "net" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token": "a"}))
    folders = [str(siglip[0]), str(tmp_path / "net")]
    first, other = (PretrainedTextFeatures(f).fit_transform(TEXTS) for f in folders)
    assert not np.allclose(first, other)


def test_names_of_features_need_no_pass(clip, images):
    for kind, samples in [(PretrainedFeatures, images), (PretrainedTextFeatures, TEXTS)]:
        features = kind(clip[0]).fit(samples)
        clear_registry()
        assert len(features.get_feature_names_out()) == small.DIM


@pytest.mark.parametrize("layers", ["shallow", "deep", 0])
def test_inner_layers_of_both_towers_are_features(clip, images, layers):
    assert embed_texts(clip[0], layers=layers).shape == (len(TEXTS), small.WIDTH)
    assert embed_images(clip[0], images, layers=layers).shape == (3, small.WIDTH)


def test_random_weights_are_those_of_a_seed(clip):
    rows = [embed_texts(clip[0], weights=None, random_state=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(rows[0], rows[1])
    assert not np.allclose(rows[0], rows[2])
    assert not np.allclose(rows[0], embed_texts(clip[0]))


def test_weights_of_a_file_are_those_of_the_tower(clip, tmp_path):
    state = clip[1].state_dict()
    save_file(
        {**state, "text_projection.weight": 2 * state["text_projection.weight"]},
        tmp_path / "other.safetensors",
    )
    found = embed_texts(clip[0], weights=str(tmp_path / "other.safetensors"))
    np.testing.assert_allclose(found, 2 * embed_texts(clip[0]), rtol=1e-5)


def test_classes_of_images_are_described_in_words(clip, images):
    folder, model, tokenizer = clip
    words = ["a red cat", "a blue fish"]
    features = PretrainedFeatures(str(folder))
    head = ZeroShotClassifier(
        method="cosine", describer=PretrainedTextFeatures(str(folder)), temperature=0.01
    )
    model_of_words = make_pipeline(features, head)
    model_of_words.fit(images, zeroshotclassifier__attributes=words)
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    model.logit_scale.data.fill_(np.log(100))
    with torch.no_grad():
        logits = model(pixel_values=pixels, **encode(tokenizer, words)).logits_per_image
    expected = logits.softmax(1).numpy()[:, [1, 0]]  # classes are sorted
    np.testing.assert_allclose(model_of_words.predict_proba(images), expected, atol=1e-4)


def test_tower_of_images_is_fine_tuned_by_its_name(clip, images):
    model = FineTunedClassifier(str(clip[0]), freeze="middle", max_epochs=1, batch_size=2)
    model.fit(images * 2, ["a", "b", "a"] * 2)
    assert model.predict(images).shape == (3,)


def test_tower_of_texts_is_fine_tuned(clip):
    model = FineTunedClassifier(
        PretrainedTextFeatures(str(clip[0])), freeze="middle", max_epochs=1, batch_size=2
    )
    model.fit(TEXTS[:3] * 2, ["a", "b", "a"] * 2)
    assert model.predict(TEXTS).shape == (4,)


def test_missing_tokenizer_is_named(open_clip, tmp_path):
    folder = tmp_path / "net"
    shutil.copytree(open_clip[0], folder, ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(FileNotFoundError, match="has no tokenizer.json; bring it from"):
        embed_texts(folder)


def test_missing_weights_are_named(clip, tmp_path):
    folder = tmp_path / "net"
    shutil.copytree(clip[0], folder, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(
        FileNotFoundError, match="none of model.safetensors, pytorch_model.bin"
    ):
        embed_texts(folder)
    assert embed_texts(folder, weights=None).shape == (len(TEXTS), small.DIM)


def test_tokenizer_may_be_a_vocabulary_and_merges(clip, tmp_path):
    folder = tmp_path / "net"
    shutil.copytree(clip[0], folder, ignore=shutil.ignore_patterns("tokenizer.json"))
    vocabulary, merges = small.make_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2", *map(" ".join, merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines))
    np.testing.assert_allclose(embed_texts(folder), embed_texts(clip[0]), atol=1e-6)


@pytest.mark.parametrize(("name", "value"), [("input_size", 64), ("n_channels", 1)])
def test_other_inputs_of_a_tower_are_refused(clip, images, name, value):
    with pytest.raises(ValueError, match=f"leave {name} at None"):
        embed_images(clip[0], images, **{name: value})


def test_weights_that_lack_a_tensor_are_refused(clip, tmp_path):
    folder = tmp_path / "net"
    shutil.copytree(clip[0], folder)
    state = clip[1].state_dict()
    del state["text_projection.weight"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match="do not fit"):
        embed_texts(folder)


def test_loading_tells_nothing(clip, capfd):
    clear_registry()
    embed_texts(clip[0])
    assert capfd.readouterr() == ("", "")
