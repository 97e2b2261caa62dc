"""Networks of sounds in folders in the layout of transformers."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from sklearn_transfer._modalities.audio.front_ends import WHISPER, Extractor, Waveform
from sklearn_transfer._modalities.audio.spec import AudioSpec
from sklearn_transfer._networks import sound_kinds
from sklearn_transfer._networks.audio import make_audio_backbone
from sklearn_transfer._networks.inputs import get_states
from sklearn_transfer._networks.layout import Place, Stage
from sklearn_transfer._networks.silence import silence_progress, silence_warnings
from sklearn_transfer._networks.sound_kinds import read_json
from sklearn_transfer._networks.sources import note_all_known, note_folder
from sklearn_transfer._networks.weights import load_matching
from sklearn_transfer._networks.whisper import (
    WhisperEncoder,
    find_held,
    read_whisper_config,
)
from sklearn_transfer._store.digests import digest_structure
from sklearn_transfer._validation import import_optional, shorten

_FILES = ("model.safetensors", "pytorch_model.bin")
# What feature extractors of transformers do where a folder does not say it.
_AST_DEFAULTS = {"sampling_rate": 16000, "num_mel_bins": 128, "max_length": 1024}
_CLAP_DEFAULTS = {"sampling_rate": 48000, "hop_length": 480, "max_length_s": 10}
_CLAP_DEFAULTS |= {"feature_size": 64, "truncation": "fusion", "padding": "repeatpad"}
_LONGEST = 30  # seconds of a window of a network that takes waveforms of any length


class WaveformNetwork(nn.Module):
    """A network of transformers from waveforms to states (n, positions, width)."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, input_values, attention_mask):
        # A mask is passed where it hides something: without one, networks that normalize over
        # time compute what they were trained to.
        mask = find_held(attention_mask)
        mask = None if mask is None else mask.long()
        return get_states(self.network(input_values, attention_mask=mask))


class PatchNetwork(nn.Module):
    """An Audio Spectrogram Transformer, with the embedding that its classifier takes."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, input_values, attention_mask):
        return self.network(input_values).pooler_output


class SoundTower(nn.Module):
    """The network of sounds of CLAP, with its projection into the space of texts."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, input_features):
        # No window is longer than what the network takes, so nothing has to be fused.
        is_longer = torch.zeros(len(input_features), 1, dtype=torch.bool)
        is_longer = is_longer.to(input_features.device)
        return self.network(input_features, is_longer=is_longer).audio_embeds


def load_folder(folder, request, label, origin=None):
    """Load a network from a folder; "pretrained" weights are those in it."""
    folder = Path(folder).expanduser()
    note_folder(folder)
    note_all_known()
    origin = str(folder) if origin is None else origin
    config = read_json(folder / "config.json")
    stated = read_json(folder / "preprocessor_config.json")
    if not stated:  # where transformers 5 may put it
        stated = read_json(folder / "processor_config.json").get("feature_extractor") or {}
    build = {
        sound_kinds.WHISPER: _build_whisper,
        sound_kinds.AST: _build_patch_network,
        sound_kinds.CLAP: _build_tower,
    }
    build = build.get(config["model_type"], _build_waveform_network)
    return build(folder, config, stated, request, label, origin)


def wrap_given_sound_network(module, label, origin):
    """Return the backbone of a module of transformers that takes sounds.

    Its configuration says of which kind it is. An attribute `feature_extractor` may be that of
    transformers; without one, sounds are prepared as they usually are for that kind.
    """
    extractor = getattr(module, "feature_extractor", None)
    is_stated = hasattr(extractor, "to_dict") and not isinstance(extractor, nn.Module)
    stated = extractor.to_dict() if is_stated else {}
    if is_stated:
        del module.feature_extractor  # a copy is at hand, whose attributes may change
    kind = module.config.model_type
    if kind in (sound_kinds.CLAP, sound_kinds.CLAP_AUDIO):
        if not hasattr(module, "audio_projection") or hasattr(module, "text_model"):
            raise ValueError(
                f"model={label} is a part of CLAP, expected a ClapAudioModelWithProjection;"
                " transformers.ClapAudioModelWithProjection.from_pretrained(name) loads one"
            )
        return _wrap_tower(module, stated, label, origin)
    network = getattr(module, getattr(module, "base_model_prefix", ""), module)
    if kind == sound_kinds.WHISPER:
        sizes = _read_sizes(module.config.to_dict(), label)
        encoder = WhisperEncoder(sizes)
        encoder.load_state_dict(getattr(network, "encoder", network).state_dict())
        return _wrap_stated_whisper(encoder, sizes, stated, label, origin)
    if kind == sound_kinds.AST:
        return _wrap_patch_network(network, stated, label, origin)
    return _wrap_waveform_network(network, stated, label, origin)


