"""Augmentation of sounds: random views of a waveform and of its spectrogram."""

import functools

import numpy as np

from sklearn_transfer._validation import shorten, suggest_near

_LARGEST_SHIFT = 0.1  # of the length
_GAIN = 6.0  # decibels, up or down
_NOISE = (10.0, 30.0)  # decibels below the sound
_N_MASKS, _WIDEST_TIME, _WIDEST_BAND = 2, 0.1, 0.2  # shares of both axes [Park 2019]
# Where spectrograms of payloads have the axes of time and of frequency.
_AXES = {"input_features": (-2, -1), "input_values": (-2, -1), "pixels": (1, 0)}


def make_augmentation(augment, front_end):
    """Return the function that draws views of waveforms, for a value of `augment`.

    It is `draw_view(waveform, seed)`, which returns a payload and depends on nothing else.

    - "time-shift" moves the sound by up to a tenth of its length either way, and silence
      follows it.
    - "gain" makes it louder or softer by up to 6 dB.
    - "noise" adds white noise, 10 to 30 dB below the sound.
    - "spec-augment" hides two bands of time and two of frequency of the spectrogram [1]_.
    - "standard" is the first three.
    - A callable takes and returns a waveform (n_samples,) of float32, at the rate of the
      network. Draws from the global states of `random`, NumPy and torch are seeded.

    Raises ValueError for another value, and for "spec-augment" where the network takes
    waveforms.

    References
    ----------
    .. [1] D. Park et al. "SpecAugment: A Simple Data Augmentation Method for Automatic Speech
       Recognition". Interspeech, 2019.
    """
    if callable(augment):
        return functools.partial(_apply_callable, function=augment, front_end=front_end)
    if augment == "spec-augment":
        if not _has_spectrogram(front_end):
            raise ValueError(
                "augment='spec-augment' hides parts of spectrograms, and this network takes"
                " waveforms; use 'time-shift', 'gain', 'noise' or 'standard'"
            )
        return functools.partial(_draw_masked, front_end=front_end)
    if augment in _CHANGES:
        steps = _CHANGES[augment]
        return functools.partial(_draw_changed, steps=steps, front_end=front_end)
    raise ValueError(
        f"augment={shorten(augment)} is unknown for sounds; expected one of {AUGMENTATIONS},"
        " or a callable that takes and returns a waveform."
        f"{suggest_near(augment, AUGMENTATIONS)}"
    )


def _has_spectrogram(front_end):
    signature = front_end.compute_signature()
    return any(name in _AXES and len(shape) > 1 for name, shape, _ in signature)


def _draw_changed(waveform, seed, *, steps, front_end):
    rng = np.random.default_rng(seed)
    for step in steps:
        waveform = step(waveform, rng)
    return front_end.make_payload(waveform.astype(np.float32))


def _shift(waveform, rng):
    reach = int(len(waveform) * _LARGEST_SHIFT)
    shift = int(rng.integers(-reach, reach + 1))
    moved = np.zeros_like(waveform)
    kept = len(waveform) - abs(shift)
    moved[max(shift, 0) :][:kept] = waveform[max(-shift, 0) :][:kept]
    return moved


def _scale(waveform, rng):
    return waveform * 10 ** (rng.uniform(-_GAIN, _GAIN) / 20)


def _add_noise(waveform, rng):
    level = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))
    level *= 10 ** (-rng.uniform(*_NOISE) / 20)
    return waveform + level * rng.standard_normal(len(waveform))


def _draw_masked(waveform, seed, *, front_end):
    rng = np.random.default_rng(seed)
    payload = dict(front_end.make_payload(waveform))
    name = next(name for name in payload if name in _AXES)
    values = payload[name].copy()
    filling = values.mean(dtype=np.float64).astype(values.dtype)
    axes = zip(_AXES[name], (_WIDEST_TIME, _WIDEST_BAND), strict=True)
    for axis, widest in axes:
        moved = np.moveaxis(values, axis, 0)
        for _ in range(_N_MASKS):
            width = int(rng.integers(int(len(moved) * widest) + 1))
            start = int(rng.integers(len(moved) - width + 1))
            moved[start : start + width] = filling
    return {**payload, name: values}


def _apply_callable(waveform, seed, *, function, front_end):
    from sklearn_transfer._process.draws import seed_draws

    with seed_draws(seed):
        result = function(waveform.copy())
    if hasattr(result, "detach"):
        result = result.detach().cpu().numpy()
    found = np.asarray(result)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "fiu":
        raise ValueError(
            f"augment returned {type(result).__name__} of shape {found.shape}, expected a"
            " waveform (n_samples,) of numbers"
        )
    if not np.isfinite(found).all():
        raise ValueError("augment returned a waveform with NaN or infinity")
    longest = front_end.longest
    return front_end.make_payload(found[:longest].astype(np.float32))


_CHANGES = {
    "none": (),
    "time-shift": (_shift,),
    "gain": (_scale,),
    "noise": (_add_noise,),
    "standard": (_shift, _scale, _add_noise),
}
AUGMENTATIONS = (*_CHANGES, "spec-augment")
