"""Common parts of networks of sounds, and modules of the user that take waveforms."""

import inspect

from sklearn_transfer._modalities.audio.front_ends import MASK, Waveform
from sklearn_transfer._modalities.audio.spec import AudioSpec
from sklearn_transfer._networks.backbone import Backbone, Description
from sklearn_transfer._networks.layout import OUTPUT, Layout, list_children

# Seconds of a window of a module that takes waveforms of any length.
_SECONDS = 30
# Samples of a window at least, of series of a low rate.
_LEAST = 1024


def make_audio_backbone(
    module,
    spec,
    origin,
    *,
    stages,
    pooling="avg",
    embedding=OUTPUT,
    final_map=OUTPUT,
    prefix_tokens=0,
    class_token=False,
    bands=1,
    convolutions=(),
    is_normalized=False,
    is_tower=False,
    digest=b"",
):
    """Return the backbone of a network of sounds.

    Its output, or what `embedding` names, are states (n, positions, width), of which taps take
    the mean over those that hold sound, or vectors (n, width).
    """
    layout = Layout(
        spec.label,
        stages=tuple(stages),
        pooling=pooling,
        prefix_tokens=prefix_tokens,
        class_token=class_token,
        has_classifier=False,
        embedding=embedding,
        final_map=final_map,
        is_normalized=is_normalized,
        is_tower=is_tower,
        is_audio=True,
        bands=bands,
        convolutions=convolutions,
    )
    return Backbone(Description(layout, spec, origin, digest=digest), module)


def wrap_sound_module(module, label, origin):
    """Return the backbone of a module with an attribute `sampling_rate`.

    It is called with waveforms (n, samples) of that rate and of equal length, or
    (n, n_channels, samples) if it has an attribute `n_channels` above 1, and with
    `attention_mask` if it has an argument of that name. Its attribute `shortest` is the number
    of samples that it needs.
    """
    rate = module.sampling_rate
    has_mask = MASK in inspect.signature(module.forward).parameters
    front_end = Waveform(
        sampling_rate=rate,
        is_normalized=False,
        shortest=int(getattr(module, "shortest", 1)),
        longest=max(int(_SECONDS * rate), _LEAST),
        has_mask=has_mask,
        n_channels=int(getattr(module, "n_channels", 1)),
    )
    spec = AudioSpec(label, front_end)
    return make_audio_backbone(module, spec, origin, stages=list_children(module))
