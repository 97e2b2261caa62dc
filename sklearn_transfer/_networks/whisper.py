"""Encoder of Whisper [Radford 2023], under the names that transformers gives its parts.

The default network of sounds needs this one architecture, and importing transformers would
take longer than everything else.
"""

from dataclasses import dataclass, fields

import torch
from torch import nn
from torch.nn import functional

_PREFIX = "encoder/"


@dataclass(frozen=True)
class WhisperConfig:
    """Sizes of the encoder of a Whisper, as `config.json` of such a network states them."""

    num_mel_bins: int = 80
    d_model: int = 384
    encoder_layers: int = 4
    encoder_attention_heads: int = 6
    encoder_ffn_dim: int = 1536
    max_source_positions: int = 1500
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02


TINY = WhisperConfig()


def read_whisper_config(config):
    """Return the `WhisperConfig` of a mapping, or None if it is of another architecture."""
    usual = {"model_type": "whisper", "activation_function": "gelu", "scale_embedding": False}
    if "model_type" not in config or any(
        config.get(name, value) != value for name, value in usual.items()
    ):
        return None
    known = {field.name for field in fields(WhisperConfig)}
    return WhisperConfig(**{name: config[name] for name in known & config.keys()})


class WhisperEncoder(nn.Module):
    """Encoder: states (n, positions, d_model) of log-mel spectrograms (n, frames, mels).

    There is a position for every second frame. `attention_mask` (n, frames) is negative for
    what fills up the shorter sounds of a batch, which changes nothing. Silence that belongs to
    a sound, of which the network was given plenty in its training, is seen by attention.
    """

    def __init__(self, config):
        super().__init__()
        width = config.d_model
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.max_source_positions, width)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(width)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv1d)):
                nn.init.normal_(module.weight, std=config.init_std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.embed_positions.weight.data = make_sinusoids(config.max_source_positions, width)

    def forward(self, input_features, attention_mask=None):
        is_held = find_held(attention_mask)
        states = functional.gelu(self.conv1(input_features.transpose(1, 2)))
        if is_held is not None:  # convolutions see zeros behind the end of a sound alone too
            states = states * is_held[:, None]
            is_held = is_held[:, None, None, ::2]
        states = functional.gelu(self.conv2(states)).transpose(1, 2)
        states = self.dropout(states + self.embed_positions.weight[: states.shape[1]])
        for layer in self.layers:
            states = layer(states, is_held)
        return self.layer_norm(states)


def find_held(mask):
    """Return which entries of a mask are not negative, or None if all are.

    Compiled graphs are made for batches in which all are, and shapes tell nothing of values.
    """
    if mask is None or mask.device.type == "meta" or torch.jit.is_tracing():
        return None
    is_held = mask >= 0
    return None if bool(is_held.all()) else is_held


def make_sinusoids(n_positions, width):
    """Return the vectors of positions that the network was trained with."""
    rates = torch.logspace(0, -4, width // 2, dtype=torch.float64)
    angles = torch.arange(n_positions, dtype=torch.float64)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


class _Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.d_model
        self.self_attn = _Attention(config)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.activation_dropout = nn.Dropout(config.activation_dropout)

    def forward(self, states, mask):
        found = self.self_attn(self.self_attn_layer_norm(states), mask)
        states = states + self.dropout(found)
        found = functional.gelu(self.fc1(self.final_layer_norm(states)))
        return states + self.dropout(self.fc2(self.activation_dropout(found)))


class _Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.d_model
        self.n_heads = config.encoder_attention_heads
        self.dropout = nn.Dropout(config.attention_dropout)
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, states, mask):
        parts = (layer(states) for layer in (self.q_proj, self.k_proj, self.v_proj))
        query, key, value = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in parts
        )
        rate = self.dropout.p if self.training else 0.0
        found = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=rate
        )
        return self.out_proj(found.transpose(1, 2).flatten(2))


def convert_ctranslate2_weights(arrays):
    """Return the state dict of a `WhisperEncoder` from the arrays of a file of CTranslate2.

    There, query, key and value are one layer, and keys have a bias of zero.
    """
    state = {}
    for name, array in arrays.items():
        if not name.startswith(_PREFIX) or array.ndim == 0:
            continue
        tensor = torch.tensor(array).float()
        for new, part in _list_parts(name.removeprefix(_PREFIX), tensor):
            state[new] = part
    return state


def _list_parts(name, tensor):
    """Yield the tensors of one array with their names."""
    if name == "position_encodings/encodings":
        yield "embed_positions.weight", tensor
        return
    *path, kind = name.split("/")
    kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
    if not path[0].startswith("layer_") or path[0] == "layer_norm":
        yield f"{path[0]}.{kind}", tensor
        return
    layer = f"layers.{path[0].removeprefix('layer_')}"
    inner = "/".join(path[1:])
    if inner == "self_attention/linear_0":
        for part, rows in zip("qkv", tensor.chunk(3), strict=True):
            if part != "k" or kind != "bias":
                yield f"{layer}.self_attn.{part}_proj.{kind}", rows
        return
    yield f"{layer}.{_PARTS[inner]}.{kind}", tensor


_PARTS = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