def load_given(network, weights, label):
    """Load weights that the user gives, or none; returns where they come from."""
    return "random weights" if weights is None else load_matching(network, weights, label)


def _build_whisper(folder, config, stated, request, label, origin):
    sizes = _read_sizes(config, label)
    network = WhisperEncoder(sizes)
    if request.weights == "pretrained":
        load_matching(network, _find_weights(folder), label)
    else:
        origin = load_given(network, request.weights, label)
    return _wrap_stated_whisper(network, sizes, stated, label, origin)


def _read_sizes(config, label):
    """Return the sizes of a Whisper; raises ValueError for another architecture."""
    sizes = read_whisper_config(config)
    if sizes is None:
        raise ValueError(
            f"model={shorten(label)} is a Whisper with an activation or scaling of its own,"
            " expected 'gelu' and no scaled embeddings; take another network"
        )
    return sizes


def _wrap_stated_whisper(network, sizes, stated, label, origin):
    given = (stated.get("sampling_rate"), stated.get("n_fft"), stated.get("hop_length"))
    usual = (WHISPER.sampling_rate, WHISPER.log_mel.n_fft, WHISPER.log_mel.hop)
    if any(value not in (None, known) for value, known in zip(given, usual, strict=True)):
        raise ValueError(
            f"model={shorten(label)} states sampling_rate, n_fft and hop_length {given}, and"
            f" networks of Whisper have {usual}; correct preprocessor_config.json"
        )
    front_end = replace(
        WHISPER,
        log_mel=replace(WHISPER.log_mel, n_mels=sizes.num_mel_bins),
        longest=2 * WHISPER.log_mel.hop * sizes.max_source_positions,
    )
    return wrap_whisper(network, AudioSpec(label, front_end), origin)


def wrap_whisper(network, spec, origin):
    """Return the backbone of a `WhisperEncoder`."""
    return make_audio_backbone(
        network,
        spec,
        origin,
        stages=[Stage(f"layers.{name}") for name, _ in network.layers.named_children()],
        digest=digest_structure(network),
    )


def _build_waveform_network(folder, config, stated, request, label, origin):
    network, origin = _load_with_transformers("AutoModel", folder, request, label, origin)
    return _wrap_waveform_network(network, stated, label, origin)


def _wrap_waveform_network(network, stated, label, origin):
    # Both would draw from the global random state of NumPy while the network is trained.
    own = network.config
    own.apply_spec_augment, own.layerdrop = False, 0.0
    front_end = Waveform(
        sampling_rate=stated.get("sampling_rate", 16000),
        is_normalized=stated.get("do_normalize", True),
        shortest=_count_seen_samples(own),
        longest=_LONGEST * stated.get("sampling_rate", 16000),
    )
    module = WaveformNetwork(network)
    return make_audio_backbone(
        module,
        AudioSpec(label, front_end),
        origin,
        stages=_list_stages(network),
        final_map=Place("network"),
        convolutions=tuple(zip(own.conv_kernel, own.conv_stride, strict=True)),
        digest=digest_structure(module),
    )


def _count_seen_samples(config):
    """Return the number of samples from which convolutions make one position."""
    count = 1
    for kernel, stride in zip(config.conv_kernel[::-1], config.conv_stride[::-1], strict=True):
        count = (count - 1) * stride + kernel
    return count


def _build_patch_network(folder, config, stated, request, label, origin):
    network, origin = _load_with_transformers("ASTModel", folder, request, label, origin)
    return _wrap_patch_network(network, stated, label, origin)


