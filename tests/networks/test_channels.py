"""Networks of other than three channels, and the samples that follow them."""

import io

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures
from sklearn_transfer._networks import torchvision as torchvision_module
from sklearn_transfer._networks.channels import fit_to_channels
from sklearn_transfer.selection._baselines import RawPixels
from sklearn_transfer.testing._assertions import assert_same
from tests.small_networks import CONFIG, CountingNet, counting_net

RNG = np.random.default_rng(0)
NOISE = {n: RNG.integers(0, 256, (6, 40, 50, n), dtype=np.uint8) for n in (1, 2, 3, 4, 5, 13)}
ENGINES = ["torch", "openvino", "onnxruntime"]


def net_of(n_channels, config=CONFIG):
    torch.manual_seed(0)
    net = CountingNet(n_channels)
    net.pretrained_cfg = config
    return net.eval()


def resized(array, size):
    bands = [Image.fromarray(band) for band in np.moveaxis(array, 2, 0)]
    width = int(size * array.shape[1] / array.shape[0])
    bands = [np.asarray(b.resize((width, size), Image.Resampling.BICUBIC)) for b in bands]
    return np.stack(bands)


def by_hand(net, arrays, mean, std):
    """Each channel resized, cropped, and normalized by itself, then one plain forward."""
    rows = []
    for array in arrays:
        scaled = resized(array, 35)  # 32 / 0.9
        left = round((scaled.shape[2] - 32) / 2)
        pixels = scaled[:, 2:34, left : left + 32] / 255
        rows.append((pixels - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1)))
    with torch.no_grad():
        return net(torch.tensor(np.stack(rows), dtype=torch.float32)).numpy()


REPEATED = {n: [CONFIG["mean"][i % 3] for i in range(n)] for n in (2, 4, 5, 13)}
REPEATED_STD = {n: [CONFIG["std"][i % 3] for i in range(n)] for n in (2, 4, 5, 13)}


@pytest.mark.parametrize("n", [2, 4, 5, 13])
def test_arrays_of_the_networks_channels(n):
    net = net_of(n)
    expected = by_hand(net, NOISE[n], REPEATED[n], REPEATED_STD[n])
    assert_same(PretrainedFeatures(net, cache=None).fit_transform(NOISE[n]), expected)


def test_gray_network_takes_gray_color_and_files():
    net = net_of(1)
    color = NOISE[3][0]
    gray = np.asarray(Image.fromarray(color).convert("L"))
    buffer = io.BytesIO()
    Image.fromarray(color).save(buffer, "PNG")
    samples = [gray, gray[..., None], color, Image.fromarray(color), buffer.getvalue()]
    found = PretrainedFeatures(net, cache=None).fit_transform(samples)
    expected = by_hand(net, [gray[..., None]], [np.mean(CONFIG["mean"])], [0.3])
    assert_same(found, np.repeat(expected, 5, axis=0))


@pytest.mark.parametrize("n", [1, 4])
def test_configuration_of_as_many_means(n):
    mean, std = (np.linspace(a, a + 0.2, n).tolist() for a in (0.3, 0.2))
    net = net_of(n, {**CONFIG, "input_size": (n, 32, 32), "mean": mean, "std": std})
    expected = by_hand(net, NOISE[n], mean, std)
    assert_same(PretrainedFeatures(net, cache=None).fit_transform(NOISE[n]), expected)


@pytest.mark.parametrize("n", [1, 3, 4])
def test_one_mean_counts_for_all_channels(n):
    net = net_of(n, {**CONFIG, "mean": (0.4,), "std": (0.2,)})
    expected = by_hand(net, NOISE[n], [0.4] * n, [0.2] * n)
    assert_same(PretrainedFeatures(net, cache=None).fit_transform(NOISE[n]), expected)


def test_means_that_fit_no_channel_are_refused():
    net = net_of(3, {**CONFIG, "mean": (0.1, 0.2, 0.3, 0.4)})
    with pytest.raises(ValueError, match=r"pretrained_cfg\['mean'\] has 4 values, .* takes 3"):
        PretrainedFeatures(net).fit(NOISE[3])


@pytest.mark.parametrize("n", [1, 4, 6])
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree(n, engine):
    net = timm.create_model("test_resnet", in_chans=n, num_classes=5)
    X = RNG.integers(0, 256, (3, 40, 50, n), dtype=np.uint8)
    options = {"cache": None, "input_size": 64}
    expected = PretrainedFeatures(net, engine="torch", **options).transform(X)
    assert_same(PretrainedFeatures(net, engine=engine, **options).transform(X), expected, 1e-4)


@pytest.mark.parametrize("n", [1, 4, 6])
def test_name_with_n_channels_is_timms_own_adaptation(n):
    """Of the weights on board, by timm's create_model."""
    three = PretrainedFeatures(n_channels=3)._load_backbone().module
    overlay = {"state_dict": three.state_dict(), "custom_load": False}
    net = timm.create_model(
        "tf_efficientnet_lite0", pretrained=True, pretrained_cfg_overlay=overlay, in_chans=n
    )
    found = PretrainedFeatures(n_channels=n)._load_backbone()
    assert found.spec.channels == n
    expected = net.state_dict()
    for name, tensor in found.module.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


