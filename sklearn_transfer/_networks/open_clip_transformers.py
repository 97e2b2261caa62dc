"""Transformers of open_clip, for images and for texts, under the names of its weights."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional


class QuickGELU(nn.Module):
    """The approximation of GELU that the first networks of CLIP were trained with."""

    def forward(self, states):
        return states * torch.sigmoid(1.702 * states)


class LayerScale(nn.Module):
    """A factor for each channel of what a block adds."""

    def __init__(self, width, initial):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), float(initial)))

    def forward(self, states):
        return states * self.gamma


class Attention(nn.Module):
    """Attention between all positions, or to those before each one if it is causal."""

    def __init__(self, width, n_heads, is_causal):
        super().__init__()
        self.n_heads, self.is_causal = n_heads, is_causal
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, states):
        query, key, value = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for part in self.in_proj(states).chunk(3, dim=-1)
        )
        found = functional.scaled_dot_product_attention(
            query, key, value, is_causal=self.is_causal
        )
        return self.out_proj(found.transpose(1, 2).flatten(2))


class Feedforward(nn.Module):
    """Two layers on each position."""

    def __init__(self, width, inner, activation):
        super().__init__()
        self.c_fc = nn.Linear(width, inner)
        self.activation = activation
        self.c_proj = nn.Linear(inner, width)

    def forward(self, states):
        return self.c_proj(self.activation(self.c_fc(states)))


class Block(nn.Module):
    """Attention and two layers, each behind a normalization and beside a residual."""

    def __init__(self, stated, n_heads, activation, is_causal):
        super().__init__()
        width, initial = stated["width"], stated["ls_init_value"]
        self.ln_1, self.ln_2 = (make_norm(stated) for _ in range(2))
        self.attn = Attention(width, n_heads, is_causal)
        self.mlp = Feedforward(width, int(width * stated["mlp_ratio"]), activation)
        self.ls_1, self.ls_2 = (
            nn.Identity() if initial is None else LayerScale(width, initial) for _ in range(2)
        )

    def forward(self, states):
        states = states + self.ls_1(self.attn(self.ln_1(states)))
        return states + self.ls_2(self.mlp(self.ln_2(states)))


class Transformer(nn.Module):
    """A chain of blocks.

    Parameters
    ----------
    stated : dict
        The part of a configuration about one tower, with values for all that it may state.
    n_heads : int
        Number of heads of attention.
    quick_gelu : bool
        Whether to approximate GELU as the first networks did.
    is_causal : bool, default=False
        Whether positions see only those before them.
    """

    def __init__(self, stated, n_heads, quick_gelu, is_causal=False):
        super().__init__()
        kind = partial(QuickGELU if quick_gelu else nn.GELU, **(stated["act_kwargs"] or {}))
        self.resblocks = nn.ModuleList(
            Block(stated, n_heads, kind(), is_causal) for _ in range(stated["layers"])
        )

    def forward(self, states):
        for block in self.resblocks:
            states = block(states)
        return states


class VisionTransformer(nn.Module):
    """A transformer of patches of an image, from pixels to an embedding (n, dim)."""

    def __init__(self, stated, dim, quick_gelu):
        super().__init__()
        width, size = stated["width"], as_pair(stated["image_size"])
        patch = as_pair(stated["patch_size"])
        n_patches = (size[0] // patch[0]) * (size[1] // patch[1])
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        scale = width**-0.5
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(n_patches + 1, width))
        self.ln_pre = nn.Identity() if stated["no_ln_pre"] else make_norm(stated)
        self.transformer = Transformer(stated, width // stated["head_width"], quick_gelu)
        self.ln_post = make_norm(stated)
        self.proj = nn.Linear(width, dim, bias=False)
        self.pool_type, self.pools_first = stated["pool_type"], stated["final_ln_after_pool"]

    def forward(self, pixels):
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(patches.shape[0], 1, -1)
        states = torch.cat([first, patches], dim=1) + self.positional_embedding
        states = self.transformer(self.ln_pre(states))
        if not self.pools_first:
            states = self.ln_post(states)
        pooled = states[:, 0] if self.pool_type == "tok" else states[:, 1:].mean(1)
        return self.proj(self.ln_post(pooled) if self.pools_first else pooled)


class TextTransformer(nn.Module):
    """A transformer of tokens, from their numbers to states (n, positions, width)."""

    def __init__(self, stated, quick_gelu):
        super().__init__()
        width, length = stated["width"], stated["context_length"]
        self.token_embedding = nn.Embedding(stated["vocab_size"], width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(length, width))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        is_causal = not stated["no_causal_mask"]
        self.transformer = Transformer(stated, stated["heads"], quick_gelu, is_causal)
        self.ln_final = make_norm(stated)

    def forward(self, input_ids):
        positions = self.positional_embedding[: input_ids.shape[1]]
        return self.ln_final(self.transformer(self.token_embedding(input_ids) + positions))


def make_norm(stated):
    """Return a normalization of the states of a tower."""
    return nn.LayerNorm(stated["width"], **(stated["norm_kwargs"] or {}))


def as_pair(size):
    """Return height and width of a size that is one number or both."""
    return (size, size) if isinstance(size, int) else tuple(size)
