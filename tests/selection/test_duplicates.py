"""Tests of copies: found by content, told from neighbors, and reported across a split."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold, StratifiedGroupKFold
from sklearn.preprocessing import FunctionTransformer

from sklearn_transfer import duplicate_groups
from sklearn_transfer.datasets import load_photo_crops
from sklearn_transfer.selection._duplicate_result import DuplicateGroups

TEXTS = [
    "The cat sat on the mat, and it purred all afternoon.",
    "Stocks fell on Monday after a weak report on jobs.",
    "THE CAT sat on the  mat; and it purred all afternoon!",
    "Rain is expected in the north, with some wind later.",
    "Stocks fell on Monday after a weak report on jobs.",
    "Stocks fell sharply on Monday after a weak report on jobs.",
]


def encode(picture, kind="png", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def make_copy(picture, row):
    """A copy of a picture, in one of four ways."""
    side = picture.width
    if row % 4 == 0:
        return encode(picture, "jpeg", quality=30)
    if row % 4 == 1:
        return picture.resize((side // 2, side // 2))
    if row % 4 == 2:
        return picture.crop((0, side // 20, side - side // 20, side))
    return encode(picture.crop((4, 4, side - 4, side - 4)).resize((90, 90)), "jpeg")


@pytest.fixture(scope="module")
def photos():
    """Crops of photos, of which the first 30 have a copy at the end, and their labels."""
    images, y = load_photo_crops(4, size=128, random_state=5, return_X_y=True)
    pictures = [Image.fromarray(pixels) for pixels in images]
    copies = [make_copy(picture, row) for row, picture in enumerate(pictures[:30])]
    return [*pictures, *copies], np.concatenate([y, y[:30]])


@pytest.fixture(scope="module")
def found(photos):
    return duplicate_groups(photos[0])


def test_planted_copies_of_photos_are_found_and_no_neighbors(found):
    planted = {(row, 60 + row) for row in range(30)}
    pairs = set(map(tuple, found.pairs.tolist()))
    assert len(pairs & planted) >= 0.95 * len(planted)
    assert len(pairs & planted) >= 0.95 * len(pairs)
    assert not found.exact.any()
    assert found.kind == "image"


def test_groups_hold_copies_together(found, photos):
    folds = StratifiedGroupKFold(3).split(photos[0], photos[1], found.groups)
    assert len(found.find_leaks_in(folds).test_row) == 0


def test_leak_report_names_the_planted_rows(found):
    report = found.find_leaks(np.arange(60), np.arange(60, 90))
    assert set(report.test_row) <= set(range(60, 90))
    assert report.share >= 0.95
    assert (report.train_row == report.test_row - 60).mean() >= 0.95
    assert "test rows" in str(report)
    assert "StratifiedGroupKFold" in report._repr_html_()
    assert json.loads(json.dumps(report.to_dict()))["share"] == report.share


def test_equal_files_under_two_names_are_exact_copies(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 40, 40, 3), dtype=np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path, row in zip(paths, [0, 1, 0, 2], strict=True):
        path.write_bytes(encode(Image.fromarray(pixels[row])))
    result = duplicate_groups([str(path) for path in paths])
    np.testing.assert_array_equal(result.groups, [0, 1, 0, 2])
    np.testing.assert_array_equal(result.pairs, [[0, 2]])
    np.testing.assert_array_equal(result.first_rows, [0, 1, 3])
    assert result.exact.all()


def test_pictures_of_one_gray_are_no_near_copies():
    flat = np.full((4, 32, 32), 255, np.uint8)
    flat[1:] -= np.arange(3, dtype=np.uint8)[:, None, None]
    result = duplicate_groups(flat)
    np.testing.assert_array_equal(result.pairs, [[0, 1]])
    assert result.exact.all()


def test_unreadable_image_is_named():
    with pytest.raises(ValueError, match=r"row 1 of X \(3 bytes\) .*: drop or replace it"):
        duplicate_groups([np.zeros((8, 8), np.uint8), b"abc"])


def test_texts_are_compared_without_case_and_punctuation():
    result = duplicate_groups(TEXTS)
    np.testing.assert_array_equal(result.groups, [0, 1, 0, 2, 1, 1])
    np.testing.assert_array_equal(result.pairs[:2], [[1, 4], [0, 2]])
    np.testing.assert_array_equal(result.exact, [True, False, False])


def test_similarity_of_texts_is_that_of_jaccard():
    result = duplicate_groups(["abcdefgh ij", "abcdefgh kl"], threshold=0.1)
    first, second = (
        {text[i : i + 5] for i in range(9)} for text in (" abcdefgh ij ", " abcdefgh kl ")
    )
    assert result.similarity == pytest.approx([len(first & second) / len(first | second)])


def test_missing_text_is_named():
    with pytest.raises(ValueError, match=r"row 1 of X .* missing value \(None\): drop"):
        duplicate_groups(["a text", None], kind="text")


def test_rows_of_a_table_are_compared_whole():
    table = pd.DataFrame({"a": [1.0, np.nan, 1.0, np.nan], "b": ["x", None, "x", None]})
    np.testing.assert_array_equal(duplicate_groups(table).groups, [0, 1, 0, 1])
    assert duplicate_groups(table).threshold is None


def test_features_of_an_extractor_find_near_rows_of_a_table():
    X = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.01]])
    result = duplicate_groups(X, extractor=FunctionTransformer())
    np.testing.assert_array_equal(result.groups, [0, 1, 0])
    assert result.similarity == pytest.approx([1], abs=1e-4)
    assert "by the cosine of features alone" in str(result)


def test_equal_sounds_are_copies():
    waves = np.random.default_rng(0).normal(size=(2, 400)).astype(np.float32)
    result = duplicate_groups([(waves[0], 8000), (waves[1], 8000), (waves[0].copy(), 8000)])
    assert result.kind == "audio"
    np.testing.assert_array_equal(result.groups, [0, 1, 0])


def test_many_equal_rows_do_not_hide_a_near_one():
    texts = [TEXTS[0]] * 20 + [TEXTS[2]]
    assert duplicate_groups(texts, n_neighbors=2).groups.max() == 0


def test_copies_through_other_rows_leak_too():
    groups = DuplicateGroups(
        groups=np.array([0, 0, 0]),
        pairs=np.array([[0, 1], [1, 2]]),
        similarity=np.array([0.95, 0.9]),
        exact=np.array([False, False]),
        kind="image",
        threshold=0.8,
        is_verified=True,
    )
    report = groups.find_leaks([True, False, False], [False, False, True])
    assert np.isnan(report.similarity).all()
    assert "through other copies" in str(report)


def test_folds_are_numbered_in_a_report():
    report = duplicate_groups(TEXTS).find_leaks_in(KFold(3))
    np.testing.assert_array_equal(report.fold, [0, 0, 1, 2, 2])
    assert report.n_test == [2, 2, 2]
    assert "(fold 0)" in str(report)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0, 1], [1], "Row 1 is in train and in test"),
        ([0], [9], "test holds row 9, and there are 6 samples"),
        ([True], [2], r"train is a mask of shape \(1,\)"),
        ([0.5], [2], "train is an array of float64"),
    ],
)
def test_rows_that_are_no_split_are_refused(train, test, message):
    result = duplicate_groups(TEXTS)
    with pytest.raises(ValueError, match=message):
        result.find_leaks(train, test)


def test_result_goes_into_json():
    result = duplicate_groups(TEXTS)
    assert json.loads(json.dumps(result.to_dict()))["groups"] == [0, 1, 0, 2, 1, 1]
    assert "5 of 6 samples are in 2 groups" in result._repr_html_()


def test_rows_of_equal_content_leak_although_no_pair_lists_them():
    report = duplicate_groups([*TEXTS[:2], TEXTS[0], TEXTS[0]]).find_leaks([2], [3])
    np.testing.assert_array_equal(report.train_row, [2])
    np.testing.assert_array_equal(report.similarity, [1])


@pytest.mark.parametrize(
    "wrap",
    [
        pd.Series,
        tuple,
        lambda pairs: np.array(pairs, dtype=object),
        lambda pairs: [{"array": wave, "sampling_rate": rate} for wave, rate in pairs],
    ],
    ids=["Series", "tuple", "array", "mappings"],
)
def test_pairs_with_a_rate_are_sounds_in_any_container(wrap):
    waves = np.random.default_rng(0).normal(size=(2, 400)).astype(np.float32)
    pairs = [(waves[0], 8000), (waves[1], 8000), (waves[0].copy(), 8000)]
    result = duplicate_groups(wrap(pairs))
    assert result.kind == "audio"
    np.testing.assert_array_equal(result.groups, [0, 1, 0])


def test_a_sampling_rate_makes_sounds_of_arrays():
    waves = [np.arange(9.0), np.arange(8.0), np.arange(9.0)]
    result = duplicate_groups(waves, sampling_rate=8000)
    np.testing.assert_array_equal(result.groups, [0, 1, 0])
    assert duplicate_groups(np.eye(3), sampling_rate=8000).kind == "audio"
    with pytest.raises(ValueError, match="rows that differ in length.*pass sampling_rate"):
        duplicate_groups(waves)


@pytest.mark.parametrize(
    "texts",
    [
        ["\U0001f600\U0001f600", "\U0001f622\U0001f622", "!!!", "???"],
        ["\u0915\u0940 \u0915\u0940", "\u0915\u093e \u0915\u093e"],
    ],
    ids=["emoji and punctuation", "vowel signs"],
)
def test_symbols_and_marks_tell_texts_apart(texts):
    np.testing.assert_array_equal(duplicate_groups(texts).groups, range(len(texts)))


def test_rows_of_a_sparse_table_are_equal_whatever_they_store():
    stored = (np.array([1.0, 0, 1, 2, 2, 1]), np.array([0, 1, 0, 2, 2, 0]), [0, 2, 3, 4, 6])
    table = sparse.csr_matrix(stored, shape=(4, 3))
    np.testing.assert_array_equal(duplicate_groups(table).groups, [0, 0, 1, 2])


def test_entries_of_a_table_may_be_lists_and_missing():
    table = pd.DataFrame({"a": [[1], [1], [2]], "b": pd.array([1, 1, None], dtype="Int64")})
    np.testing.assert_array_equal(duplicate_groups(table).groups, [0, 0, 1])
    zeros = np.array([[0.0, np.nan], [-0.0, -np.nan], [1, 0]])
    np.testing.assert_array_equal(duplicate_groups(zeros).groups, [0, 0, 1])


def test_rows_that_cannot_be_read_are_listed():
    images = [np.zeros((8, 8), np.uint8), b"abc", None, b"abd"]
    with pytest.raises(ValueError, match=r"row 1 of X .* these 3 rows .*: \[1, 2, 3\]"):
        duplicate_groups(images)


@pytest.mark.parametrize("X", [[], np.empty((0, 2)), (text for text in TEXTS), None])
def test_what_holds_no_samples_is_refused(X):
    with pytest.raises(ValueError, match="X has no samples|expected samples in a list"):
        duplicate_groups(X)


def test_images_of_many_channels_and_any_range_are_compared(photos):
    images = np.stack([np.asarray(picture) for picture in photos[0][:6]])
    bands = np.concatenate([images, images[..., :2]], axis=3) * 30.0 - 500
    near = np.concatenate([bands, bands[:1] * 1.01 + 3])
    np.testing.assert_array_equal(duplicate_groups(near).groups, [*range(6), 0])


def test_features_of_samples_that_failed_do_not_hide_others():
    X = np.array([[np.nan, 0.0], [0.0, 1.0], [0.01, 2.0], [1.0, 0.0]])
    images = np.random.default_rng(0).integers(0, 255, (4, 32, 32), dtype=np.uint8)
    result = duplicate_groups(X, extractor=FunctionTransformer())
    np.testing.assert_array_equal(result.groups, [0, 1, 1, 2])
    with_features = FunctionTransformer(lambda images: X)
    assert len(duplicate_groups(images, extractor=with_features).pairs) == 0


def test_different_digits_are_no_copies():
    digits = load_digits().images[:40].astype(np.uint8) * 15
    large = [Image.fromarray(pixels).resize((24, 24)) for pixels in digits]
    copies = [Image.open(io.BytesIO(encode(image, "jpeg", quality=90))) for image in large[:5]]
    result = duplicate_groups([*large, *copies])
    pairs = set(map(tuple, result.pairs.tolist()))
    planted = {(row, 40 + row) for row in range(5)}
    assert planted <= pairs
    assert len(pairs) <= 7
    assert "threshold=0.8 counts them" in str(result)
    everything = duplicate_groups([*large, *copies], threshold=0.8)
    assert len(everything.pairs) - len(pairs) == result.n_left_out > 5
    assert everything.n_left_out == 0


def test_frames_of_a_film_are_one_group():
    photo = load_photo_crops(1, size=200, classes=["coffee"], return_X_y=True)[0][0]
    others = load_photo_crops(2, size=120, classes=["cat", "moon"], return_X_y=True)[0]
    film = [photo[10:130, 4 * step : 4 * step + 120] for step in range(20)]
    result = duplicate_groups([*film, *others])
    np.testing.assert_array_equal(result.groups[:20], 0)
    assert 0 not in result.groups[20:]