def test_gray_photos_keep_their_features_with_a_gray_network(photos):
    """Summed weights see in one channel what three equal channels show."""
    gray = [np.asarray(Image.fromarray(photo).convert("L")) for photo in photos]
    three = PretrainedFeatures(cache=None).transform(gray)
    one = PretrainedFeatures(n_channels=1, cache=None).transform(gray)
    for a, b in zip(one, three, strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.98


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "squeezenet1_1", "vit_b_16"])
def test_torchvision_by_name(name):
    options = {"weights": None, "input_size": 224, "cache": None, "engine": "torch"}
    estimator = PretrainedFeatures(f"torchvision/{name}", n_channels=2, **options)
    assert np.isfinite(estimator.fit_transform(NOISE[2][:2])).all()


def test_torchvision_weights_are_adapted_as_timm_does():
    three, four = (
        PretrainedFeatures("torchvision/resnet18", weights=None, n_channels=n)._load_backbone()
        for n in (3, 4)
    )
    weight = three.module.conv1.weight
    expected = torch.cat([weight, weight[:, :1]], dim=1) * 3 / 4
    torch.testing.assert_close(four.module.conv1.weight, expected)


def test_torchvision_network_that_scales_its_channels_is_refused(monkeypatch):
    """Its pretrained weights come with a change of scale of three channels."""

    def create(name, pretrained=False):
        from torchvision.models import googlenet

        options = {"aux_logits": False, "init_weights": False, "transform_input": True}
        return googlenet(weights=None, **options)

    monkeypatch.setattr(torchvision_module, "create", create)
    with pytest.raises(ValueError, match="torchvision/googlenet scales three channels"):
        PretrainedFeatures("torchvision/googlenet", n_channels=2).fit(NOISE[2])


@pytest.mark.parametrize("model", ["test_resnet", "torchvision/resnet18"])
@pytest.mark.parametrize("n", [1, 4, 6])
def test_checkpoint_of_other_channels_is_loaded_as_it_is(tmp_path, model, n):
    if model == "test_resnet":
        net = timm.create_model("test_resnet", in_chans=n, num_classes=7)
    else:
        net = PretrainedFeatures(model, weights=None, n_channels=n)._load_backbone().module
    path = tmp_path / "weights.pth"
    torch.save(net.state_dict(), path)
    found = PretrainedFeatures(model, weights=path)._load_backbone()
    assert found.spec.channels == n
    for name, tensor in found.module.state_dict().items():
        torch.testing.assert_close(tensor, net.state_dict()[name], rtol=0, atol=0)


@pytest.mark.parametrize("model", ["test_resnet", "torchvision/resnet18"])
def test_checkpoint_of_other_channels_than_asked_for_is_refused(tmp_path, model):
    net = PretrainedFeatures(model, weights=None, n_channels=4)._load_backbone().module
    torch.save(net.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"n_channels=2, but .* for 4 channels"):
        PretrainedFeatures(model, weights=tmp_path / "w.pth", n_channels=2).fit(NOISE[2])


def test_module_of_other_channels_than_asked_for_is_refused():
    with pytest.raises(ValueError, match="n_channels=4, but CountingNet takes 3"):
        PretrainedFeatures(net_of(3), n_channels=4).fit(NOISE[4])


def test_callable_model_is_given_the_channels():
    X = PretrainedFeatures(counting_net, n_channels=4, cache=None).fit_transform(NOISE[4])
    assert X.shape == (6, 5)


def test_replaced_first_convolution_is_seen():
    net = timm.create_model("test_resnet", num_classes=5)
    old = net.conv1[0] if isinstance(net.conv1, nn.Sequential) else net.conv1
    new = nn.Conv2d(2, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False)
    if isinstance(net.conv1, nn.Sequential):
        net.conv1[0] = new
    else:
        net.conv1 = new
    estimator = PretrainedFeatures(net, cache=None, input_size=64)
    assert estimator.fit_transform(NOISE[2]).shape[0] == 6


def test_alpha_is_not_guessed_for_a_network_of_four():
    """Zeros in the fourth channel are values, and blend nothing."""
    net = net_of(4)
    X = NOISE[4].copy()
    X[..., 3] = 0
    expected = by_hand(net, X, REPEATED[4], REPEATED_STD[4])
    found = PretrainedFeatures(net, cache=None).fit_transform(X)
    assert_same(found, expected)
    of_images = PretrainedFeatures(net, cache=None).transform([Image.fromarray(x) for x in X])
    assert_same(of_images, expected)


REFUSED = {
    "color for four": (4, lambda: NOISE[3][0], r"\(40, 50, 3\), expected \(H, W, 4\)"),
    "gray for four": (4, lambda: NOISE[1][0, ..., 0], r"\(40, 50\), expected \(H, W, 4\)"),
    "image for four": (4, lambda: Image.fromarray(NOISE[3][0]), "mode RGB, .* takes 4"),
    "CMYK for four": (4, lambda: Image.new("CMYK", (50, 40)), "mode CMYK, .* takes 4"),
    "five for three": (3, lambda: NOISE[5][0], r"\(40, 50, 5\), .*n_channels=5"),
    "two for one": (1, lambda: NOISE[2][0], r"\(40, 50, 2\), .*network of 1 channel"),
    "first for five": (
        5,
        lambda: np.moveaxis(NOISE[5][0], 2, 0),
        r"channels first.*image.transpose\(1, 2, 0\)",
    ),
}


