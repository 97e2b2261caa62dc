"""The default network of sounds: the encoder of Whisper, from a package or a hub."""

from sklearn_transfer._modalities.audio.front_ends import WHISPER
from sklearn_transfer._modalities.audio.spec import AudioSpec
from sklearn_transfer._networks.ctranslate2 import read_ctranslate2
from sklearn_transfer._networks.sounds import load_folder, load_given, wrap_whisper
from sklearn_transfer._networks.sources import note_all_known, note_folder, note_revision
from sklearn_transfer._networks.text_sources import (
    describe_package,
    fetch_text_snapshot,
    find_packaged_folder,
)
from sklearn_transfer._networks.weights import load_matching
from sklearn_transfer._networks.whisper import (
    TINY,
    WhisperEncoder,
    convert_ctranslate2_weights,
)

_REPOSITORY = "openai/whisper-tiny.en"


def load(name, request):
    """Load the default network, from its package where that is installed, else from a hub."""
    folder = find_packaged_folder(name)
    if folder is None:
        folder = fetch_text_snapshot(_REPOSITORY, name)
        note_revision(folder, "main")
        return load_folder(folder, request, name, f"hub {_REPOSITORY}")
    note_folder(folder)
    note_all_known()
    network, origin = WhisperEncoder(TINY), describe_package(name)
    if request.weights == "pretrained":
        # The file holds the decoder as well, which sounds do not need.
        arrays = read_ctranslate2((folder / "model.bin").read_bytes(), str(folder))
        load_matching(network, convert_ctranslate2_weights(arrays), name)
    else:
        origin = load_given(network, request.weights, name)
    return wrap_whisper(network, AudioSpec(name, WHISPER), origin)
