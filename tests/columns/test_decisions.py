"""What columns are taken for, and which of them are asked about."""

import builtins
import datetime
import decimal
import io
import string
import uuid
import wave

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image

from sklearn_transfer.columns._contents import identify_content
from sklearn_transfer.columns._decisions import N_SAMPLED, decide_column
from sklearn_transfer.columns._kinds import Decision, Doubt

N = 60
RNG = np.random.default_rng(0)
WORDS = [
    "red",
    "green",
    "blue",
    "car",
    "house",
    "dog",
    "runs",
    "sleeps",
    "small",
    "under",
    "over",
    "near",
    "river",
    "old",
    "new",
]


def draw(values, n=N):
    return [values[k] for k in np.random.default_rng(1).integers(len(values), size=n)]


def write_sentences(n_words, n=N):
    rng = np.random.default_rng(2)
    return [" ".join(rng.choice(WORDS, n_words)) for _ in range(n)]


def decide(values, name="column"):
    return decide_column(pd.Series(values, dtype=object), name)


def write_images(folder, n=N):
    folder.mkdir(exist_ok=True)
    paths = []
    for k in range(n):
        paths.append(str(folder / f"a red car, number {k}.jpg"))
        Image.new("RGB", (8, 8), (k, 0, 0)).save(paths[-1])
    return paths


def make_wav():
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(320))
    return content.getvalue()


def encode(format):
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 20, 30)).save(content, format)
    return content.getvalue()


CATEGORIES = {pd: "category", pl: pl.Categorical}
DAYS = [f"{k % 28 + 1:02d}" for k in range(N)]
MONTHS = [f"{k % 12 + 1:02d}" for k in range(N)]

# Values of a column, and its kind.
CLEAR = {
    "free text with commas": (
        [text.replace(" ", ", ") for text in write_sentences(6)],
        "text",
    ),
    "three texts": (write_sentences(8, 3), "text"),
    "chinese texts": (["你好世界今天天气很好" + chr(0x4E00 + k) for k in range(N)], "text"),
    "one-word categories": (draw(["red", "green", "blue"]), "categorical"),
    "phrases that repeat": (draw(["very good indeed", "not so good at all"]), "categorical"),
    "many words": (["".join(w) for w in RNG.choice(list("abcdef"), (N, 6))], "categorical"),
    "names of people": ([f"{a} {b}" for a in "ABCDEFGH" for b in WORDS], "categorical"),
    "months": (draw(["Jan", "Feb", "March"]), "categorical"),
    "grades": (draw(["A+", "B", "C-", "10"]), "categorical"),
    "zip codes that repeat": (draw([f"0{k}" for k in range(1000, 1020)]), "categorical"),
    "iso dates": ([f"2024-{m}-{d}" for m, d in zip(MONTHS, DAYS, strict=True)], "datetime"),
    "iso with zone": ([f"2024-01-{d}T10:00:00+02:00" for d in DAYS], "datetime"),
    "day first": ([f"{d}/{m}/2024" for m, d in zip(MONTHS, DAYS, strict=True)], "datetime"),
    "month first": ([f"{m}/{d}/24" for m, d in zip(MONTHS, DAYS, strict=True)], "datetime"),
    "german dates": ([f"{d}.03.2024 17:30" for d in DAYS], "datetime"),
    "words for months": ([f"{d} March 1999" for d in DAYS], "datetime"),
    "months of years": ([f"Feb {1960 + k}" for k in range(N)], "datetime"),
    "eight digits": ([f"2024{m}{d}" for m, d in zip(MONTHS, DAYS, strict=True)], "datetime"),
    "objects of dates": ([datetime.date(2024, 1, k % 28 + 1) for k in range(N)], "datetime"),
    "all missing": ([None] * N, "drop"),
    "words for missing": (draw(["N/A", "", "NaN", "?"]), "drop"),
    "uuids": ([str(uuid.UUID(int=k * 7919, version=4)) for k in range(N)], "drop"),
    "digests": ([f"{k * 7919:064x}" for k in range(N)], "drop"),
    "objects of uuids": ([uuid.UUID(int=k) for k in range(N)], "drop"),
    "numeric strings": ([f"{x:.2f}" for x in RNG.normal(size=N)], "numeric"),
    "numeric strings with gaps": (["1e3", "-2.5", "N/A", None, " 7 "] * 12, "numeric"),
    "years": ([str(1950 + k % 50) for k in range(N)], "numeric"),
    "numbers and their texts": ([1, "2", 3.5] * 20, "numeric"),
    "decimals": ([decimal.Decimal(k) / 7 for k in range(N)], "numeric"),
    "bools with gaps": ([True, False, None] * 20, "numeric"),
    "dates at the ends of time": (
        ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "2024-01-01"],
        "datetime",
    ),
    "dates of numpy": ([np.datetime64("2024-01-01"), np.datetime64("2024-03-01")], "datetime"),
    "texts that end with a file": (
        [*write_sentences(6, 40), *(f"look at photo{k}.jpg" for k in range(10))],
        "text",
    ),
    "a few percentages": (draw(["10%", "20%", "30%"]), "categorical"),
    "durations": ([datetime.timedelta(hours=k) for k in range(N)], "numeric"),
    "encoded images": ([encode("JPEG"), encode("PNG"), encode("WEBP")] * 20, "image"),
    "image objects": ([Image.new("RGB", (4, 4))] * N, "image"),
    "arrays": ([np.zeros((4, 4, 3), np.uint8)] * N, "image"),
    "gray images of floats": ([np.eye(8)] * N, "image"),
    "tensors": ([torch.zeros(4, 4, 3)] * N, "image"),
    "image uris": (["data:image/png;base64,iVBORw0KGgo="] * N, "image"),
    "rows of a hub": ([{"bytes": encode("PNG"), "path": None}] * N, "image"),
    "encoded sounds": ([make_wav()] * N, "audio"),
    "waveforms": ([(np.zeros(100), 16000)] * N, "audio"),
}


