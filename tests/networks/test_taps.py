import numpy as np
import pytest
import torch

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.readers import RowReader
from sklearn_transfer._networks.forward import _fix_numerics, forward
from sklearn_transfer._networks.layout import Stage
from sklearn_transfer._networks.pooling import pool
from sklearn_transfer._networks.registry import clear_registry, load_backbone
from sklearn_transfer._networks.taps import resolve_taps
from sklearn_transfer._networks.widths import infer_widths
from sklearn_transfer.testing._assertions import assert_same
from tests.small_networks import CountingNet, Shared, Tokens, Windows, trained_net

LITE = "tf_efficientnet_lite0"


@pytest.fixture
def lite():
    return load_backbone(LITE, "pretrained")


@pytest.fixture
def batch():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 64, 64))).float()


def tap(backbone, layers, pooling="auto"):
    return resolve_taps(backbone, layers, pooling)


def hooks_left(module):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


@pytest.mark.parametrize(
    ("word", "stage"), [("shallow", "blocks.1"), ("middle", "blocks.2"), ("deep", "blocks.6")]
)
def test_words_are_quarter_half_and_full_depth(lite, word, stage):
    # Five stages: ceil(5 / 4) = 2, ceil(5 / 2) = 3 and 5.
    assert tap(lite, word)[0].name == stage


def test_index_and_name_and_word_are_the_same_tap(lite):
    assert tap(lite, -1) == tap(lite, 4) == tap(lite, "blocks.6") == tap(lite, "deep")


def test_stage_output_equals_a_hand_written_hook(lite, batch):
    kept = []
    handle = lite.module.blocks[2].register_forward_hook(lambda m, a, out: kept.append(out))
    with torch.no_grad():
        lite.module(batch)
    handle.remove()
    found = forward(lite, tap(lite, "middle"), batch)[0]
    np.testing.assert_allclose(found, kept[0].mean((2, 3)), rtol=1e-6, atol=1e-6)


SIGNATURE = (("input", (3, 64, 64), "<f4"),)


@pytest.mark.parametrize("pooling", ["auto", "max", "flatten"])
@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "torchvision/squeezenet1_1"])
def test_inferred_widths_are_those_of_a_pass(name, pooling, fresh):
    backbone = load_backbone(name, None, input_size=64)
    taps = tap(backbone, ["shallow", "middle", "deep", None, "logits"], pooling)
    before = {key: value.clone() for key, value in backbone.module.state_dict().items()}
    widths = infer_widths(backbone, taps, RowReader(), SIGNATURE)
    pooled = forward(backbone, taps, torch.zeros(1, 3, 64, 64))
    assert widths == [features.shape[1] for features in pooled]
    assert hooks_left(backbone.module) == 0
    for key, value in backbone.module.state_dict().items():
        assert torch.equal(value, before[key])


def test_fit_leaves_a_layer_that_runs_twice_to_transform():
    name, layer = "torchvision/resnet18", "layer1.0.relu"
    estimator = PretrainedFeatures(name, weights=None, layers=layer, input_size=32)
    estimator.fit([np.zeros((32, 32, 3), np.uint8)])
    with pytest.raises(ValueError, match="runs 2 times in one pass"):
        estimator.transform([np.zeros((32, 32, 3), np.uint8)])


def test_logits_equal_the_plain_forward_pass(lite, batch):
    with torch.no_grad():
        expected = lite.module(batch)
    np.testing.assert_array_equal(forward(lite, tap(lite, "logits"), batch)[0], expected)


@pytest.mark.parametrize(
    "name",
    [LITE, "test_vit", "test_resnet", "deit_tiny_distilled_patch16_224", "mobilenetv1_100"],
)
def test_embedding_equals_the_network_without_its_classifier(name, batch):
    import copy

    backbone = load_backbone(name, None, input_size=64)
    headless = copy.deepcopy(backbone.module)
    headless.reset_classifier(0)
    with torch.no_grad():
        expected = headless.eval()(batch).numpy()
    assert_same(forward(backbone, tap(backbone, None), batch)[0].numpy(), expected)


