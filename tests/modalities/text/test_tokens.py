"""Tokens of texts, their payloads and batches."""

import numpy as np
import pytest

from sklearn_transfer._modalities.callers import Caller
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.payloads import Windows
from sklearn_transfer._modalities.text.reader import TokenFormat, Truncated
from sklearn_transfer._modalities.text.spec import TextSpec
from sklearn_transfer._modalities.text.tokens import Tokenization
from tests import small_texts

DEFINITION = small_texts.make_tokenizer().to_str()
PLAIN = small_texts.make_tokenizer(special=False).to_str()
LONG = "red green blue cat dog fish is"  # tokens 4 to 10


def tokenize(text, definition=DEFINITION, **changes):
    options = {"max_length": None, "long_text": "truncate", "prompt": "", "lowercase": False}
    options |= {"side": "right", "filler": 0} | changes
    return Tokenization(definition, **options).encode(text)


def lists_of(tokens):
    return [ids.tolist() for ids in tokens.windows]


def test_limits_of_the_file_do_not_count():
    assert lists_of(tokenize(LONG)) == [[2, 4, 5, 6, 7, 8, 9, 10, 3]]


@pytest.mark.parametrize(("side", "kept"), [("right", [4, 5]), ("left", [9, 10])])
def test_end_of_a_long_text_is_cut(side, kept):
    tokens = tokenize(LONG, max_length=4, side=side)
    assert lists_of(tokens) == [[2, *kept, 3]]
    assert (tokens.n_tokens, tokens.n_cut) == (7, 5)


def test_text_that_just_fits_is_not_cut():
    assert tokenize(LONG, max_length=9).n_cut == 0


def test_windows_hold_all_tokens():
    tokens = tokenize(LONG, max_length=5, long_text="windows")
    assert lists_of(tokens) == [[2, 4, 5, 6, 3], [2, 7, 8, 9, 3], [2, 10, 3]]
    assert tokens.weights == [3, 3, 1]


def test_each_window_has_the_prompt():
    tokens = tokenize(LONG, max_length=7, long_text="windows", prompt="is ")
    assert lists_of(tokens) == [[2, 10, 4, 5, 6, 7, 3], [2, 10, 8, 9, 10, 3]]
    assert tokens.weights == [4, 3]


def test_long_text_is_refused():
    with pytest.raises(
        BadSampleError, match="has 7 tokens, and max_length=5 leaves room for 3"
    ):
        tokenize(LONG, max_length=5, long_text="raise")


def test_lowercase_comes_first():
    assert lists_of(tokenize("RED Cat", lowercase=True)) == [[2, 4, 7, 3]]
    assert lists_of(tokenize("RED Cat")) == [[2, 1, 1, 3]]


def test_text_without_tokens_is_one_filler():
    assert lists_of(tokenize("", PLAIN, filler=3)) == [[3]]
    assert lists_of(tokenize("")) == [[2, 3]]


def make_reader(**params):
    spec = TextSpec("net", DEFINITION, max_length=5)
    return spec.reader(type("Options", (), params))


def test_digest_is_that_of_the_kept_tokens():
    reader = make_reader()
    keys = {reader.read(text)[0] for text in (LONG, f"{LONG} cat", "red  green blue")}
    assert len(keys) == 1
    assert reader.read("red green")[0] not in keys


def test_windows_have_another_digest_than_their_first():
    first = make_reader().read(LONG)[0]
    assert make_reader(long_text="windows").read(LONG)[0] != first


def test_divisions_into_windows_have_digests_of_their_own():
    readers = [make_reader(long_text="windows", max_length=n) for n in (5, 6)]
    assert readers[0].read(LONG)[0] != readers[1].read(LONG)[0]


def test_weights_of_windows_are_in_their_digest():
    options = {"long_text": "windows", "max_length": 5}
    with_prompt = make_reader(prompt="red ", **options).read("green blue cat")
    without = make_reader(**options).read("red green blue red cat")
    windows = [
        [ids.tolist() for ids in tokens.windows] for _, tokens in (with_prompt, without)
    ]
    assert windows[0] == windows[1]
    assert (with_prompt[1].weights, without[1].weights) == ([2, 1], [3, 2])
    assert with_prompt[0] != without[0]


def test_digest_of_a_known_text_is_remembered():
    reader = make_reader()
    text = "red cat of this test"
    assert reader.known_digest(text) is None
    key = reader.read(text)[0]
    assert reader.known_digest(text) == key
    assert make_reader(max_length=6).known_digest(text) is None
    assert reader.known_digest(None) is None


def test_payload_of_a_long_text_has_windows():
    reader = make_reader(long_text="windows")
    payload = reader.prepare(reader.read(LONG)[1])
    assert isinstance(payload, Windows)
    assert [len(made["input_ids"]) for made in payload.payloads] == [5, 5, 3]


def test_batches_are_padded_at_the_end():
    format, reader = TokenFormat(9, 11), make_reader()
    payloads = [reader.prepare(reader.read(text)[1]) for text in ("cat", "red cat")]
    batch = format.collate(payloads)
    assert batch["input_ids"].tolist() == [[2, 7, 3, 9], [2, 4, 7, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_examples_of_other_sizes_have_other_lengths():
    format = TokenFormat(0, 11, 8)
    shapes = [format.example(n, None)["input_ids"].shape for n in (1, 2, 3)]
    assert shapes == [(1, 8), (2, 7), (3, 6)]
    mask = format.example(3, None)["attention_mask"]
    assert np.array_equal(mask.sum(axis=1), [6, 5, 5])


def test_remarks_on_truncation_are_summed():
    remark = Truncated(5, 10, 4).merge(Truncated(5, 30, 6))
    assert "10 of 40, 25%" in remark.describe(Caller("PretrainedTextFeatures"))
