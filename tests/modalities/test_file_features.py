"""Features of files that Pillow misreads are those of the arrays that were written."""

import builtins

import numpy as np
import pytest
import tifffile

from sklearn_transfer import PretrainedFeatures

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 65536, (24, 30, 3), dtype=np.uint16)
GRAY = COLOR[..., 0]
RAMP = np.linspace(0, 4095, 720).reshape(24, 30).astype(np.uint16)


def features(samples, **options):
    options = {"weights": None, "input_size": 32, "cache": None, **options}
    return PretrainedFeatures("test_resnet.r160_in1k", **options).transform(samples)


WRITTEN = {
    "planar 16-bit": (np.moveaxis(COLOR, 2, 0), {"photometric": "rgb"}, COLOR),
    "16-bit, 0 is white": (65535 - GRAY, {"photometric": "miniswhite"}, GRAY),
    "float, predictor": (
        GRAY / 65535,
        {"predictor": 3, "compression": "deflate"},
        GRAY / 65535,
    ),
    "near infrared beside color": (
        np.dstack([COLOR >> 8, GRAY >> 8]).astype(np.uint8),
        {"photometric": "rgb", "extrasamples": ["unspecified"]},
        (COLOR >> 8).astype(np.uint8),
    ),
}


@pytest.mark.parametrize(("values", "options", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_file_gives_the_features_of_its_array(tmp_path, values, options, expected):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, **options)
    np.testing.assert_array_equal(features([path]), features([expected]))


def test_window_of_a_signed_file(tmp_path):
    hounsfield = (RAMP - 1024.0).astype(np.int16)
    tifffile.imwrite(tmp_path / "ct.tif", hounsfield)
    found = features([tmp_path / "ct.tif"], value_range=(-1000, 400))
    np.testing.assert_array_equal(found, features([hounsfield], value_range=(-1000, 400)))


def test_signed_file_without_a_window_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "ct.tif", (RAMP - 1024.0).astype(np.int16))
    message = r"row 0 \(.*ct.tif.*int16 with values in \[-1024, 3071\].*value_range"
    with pytest.raises(ValueError, match=message):
        features([tmp_path / "ct.tif"])


def test_range_that_a_file_states_counts_without_a_word():
    pgm = b"P5 30 24 4095\n" + RAMP.astype(">u2").tobytes()
    expected = features([RAMP], value_range=(0, 4095))
    np.testing.assert_array_equal(features([pgm]), expected)


def test_dtype_overrules_what_a_file_states():
    pgm = b"P5 30 24 4095\n" + RAMP.astype(">u2").tobytes()
    expected = features([RAMP], value_range="dtype")
    np.testing.assert_array_equal(features([pgm], value_range="dtype"), expected)


def test_channels_of_a_file_reach_a_network_of_as_many(tmp_path):
    bands = RNG.integers(0, 256, (24, 30, 5), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", bands, photometric="minisblack", planarconfig="contig"
    )
    options = {"n_channels": 5}
    found = features([tmp_path / "a.tif"], **options)
    np.testing.assert_array_equal(found, features([bands], **options))


def test_missing_module_is_named_with_the_row(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(COLOR, 2, 0), photometric="rgb")
    load = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] in ("tifffile", "imagecodecs"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    message = r"row 1 \(.*a.tif.*16-bit planar TIFF.*sklearn-transfer\[formats\]"
    with pytest.raises(ValueError, match=message):
        features([GRAY, tmp_path / "a.tif"])


def test_unused_byte_of_a_bitmap_hides_nothing():
    """32 bits without a mask of alpha, the fourth byte 0."""
    pixels = np.dstack(
        [(COLOR >> 8).astype(np.uint8)[..., ::-1], np.zeros((24, 30), np.uint8)]
    )
    header = np.array([40, 30, 24], "<u4").tobytes() + b"\x01\0\x20\0" + bytes(24)
    start = b"BM" + np.array([54 + pixels.size, 0, 54], "<u4").tobytes()
    bitmap = start + header + pixels[::-1].tobytes()
    expected = features([(COLOR >> 8).astype(np.uint8)])
    np.testing.assert_array_equal(features([bitmap]), expected)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_three_bands_are_red_green_and_blue_as_in_an_array(tmp_path, planarconfig):
    """GDAL writes color of more than 8 bits as gray with extra samples."""
    bands = COLOR if planarconfig == "contig" else np.moveaxis(COLOR, 2, 0)
    options = {"photometric": "minisblack", "planarconfig": planarconfig}
    tifffile.imwrite(tmp_path / "a.tif", bands, **options)
    np.testing.assert_array_equal(features([tmp_path / "a.tif"]), features([COLOR]))


@pytest.mark.parametrize("n_bands", [2, 4, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_bands_that_nothing_calls_color_are_refused(tmp_path, n_bands, dtype):
    bands = RNG.integers(0, 2, (24, 30, n_bands)).astype(dtype)
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", bands, **options)
    message = rf"row 0 .*has {n_bands} bands, .*n_channels={n_bands}.*value_range=None"
    with pytest.raises(ValueError, match=message):
        features([tmp_path / "a.tif"])


IN_PAGES = {
    "ImageJ": {"imagej": True, "metadata": {"axes": "CYX"}},
    "OME": {"ome": True, "metadata": {"axes": "CYX"}, "photometric": "minisblack"},
}


@pytest.mark.parametrize("options", IN_PAGES.values(), ids=IN_PAGES)
def test_channels_in_separate_pages_are_refused(tmp_path, options):
    """Else the first channel alone would be read, as gray."""
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(COLOR, 2, 0).copy(), **options)
    with pytest.raises(ValueError, match=r"row 0 .*3 channels .*separate pages.*np.moveaxis"):
        features([tmp_path / "a.tif"])


FRAMES = {
    "ImageJ": {"imagej": True, "metadata": {"axes": "TYX"}},
    "OME": {"ome": True, "metadata": {"axes": "TYX"}, "photometric": "minisblack"},
    "plain": {"photometric": "minisblack"},
}


@pytest.mark.parametrize("options", FRAMES.values(), ids=FRAMES)
def test_of_frames_the_first_is_taken(tmp_path, options):
    frames = np.moveaxis(COLOR, 2, 0).copy()
    tifffile.imwrite(tmp_path / "a.tif", frames, **options)
    np.testing.assert_array_equal(features([tmp_path / "a.tif"]), features([frames[0]]))


def test_preview_before_the_full_image_is_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GRAY[::4, ::4].copy(), subfiletype=1)
        file.write(GRAY)
    with pytest.raises(ValueError, match="row 0 .*first image is a reduced preview"):
        features([tmp_path / "a.tif"])


def test_masked_pixels_are_refused():
    estimator = PretrainedFeatures("test_resnet.r160_in1k", weights=None, input_size=32)
    estimator.transform([GRAY])  # and are not taken for the array without a mask
    masked = np.ma.masked_less(GRAY, 10_000)
    with pytest.raises(ValueError, match=r"row 1 .*masked pixels.*image.filled\(value\)"):
        estimator.transform([GRAY, masked])


def test_mask_that_hides_nothing_changes_nothing():
    np.testing.assert_array_equal(features([np.ma.array(GRAY)]), features([GRAY]))