def test_torchvision_embedding_is_the_input_of_the_last_linear_layer(batch):
    backbone = load_backbone("torchvision/resnet18", None)
    module = backbone.module
    with torch.no_grad():
        x = module.maxpool(module.relu(module.bn1(module.conv1(batch))))
        x = module.layer4(module.layer3(module.layer2(module.layer1(x))))
    found = forward(backbone, tap(backbone, None), batch)[0]
    np.testing.assert_allclose(found, x.mean((2, 3)), rtol=1e-5, atol=1e-6)


def test_list_concatenates_in_the_order_given(photos):
    one = PretrainedFeatures(layers=["middle", "shallow"], input_size=64).fit_transform(photos)
    parts = [
        PretrainedFeatures(layers=layer, input_size=64, cache=None).fit_transform(photos)
        for layer in ("middle", "shallow")
    ]
    np.testing.assert_allclose(one, np.hstack(parts), rtol=1e-5, atol=1e-6)


def test_second_pass_ends_at_the_deepest_tap(crops):
    clear_registry()
    CountingNet.reset()
    estimator = PretrainedFeatures(trained_net(), layers="stem", cache=None, batch_size=3)
    estimator.fit(crops).transform(crops)
    estimator.transform(crops)
    assert CountingNet.batches_seen == [3] * 6
    # Only the very first batch runs to the end, to see that the stem runs once.
    assert CountingNet.head_calls == 1


def test_no_hook_stays_behind(lite, batch):
    forward(lite, tap(lite, ["shallow", "blocks.2.0.bn1", None]), batch)
    assert hooks_left(lite.module) == 0


def test_no_hook_stays_behind_after_an_exception(lite):
    with pytest.raises(RuntimeError):
        forward(lite, tap(lite, ["shallow", "deep"]), torch.zeros(1, 5, 64, 64))
    assert hooks_left(lite.module) == 0


def test_in_place_operations_do_not_reach_a_tap(crops):
    # The ReLU that follows the stem overwrites the stem's output.
    net = trained_net()
    alone = PretrainedFeatures(net, layers="stem", cache=None).fit_transform(crops)
    beside = PretrainedFeatures(net, layers=["stem", "norm"], cache=None).fit_transform(crops)
    np.testing.assert_allclose(beside[:, :4], alone, rtol=1e-5, atol=1e-6)
    assert alone.min() < 0


def test_module_that_runs_twice_is_refused(crops):
    estimator = PretrainedFeatures(Shared(), layers="act").fit(crops)
    with pytest.raises(ValueError, match="'act' of Shared runs 2 times in one pass"):
        estimator.transform(crops)


def test_module_that_never_runs_is_refused(crops):
    estimator = PretrainedFeatures(Shared(), layers="unused").fit(crops)
    with pytest.raises(ValueError, match="'unused' of Shared is never run in one pass"):
        estimator.transform(crops)


def test_module_whose_rows_are_not_samples_is_refused(crops):
    estimator = PretrainedFeatures(Windows(), layers="inner").fit(crops)
    with pytest.raises(ValueError, match=r"\(18, 4, 2, 4\) for 9 samples; tap a module whose"):
        estimator.transform(crops)


def test_unknown_layer_lists_near_matches(lite):
    with pytest.raises(ValueError, match="'midle' names no layer .* Did you mean 'middle'"):
        tap(lite, "midle")


def test_unknown_module_name_lists_near_matches(lite):
    with pytest.raises(ValueError, match="Did you mean 'blocks.2.1.bn1'"):
        tap(lite, "block.2.1.bn1")


def test_unknown_pooling_lists_near_matches(lite):
    with pytest.raises(ValueError, match="pooling='average'.*'auto', 'avg'"):
        tap(lite, None, "average")


