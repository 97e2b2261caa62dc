"""Tokenizers in the metadata of a file, which cut texts as the estimator does."""

import json

from sklearn_transfer._validation import import_optional


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
