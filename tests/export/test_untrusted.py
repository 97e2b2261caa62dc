"""Samples of strangers: nothing but bytes, data: URIs and texts within limits gets through."""

import base64
import io
import pickle
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_transfer import PretrainedFeatures, check_untrusted_samples
from sklearn_transfer._modalities.image.decoded import open_image


def encode(size=(5, 4), kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 40)).save(file, kind)
    return file.getvalue()


def make_uri(content, media="image/png"):
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


def make_png_header(width, height):
    """PNG of a few bytes that states a huge size."""

    def chunk(name, data):
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"")
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def make_sound(n=800, rate=8000, kind="WAV"):
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, np.zeros(n), rate, format=kind)
    return file.getvalue()


PNG = encode()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_files_of_images_pass(kind):
    content = encode(kind=kind)
    uri = make_uri(content, f"image/{kind.lower()}")
    assert check_untrusted_samples([content, uri]) == [content, content]


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_files_of_sounds_pass(kind):
    content = make_sound(8000, kind=kind)
    uri = make_uri(content, "audio/x")
    assert check_untrusted_samples([content, uri], "audio") == [content, content]


def test_escaped_data_uris_pass():
    escaped = "".join(f"%{byte:02x}" for byte in PNG)
    assert check_untrusted_samples([f"DATA:image/png,{escaped}"]) == [PNG]


@pytest.mark.parametrize(
    "make",
    [
        tuple,
        pd.Series,
        lambda X: pd.DataFrame({"photo": X}),
        lambda X: np.array(X, dtype=object),
        lambda X: np.array([make_uri(x) for x in X]),
        lambda X: [bytearray(X[0]), memoryview(X[1])],
    ],
)
def test_containers_give_a_list_of_bytes(make):
    found = check_untrusted_samples(make([PNG, PNG]))
    assert type(found) is list
    assert [type(content) for content in found] == [bytes, bytes]
    assert found == [PNG, PNG]


class Unpickled:
    """An object whose pickle would write a file."""

    def __reduce__(self):
        return Path.touch, (Path("touched"),)


