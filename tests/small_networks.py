"""Small networks that tests share; importable, so that worker processes find them."""

import os
import zlib
from collections import Counter

import numpy as np
import torch
from timm.layers import DropPath
from torch import nn
from torch.nn import functional

CONFIG = {
    "input_size": (3, 32, 32),
    "mean": (0.5, 0.4, 0.3),
    "std": (0.2, 0.3, 0.4),
    "crop_pct": 0.9,
}


class CountingNet(nn.Module):
    """Two convolutions with batch-norm and dropout that count the images they see."""

    images_seen = 0
    batches_seen = []
    head_calls = 0

    def __init__(self, n_channels=3):
        super().__init__()
        self.pretrained_cfg = CONFIG
        self.stem = nn.Sequential(nn.Conv2d(n_channels, 4, 3, 2), nn.BatchNorm2d(4))
        self.body = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3, 2))
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        type(self).images_seen += len(x)
        type(self).batches_seen.append(len(x))
        x = self.drop(self.norm(self.body(self.stem(x))))
        type(self).head_calls += 1
        return self.head(x.mean((2, 3)))

    @classmethod
    def reset(cls):
        cls.images_seen, cls.batches_seen, cls.head_calls = 0, [], 0


def counting_net(n_features_in):
    return CountingNet(n_features_in)


def mlp(n_features_in):
    """Two-layer perceptron."""
    return nn.Sequential(nn.Linear(n_features_in, 8), nn.ReLU(), nn.Linear(8, 5))


def trained_net():
    """CountingNet whose batch-norm statistics differ from those of any batch."""
    torch.manual_seed(1)
    net = CountingNet()
    for _ in range(3):
        net(torch.randn(8, 3, 32, 32) * 2 + 1)
    CountingNet.reset()
    return net


class LoggingNet(CountingNet):
    """CountingNet that writes a line for each image into a file, from any process."""

    def forward(self, x):
        lines = "".join(f"{zlib.crc32(row.numpy().tobytes())}\n" for row in x)
        with open(os.environ["LOGGING_NET"], "ab", buffering=0) as file:  # sets O_APPEND
            file.write(lines.encode())
        return super().forward(x)


def logging_net():
    """LoggingNet with the weights of `trained_net`."""
    net = LoggingNet()
    net.load_state_dict(trained_net().state_dict())
    return net


class Tokens(nn.Module):
    """Patch embedding with a class token and two registers, in front of the patches."""

    def __init__(self, class_token=True):
        super().__init__()
        self.pretrained_cfg = {**CONFIG, "classifier": "head"}
        self.num_prefix_tokens, self.num_classes, self.global_pool = 3, 4, "token"
        self.feature_info = [
            {"module": "patches", "num_chs": 5, "reduction": 8},
            {"module": "block", "num_chs": 5, "reduction": 8},
        ]
        self.cls_token = nn.Parameter(torch.full((1, 1, 5), 7.0)) if class_token else None
        self.registers = nn.Parameter(torch.full((1, 2 + (not class_token), 5), 100.0))
        self.patches = nn.Conv2d(3, 5, 8, 8)
        self.block, self.head = nn.Identity(), nn.Linear(5, 4)

    def forward_features(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        prefix = [p for p in (self.cls_token, self.registers) if p is not None]
        x = torch.cat([p.expand(len(x), -1, -1) for p in prefix] + [x], dim=1)
        return self.block(x)

    def forward_head(self, x, pre_logits=False):
        x = x[:, 0]
        return x if pre_logits else self.head(x)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


class Shared(nn.Module):
    """One activation module used twice, and one module that is never used."""

    def __init__(self):
        super().__init__()
        self.pretrained_cfg = CONFIG
        self.first, self.second = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 2)
        self.act, self.unused = nn.ReLU(), nn.Linear(2, 2)

    def forward(self, x):
        return self.act(self.second(self.act(self.first(x)))).mean((2, 3))


