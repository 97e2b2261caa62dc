"""Towers of dual encoders in the layout of open_clip, against open_clip's own."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures, PretrainedTextFeatures
from tests import small_dual_encoders as small

N_TOKENS = len(small.make_vocabulary()[0])
END = N_TOKENS - 1
TEXTS = ["a photo of a cat", "fish", "a red dog is blue xyz!", "", "red dog " * 9]
pytestmark = [
    pytest.mark.usefixtures("fresh"),
    pytest.mark.filterwarnings("ignore:.*tokens beyond max_length"),
]
TIMM = {"image_size": 160, "timm_drop_path": 0.1, "timm_model_pretrained": False}
ATTENDED = {"no_causal_mask": True, "pool_type": "last", "hf_tokenizer_name": "hub/name"}
IMAGE_TOWERS = {
    "vit": small.VISION,
    "clipa": {
        **small.VISION,
        "no_ln_pre": True,
        "pool_type": "avg",
        "final_ln_after_pool": True,
        "pos_embed_type": "sin_cos_2d",
    },
    "scaled": {
        **small.VISION,
        "ls_init_value": 0.3,
        "norm_kwargs": {"eps": 1e-3},
        "act_kwargs": {"approximate": "tanh"},
    },
    "resnet": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 64},
    "convnext": {
        **TIMM,
        "timm_model_name": "test_convnext",
        "timm_pool": "",
        "timm_proj": "mlp",
    },
    "map": {**TIMM, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"},
    "absolute": {**TIMM, "timm_model_name": "test_efficientnet", "timm_pool": "abs_attn"},
    "rotary": {
        **TIMM,
        "timm_model_name": "test_efficientnet",
        "timm_pool": "rot_attn",
        "timm_proj": "",
    },
}
TEXT_TOWERS = {
    "clip": {},
    "siglip": {
        **ATTENDED,
        "norm_kwargs": {"eps": 1e-6},
        "act_kwargs": {"approximate": "tanh"},
        "proj_bias": True,
        "tokenizer_kwargs": {"clean": "canonicalize"},
    },
    "unprojected": {**ATTENDED, "width": 16, "proj_type": "none"},
    "mobile": {"no_causal_mask": True},
    "worldwide": {"pool_type": "eos", "eos_id": END, "hf_tokenizer_name": "hub/name"},
    "first": {"no_causal_mask": True, "pool_type": "first", "ls_init_value": 0.2},
}


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (170, 200, 3), dtype=np.uint8) for _ in range(2)]


def embed(kind, folder, samples, engine="torch", **params):
    return kind(str(folder), cache=None, engine=engine, **params).fit_transform(samples)


def encode(tokenizer, texts, padding=0):
    ids = [tokenizer(text).input_ids for text in texts]
    ids = [row if len(row) <= small.LENGTH else [*row[: small.LENGTH - 1], END] for row in ids]
    return torch.tensor([row + [padding] * (small.LENGTH - len(row)) for row in ids])


@torch.no_grad()
def encode_images(model, images):
    from open_clip import image_transform

    size = model.visual.image_size
    size = size if isinstance(size, int) else size[0]
    transform = image_transform(size, is_train=False, mean=small.MEAN, std=small.STD)
    return model.encode_image(
        torch.stack([transform(Image.fromarray(image)) for image in images])
    ).numpy()


@torch.no_grad()
def encode_texts(model, tokenizer, texts=TEXTS, padding=0):
    return model.encode_text(encode(tokenizer, texts, padding)).numpy()


def assert_equal(found, expected, atol=1e-5):
    assert np.abs(expected).max() > 0.09  # so that 1e-5 means something
    np.testing.assert_allclose(found, expected, atol=atol)


@pytest.mark.parametrize(("quick_gelu", "custom_text"), [(False, True), (True, False)])
def test_towers_are_those_of_open_clip(tmp_path, images, quick_gelu, custom_text):
    parts = small.write_open_clip(tmp_path / "net", quick_gelu, custom_text)
    found = embed(PretrainedTextFeatures, tmp_path / "net", TEXTS)
    assert_equal(found, encode_texts(*parts))
    found = embed(PretrainedFeatures, tmp_path / "net", images)
    assert_equal(found, encode_images(parts[0], images))


@pytest.mark.parametrize("name", IMAGE_TOWERS)
def test_tower_of_images_is_that_of_open_clip(tmp_path, images, name):
    folder = tmp_path / "net"
    model, _ = small.write_open_clip(folder, vision=IMAGE_TOWERS[name])
    assert_equal(embed(PretrainedFeatures, folder, images), encode_images(model, images))
    layers = embed(PretrainedFeatures, folder, images, layers=["shallow", "deep"])
    assert np.isfinite(layers).all()


@pytest.mark.parametrize("name", TEXT_TOWERS)
def test_tower_of_texts_is_that_of_open_clip(tmp_path, name):
    folder, stated = tmp_path / "net", TEXT_TOWERS[name]
    dim = small.DIM if name != "unprojected" else 16
    parts = small.write_open_clip(folder, text=stated, embed_dim=dim)
    texts = [text.replace("!", "") for text in TEXTS]  # where it is cleaned away
    padding = END if "hf_tokenizer_name" in stated else 0
    found = embed(PretrainedTextFeatures, folder, texts)
    assert_equal(found, encode_texts(*parts, texts, padding))
    alone = [embed(PretrainedTextFeatures, folder, [text])[0] for text in texts]
    np.testing.assert_allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (PretrainedFeatures, {"vision": IMAGE_TOWERS["resnet"]}),
        (PretrainedTextFeatures, {"text": TEXT_TOWERS["mobile"]}),
        (PretrainedTextFeatures, {"text": TEXT_TOWERS["clip"]}),
    ],
    ids=["resnet", "attended padding", "causal"],
)
def test_compiled_towers_agree_with_torch(tmp_path, images, kind, options):
    folder = tmp_path / "net"
    small.write_open_clip(folder, **options)
    samples = images if kind is PretrainedFeatures else TEXTS
    found = embed(kind, folder, samples, engine="openvino")
    np.testing.assert_allclose(found, embed(kind, folder, samples), atol=1e-4)


def write_encoder(folder, kind):
    """Write the configuration of a small network of transformers."""
    import transformers

    sizes = {"vocab_size": N_TOKENS, "hidden_size": 16, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "intermediate_size": 24, "pad_token_id": 0}
    of_t5 = {"vocab_size": N_TOKENS, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2}
    configs = {
        "roberta": transformers.RobertaConfig(**sizes, max_position_embeddings=20),
        "bert": transformers.BertConfig(**sizes, max_position_embeddings=20),
        "mt5": transformers.MT5Config(**of_t5, num_heads=2, pad_token_id=0),
    }
    configs[kind].save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("kind", "pooler", "projection"),
    [
        ("roberta", "mean_pooler", "mlp"),
        ("mt5", "mean_pooler", "linear"),
        ("bert", "cls_last_hidden_state_pooler", "mlp"),
    ],
)
def test_tower_of_texts_may_be_one_of_transformers(tmp_path, kind, pooler, projection):
    folder, text = tmp_path / "net", {"hf_tokenizer_name": "hub/name"}
    text |= {"hf_model_name": write_encoder(tmp_path / "encoder", kind)}
    text |= {
        "hf_proj_type": projection,
        "hf_pooler_type": pooler,
        "hf_model_pretrained": False,
    }
    parts = small.write_open_clip(folder, text=text)
    texts = ["a photo of a cat", "fish", "red dog is blue"]  # without its token 0, "!"
    found = embed(PretrainedTextFeatures, folder, texts)
    assert_equal(found, encode_texts(*parts, texts))


def test_encoder_without_configuration_is_named(tmp_path, offline, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "net"
    small.write_open_clip(folder)
    change_config(folder, "text_cfg", hf_model_name="hub/encoder")
    match = "is the network of 'hub/encoder', whose config.json is neither available nor in"
    with pytest.raises(FileNotFoundError, match=match):
        embed(PretrainedTextFeatures, folder, TEXTS)


def change_config(folder, part, **changes):
    path = folder / "open_clip_config.json"
    stated = json.loads(path.read_text())
    stated["model_cfg"][part].update(changes)
    path.write_text(json.dumps(stated))


@pytest.mark.parametrize(
    ("part", "changes", "match"),
    [
        (
            "vision_cfg",
            {"attentional_pool": True},
            r"\['attentional_pool=True'\] in vision_cfg",
        ),
        ("vision_cfg", {"pool_type": "none"}, r"\[\"pool_type='none'\"\] in vision_cfg"),
        ("vision_cfg", {"timm_model_name": "test_vitt"}, "does not have. Did you mean"),
        ("text_cfg", {"embed_cls": True}, "'embed_cls=True'. in text_cfg"),
        ("text_cfg", {"tokenizer_mode": "clips"}, "tokenizer_mode='clips'"),
        ("text_cfg", {"tokenizer_kwargs": {"language": "de"}}, "only 'clean' and 'strip"),
    ],
)
def test_other_towers_are_refused(tmp_path, images, part, changes, match):
    folder = tmp_path / "net"
    small.write_open_clip(folder)
    change_config(folder, part, **changes)
    is_text = part == "text_cfg"
    kind = PretrainedTextFeatures if is_text else PretrainedFeatures
    with pytest.raises(ValueError, match=match):
        embed(kind, folder, TEXTS if is_text else images)


def test_special_tokens_are_those_of_open_clip(tmp_path):
    folder = tmp_path / "net"
    small.write_open_clip(folder)
    found = embed(PretrainedTextFeatures, folder, ["red cat <end_of_text> dog", "red cat"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_cleaning_is_that_of_open_clip(tmp_path):
    folder = tmp_path / "net"
    small.write_open_clip(folder, text=TEXT_TOWERS["siglip"])
    plain = embed(PretrainedTextFeatures, folder, ["a red cat is endoftext"])[0]
    texts = ["A red_cat, is\n&lt;|endoftext|&gt;", " a \u201cred\u201d cat is <|endoftext|>!"]
    for row in embed(PretrainedTextFeatures, folder, texts):
        np.testing.assert_allclose(row, plain, atol=1e-6)


def test_removed_separator_is_that_of_open_clip(tmp_path):
    from open_clip.tokenizer import HFTokenizer

    folder = tmp_path / "net"
    text = {**ATTENDED, "tokenizer_kwargs": {"strip_sep_token": True}}
    model, _ = small.write_open_clip(folder, text=text)
    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text()) | {"sep_token": "<|endoftext|>"}
    path.write_text(json.dumps(stated))
    tokenizer = HFTokenizer(str(folder), small.LENGTH, strip_sep_token=True)
    with torch.no_grad():
        expected = model.encode_text(tokenizer(TEXTS)).numpy()
    assert_equal(embed(PretrainedTextFeatures, folder, TEXTS), expected)


@pytest.mark.parametrize("name", ["resnet", "convnext"])
def test_tower_of_images_is_fine_tuned(tmp_path, images, name):
    small.write_open_clip(tmp_path / "net", vision=IMAGE_TOWERS[name])
    model = FineTunedClassifier(
        str(tmp_path / "net"), freeze="middle", max_epochs=1, batch_size=2
    )
    model.fit(images * 2, ["a", "b"] * 2)
    assert model.predict(images).shape == (2,)