ATTACKS = {
    "path": "/etc/passwd",
    "relative path": "../../etc/passwd",
    "path of an image": "photo.png",
    "path on Windows": r"\\evil\share\photo.png",
    "path of the home": "~/photo.png",
    "path with a zero": "/etc/passwd\0.png",
    "path of NumPy": np.str_("/etc/passwd"),
    "path object": Path("/etc/passwd"),
    "path as bytes": b"/etc/passwd",
    "file address": "file:///etc/passwd",
    "address": "http://169.254.169.254/latest/meta-data",
    "spaces before": " data:image/png,x",
    "number of an open file": 0,
    "mapping of a hub": {"path": "/etc/passwd", "bytes": None},
    "mapping of bytes": {"bytes": PNG, "path": None},
    "nested list": ["/etc/passwd"],
    "nested bytes": [PNG],
    "pair": ("/etc/passwd", 16000),
    "file object": io.BytesIO(PNG),
    "image object": Image.new("RGB", (2, 2)),
    "array": np.zeros((4, 4, 3), np.uint8),
    "missing": None,
    "nan": float("nan"),
    "empty": b"",
    "empty string": "",
    "no comma": "data:image/png;base64",
    "bad base64": "data:image/png;base64,***",
    "no ASCII": "data:image/png;base64,é",
    "half a pair": "data:image/png,\ud800",
    "page": "data:text/html,<script>alert(1)</script>",
    "no media type": make_uri(PNG, ""),
    "image as text": make_uri(PNG, "text/plain"),
    "address as media type": "data:image/png/../../etc/passwd",
    "SVG": "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>",
    "SVG as PNG": make_uri(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "PDF": b"%PDF-1.7",
    "ICO": encode(kind="ICO"),
    "TIFF": encode(kind="TIFF"),
    "BMP": encode(kind="BMP"),
    "archive": b"PK\x03\x04" + bytes(100),
    "pickle": pickle.dumps(Unpickled()),
    "pickle as PNG": make_uri(pickle.dumps(Unpickled())),
    "only a signature": PNG[:8],
    "bomb": make_png_header(60000, 60000),
    "bomb in a URI": make_uri(make_png_header(60000, 60000)),
    "JPEG of many scans": encode(kind="JPEG") + b"\xff\xda" * 100,
    "JPEG of many blocks of Exif": encode(kind="JPEG") + b"Exif\0\0" * 101,
    "large": encode((60, 60)),
    "long": PNG + bytes(3000),
    "long URI": make_uri(PNG + bytes(3000)),
    "endless URI": "data:image/png;base64," + "A" * 100_000,
    "endless media type": "data:image/" + "A" * 5000 + ",x",
}


def make_webp_with_a_signature_of_photo_cd():
    """A picture of 8 x 8 that Pillow's decoder of Photo CD takes for one of 768 x 512."""
    picture = encode((8, 8), kind="WEBP")[12:]
    head = 12 + len(picture) + 8
    junk = bytes(2048 - head) + b"PCD_" + bytes(1_200_000)
    body = b"WEBP" + picture + b"JUNK" + struct.pack("<I", len(junk)) + junk
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_format_that_was_checked_is_the_one_that_is_read():
    content = make_webp_with_a_signature_of_photo_cd()
    [checked] = check_untrusted_samples([content])
    assert open_image(checked).size == (8, 8)


def test_array_without_an_axis_is_refused_as_others_are():
    with pytest.raises(ValueError, match="X"):
        check_untrusted_samples(np.array("x"))


OUTSIDE = {"open", "socket.connect", "socket.getaddrinfo", "subprocess.Popen"}


@pytest.fixture(scope="module")
def accesses():
    """What the process opens, starts and connects to while the list is not None."""
    found = {"list": None}

    def note(event, args):
        is_module = event == "open" and str(args[0]).endswith((".py", ".pyc", ".so"))
        if found["list"] is not None and event in OUTSIDE and not is_module:
            found["list"].append((event, args))

    sys.addaudithook(note)
    return found


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused(attack, accesses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(PNG)
    accesses["list"] = opened = []
    try:
        with pytest.raises(ValueError, match=r"^Row 1 (is|has) ") as raised:
            check_untrusted_samples([PNG, ATTACKS[attack]], max_pixels=3000, max_bytes=2000)
    finally:
        accesses["list"] = None
    assert opened == []
    assert not (tmp_path / "touched").exists()
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "X",
    [
        "/etc/passwd",
        PNG,
        Path("/etc/passwd"),
        {"/etc/passwd": 1},
        None,
        3,
        [],
        np.zeros((2, 8, 8, 3), np.uint8),
        np.array([b"/etc/passwd"]),
        pd.DataFrame({"a": [PNG], "b": [PNG]}),
        iter([PNG]),
        [PNG] * 3,
        range(10**12),
    ],
    ids=lambda X: type(X).__name__,
)
def test_other_containers_are_refused(X):
    with pytest.raises(ValueError, match=r"X |0 sample"):
        check_untrusted_samples(X, max_samples=2)


SOUNDS = {
    "path": ("/etc/passwd", "no data: URI"),
    "image": (PNG, "first bytes of another format"),
    "URI of an image": (make_uri(PNG), "media type 'image/png', expected audio"),
    "waveform": ((np.zeros(9), 8000), "type tuple"),
    "numbers": ([0.1, 0.2], "type list"),
    "damaged": (b"RIFF\0\0\0\0WAVE", "WAV file that cannot be read"),
    "playlist": (b"#EXTM3U\n/etc/passwd", "first bytes of another format"),
}


@pytest.mark.parametrize("attack", SOUNDS)
def test_attacks_by_sounds_are_refused(attack):
    pytest.importorskip("soundfile")
    sample, reason = SOUNDS[attack]
    with pytest.raises(ValueError, match=f"^Row 0 .*{reason}"):
        check_untrusted_samples([sample], "audio")


@pytest.mark.parametrize("rate", [8, 999_983, 2_147_483_647])
def test_rates_that_cannot_be_resampled_are_refused(rate):
    content = bytearray(make_sound())
    content[24:28] = struct.pack("<I", rate)
    with pytest.raises(ValueError, match=f"Row 0 has a sampling rate of {rate} Hz"):
        check_untrusted_samples([content], "audio")


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_long_sounds_are_refused(kind):
    content = make_sound(1_000_000, 8000, kind)
    with pytest.raises(ValueError, match="lasts 125 s, expected at most 100 s: cut it"):
        check_untrusted_samples([content], "audio", max_seconds=100)


def test_texts_pass_as_they_are():
    texts = ["/etc/passwd", "", np.str_("a text"), "data:image/png,x"]
    found = check_untrusted_samples(texts, "text")
    assert found == texts
    assert [type(text) for text in found] == [str] * 4


@pytest.mark.parametrize("text", [b"bytes", 3, None, ["a"], "x" * 11, "\ud800", Path("a")])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"^Row 0 (is|has) "):
        check_untrusted_samples([text], "text", max_characters=10)


@pytest.mark.parametrize("name", ["max_samples", "max_bytes", "max_pixels", "max_seconds"])
def test_limits_are_validated(name):
    with pytest.raises(ValueError, match=f"The {name!r} parameter"):
        check_untrusted_samples([PNG], **{name: 0})
    with pytest.raises(ValueError, match="The 'kind' parameter"):
        check_untrusted_samples([PNG], "pictures")


def test_a_step_protects_servers_that_predict_themselves(tmp_path):
    (tmp_path / "secret.png").write_bytes(PNG)
    features = PretrainedFeatures("test_resnet", weights=None, input_size=32)
    pixels = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    pipe = make_pipeline(features, LogisticRegression()).fit(list(pixels), [0, 1] * 3)
    served = make_pipeline(FunctionTransformer(check_untrusted_samples), pipe)
    for X in ([make_uri(PNG)], pd.DataFrame({"photo": [make_uri(PNG)]})):
        np.testing.assert_array_equal(served.predict_proba(X), pipe.predict_proba([PNG]))
    with pytest.raises(ValueError, match="Row 0 is a string that is no data: URI"):
        served.predict([str(tmp_path / "secret.png")])
