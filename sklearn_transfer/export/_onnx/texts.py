"""Front of networks of texts, whose tokenizer lies in the metadata of a file."""

import json

from sklearn_transfer._validation import import_optional
from sklearn_transfer.export._onnx.fronts import Front, InputSpec

_SENTENCES = (
    "A small dog runs along the beach.",
    "",
    "Prices rose by 3 % in March, more than most people had expected.",
    "no",
    "The quick brown fox jumps over the lazy dog, again and again, until it is dark.",
    "Delivery was late. The box was damaged; one part was missing!",
    "Is this the right place?",
    "It depends: some say yes, others say no, and a few have never thought about it at all.",
)


class TextFront(Front):
    """Numbers of tokens, which a tokenizer outside of the file makes of texts."""

    @property
    def inputs(self):
        shape = (None, None)
        ids = "numbers of tokens, as the tokenizer in the metadata makes them"
        mask = "1 for tokens, and 0 for the padding of shorter texts at their end"
        return [
            InputSpec("attention_mask", "int64", shape, mask),
            InputSpec("input_ids", "int64", shape, ids),
        ]

    def make_examples(self):
        has_special = self.reader.tokenization.tokenizer.num_special_tokens_to_add(False) > 0
        return [text for text in _SENTENCES if text or has_special]

    def read(self, samples):
        tokenizer = build_own_tokenizer(self.describe()["tokenizer"])
        payloads = super().read(samples)
        prompt = self.reader.tokenization.prompt
        for row, payload in enumerate(payloads):
            ids = tokenizer.encode(prompt + samples[row]).ids
            if ids != payload["input_ids"].tolist():
                raise ArithmeticError(
                    f"The tokenizer in the metadata gives other tokens for row {row} than the"
                    " estimator takes, so its texts cannot be read outside of Python"
                )
        return payloads

    def describe(self):
        found = {"tokenizer": write_tokenizer(self.reader)}
        prompt = self.reader.tokenization.prompt
        return {**found, "prompt": prompt} if prompt else found


def write_tokenizer(reader):
    """Return the JSON text of a tokenizer that makes the tokens which a `TextReader` does."""
    tokenization = reader.tokenization
    tokenizers = import_optional("tokenizers", "text", "exporting a network of texts")
    tokenizer = tokenizers.Tokenizer.from_str(tokenization.tokenizer.to_str())
    if tokenization.lowercase:
        normalizers = tokenizers.normalizers
        first = normalizers.Lowercase()
        given = tokenizer.normalizer
        tokenizer.normalizer = normalizers.Sequence([first, given]) if given else first
    if tokenization.max_length is not None:
        tokenizer.enable_truncation(tokenization.max_length, direction=tokenization.side)
    token = tokenizer.id_to_token(reader.format.padding)
    if token is not None:
        tokenizer.enable_padding(pad_id=reader.format.padding, pad_token=token)
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False)


def build_own_tokenizer(definition):
    """Return the tokenizer that a JSON text defines, with its truncation, for one text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(definition)
    tokenizer.no_padding()
    return tokenizer
