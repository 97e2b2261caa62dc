"""Estimators of features for the networks that a ranking is given."""

import copy
import os

from sklearn.base import BaseEstimator

from sklearn_transfer._validation import shorten, suggest_near

_N_PROBED = 20


def holds_sounds(X):
    """Whether X is a list of sounds: files by their names or first bytes, or waveforms."""
    from sklearn_transfer._modalities.audio.contents import is_rate

    if not hasattr(X, "__len__") or getattr(X, "ndim", 1) != 1:
        return False
    samples = [sample for _, sample in zip(range(_N_PROBED), X, strict=False)]
    samples = [sample for sample in samples if sample is not None]
    pairs = [sample for sample in samples if isinstance(sample, tuple) and len(sample) == 2]
    if pairs and len(pairs) == len(samples):
        return all(hasattr(array, "shape") and is_rate(rate) for array, rate in pairs)
    return bool(samples) and all(map(_is_sound_file, samples))


def _is_sound_file(sample):
    from sklearn_transfer._modalities.audio.contents import identify_sound
    from sklearn_transfer._tables import SOUND_ENDINGS

    if isinstance(sample, bytes):
        return identify_sound(sample[:12]) is not None
    is_path = isinstance(sample, (str, os.PathLike))
    return is_path and os.fsdecode(sample).lower().endswith(SOUND_ENDINGS)


def build_extractor(model, params, verbose, of_sounds=False):
    """Unfitted estimator of features with checked parameters.

    `of_sounds` says whether the samples are sounds.
    """
    if isinstance(model, BaseEstimator):
        if not hasattr(model, "_extract_layers"):
            raise TypeError(
                f"models holds a {type(model).__name__}: expected a network's name, a module, "
                "a callable that makes one, a PretrainedFeatures, a PretrainedTextFeatures or"
                " a PretrainedAudioFeatures"
            )
        extractor = copy.copy(model)
    else:
        extractor = _build_named(model, params, of_sounds)
    if verbose:
        extractor.verbose = verbose
    extractor._validate_params()
    return extractor


def _build_named(model, params, of_sounds):
    """Estimator of features for a network that the user gave without one.

    Without a parameter that only texts or sounds have it is one of images, which
    `match_network` makes one of others when the network is loaded.
    """
    from sklearn_transfer.selection._log_mel import NAME as LOG_MEL
    from sklearn_transfer.selection._log_mel import LogMelFeatures
    from sklearn_transfer.selection._tfidf import NAME, TfidfFeatures

    baselines = {NAME: TfidfFeatures, LOG_MEL: LogMelFeatures}
    if isinstance(model, str) and model in baselines:
        return _build_with_params(baselines[model], model, params)
    of_images, of_texts, of_audio = _list_kinds()
    if of_sounds:
        return _build_with_params(of_audio, model, params)
    known = set(of_images._get_param_names())
    for kind in (of_texts, of_audio):
        if set(params) & (set(kind._get_param_names()) - known):
            return _build_with_params(kind, model, params)
    return _build_with_params(of_images, model, params)


def _list_kinds():
    from sklearn_transfer import extraction

    return (
        extraction.PretrainedFeatures,
        extraction.PretrainedTextFeatures,
        extraction.PretrainedAudioFeatures,
    )


def match_network(extractor):
    """The estimator, or for a network of texts or sounds one of these with its parameters."""
    of_images, of_texts, of_audio = _list_kinds()
    if type(extractor) is not of_images:
        return extractor
    layout = extractor._open_backbone().layout
    if not (layout.is_text or layout.is_audio):
        return extractor
    kind, taken = (of_texts, "texts") if layout.is_text else (of_audio, "sounds")
    params = extractor.get_params(deep=False)
    known, usual = kind._get_param_names(), of_images().get_params()
    for name in [name for name in params if name not in known]:
        if params.pop(name) != usual[name]:
            raise ValueError(
                f"{name} is no parameter of {kind.__name__}, and this network takes {taken}:"
                " leave it out of features_params"
            )
    return kind(**params)


def _build_with_params(kind, model, params):
    known = kind._get_param_names()
    unknown = [name for name in params if name not in known or name in ("model", "layers")]
    if unknown:
        raise ValueError(
            f"features_params holds {shorten(unknown[0])}, which is no parameter to give "
            f"here; expected some of {[n for n in known if n not in ('model', 'layers')]}."
            f"{suggest_near(unknown[0], known)}"
        )
    return kind(model, **params)


def has_layers(extractor):
    """Whether an estimator of features is a network, and no baseline."""
    from sklearn_transfer.selection._log_mel import LogMelFeatures
    from sklearn_transfer.selection._tfidf import TfidfFeatures

    return not isinstance(extractor, (LogMelFeatures, TfidfFeatures))