@pytest.mark.parametrize(("n", "make", "message"), REFUSED.values(), ids=REFUSED)
def test_sample_of_other_channels_is_refused(n, make, message):
    with pytest.raises(ValueError, match=f"row 0 .*{message}"):
        PretrainedFeatures(net_of(n)).transform([make()])


def test_callable_for_five_channels_is_told_how_to_get_them():
    estimator = PretrainedFeatures(net_of(5), preprocess=np.asarray)
    with pytest.raises(ValueError, match=r"callable preprocess .*\(value_range=None\)"):
        estimator.transform([NOISE[5][0]])


def test_array_that_needs_no_scaling_is_only_cropped():
    X = RNG.integers(0, 256, (2, 35, 35, 5), dtype=np.uint8)
    estimator = PretrainedFeatures(net_of(5), cache=None)
    as_16_bit = estimator.transform(X.astype(np.uint16) * 257)  # goes another way
    np.testing.assert_array_equal(estimator.transform(X), as_16_bit)


def test_border_is_filled_by_channel():
    config = {**CONFIG, "crop_mode": "border", "mean": (0.1, 0.2, 0.3, 0.4, 0.5)}
    net = net_of(5, {**config, "std": (0.2,) * 5})
    estimator = PretrainedFeatures(net, cache=None)
    reader = estimator._make_reader(estimator._load_backbone())
    payload = reader.prepare(NOISE[5][0][:20])["pixels"]
    assert payload[0, 0].tolist() == [round(255 * m) for m in config["mean"]]


def test_names_and_widths_before_transform():
    estimator = PretrainedFeatures(net_of(5), layers=["stem", None]).fit(NOISE[5])
    assert estimator.transform(NOISE[5]).shape[1] == len(estimator.get_feature_names_out())


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("augment", ["none", "flip", "standard"])
def test_fine_tuning(n, augment):
    y = np.arange(6) % 2
    model = FineTunedClassifier(net_of(n), freeze="stem", max_epochs=2, augment=augment)
    assert model.fit(NOISE[n], y).predict_proba(NOISE[n]).shape == (6, 2)


@pytest.mark.parametrize("augment", ["randaugment", "trivial"])
def test_policies_of_color_are_refused(augment):
    model = FineTunedClassifier(net_of(4), augment=augment)
    with pytest.raises(ValueError, match=rf"augment='{augment}' .* takes 4; use 'flip'"):
        model.fit(NOISE[4], np.arange(6) % 2)


def test_augmentation_by_a_callable_gets_arrays():
    shapes = set()

    def augment(array):
        shapes.add((array.shape, str(array.dtype)))
        return array[::-1]

    model = FineTunedClassifier(net_of(4), augment=augment, max_epochs=1)
    model.fit(NOISE[4], np.arange(6) % 2)
    assert shapes == {((40, 50, 4), "uint8")}


def test_callable_that_changes_the_channels_is_refused():
    model = FineTunedClassifier(net_of(4), augment=lambda array: array[..., :3], max_epochs=1)
    with pytest.raises(ValueError, match=r"expected a uint8 array \(height, width, 4\)"):
        model.fit(NOISE[4], np.arange(6) % 2)


def test_standard_augmentation_moves_all_channels_alike():
    from sklearn_transfer._modalities.image.spec import ImageSpec
    from sklearn_transfer._modalities.image.transforms import make_augmentation

    spec = ImageSpec((32, 32), (32, 32), (0.5,) * 5, (0.5,) * 5)
    same = np.repeat(NOISE[1][0], 5, axis=2)
    views = make_augmentation("standard", spec)(same, 3)
    assert views.shape == (32, 32, 5)
    np.testing.assert_array_equal(views, np.repeat(views[..., :1], 5, axis=2))


@pytest.mark.parametrize("n", [1, 4])
def test_raw_pixels_have_the_networks_channels(n):
    assert RawPixels(net_of(n), cache=None).fit_transform(NOISE[n]).shape == (6, 32 * 32 * n)
    named = RawPixels(n_channels=n, cache=None)
    assert named.fit_transform(NOISE[n]).shape == (6, 32 * 32 * n)


@pytest.mark.parametrize(
    ("values", "n", "expected"),
    [
        ((0.1, 0.2, 0.6), 3, (0.1, 0.2, 0.6)),
        ((0.1, 0.2, 0.6), 1, (0.3,)),
        ((0.1, 0.2, 0.6), 5, (0.1, 0.2, 0.6, 0.1, 0.2)),
        ((0.5,), 4, (0.5,) * 4),
        (0.5, 2, (0.5, 0.5)),
    ],
)
def test_means_for_channels(values, n, expected):
    assert fit_to_channels(values, n, "mean") == pytest.approx(expected)
