"""Texts to numbers of tokens, cut to the length that a network takes."""

import functools
from typing import NamedTuple

import numpy as np

from sklearn_transfer._modalities.callers import OF_TEXTS
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._validation import import_optional


class Tokens(NamedTuple):
    """Numbers of the tokens of one text.

    windows : for each window an int32 array, special tokens included.
    weights : for each window the number of tokens of the text in it, at least 1.
    n_tokens : tokens of the whole text, without special ones.
    n_cut : how many of these are in no window.
    """

    windows: list
    weights: list
    n_tokens: int
    n_cut: int


@functools.lru_cache(maxsize=8)
def build_tokenizer(definition):
    """Return the tokenizer that a JSON text defines, without truncation and padding."""
    tokenizers = import_optional("tokenizers", "text", "reading texts")
    tokenizer = tokenizers.Tokenizer.from_str(definition)
    # The file of a tokenizer may cut and pad to the length that its training used.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class Tokenization:
    """Turn texts into tokens, as the parameters of an estimator ask for.

    Parameters
    ----------
    definition : str
        JSON text that defines the tokenizer.
    max_length : int or None
        Most tokens of a window, special tokens included; None for any number.
    long_text : {"truncate", "windows", "raise"}
        What a longer text becomes.
    prompt : str
        Put before each text.
    lowercase : bool
        Whether texts are brought to lower case first.
    side : {"left", "right"}
        The end at which a long text is cut.
    filler : int
        The token of a text that has none, where the network has no special tokens.
    caller : Caller
        Whose options messages recommend.
    """

    def __init__(
        self,
        definition,
        max_length,
        long_text,
        prompt,
        lowercase,
        side,
        filler,
        caller=OF_TEXTS,
    ):
        self.tokenizer = build_tokenizer(definition)
        self.long_text, self.prompt, self.lowercase = long_text, prompt, lowercase
        self.side, self.filler, self.max_length = side, filler, max_length
        self.caller = caller
        n_special = self.tokenizer.num_special_tokens_to_add(False)
        self.n_free = None if max_length is None else max_length - n_special
        self.n_prompt = len(self._encode(prompt).ids) if prompt else 0
        if self.n_free is not None and self.n_free <= self.n_prompt:
            raise ValueError(
                f"max_length={max_length} leaves no room for a text beside {n_special} special"
                f" tokens and {self.n_prompt} tokens of the prompt; expected at least"
                f" {n_special + self.n_prompt + 1}"
            )

    def encode(self, text):
        """Return the `Tokens` of a text; raises BadSampleError if it is too long."""
        encoding = self._encode(self.prompt + text)
        n_tokens = len(encoding.ids)
        if self.n_free is None or n_tokens <= self.n_free:
            return Tokens([self._close(encoding)], [1], n_tokens, 0)
        if self.long_text == "raise":
            other = " or 'windows'" if self.caller.takes("long_text='windows'") else ""
            raise BadSampleError(
                f"has {n_tokens} tokens, and max_length={self.max_length} leaves room for"
                f" {self.n_free}; long_text='truncate'{other} takes longer texts"
            )
        if self.long_text == "truncate":
            encoding.truncate(self.n_free, direction=self.side)
            return Tokens([self._close(encoding)], [1], n_tokens, n_tokens - self.n_free)
        return self._make_windows(text, n_tokens)

    def _make_windows(self, text, n_tokens):
        """Return the tokens of a long text in windows, each with the prompt before it."""
        encoding = self._encode(text)
        encoding.truncate(self.n_free - self.n_prompt)
        parts = [encoding, *encoding.overflowing]
        weights = [len(part.ids) for part in parts]
        if self.prompt:
            merge = type(encoding).merge
            parts = [merge([self._encode(self.prompt), part]) for part in parts]
        return Tokens([self._close(part) for part in parts], weights, n_tokens, 0)

    def _encode(self, text):
        text = text.lower() if self.lowercase else text
        return self.tokenizer.encode(text, add_special_tokens=False)

    def _close(self, encoding):
        """Return the numbers of an encoding with special tokens around it."""
        ids = self.tokenizer.post_process(encoding).ids
        return np.array(ids if ids else [self.filler], dtype=np.int32)