@pytest.mark.parametrize("name", CLEAR)
def test_clear_columns_have_the_right_kind(name):
    values, kind = CLEAR[name]
    found = decide(values)
    assert isinstance(found, Decision), found
    assert found.kind == kind
    assert found.reason


# Values of a column, and words of the message.
UNCLEAR = {
    "addresses on the web": ([f"https://a.org/{k}.jpg" for k in range(N)], "not downloaded"),
    "codes": ([f"AB-{k * 7919 % 10000}" for k in range(N)], "identifiers or categories"),
    "emails": ([f"user{k}@mail.org" for k in range(N)], "identifiers or categories"),
    "mixed types": ([1, "two", 3.5] * 20, "mixes entries: 40 of type 'int'"),
    "lists": ([[1, 2]] * N, "holds 60 of type 'list'"),
    "vectors": ([np.zeros(3)] * N, "holds 60 of type 'ndarray'"),
    "series of a sensor": ([RNG.random((6, 128))] * N, "such as array (6, 128) of float64"),
    "channels first": ([np.zeros((3, 8, 8), np.uint8)] * N, "array (3, 8, 8) of uint8"),
    "matrices": ([np.eye(16, dtype=int)] * N, "array (16, 16) of int64"),
    "light beyond 1": ([np.full((8, 8, 3), 1.5)] * N, "array (8, 8, 3) of float64"),
    "pairs": ([([1, 2], 5)] * N, "holds 60 of type 'tuple'"),
    "other bytes": ([b"\x00\x01\x02"] * N, "neither an image nor a sound"),
    "paths that lead nowhere": ([f"img_{k}.png" for k in range(N)], "no such file"),
    "paths of other files": ([__file__] * N, "neither images nor sounds"),
    "folders": ([str(__file__).rpartition("/")[0]] * N, "paths of folders"),
    "images and sounds": ([encode("PNG"), make_wav()] * 30, "images and sounds"),
    "images and texts": (
        [Image.new("RGB", (4, 4)) if k % 3 else "a text" for k in range(N)][::-1] + ["b"] * N,
        "mixes",
    ),
    "records": ([f'{{"a": {k}, "b": "some more words"}}' for k in range(N)], "as columns"),
    "unclear dates": ([f"{m}/{m}/2024" for m in MONTHS[:12]], "day and month"),
    "dates with others": ([f"2024-01-{d}" for d in DAYS[:28]] + ["soon"], "and 1 other"),
    "numbers with others": ([str(k * 3) for k in range(N)] + ["many"], "such as 'many'"),
    "thousands": ([f"{k % 9 + 1},{k + 100}" for k in range(N)], "separators"),
    "money": ([f"${k}.50" for k in range(N)], "units"),
    "weights": ([f"{k}.5 kg" for k in range(N)], "units"),
    "hours and minutes": ([f"{k % 5}h {k}m" for k in range(N)], "units"),
    "sizes": ([f"{k}x{k + 3} cm" for k in range(N)], "units"),
    "times of day": ([f"{k % 24:02d}:{k % 60:02d}" for k in range(N)], "other marks"),
    "decimal commas that repeat": (draw([f"{k},5" for k in range(30)], 300), "separators"),
    "ages": ([f"{k} years" for k in range(N)], "units"),
    "coordinates": ([f"{a:.3f}, {b:.3f}" for a, b in RNG.normal(size=(N, 2))], "other marks"),
    "telephones": ([f"(555) {100 + k}-{2000 + k}" for k in range(N)], "other marks"),
    "dates in two layouts": (
        [f"2024-01-{d}" for d in DAYS[:14]] + [f"{d}.02.2024" for d in DAYS[:14]],
        "written in several ways, such as '2024-01-01' and '01.02.2024'",
    ),
    "one date in another layout": (
        [f"2024-01-{d}" for d in DAYS[:28]] + ["03/04/2024"],
        "written in several ways, such as '2024-01-01' and '03/04/2024'",
    ),
    "days and months in both orders": (
        [f"{d}/05/2024" for d in DAYS[:28]] + ["05/29/2024"],
        "written in several ways",
    ),
    "paths with spaces around": ([f" img_{k}.png " for k in range(N)], "no such file"),
    "zip codes": ([f"{k * 997:05d}" for k in range(N)], "leading zeros"),
    "row numbers": (list(range(N)), "may count the rows"),
    "row numbers as text": ([str(k) for k in range(N)], "may count the rows"),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_unclear_columns_are_asked_about(name):
    values, words = UNCLEAR[name]
    found = decide(values)
    assert isinstance(found, Doubt), found
    assert words in found.reason
    assert found.kinds


def test_mixed_types_offer_the_kinds_that_they_have():
    assert decide([*write_sentences(6), 3]).kinds == ("numeric", "categorical", "text")
    assert decide([datetime.date(2024, 1, 1), "2024-01-02"]).kinds[0] == "datetime"


def test_paths_with_spaces_and_commas_are_images(tmp_path):
    assert decide(write_images(tmp_path / "my photos, 2024")).kind == "image"


def test_paths_stored_as_categories_are_images(tmp_path):
    assert decide_column(pd.Series(write_images(tmp_path), dtype="category")).kind == "image"


def test_paths_from_the_current_folder_are_images(tmp_path, monkeypatch):
    names = [path.rpartition("/")[2] for path in write_images(tmp_path)]
    monkeypatch.chdir(tmp_path)
    assert decide(names).kind == "image"


def test_one_path_that_leads_nowhere_does_not_change_the_kind(tmp_path):
    paths = [str(tmp_path / "gone.jpg"), *write_images(tmp_path)]
    assert decide(paths) == Decision("image", "19 of 20 sampled entries are images")


def test_a_page_saved_under_the_name_of_an_image_is_none(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_text("<html>not found</html>")
    assert "no such file, or none with image content" in decide([str(path)] * N).reason


def test_the_first_bytes_count_and_not_the_ending(tmp_path):
    path = tmp_path / "picture.wav"
    path.write_bytes(encode("PNG"))
    assert decide([str(path)] * N).kind == "image"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO"])
def test_images_are_known_by_their_first_bytes(format):
    assert identify_content(encode(format)[:64]) == "image"


@pytest.mark.parametrize(
    "head",
    [
        b"RIFF\x00\x00\x00\x00WAVE",
        b"fLaC",
        b"OggS\x00",
        b"ID3\x03",
        b"\xff\xfb\x90\x00",
        b"FORM\x00\x00\x00\x00AIFF",
        b"\x00\x00\x00\x20ftypM4A ",
    ],
)
def test_sounds_are_known_by_their_first_bytes(head):
    assert identify_content(head) == "audio"


@pytest.mark.parametrize("head", [b"", b"%PDF-1.4", b"RIFF\x00\x00\x00\x00AVI ", b"\xff\xff"])
def test_other_files_are_neither(head):
    assert identify_content(head) is None


def test_no_more_files_are_opened_than_are_sampled(tmp_path, monkeypatch):
    paths = write_images(tmp_path, 300)
    opened, plain_open = [], builtins.open

    def count_and_open(file, *args, **options):
        opened.append(file)
        return plain_open(file, *args, **options)

    monkeypatch.setattr(builtins, "open", count_and_open)
    assert decide(paths).kind == "image"
    assert len(opened) == N_SAMPLED == 20
    assert opened[0] == paths[0]
    assert opened[-1] == paths[-1]


def test_named_identifiers_are_dropped_and_measured_numbers_are_not():
    numbers = np.random.default_rng(0).permutation(10**6)[:N]
    for name in ("customer_id", "PassengerId", "ID", "index"):
        assert decide_column(pd.Series(numbers), name).kind == "drop"
    for name in ("paid", "humidity", "speed"):
        assert decide_column(pd.Series(numbers), name).kind == "numeric"


@pytest.mark.parametrize("name", ["customer_id", "StoreID", "ZIP code", "phone"])
def test_numbers_that_name_something_are_asked_about(name):
    found = decide_column(pd.Series(np.arange(N) % 7), name)
    assert found.kinds == ("categorical", "drop", "numeric")
    assert decide_column(pd.Series(np.arange(N) % 2), name).kind == "numeric"


@pytest.mark.parametrize("library", [pd, pl])
def test_paths_that_are_stored_as_categories_are_images(library, tmp_path):
    column = library.Series(write_images(tmp_path), dtype=CATEGORIES[library])
    assert decide_column(column).kind == "image"


DTYPES = [
    (pd.Series([1, 2, None], dtype="Int64"), "numeric"),
    (pd.Series([1.5, 2, None], dtype="float32"), "numeric"),
    (pd.Series([True, False, None], dtype="boolean"), "numeric"),
    (pd.to_timedelta(pd.Series([1, 2, 4], dtype="float"), unit="s"), "numeric"),
    (pd.Series(["1", "2", "1"], dtype="category"), "categorical"),
    (pd.Series(pd.date_range("2024", periods=3, tz="UTC")), "datetime"),
    (pd.Series(pd.period_range("2024-01", periods=3, freq="M")), "datetime"),
    (pl.Series([1, 2, None]), "numeric"),
    (pl.Series([True, None]), "numeric"),
    (pl.Series(["a", "b", "a"], dtype=pl.Categorical), "categorical"),
    (pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])), "categorical"),
    (pl.Series([datetime.date(2024, 1, 1)]), "datetime"),
    (pl.Series([datetime.datetime(2024, 1, 1)]), "datetime"),
    (pl.Series([datetime.timedelta(1)]), "numeric"),
    (pl.Series([decimal.Decimal("1.50")]), "numeric"),
    (pl.Series(["some words in a", "row that differ"]), "text"),
    (np.array(["2024-01-01", "2024-02-01"], dtype="datetime64[ns]"), "datetime"),
]


@pytest.mark.parametrize("case", range(len(DTYPES)))
def test_dtypes_decide(case):
    column, kind = DTYPES[case]
    assert decide_column(column).kind == kind


def test_strange_strings_are_taken_for_texts():
    values = [
        "\udcff is no letter",
        "a\0b in a path",
        "x" * 10_000 + " y z",
        *write_sentences(6),
    ]
    assert decide(values).kind == "text"


def test_messages_shorten_long_entries():
    for values in (
        ["x" * 5000 + str(k) for k in range(N)],
        [f"0{'1' * 5000}{k}" for k in range(N)],
    ):
        assert len(decide(values).reason) < 300


def test_complex_numbers_are_refused():
    with pytest.raises(ValueError, match="Complex data not supported, column 'z'"):
        decide_column(pd.Series([1j, 2j]), "z")


def test_long_strings_of_digits_take_no_time():
    values = [f"{'1 ' * 2000}{'2,' * 2000}!!!!{k}x" for k in range(N)]
    assert decide(values) is not None


def test_letters_are_no_measures():
    letters = [f"{a}{b}" for a in string.ascii_letters for b in string.digits[:2]]
    assert decide(letters[:30] * 4).kind == "categorical"
