"""Small networks of sounds with random weights, saved in folders, and sounds by formula."""

import contextlib
import functools
import io

import numpy as np
import pytest

_WAVEFORMS = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (8, 8, 5),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 3,
    "vocab_size": 8,
}
_ENCODER = {"num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
_TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
_TEXT |= {"num_attention_heads": 1, "vocab_size": 8, "max_position_embeddings": 8}
RATE = 16000


def make_sounds(n, seed=0, rate=RATE):
    """Return pairs (waveform, rate) of different lengths and the class of each.

    They are low tones or high ones, with noise.
    """
    rng = np.random.default_rng(seed)
    sounds, classes = [], np.array(["low", "high"])[np.arange(n) % 2]
    for kind in classes:
        seconds = np.arange(int(rate * rng.uniform(0.15, 0.6))) / rate
        pitch = rng.uniform(200, 400) * (1 if kind == "low" else 5)
        wave = 0.3 * np.sin(2 * np.pi * pitch * seconds)
        wave += 0.01 * rng.standard_normal(len(wave))
        sounds.append((wave.astype(np.float32), rate))
    return sounds, classes


@functools.cache
def _make_network(kind):
    """Return a network of transformers and its feature extractor."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    t = transformers
    unmasked = t.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    masked = t.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    if kind == "wav2vec2":
        config = t.Wav2Vec2Config(**_WAVEFORMS, feat_extract_norm="group")
        return t.Wav2Vec2ForCTC(config), unmasked
    if kind == "wav2vec2-layer-norm":
        config = t.Wav2Vec2Config(
            **_WAVEFORMS, feat_extract_norm="layer", do_stable_layer_norm=True
        )
        return t.Wav2Vec2Model(config), masked
    if kind == "hubert":
        return t.HubertModel(t.HubertConfig(**_WAVEFORMS)), unmasked
    if kind == "wavlm":
        return t.WavLMModel(t.WavLMConfig(**_WAVEFORMS)), unmasked
    if kind == "whisper":
        config = t.WhisperConfig(
            **{"vocab_size": 16, "num_mel_bins": 80, "d_model": 24, "encoder_layers": 3},
            **{"decoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32},
            **{"decoder_attention_heads": 2, "decoder_ffn_dim": 32},
            **{"max_source_positions": 250, "max_target_positions": 8, "pad_token_id": 0},
            **{"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
            **{"suppress_tokens": None, "begin_suppress_tokens": None},
        )
        model = t.WhisperForConditionalGeneration(config)
        return model, t.WhisperFeatureExtractor(feature_size=80, chunk_length=5)
    if kind == "ast":
        sizes = {"max_length": 64, "num_mel_bins": 32}
        strides = {"patch_size": 8, "frequency_stride": 6, "time_stride": 6}
        config = t.ASTConfig(hidden_size=24, **_ENCODER, **sizes, **strides)
        return t.ASTForAudioClassification(config), t.ASTFeatureExtractor(**sizes)
    is_fused = kind == "clap-fused"
    config = t.ClapConfig(
        text_config={**_TEXT, "projection_dim": 12},
        audio_config={
            **{"hidden_size": 64, "patch_embeds_hidden_size": 8, "depths": [1, 1, 2, 1]},
            **{"num_attention_heads": [1, 2, 4, 4], "num_hidden_layers": 4, "spec_size": 64},
            **{"num_mel_bins": 32, "window_size": 2, "projection_dim": 12, "patch_size": 4},
            **{"patch_stride": [4, 4], "enable_fusion": is_fused},
        },
        projection_dim=12,
    )
    extractor = t.ClapFeatureExtractor(
        feature_size=32, max_length_s=1, truncation="fusion" if is_fused else "rand_trunc"
    )
    return t.ClapModel(config), extractor


def make_network(kind):
    """Return such a network in evaluation mode, and its feature extractor."""
    model, extractor = _make_network(kind)
    return model.eval(), extractor


def write_network(folder, kind):
    """Save such a network in a folder; returns its path as a string."""
    model, extractor = _make_network(kind)
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
        model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return str(folder)
