"""Loudness of bands of frequency as a baseline for networks of sounds."""

import numpy as np
from torch import nn

from sklearn_transfer._modalities.audio.front_ends import LogMelFrames
from sklearn_transfer._modalities.audio.log_mel import LogMel
from sklearn_transfer._modalities.audio.spec import AudioSpec
from sklearn_transfer._networks.registry import load_backbone
from sklearn_transfer._networks.taps import resolve_taps
from sklearn_transfer._validation import check_feature_names_in
from sklearn_transfer.extraction import PretrainedAudioFeatures

NAME = "log-mel"
_BANDS = 64
_FRONT_END = LogMelFrames(LogMel(16000, 400, 160, _BANDS), longest=480000)


class _Statistics(nn.Module):
    """Mean and standard deviation over the frames that hold sound."""

    def forward(self, input_features, attention_mask):
        import torch

        held = (attention_mask > 0).float()[:, :, None]
        count = held.sum(1)
        mean = (input_features * held).sum(1) / count
        square = ((input_features - mean[:, None]) ** 2 * held).sum(1) / count
        return torch.cat([mean, square.sqrt()], dim=1)


def _build_statistics(n_features_in):
    return _Statistics()


class LogMelFeatures(PretrainedAudioFeatures):
    """Mean and standard deviation over time of the loudness of 64 bands of frequency.

    It has the parameters of what it stands for, so that searches over them still run, and
    leaves those of the network unused.
    """

    def _load_backbone(self, n_outputs=None):
        return load_backbone(_build_statistics, None, device="cpu")

    def _open_backbone(self):
        return self._load_backbone()

    def _has_backbone(self):
        return hasattr(self, "weights_sha256_")

    def _find_spec(self, backbone):
        return AudioSpec(NAME, _FRONT_END)

    def _resolve(self, backbone, layers):
        if layers == "logits":
            raise ValueError("layers='logits': loudness of bands comes with no classifier")
        return resolve_taps(backbone, None, "auto")

    def _resolve_engine(self, backbone):
        return "torch"

    def get_feature_names_out(self, input_features=None):
        """Names of the output features: "log-mel_mean_" and "log-mel_std_" with the band."""
        check_feature_names_in(self, input_features)
        n_channels = getattr(self, "_n_channels", 1) if self.channels == "separate" else 1
        kinds = [(kind, i) for kind in ("mean", "std") for i in range(_BANDS)]
        names = [f"{NAME}_{kind}_{i}" for kind, i in kinds]
        if n_channels > 1:
            names = [f"{name}_{c}" for c in range(n_channels) for name in names]
        return np.asarray(names, dtype=object)

    def _make_caption(self):
        return "mean and deviation of log-mel bands"
