"""The residual network of CLIP [Radford 2021], under the names of its weights."""

import torch
from torch import nn
from torch.nn import functional

EXPANSION = 4


class Bottleneck(nn.Module):
    """Three convolutions beside a residual; averages make the map smaller, not strides."""

    def __init__(self, n_in, n_inner, stride=1):
        super().__init__()
        n_out = EXPANSION * n_inner
        self.conv1 = nn.Conv2d(n_in, n_inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_inner)
        self.conv2 = nn.Conv2d(n_inner, n_inner, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_inner)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(n_inner, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.downsample = nn.Identity()
        if stride > 1 or n_in != n_out:
            layers = {"-1": nn.AvgPool2d(stride), "0": nn.Conv2d(n_in, n_out, 1, bias=False)}
            self.downsample = nn.Sequential()
            for name, layer in {**layers, "1": nn.BatchNorm2d(n_out)}.items():
                self.downsample.add_module(name, layer)

    def forward(self, maps):
        found = self.bn1(self.conv1(maps)).relu()
        found = self.bn2(self.conv2(found)).relu()
        found = self.bn3(self.conv3(self.avgpool(found)))
        return (found + self.downsample(maps)).relu()


class AttentionPool(nn.Module):
    """Attention of the mean of all positions to each of them."""

    def __init__(self, n_positions, width, n_heads, dim):
        super().__init__()
        self.n_heads = n_heads
        shape = (n_positions + 1, width)
        self.positional_embedding = nn.Parameter(torch.randn(shape) / width**0.5)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.c_proj = nn.Linear(width, dim)

    def forward(self, maps):
        states = maps.flatten(2).transpose(1, 2)
        states = torch.cat([states.mean(1, keepdim=True), states], dim=1)
        states = states + self.positional_embedding
        query, key, value = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for part in (self.q_proj(states[:, :1]), self.k_proj(states), self.v_proj(states))
        )
        found = functional.scaled_dot_product_attention(query, key, value)
        return self.c_proj(found.transpose(1, 2).flatten(1))


class ModifiedResNet(nn.Module):
    """A residual network with three convolutions at its begin and attention at its end."""

    def __init__(self, stated, dim):
        super().__init__()
        width = stated["width"]
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(2)
        n_in = width
        for number, n_blocks in enumerate(stated["layers"]):
            n_inner, blocks = width * 2**number, []
            for block in range(n_blocks):
                stride = 2 if number and not block else 1
                blocks.append(Bottleneck(n_in, n_inner, stride))
                n_in = EXPANSION * n_inner
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
        n_positions = (stated["image_size"] // 32) ** 2
        n_heads = width * 32 // stated["head_width"]
        self.attnpool = AttentionPool(n_positions, n_in, n_heads, dim)

    def forward(self, pixels):
        maps = self.bn1(self.conv1(pixels)).relu()
        maps = self.bn2(self.conv2(maps)).relu()
        maps = self.avgpool(self.bn3(self.conv3(maps)).relu())
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = layer(maps)
        return self.attnpool(maps)
