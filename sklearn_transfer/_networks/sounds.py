"""Networks of sounds: the packaged Whisper, and those of transformers from hubs and folders."""

import hashlib
import json
import math
import os
from dataclasses import replace
from pathlib import Path

from torch import nn

from sklearn_transfer._modalities.audio.front_ends import (
    WHISPER,
    Extractor,
    LogMelFrames,
    Waveform,
)
from sklearn_transfer._modalities.audio.spec import AudioSpec
from sklearn_transfer._networks.audio import make_audio_backbone
from sklearn_transfer._networks.ctranslate2 import read_ctranslate2
from sklearn_transfer._networks.inputs import get_states
from sklearn_transfer._networks.layout import Place, Stage
from sklearn_transfer._networks.sources import (
    note_all_known,
    note_folder,
    note_revision,
    note_source,
)
from sklearn_transfer._networks.text import list_layers
from sklearn_transfer._networks.text_sources import (
    describe_package,
    fetch_text_snapshot,
    find_packaged_folder,
)
from sklearn_transfer._networks.transformers import _silence_progress
from sklearn_transfer._networks.weights import load_matching
from sklearn_transfer._networks.whisper import (
    TINY,
    WhisperEncoder,
    convert_ctranslate2_weights,
    read_whisper_config,
)
from sklearn_transfer._store.digests import digest_structure
from sklearn_transfer._validation import format_list, import_optional, shorten
