"""A small network that notes what it does in a file; quick to import in new processes."""

import os
import zlib

import torch
from torch import nn


class LoggedNet(nn.Module):
    """Convolution that writes a line for each image, from any process."""

    def __init__(self):
        super().__init__()
        self.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0.5,) * 3, "std": (0.2,) * 3}
        self.stem, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        _write("".join(f"{zlib.crc32(row.numpy().tobytes())}\n" for row in x))
        return self.head(self.stem(x).mean((2, 3)))


def logged_net(n_features_in):
    """LoggedNet with weights that are always the same; a line tells that it was built."""
    _write(f"built-{os.getpid()}\n")
    net = LoggedNet()
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            generator = torch.Generator().manual_seed(number)
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net


def _write(lines):
    with open(os.environ["LOGGED_NET"], "ab", buffering=0) as file:  # sets O_APPEND
        file.write(lines.encode())
