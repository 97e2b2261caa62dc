"""Networks of transformers that take sounds, by the "model_type" of their configuration."""

import json
from pathlib import Path

# Those that take waveforms.
WAVEFORMS = {
    *("wav2vec2", "wav2vec2-conformer", "hubert", "wavlm", "unispeech", "unispeech-sat"),
    *("data2vec-audio", "sew", "sew-d"),
}
AST, CLAP, WHISPER = "audio-spectrogram-transformer", "clap", "whisper"
# That of sounds alone.
CLAP_AUDIO = "clap_audio_model"
KINDS = {*WAVEFORMS, AST, CLAP, WHISPER}


def is_audio_config(config):
    """Whether the content of a `config.json` is that of a network of sounds."""
    return config.get("model_type") in KINDS


def is_sound_module(module):
    """Whether a module is a network of transformers that takes sounds."""
    kind = getattr(getattr(module, "config", None), "model_type", None)
    return kind in {*KINDS, CLAP_AUDIO}


def is_audio_folder(folder):
    """Whether a folder holds a network of sounds in the layout of transformers."""
    return is_audio_config(read_json(Path(folder, "config.json")))


def read_json(path):
    """Return the content of a file, {} where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