def test_stage_index_out_of_range_lists_the_stages(lite):
    with pytest.raises(ValueError, match="has 5 stages, 0 to 4: 0 blocks.0"):
        tap(lite, 5)


def test_layer_named_twice_is_refused(lite):
    with pytest.raises(ValueError, match="names 'deep' more than once"):
        tap(lite, ["deep", -1])


def test_empty_list_of_layers_is_refused(lite):
    with pytest.raises(ValueError, match="names no layer; None is the network's embedding"):
        tap(lite, [])


def test_cls_of_a_network_without_class_token_is_refused(lite):
    with pytest.raises(ValueError, match="has no class token; use 'avg', 'max' or 'gem'"):
        tap(lite, None, "cls")


def test_logits_of_a_network_without_classifier_are_refused():
    backbone = load_backbone("vit_small_patch14_reg4_dinov2", None, input_size=70)
    with pytest.raises(ValueError, match="has no classifier; use None for its embedding"):
        tap(backbone, "logits")


def tokens(class_token=True):
    torch.manual_seed(0)
    backbone = load_backbone(Tokens(class_token), "pretrained")
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        return backbone, images, backbone.module.forward_features(images)


def test_average_leaves_class_and_register_tokens_out():
    backbone, images, sequence = tokens()
    found = forward(backbone, tap(backbone, "block", "avg"), images)[0]
    np.testing.assert_allclose(found, sequence[:, 3:].mean(1), rtol=1e-6)
    assert found.max() < 7


def test_maximum_leaves_class_and_register_tokens_out():
    backbone, images, sequence = tokens()
    found = forward(backbone, tap(backbone, "block", "max"), images)[0]
    np.testing.assert_array_equal(found, sequence[:, 3:].amax(1))


def test_a_stage_before_the_tokens_join_has_no_prefix():
    backbone, images, _ = tokens()
    maps = backbone.module.patches(images)
    found = forward(backbone, tap(backbone, "patches", "avg"), images)[0]
    np.testing.assert_allclose(found, maps.mean((2, 3)), rtol=1e-5)


def test_cls_is_the_class_token():
    backbone, images, _ = tokens()
    found = forward(backbone, tap(backbone, "block", "cls"), images)[0]
    np.testing.assert_array_equal(found, torch.full((2, 5), 7.0))


def test_auto_takes_the_class_token_where_the_head_does():
    backbone, images, _ = tokens()
    found = forward(backbone, tap(backbone, "block"), images)[0]
    np.testing.assert_array_equal(found, torch.full((2, 5), 7.0))


def test_registers_are_not_taken_for_a_class_token():
    backbone, images, sequence = tokens(class_token=False)
    with pytest.raises(ValueError, match="has no class token"):
        tap(backbone, "block", "cls")
    found = forward(backbone, tap(backbone, "block"), images)[0]
    np.testing.assert_allclose(found, sequence[:, 3:].mean(1), rtol=1e-6)


