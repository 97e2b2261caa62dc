"""BERT, an encoder of texts [Devlin 2019], under the names that transformers gives its parts.

Importing transformers takes ten times as long as everything else that the default network of
texts needs, so this package has the one architecture of its own.
"""

from dataclasses import dataclass, fields

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT, as `config.json` of such a network states them."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    pad_token_id: int = 0


def read_bert_config(config):
    """Return the `BertConfig` of a mapping, or None if it is of another architecture."""
    usual = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    }
    if "model_type" not in config or any(
        config.get(name, value) != value for name, value in usual.items()
    ):
        return None
    known = {field.name for field in fields(BertConfig)}
    return BertConfig(**{name: config[name] for name in known & config.keys()})


class Bert(nn.Module):
    """BERT without pooler: states (n, positions, hidden_size) of the last layer."""

    def __init__(self, config):
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Encoder(config)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=config.initializer_range)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, input_ids, attention_mask=None):
        states = self.embeddings(input_ids)
        mask = None if attention_mask is None else attention_mask[:, None, None, :].bool()
        return self.encoder(states, mask)


class _Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids):
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        states = self.word_embeddings(input_ids) + self.token_type_embeddings.weight[0]
        states = states + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(states))


class _Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, states, mask):
        for layer in self.layer:
            states = layer(states, mask)
        return states


class _Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention = _Attention(config)
        self.intermediate = _Intermediate(config)
        self.output = _Output(config, config.intermediate_size)

    def forward(self, states, mask):
        states = self.attention(states, mask)
        return self.output(self.intermediate(states), states)


class _Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _Output(config, config.hidden_size)

    def forward(self, states, mask):
        return self.output(self.self(states, mask), states)


class _SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        self.n_heads = config.num_attention_heads
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, states, mask):
        parts = (layer(states) for layer in (self.query, self.key, self.value))
        query, key, value = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in parts
        )
        rate = self.dropout.p if self.training else 0.0
        found = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=rate
        )
        return found.transpose(1, 2).flatten(2)


class _Intermediate(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, states):
        return functional.gelu(self.dense(states))


class _Output(nn.Module):
    def __init__(self, config, width):
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states, residual):
        return self.LayerNorm(self.dropout(self.dense(states)) + residual)
