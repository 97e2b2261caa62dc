"""Reader of texts."""

from dataclasses import dataclass

import numpy as np
import xxhash

from sklearn_transfer._modalities.contents import (
    BadSampleError,
    describe_sample,
    is_missing,
)
from sklearn_transfer._modalities.payloads import PayloadFormat, Windows
from sklearn_transfer._modalities.readers import Reader
from sklearn_transfer._modalities.remarks import Remark
from sklearn_transfer._store.digests import digest
from sklearn_transfer._validation import shorten

EXAMPLE_LENGTH = 32
_MEMO_LIMIT = 500_000
_memo = {}
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class TokenFormat(PayloadFormat):
    """Payloads `{"attention_mask", "input_ids"}` (n_tokens,), of any number of tokens.

    `padding` is the token that fills up shorter texts of a batch, at their end: attention to
    what follows is masked, so features of a text do not depend on it. Tokens are numbers
    below `n_known`.
    """

    padding: int
    n_known: int
    example_length: int = EXAMPLE_LENGTH

    is_ragged = True

    def compute_signature(self, payload):
        return (("attention_mask", (None,), "<i8"), ("input_ids", (None,), "<i8"))

    def get_length(self, payload):
        return len(payload["input_ids"])

    def collate(self, payloads):
        shape = (len(payloads), max(map(self.get_length, payloads)))
        ids = np.full(shape, self.padding, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, payload in enumerate(payloads):
            length = self.get_length(payload)
            ids[row, :length] = payload["input_ids"]
            mask[row, :length] = payload["attention_mask"]
        return {"attention_mask": mask, "input_ids": ids}

    def to_input(self, batch):
        return dict(batch)

    def example(self, n, signature):
        """Return random tokens; all texts but the first have a quarter of padding.

        Examples of other sizes have other lengths too, so that a compiled graph which holds
        for one length alone fails its check.
        """
        shape = (n, max(self.example_length + 1 - n, 1))
        ids = np.random.default_rng(0).integers(0, self.n_known, shape)
        mask = np.ones(shape, dtype=np.int64)
        mask[1:, shape[1] - shape[1] // 4 :] = 0
        return {"attention_mask": mask, "input_ids": np.where(mask, ids, self.padding)}


@dataclass(frozen=True)
class Truncated(Remark):
    """Remark that the tokens of a text beyond `max_length` were cut."""

    max_length: int
    n_tokens: int
    n_cut: int
    may_grow: bool = True  # whether the network takes more than max_length

    kind = "truncated"

    def merge(self, other):
        return Truncated(
            self.max_length,
            self.n_tokens + other.n_tokens,
            self.n_cut + other.n_cut,
            self.may_grow,
        )

    def describe(self, caller):
        windows = "long_text='windows'"
        offers = []
        if caller.takes(windows):
            offers.append(f"{windows} averages over all parts of a text")
        if self.may_grow:
            offers.append("a larger max_length costs time")
        last = "long_text='raise' refuses such texts"
        share = self.n_cut / self.n_tokens
        return (
            f"tokens beyond max_length={self.max_length} are cut: {self.n_cut} of"
            f" {self.n_tokens}, {share:.0%}. In {caller.owner}(...),"
            f" {', '.join([*offers, 'and ' + last] if offers else [last])}"
        )


class TextReader(Reader):
    """Texts to numbers of tokens.

    The digest of a text is that of its tokens, so it does not matter how many characters were
    cut, or whether a prompt was given or was part of the text.
    """

    unit = "text"
    key = "tokens"
    input_source = "as the tokens of the texts are"

    def __init__(self, tokenization, format, settings, may_grow=True):
        self.tokenization, self.format = tokenization, format
        self.caller, self.may_grow = tokenization.caller, may_grow
        self.settings = digest(settings)  # what decides the tokens of a text

    def is_quick(self, sample):
        return True

    def describe(self, sample):
        if isinstance(sample, str):
            return shorten(sample, _LONGEST_SHOWN)
        return describe_sample(sample)

    def find_signature(self, samples):
        return self.format.compute_signature(None)

    def known_digest(self, sample):
        if not isinstance(sample, str):
            return None
        return _memo.get(self._identify(sample))

    def read(self, sample, key=None):
        if not isinstance(sample, str):
            raise BadSampleError(_describe_wrong_type(sample))
        identity = self._identify(sample)
        tokens = self.tokenization.encode(str(sample))
        if key is None:
            key = _digest_tokens(tokens)
        if len(_memo) >= _MEMO_LIMIT:
            _memo.clear()
        _memo[identity] = key
        return key, tokens

    def add_remarks(self, content, note):
        # Texts may be equal once they are cut, and all of them count.
        if content.n_cut:
            max_length = self.tokenization.max_length
            note(Truncated(max_length, content.n_tokens, content.n_cut, self.may_grow))

    def prepare(self, content, note=None):
        payloads = [_make_payload(ids) for ids in content.windows]
        return payloads[0] if len(payloads) == 1 else Windows(payloads, content.weights)

    def _identify(self, text):
        try:
            content = text.encode()
        except UnicodeEncodeError as error:
            raise BadSampleError(
                f"has a lone surrogate, {text[error.start]!r}, at character {error.start},"
                " which is no text; text.encode('utf-8', 'replace').decode() replaces it"
            ) from error
        return xxhash.xxh3_128_digest(self.settings + content)


def _describe_wrong_type(sample):
    if is_missing(sample):
        return "is missing, expected a string; an empty string '' is a text without words"
    if isinstance(sample, bytes):
        return "is bytes, expected a string; decode it, for instance sample.decode('utf-8')"
    return f"is of type {type(sample).__name__}, expected a string"


def _digest_tokens(tokens):
    hasher = xxhash.xxh3_128()
    # Windows with a prompt weigh less than others of the same tokens.
    for ids, weight in zip(tokens.windows, tokens.weights, strict=True):
        hasher.update(f"{len(ids)} {weight} ".encode())
        hasher.update(ids)
    return hasher.digest()


def _make_payload(ids):
    ids = ids.astype(np.int64)
    return {"attention_mask": np.ones_like(ids), "input_ids": ids}