def test_flatten_keeps_every_value_channels_first():
    net = trained_net()
    backbone = load_backbone(net, "pretrained")
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = backbone.module.body(backbone.module.stem(images)).flatten(1)
    found = forward(backbone, tap(backbone, "body", "flatten"), images)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_gem_is_the_generalized_mean_of_power_three():
    backbone = load_backbone(trained_net(), "pretrained")
    maps = torch.rand(2, 4, 5, 5)
    expected = (maps**3).mean((2, 3)) ** (1 / 3)
    found = pool(maps, "gem", backbone.layout, Stage("stem"), (32, 32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_channels_last_maps_are_pooled_over_space(crops):
    backbone = load_backbone("swin_tiny_patch4_window7_224", None, input_size=64)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        maps = backbone.module.forward_features(images)
    assert maps.shape == (2, 2, 2, 768)
    found = forward(backbone, tap(backbone, "deep", "max"), images)[0]
    kept = []
    handle = backbone.module.layers[3].register_forward_hook(lambda m, a, o: kept.append(o))
    with torch.no_grad():
        backbone.module(images)
    handle.remove()
    np.testing.assert_allclose(found, kept[0].amax((1, 2)), rtol=1e-5, atol=1e-6)


def test_convolution_in_a_channels_last_network_is_read_channels_first():
    backbone = load_backbone("swin_tiny_patch4_window7_224", None, input_size=64)
    images = torch.rand(2, 3, 64, 64)
    found = forward(backbone, tap(backbone, "patch_embed.proj"), images)[0]
    maps = backbone.module.patch_embed.proj(images)
    np.testing.assert_allclose(found, maps.mean((2, 3)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["torchvision/swin_t", "swin_tiny_patch4_window7_224"])
def test_rectangular_maps_are_pooled_over_space(name):
    backbone = load_backbone(name, None, input_size=(64, 96))
    images = torch.rand(2, 3, 64, 96)
    assert forward(backbone, tap(backbone, None, "max"), images)[0].shape == (2, 768)
    conv = "features.0.0" if "torchvision" in name else "patch_embed.proj"
    found = forward(backbone, tap(backbone, conv), images)[0]
    maps = backbone.module.get_submodule(conv)(images)
    np.testing.assert_allclose(found, maps.mean((2, 3)), rtol=1e-4, atol=1e-6)


def test_layout_that_a_module_states_is_believed():
    # This patch embedding gives channels-last maps inside a network of token sequences.
    backbone = load_backbone("test_vit4", None)
    assert backbone.module.patch_embed.output_fmt == "NHWC"
    images = torch.rand(2, 3, *backbone.spec.size)
    found = forward(backbone, tap(backbone, "patch_embed"), images)[0]
    maps = backbone.module.patch_embed(images)
    np.testing.assert_allclose(found, maps.mean((1, 2)), rtol=1e-4, atol=1e-6)


class Outputs(torch.nn.Module):
    """Network whose output is what a function makes of two maps."""

    def __init__(self, make):
        super().__init__()
        self.stem, self.late = torch.nn.Conv2d(3, 4, 3, 2), torch.nn.Conv2d(4, 6, 3, 2)
        self.make = make

    def forward(self, x):
        x = self.stem(x)
        return self.make(x, self.late(x))


class Pictures:
    """Holds a tensor as torchvision's ImageList does."""

    def __init__(self, tensors):
        self.tensors = tensors


PAIRS = {
    "list": lambda a, b: [a, b],
    "mapping": lambda a, b: {"fine": a, "coarse": b},
    "first of a tuple": lambda a, b: ([a, b], "boxes"),
    "image lists": lambda a, b: [Pictures(a), Pictures(b)],
}


@pytest.mark.parametrize("pooling", ["auto", "max"])
@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_levels_are_pooled_side_by_side(make, pooling):
    torch.manual_seed(0)
    net, rows = Outputs(make), np.random.default_rng(0).random((3, 3, 15, 15), np.float32)
    options = {"preprocess": None, "cache": None, "pooling": pooling}
    found = PretrainedFeatures(net, **options).fit_transform(rows)
    with torch.no_grad():
        stem = net.stem(torch.from_numpy(rows))
        maps = [stem, net.late(stem)]
    reduce = torch.mean if pooling == "auto" else torch.amax
    expected = torch.cat([reduce(level, dim=(2, 3)) for level in maps], dim=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_tuple_counts_by_its_first_entry():
    rows = np.random.default_rng(0).random((3, 3, 15, 15), np.float32)
    options = {"preprocess": None, "cache": None}
    found = PretrainedFeatures(Outputs(lambda a, b: (a, b)), **options).fit_transform(rows)
    assert found.shape == (3, 4)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda a, b: [], "'Outputs' returns a list without entries, expected a tensor"),
        (lambda a, b: [a, "b"], "'Outputs' returns a list with a str, expected a tensor"),
        (lambda a, b: "b", "'Outputs' returns str, expected a tensor, a list or mapping of"),
        (lambda a, b: [{"boxes": a}], "boxes are no features: give the backbone of the det"),
        (lambda a, b: [a, b[:0]], r"shape \(0, 6, 3, 3\) for \d samples; tap a module"),
    ],
    ids=["nothing", "text beside a map", "text", "boxes", "fewer rows"],
)
def test_outputs_that_hold_no_levels_are_refused(make, match):
    rows = np.zeros((3, 3, 15, 15), np.float32)
    estimator = PretrainedFeatures(Outputs(make), preprocess=None, cache=None).fit(rows)
    with pytest.raises(ValueError, match=match):
        estimator.transform(rows)


def test_members_of_a_lone_sequence_are_stages():
    class Sequence(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Sigmoid())

        def forward(self, x):
            for layer in self.model:
                x = layer(x)
            return x

    rows = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    extractor = PretrainedFeatures(Sequence(), layers="shallow", preprocess=None)
    np.testing.assert_array_equal(extractor.fit_transform(rows), np.maximum(rows, 0))


def test_list_in_a_list_of_layers_is_refused(lite):
    with pytest.raises(ValueError, match=r"names \['middle'\], expected a string, a stage"):
        tap(lite, [["middle"]])


def test_flattened_map_is_a_copy_of_what_is_overwritten_later(crops):
    options = {"pooling": "flatten", "cache": None}
    net = trained_net()
    alone = PretrainedFeatures(net, layers="stem", **options).fit_transform(crops)
    beside = PretrainedFeatures(net, layers=["stem", "norm"], **options).fit_transform(crops)
    np.testing.assert_array_equal(beside[:, : alone.shape[1]], alone)
    assert alone.min() < 0


def test_a_module_that_swallows_exceptions_still_ends_early(crops):
    class Swallowing(CountingNet):
        def forward(self, x):
            try:
                return super().forward(x)
            except Exception:
                return x.mean((2, 3))

    Swallowing.reset()
    estimator = PretrainedFeatures(Swallowing(), layers="stem", cache=None)
    first = estimator.fit_transform(crops)
    np.testing.assert_array_equal(estimator.transform(crops), first)
    assert Swallowing.head_calls == 1


def test_pooled_map_before_the_head_when_pooling_is_chosen(lite, batch):
    with torch.no_grad():
        expected = lite.module.forward_features(batch).amax((2, 3))
    found = forward(lite, tap(lite, None, "max"), batch)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_autocast_of_the_caller_does_not_change_features(photos):
    expected = PretrainedFeatures(input_size=64, cache=None).fit_transform(photos)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = PretrainedFeatures(input_size=64, cache=None).fit_transform(photos)
    np.testing.assert_array_equal(found, expected)


def test_two_threads_may_share_one_network(crops):
    from concurrent.futures import ThreadPoolExecutor

    def features(layers):
        return PretrainedFeatures(layers=layers, input_size=64, cache=None).fit_transform(
            crops
        )

    choices = ["shallow", "middle", "deep", None] * 3
    expected = {layers: features(layers) for layers in choices[:4]}
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(features, choices))
    for layers, array in zip(choices, found, strict=True):
        assert_same(array, expected[layers])


def tf32_settings():
    """Of matrix products and of convolutions."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        return matmul.fp32_precision == "tf32", cudnn.conv.fp32_precision == "tf32"
    return matmul.allow_tf32, cudnn.allow_tf32


@pytest.mark.filterwarnings("ignore:User provided device_type of 'cuda'")
def test_tf32_is_off_during_a_pass_and_as_before_after_an_error():
    before = tf32_settings()
    assert any(before)  # torch lets convolutions use it
    inside = []
    with pytest.raises(ZeroDivisionError):
        _run_exactly(lambda: inside.append(tf32_settings()) or 1 / 0)
    assert inside == [(False, False)]
    assert tf32_settings() == before


def _run_exactly(function):
    with _fix_numerics("cuda", "float32"):
        function()
