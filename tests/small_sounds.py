"""Sounds made by formula, and files of them."""

import io

import numpy as np
import soundfile
import torch
from torch import nn

RATE = 16000


def make_tone(pitch, seconds=1.0, rate=RATE):
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


def make_noise(n, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(n, dtype=np.float32)


def encode(waveform, rate=RATE, format="WAV", subtype=None):
    """Bytes of a file; the time is the first axis of waveforms of several channels."""
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, rate, format=format, subtype=subtype)
    return buffer.getvalue()


class WaveNet(nn.Module):
    """Convolutions over a waveform, to states (n, positions, 16)."""

    sampling_rate, shortest = RATE, 720

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Conv1d(1, 8, 400, 160)
            self.second = nn.Conv1d(8, 16, 3, 2)

    def forward(self, waveform):
        return self.second(torch.relu(self.first(waveform[:, None]))).transpose(1, 2)


class SensorNet(nn.Module):
    """Convolutions over three channels, to a vector."""

    sampling_rate, n_channels, shortest = 50, 3, 8

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Conv1d(3, 12, 8)

    def forward(self, series):
        return torch.relu(self.layer(series)).mean(2)