def _wrap_patch_network(network, stated, label, origin):
    own = network.config
    sizes = {"num_mel_bins": own.num_mel_bins, "max_length": own.max_length}
    stated = {**_AST_DEFAULTS, **sizes, **stated}
    rate = stated["sampling_rate"]
    hop = rate // 100  # frames of 25 ms are 10 ms apart in the filter bank of Kaldi
    front_end = Extractor(
        "ASTFeatureExtractor",
        json.dumps(stated, sort_keys=True),
        sampling_rate=rate,
        longest=stated["max_length"] * hop,
        name="input_values",
        shape=(stated["max_length"], stated["num_mel_bins"]),
        hop=hop,
        n_frames=stated["max_length"],
        shortest=rate // 40,
    )
    module = PatchNetwork(network)
    return make_audio_backbone(
        module,
        AudioSpec(label, front_end),
        origin,
        stages=_list_stages(network),
        final_map=Place("network"),
        prefix_tokens=2,
        class_token=True,
        bands=(own.num_mel_bins - own.patch_size) // own.frequency_stride + 1,
        digest=digest_structure(module),
    )


def _build_tower(folder, config, stated, request, label, origin):
    kind = "ClapAudioModelWithProjection"
    network, origin = _load_with_transformers(kind, folder, request, label, origin)
    return _wrap_tower(network, stated, label, origin)


def _wrap_tower(network, stated, label, origin):
    stated = {**_CLAP_DEFAULTS, **stated}
    rate, is_fused = stated["sampling_rate"], stated["truncation"] == "fusion"
    longest = int(rate * stated["max_length_s"])
    shape = (longest // stated["hop_length"] + 1, stated["feature_size"])
    front_end = Extractor(
        "ClapFeatureExtractor",
        json.dumps(stated, sort_keys=True),
        sampling_rate=rate,
        longest=longest,
        name="input_features",
        shape=(4 if is_fused else 1, *shape),
    )
    module = SoundTower(network)
    return make_audio_backbone(
        module,
        AudioSpec(label, front_end),
        origin,
        stages=_list_stages(network),
        final_map=Place("network.audio_model"),
        is_tower=True,
        digest=digest_structure(module),
    )


def _list_stages(network):
    """Return the members of the outermost list of modules of one kind as stages.

    Those of a list of convolutions, from waveforms to the input of the encoder, are none.
    """
    lists = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and not name.startswith("feature_extractor")
    ]
    name, members = min(lists, key=lambda pair: pair[0].count("."))
    return [Stage(f"network.{name}.{i}") for i in range(len(members))]


def _load_with_transformers(kind, folder, request, label, origin):
    """Return a network of transformers with its weights, and where these come from."""
    transformers = import_optional("transformers", "text", f"model={shorten(label)}")
    kind = getattr(transformers, kind)
    options = {"local_files_only": True, "trust_remote_code": False}
    with silence_progress(transformers), silence_warnings(transformers):
        if request.weights == "pretrained":
            _find_weights(folder)
            network, info = kind.from_pretrained(folder, output_loading_info=True, **options)
            # What masked prediction needs in training is in no other task's file.
            missing = [n for n in info["missing_keys"] if n != "masked_spec_embed"]
            if missing:
                raise ValueError(
                    f"The weights in {folder} do not fit {label!r}: they lack"
                    f" {len(missing)} tensors, such as {sorted(missing)[0]!r}"
                )
        else:
            network = _make_with_transformers(transformers, kind, folder, options)
            origin = load_given(network, request.weights, label)
    network.name_or_path = network.config._name_or_path = ""  # copies of a folder are equal
    _compute_weights(network)
    return network, origin


def _compute_weights(network):
    """Replace weights that torch computes in each pass, as of a norm and a direction.

    They have the same values, and the network can be pickled.
    """
    from torch.nn.utils import parametrize

    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name)
            # What reads files of earlier versions of torch is a local function of weight_norm.
            module._load_state_dict_pre_hooks.clear()


def _make_with_transformers(transformers, kind, folder, options):
    """Return a network of transformers with random weights."""
    if kind.__name__ == "AutoModel":
        config = transformers.AutoConfig.from_pretrained(folder, **options)
        return kind.from_config(config)
    return kind(kind.config_class.from_pretrained(folder, **options))


def _find_weights(folder):
    found = [folder / name for name in (*_FILES, *(f"{n}.index.json" for n in _FILES))]
    found = [path for path in found if path.is_file()]
    if not found:
        raise FileNotFoundError(
            f"{folder} has none of {', '.join(_FILES)}; bring one of them, or pass"
            " weights=None for random weights"
        )
    return found[0]
