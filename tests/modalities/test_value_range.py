"""Which values are black and white, for arrays, images of Pillow and files."""

import io
import warnings

import numpy as np
import pytest
import timm
from PIL import Image

from sklearn_transfer import AutoencoderFeatures, FineTunedClassifier, PretrainedFeatures

RAMP = np.arange(24 * 30).reshape(24, 30) * 4095 // 719  # 0 to 4095
NOISE = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)


def features(samples, **options):
    options = {"weights": None, "input_size": 32, "cache": None, **options}
    return PretrainedFeatures("test_resnet.r160_in1k", **options).transform(samples)


def warnings_of(function, *args):
    """Messages of the warnings that a call gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args)
    return [str(warning.message) for warning in caught]


def by_hand(values, low, high):
    """The levels of a window, one value at a time."""
    levels = [round(255 * min(max((v - low) / (high - low), 0), 1)) for v in values.flat]
    return np.reshape(levels, values.shape).astype(np.uint8)


def in_file(image, name):
    buffer = io.BytesIO()
    image.save(buffer, name)
    return buffer.getvalue()


TWELVE_BITS = {
    "array": RAMP.astype(np.uint16),
    "big-endian array": RAMP.astype(">u2"),
    "color array": np.repeat(RAMP[..., None], 3, axis=2).astype(np.uint16),
    "image": Image.fromarray(RAMP.astype(np.uint16)),
    "PNG": in_file(Image.fromarray(RAMP.astype(np.uint16)), "PNG"),
    "TIFF": in_file(Image.fromarray(RAMP.astype(np.uint16)), "TIFF"),
}


@pytest.mark.parametrize("sample", TWELVE_BITS.values(), ids=TWELVE_BITS)
def test_pair_is_a_window(sample):
    expected = features([by_hand(RAMP, 0, 4095)])
    np.testing.assert_array_equal(features([sample], value_range=(0, 4095)), expected)


@pytest.mark.parametrize("sample", TWELVE_BITS.values(), ids=TWELVE_BITS)
def test_narrow_values_are_told_once_with_the_pair_to_pass(sample):
    message = r"In 2 of 3 images, first in row 1, uint16 values reach at most 4095.*16 of 256"
    with pytest.warns(UserWarning, match=message) as caught:
        features([NOISE, sample, RAMP[::-1].astype(np.uint16)])
    assert [str(w.message).count("value_range=(0, 4095)") for w in caught] == [1]


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_every_narrow_width_is_told(bits):
    array = np.linspace(0, 2**bits - 1, 720).reshape(24, 30).astype(np.uint16)
    with pytest.warns(UserWarning, match=rf"value_range=\(0, {2**bits - 1}\)"):
        features([array])


@pytest.mark.parametrize("largest", [0, 2**14, 2**15, 65535])
def test_values_that_use_their_type_are_silent(largest):
    array = np.linspace(0, largest, 720).reshape(24, 30).astype(np.uint16)
    assert warnings_of(features, [array]) == []


@pytest.mark.parametrize("sample", TWELVE_BITS.values(), ids=TWELVE_BITS)
def test_dtype_scales_by_the_type_without_a_word(sample):
    expected = features([by_hand(RAMP, 0, 65535)], value_range="dtype")
    np.testing.assert_array_equal(features([sample], value_range="dtype"), expected)


def test_auto_scales_narrow_values_as_before():
    expected = features([by_hand(RAMP, 0, 65535)], value_range="dtype")
    with pytest.warns(UserWarning, match="gray levels"):
        found = features([RAMP.astype(np.uint16)])
    np.testing.assert_array_equal(found, expected)


DARK = (NOISE[..., 0] // 16).astype(np.uint8)  # 0 to 15


@pytest.mark.parametrize(
    "sample",
    [DARK, Image.fromarray(DARK), in_file(Image.fromarray(DARK), "PNG")],
    ids=["array", "image", "PNG"],
)
def test_narrow_8_bit_values_are_told(sample):
    with pytest.warns(UserWarning, match=r"uint8 values reach at most 1\d.*\(0, 15\)"):
        features([sample])


def test_narrow_8_bit_values_that_need_no_scaling_are_told():
    array = np.random.default_rng(0).integers(0, 17, (34, 34, 3), dtype=np.uint8)
    with pytest.warns(UserWarning, match=r"uint8 values reach at most 16.*\(0, 31\)"):
        features([array])


def test_narrow_floats_are_told():
    with pytest.warns(UserWarning, match="float64 values reach at most 0.0039"):
        features([NOISE / 255 / 255])


@pytest.mark.parametrize("largest", [255, 65535, 1.0])
def test_black_image_is_silent(largest):
    array = np.zeros((24, 30), np.min_scalar_type(largest))
    assert warnings_of(features, [array]) == []


AMBIGUOUS = {
    "int32 array": RAMP.astype(np.int32) % 256,
    "int64 array": RAMP.astype(np.int64) % 256,
    "uint32 array": RAMP.astype(np.uint32) % 256,
    "image of mode I": Image.fromarray(RAMP.astype(np.int32) % 256),
}


@pytest.mark.parametrize("sample", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_integers_of_unclear_range_are_refused_with_the_pair(sample):
    message = (
        r"row 0 .*values in \[0, 255\].*value_range=\(low, high\)\), for instance \(0, 255"
    )
    with pytest.raises(ValueError, match=message):
        features([sample])


@pytest.mark.parametrize("sample", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_integers_of_unclear_range_are_taken_with_a_pair(sample):
    expected = features([(RAMP % 256).astype(np.uint8)])
    np.testing.assert_array_equal(features([sample], value_range=(0, 255)), expected)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_signed_integers_are_refused_without_a_pair(dtype):
    array = (RAMP % 200 - 100).astype(dtype)
    with pytest.raises(ValueError, match=r"values in \[-100, 99\].*for instance \(-100, 99\)"):
        features([array])


def test_image_of_mode_I_with_16_bits_is_as_its_array():
    values = RAMP * 16
    expected = features([values.astype(np.uint16)])
    for sample in (Image.fromarray(values.astype(np.int32)), values.astype(np.int64)):
        np.testing.assert_array_equal(features([sample]), expected)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64, ">i2"])
def test_window_of_signed_values(dtype):
    hounsfield = (RAMP - 1024).astype(dtype)
    expected = features([by_hand(hounsfield.astype(float), -1000, 400)])
    found = features([hounsfield], value_range=(-1000, 400))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [(np.int8, -128, 127), (np.int16, -32768, 32767)]
)
def test_dtype_of_signed_integers_is_their_whole_range(dtype, low, high):
    array = (RAMP % 200 - 100).astype(dtype)
    expected = features([by_hand(array.astype(float), low, high)])
    np.testing.assert_array_equal(features([array], value_range="dtype"), expected)


def test_window_of_an_8_bit_image():
    expected = features([by_hand(NOISE.astype(int), 50, 200)])
    for sample in (NOISE, Image.fromarray(NOISE), in_file(Image.fromarray(NOISE), "PNG")):
        np.testing.assert_array_equal(features([sample], value_range=(50, 200)), expected)


def test_window_of_an_array_that_needs_no_scaling():
    array = np.random.default_rng(0).integers(0, 256, (34, 34, 3), dtype=np.uint8)
    expected = features([by_hand(array.astype(int), 50, 200)])
    np.testing.assert_array_equal(features([array], value_range=(50, 200)), expected)


def test_window_leaves_alpha_and_background_alone():
    image = Image.fromarray(np.dstack([NOISE, np.full(NOISE.shape[:2], 255, np.uint8)]))
    image.paste((0, 0, 0, 0), (0, 0, 15, 24))
    image = image.convert("RGBA")
    windowed = by_hand(NOISE.astype(int), 50, 200)
    windowed[:, :15] = (100, 110, 120)
    options = {"value_range": (50, 200), "background": (100, 110, 120)}
    np.testing.assert_array_equal(features([image], **options), features([windowed]))


def test_alpha_of_unknown_range_is_refused():
    array = np.full((8, 9, 4), 4095, np.uint16)
    with pytest.raises(
        ValueError, match=r"alpha channel of uint16.*drop it: image\[..., :3\]"
    ):
        features([array], value_range=(0, 4095))


def test_nan_in_a_window_is_refused():
    array = np.where(RAMP == 0, np.nan, RAMP)
    with pytest.raises(ValueError, match="row 0 .*contains NaN"):
        features([array], value_range=(0, 4095))


def test_infinity_in_a_window_is_clipped():
    array = np.where(RAMP == 4095, np.inf, RAMP.astype(float))
    expected = features([by_hand(RAMP, 0, 4095)])
    np.testing.assert_array_equal(features([array], value_range=(0, 4095)), expected)


def test_float_beyond_one_is_refused_with_the_pair():
    with pytest.raises(ValueError, match=r"\[0, 4095\].*value_range.*instance \(0, 4095\)"):
        features([RAMP.astype(float)])


@pytest.mark.parametrize("pair", [(0,), (0, 1, 2), (5, 5), (5, 1), (0, np.inf), ("0", 1)])
def test_pair_that_is_none_is_refused(pair):
    with pytest.raises(ValueError, match=r"value_range=.*a pair \(low, high\)"):
        features([NOISE], value_range=pair)


def test_pair_may_be_an_array():
    expected = features([RAMP.astype(np.uint16)], value_range=(0, 4095))
    found = features([RAMP.astype(np.uint16)], value_range=np.array([0, 4095]))
    np.testing.assert_array_equal(found, expected)


def test_windows_do_not_share_the_cache():
    samples = [RAMP.astype(np.uint16)]
    first, second = (
        features(samples, value_range=pair, cache="memory") for pair in ((0, 4095), (0, 9000))
    )
    assert not np.allclose(first, second)


def test_values_without_a_callable_are_refused():
    with pytest.raises(ValueError, match="value_range=None hands .* callable preprocess"):
        features([NOISE], value_range=None)


def test_callable_gets_the_own_values():
    seen = []

    def preprocess(values):
        seen.append(values)
        return np.zeros((3, 32, 32))

    exif = Image.fromarray(NOISE)
    exif.getexif()[0x0112] = 3  # upside down
    samples = [RAMP.astype(np.uint16), TWELVE_BITS["PNG"], RAMP - 1024.5, exif]
    features(samples, preprocess=preprocess, value_range=None)
    expected = [RAMP, RAMP, RAMP - 1024.5, NOISE[::-1, ::-1]]
    for values, wanted in zip(seen[-4:], expected, strict=True):
        np.testing.assert_array_equal(values, wanted)
    assert [str(values.dtype) for values in seen[-4:]] == ["uint16"] * 2 + ["float64", "uint8"]


def test_callable_may_change_the_own_values():
    def preprocess(values):
        values[:] = 0
        return np.zeros((3, 32, 32))

    array = RAMP.astype(np.uint16)
    features([array], preprocess=preprocess, value_range=None)
    np.testing.assert_array_equal(array, RAMP)


def test_autoencoder_takes_a_window():
    arrays = [np.roll(RAMP, k).astype(np.uint16) for k in range(6)]
    options = {"n_components": 2, "max_epochs": 1}
    levels = [by_hand(array, 0, 4095) for array in arrays]
    expected = AutoencoderFeatures(**options).fit_transform(levels)
    found = AutoencoderFeatures(value_range=(0, 4095), **options).fit_transform(arrays)
    np.testing.assert_array_equal(found, expected)


def test_autoencoder_tells_of_narrow_values():
    arrays = [np.roll(RAMP, k).astype(np.uint16) for k in range(6)]
    with pytest.warns(UserWarning, match=r"In 6 of 6 images.*value_range=\(0, 4095\)"):
        AutoencoderFeatures(n_components=2, max_epochs=1).fit(arrays)


def test_fit_with_augmentation_tells_once():
    """It reads the samples twice: as pictures, and for the scale of their features."""
    arrays = [np.roll(RAMP, k).astype(np.uint16) for k in range(6)]
    options = {"weights": None, "input_size": 32, "max_epochs": 1, "augment": "flip"}
    estimator = FineTunedClassifier("test_resnet.r160_in1k", freeze=None, **options)
    with pytest.warns(UserWarning, match="uint16 values") as caught:
        estimator.fit(arrays, np.arange(6) % 2)
    assert len(caught) == 1


def test_scaling_of_ordinary_values_is_silent():
    samples = [NOISE, NOISE / 255, NOISE.astype(np.uint16) * 257, NOISE[..., 0] > 99]
    assert warnings_of(features, samples) == []


def test_dark_part_of_a_bright_picture_is_silent():
    """Scaling leaves little of a few bright pixels."""
    array = np.zeros((600, 600, 3), np.uint8)
    array[300:302, 100:110] = 200
    assert warnings_of(features, [array, Image.fromarray(array)]) == []


def test_largest_8_bit_value_is_that_of_the_sample():
    """Not that of the pixels after scaling, which overshoots at edges."""
    square = np.zeros((8, 8), np.uint8)
    square[2:6, 2:6] = 16
    net = timm.create_model("test_resnet", pretrained_cfg={"interpolation": "bicubic"})
    with pytest.warns(UserWarning, match=r"uint8 values reach at most 16\."):
        PretrainedFeatures(net, input_size=32, cache=None).transform([square])


def test_dark_crops_among_more_bright_ones_are_silent():
    samples = [DARK, NOISE, DARK + 1, NOISE[::-1], NOISE[:, ::-1]]
    assert warnings_of(features, samples) == []


def test_bright_photos_do_not_hide_that_most_are_narrow():
    with pytest.warns(UserWarning, match="In 2 of 3 images, first in row 0, uint8 values"):
        features([DARK, NOISE, DARK + 1])


def test_each_type_is_told_with_its_own_pair():
    with pytest.warns(UserWarning, match="gray levels") as caught:
        features([DARK, RAMP.astype(np.uint16)])
    found = [str(w.message).partition("value_range=")[2].split(")")[0] for w in caught]
    assert sorted(found) == ["(0, 15", "(0, 4095"]


def test_dark_part_of_a_bright_picture_is_silent_in_training():
    array = np.zeros((3, 600, 600, 3), np.uint8)
    array[:, 300:302, 100:110] = 200
    model = AutoencoderFeatures(max_epochs=1, input_size=16, verbose=0)
    assert warnings_of(model.fit, array) == []


def test_advice_on_8_bits_is_given_only_for_values_of_8_bits():
    with pytest.raises(ValueError, match=r"\[-5, 300\].*what this image holds\. Repair"):
        features([np.linspace(-5, 300, 720).reshape(24, 30).astype(np.int16)])


def test_infinity_is_no_pair_to_pass():
    with pytest.raises(ValueError, match=r"\(low, high\)\), which clips infinity\. Repair"):
        features([np.full((24, 30), np.inf)])


def test_window_too_wide_for_a_float_is_refused():
    with pytest.raises(ValueError, match="pair .* of finite numbers"):
        features([NOISE], value_range=(-1e308, 1e308))