class Windows(nn.Module):
    """Module whose output has more rows than there are samples."""

    def __init__(self):
        super().__init__()
        self.pretrained_cfg = CONFIG
        self.conv, self.inner = nn.Conv2d(3, 4, 8, 8), nn.Identity()

    def forward(self, x):
        x = self.conv(x)
        n, c, h, w = x.shape
        return self.inner(x.reshape(n * 2, c, h // 2, w)).reshape(n, -1)


def perceptron(n_features_in, n_outputs):
    """Two-layer perceptron that ends in the outputs."""
    return nn.Sequential(nn.Linear(n_features_in, 16), nn.ReLU(), nn.Linear(16, n_outputs))


class Watched(nn.Conv2d):
    """Convolution that counts how often it sees each image and records its mode."""

    seen = Counter()
    modes = set()

    def forward(self, x):
        type(self).modes.add(self.training)
        if x.device.type != "meta":
            type(self).seen.update(zlib.crc32(row.detach().numpy().tobytes()) for row in x)
        return super().forward(x)

    @classmethod
    def reset(cls):
        cls.seen, cls.modes = Counter(), set()


class Residual(nn.Module):
    """Block with batch-norm, dropout and stochastic depth."""

    def __init__(self, n_in, n_out, drop=0.3):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(n_in, n_out, 3, 2), nn.BatchNorm2d(n_out)
        self.inner = nn.Conv2d(n_out, n_out, 1)
        self.drop, self.path = nn.Dropout(drop), DropPath(drop)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        return x + self.path(self.drop(self.inner(x)))


class Staged(nn.Module):
    """Three stages with all layers that behave differently in training, and a classifier."""

    def __init__(self, drop=0.3):
        super().__init__()
        self.pretrained_cfg = CONFIG
        self.stem = Watched(3, 4, 3, 2)
        self.early, self.late = Residual(4, 6, drop), Residual(6, 8, drop)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.late(self.early(self.stem(x))).mean((2, 3)))


def staged(drop=0.3):
    """Return a `Staged` whose normalization statistics are those of some images."""
    torch.manual_seed(2)
    net = Staged(drop)
    for _ in range(3):
        net(torch.randn(8, 3, 32, 32) + 0.5)
    return net.eval()


def staged_net(n_features_in):
    """Return a new `Staged`."""
    return Staged()


class ByPassed(nn.Module):
    """Network that reuses the output of the stem after the middle, so it cannot be split."""

    def __init__(self):
        super().__init__()
        self.pretrained_cfg = CONFIG
        self.stem = nn.Conv2d(3, 4, 3, 2)
        self.middle, self.late = nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 2)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.late(torch.relu(self.middle(x)) + x).mean((2, 3)))


class Viewing(nn.Module):
    """Network whose own code requires maps in the usual order of axes."""

    def __init__(self):
        super().__init__()
        self.pretrained_cfg = CONFIG
        self.stem, self.late = nn.Conv2d(3, 4, 8, 8), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.late(self.stem(x.view(len(x), 3, -1).view(x.shape))).view(len(x), -1)


class Faces(nn.Module):
    """Network with the parts of FaceNet: joined branches, and embeddings of norm 1."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 4, bias=False), nn.BatchNorm2d(8))
        self.branch_0, self.branch_1 = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 3, 1, 1)
        self.mixed = nn.Conv2d(8, 8, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.last_linear = nn.Linear(8, 16, bias=False)
        self.last_bn = nn.BatchNorm1d(16)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        joined = torch.cat([self.branch_0(x), self.branch_1(x)], dim=1)
        x = torch.relu(x + 0.2 * self.mixed(joined))
        x = self.last_bn(self.last_linear(self.avgpool(x).flatten(1)))
        return functional.normalize(x, dim=1)


class Joined(nn.Module):
    """Puts maps of one size side by side."""

    def forward(self, maps):
        return torch.cat(maps, dim=1)


class Boxes(nn.Module):
    """Head of a detector: maps in training, else boxes of all positions and the maps."""

    def __init__(self, *widths):
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(width, 6, 1) for width in widths)

    def forward(self, maps):
        found = [head(x) for head, x in zip(self.heads, maps, strict=True)]
        if self.training:
            return found
        return torch.cat([x.flatten(2) for x in found], dim=2), found


class Yolo(nn.Module):
    """Detector whose layers say by `f` from which earlier ones they take their input."""

    def __init__(self):
        super().__init__()
        layers = [
            (-1, nn.Conv2d(3, 4, 3, 2, 1)),
            (-1, nn.Conv2d(4, 6, 3, 2, 1)),
            (-1, nn.Conv2d(6, 8, 3, 2, 1)),
            (-1, nn.Upsample(scale_factor=2)),
            ([-1, 1], Joined()),
            (-1, nn.Conv2d(14, 6, 1)),
            ([5, 2], Boxes(6, 8)),
        ]
        for source, layer in layers:
            layer.f = source
        self.model = nn.Sequential(*(layer for _, layer in layers))

    def forward(self, x):
        outputs = []
        for layer in self.model:
            if layer.f != -1:
                sources = [layer.f] if isinstance(layer.f, int) else layer.f
                x = [x if source == -1 else outputs[source] for source in sources]
            x = layer(x)
            outputs.append(x)
        return x


def to_pixels(image):
    """Return the network input of an image, which depends only on its pixels."""
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)
