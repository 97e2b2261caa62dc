"""Folders with small networks of texts."""

import json

import tokenizers
import torch
from safetensors.torch import save_file
from tokenizers import models, pre_tokenizers, processors

from sklearn_transfer._networks.bert import Bert, BertConfig

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "red",
    "green",
    "blue",
    "cat",
    "dog",
    "fish",
    "is",
]
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,
}


def make_tokenizer(special=True):
    """Tokenizer of whole words; its file pads and cuts, which must not count."""
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    return tokenizer


class TokenTable(torch.nn.Module):
    """A network of a user's own, with a tokenizer of the library tokenizers."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.table = torch.nn.Embedding(len(WORDS), 4)
            self.layers = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(4))
        self.tokenizer = make_tokenizer()

    def forward(self, input_ids, attention_mask):
        states = self.table(input_ids)
        for layer in self.layers:
            states = layer(states)
        return states


class CountingTable(TokenTable):
    """One that counts the texts that it is given, in `n_passed` of the class."""

    n_passed = 0

    def forward(self, input_ids, attention_mask):
        CountingTable.n_passed += len(input_ids)
        return super().forward(input_ids, attention_mask)


def make_bert():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Bert(BertConfig(**SIZES)).eval()


def write_bert(
    folder, *, pooling="mean_tokens", max_length=12, normalize=True, prompts=None, dense=0
):
    """Write a folder in the layout of sentence-transformers; returns it."""
    (folder / "1_Pooling").mkdir(parents=True)
    save_file(make_bert().state_dict(), folder / "model.safetensors")
    make_tokenizer().save(str(folder / "tokenizer.json"))
    kind = "sentence_transformers.models"
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if dense:
        (folder / "2_Dense").mkdir()
        layer = torch.nn.Linear(16, dense)
        state = {f"linear.{name}": tensor for name, tensor in layer.state_dict().items()}
        save_file(state, folder / "2_Dense" / "model.safetensors")
        stated = {"in_features": 16, "out_features": dense, "bias": True}
        stated["activation_function"] = "torch.nn.modules.activation.Tanh"
        write_json(folder / "2_Dense" / "config.json", stated)
        modules.append(("2_Dense", "Dense"))
    modules += [("2_Normalize", "Normalize")] if normalize else []
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"{kind}.{name}"}
        for i, (path, name) in enumerate(modules)
    ]
    write_json(folder / "modules.json", listed)
    write_json(folder / "config.json", {"model_type": "bert", "pad_token_id": 0, **SIZES})
    write_json(folder / "1_Pooling" / "config.json", {f"pooling_mode_{pooling}": True})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length})
    if prompts is not None:
        stated = {"prompts": prompts, "default_prompt_name": next(iter(prompts))}
        write_json(folder / "config_sentence_transformers.json", stated)
    return folder


def write_json(path, content):
    path.write_text(json.dumps(content))
