"""Batches of payloads of different lengths, and means over windows."""

import numpy as np
import pytest

from sklearn_transfer._modalities.payloads import Windows
from sklearn_transfer._modalities.text.reader import TokenFormat
from sklearn_transfer.extraction._batches import Part, SortedWaiting, WindowMeans, list_parts

FORMAT = TokenFormat(0, 11)


def make_part(length, key=b""):
    ids = np.zeros(length, dtype=np.int64)
    return list_parts(key, {"attention_mask": ids, "input_ids": ids})[0]


def take_lengths(waiting):
    batches = []
    while parts := waiting.take():
        batches.append([FORMAT.get_length(part.payload) for part in parts])
    return batches


@pytest.mark.parametrize(
    ("most_positions", "batches"),
    [(None, [[9, 7], [5, 3], [3, 2]]), (12, [[9], [7], [5, 3], [3, 2]]), (1, 6 * [1])],
)
def test_batches_have_similar_lengths(most_positions, batches):
    waiting = SortedWaiting(FORMAT, 2, most_positions)
    for length in (3, 9, 2, 7, 3, 5):
        assert not waiting.add(make_part(length))
    found = take_lengths(waiting)
    assert (found if most_positions != 1 else [len(batch) for batch in found]) == batches


def test_only_so_many_parts_wait():
    waiting = SortedWaiting(FORMAT, 2, None)
    full = [waiting.add(make_part(4)) for _ in range(64)]
    assert full.index(True) == 63


def test_windows_of_several_batches_are_joined():
    parts = list_parts(b"long", Windows([{}, {}], [3, 1])) + list_parts(b"short", {})
    features = np.array([[4.0, 0.0], [0.0, 8.0], [1.0, 1.0]], dtype=np.float32)
    means = WindowMeans()
    keys, found = means.join(parts[1:], [features[1:]])
    assert (keys, found[0].tolist()) == ([b"short"], [[1.0, 1.0]])
    keys, found = means.join(parts[:1], [features[:1]])
    assert (keys, found[0].tolist()) == ([b"long"], [[3.0, 2.0]])
    assert found[0].dtype == np.float32


def test_batch_without_a_complete_sample_is_empty():
    part = list_parts(b"long", Windows([{}, {}], [1, 1]))[0]
    keys, found = WindowMeans().join([part], [np.zeros((1, 5), np.float32)])
    assert (keys, found[0].shape) == ([], (0, 5))


class EqualFormat(TokenFormat):
    """Tokens of which only those of equal length make a batch."""

    needs_equal_lengths = True


def test_batches_have_equal_lengths_where_padding_would_matter():
    waiting = SortedWaiting(EqualFormat(0, 11), 3, None)
    for length in (3, 9, 3, 9, 3, 3, 5):
        waiting.add(make_part(length))
    assert take_lengths(waiting) == [[9, 9], [5], [3, 3, 3], [3]]


def test_few_long_parts_wait():
    waiting = SortedWaiting(EqualFormat(0, 11, example_length=4), 2, None)
    full = [waiting.add(make_part(length)) for length in (100, 100, 56, 1)]
    assert full == [False, False, True, True]
    while waiting.take():
        pass
    assert not waiting.add(make_part(200))


def test_windows_of_a_sample_that_breaks_off_are_forgotten():
    means, vectors = WindowMeans(), [np.ones((1, 3), np.float32)]
    first, second = (Part(b"long", {}, i, None) for i in range(2))
    means.join([first], vectors)
    means.drop(b"long")
    assert means.join([second], vectors)[0] == []
    assert means.found == {}


def test_channels_have_means_of_their_own():
    means = WindowMeans()
    for i, (channel, weight, value) in enumerate([(0, 3, 4.0), (1, 3, 1.0), (0, 1, 0.0)]):
        part = Part(b"long", {}, i, None, weight, None, channel)
        means.add(part, [np.full(2, value, np.float32)])
    (found,) = means.close(b"long", 3)
    assert found.tolist() == [3.0, 3.0, 1.0, 1.0]


def test_count_may_be_known_before_the_last_window():
    means, part = WindowMeans(), Part(b"long", {}, 0, None)
    assert means.close(b"long", 1) is None
    keys, found = means.join([part], [np.ones((1, 3), np.float32)])
    assert (keys, found[0].tolist()) == ([b"long"], [[1.0, 1.0, 1.0]])
