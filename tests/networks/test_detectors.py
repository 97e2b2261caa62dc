import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures
from sklearn_transfer._networks import detectors
from sklearn_transfer._networks.registry import load_backbone

NAME = "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn"
SMALL = {"input_size": 64, "cache": None, "engine": "torch"}
ROWS = {"preprocess": None, "cache": None, "engine": "torch"}
NAMES = detectors.list_detectors()


class Body(nn.Module):
    """Three stages, of which a pyramid takes the last two."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 4, 1)
        self.early = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    places = {"early": "0", "late": "1"}
    backbone = BackboneWithFPN(Body(), places, [6, 8], 5)
    anchors = AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * 3)
    options = {"min_size": 64, "rpn_anchor_generator": anchors}
    return detection.FasterRCNN(backbone, num_classes=2, **options)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).random((3, 3, 64, 64), np.float32)


def compute_pyramid(detector, rows):
    """Return the means of the maps that the heads of a detector get, level by level."""
    detector.eval()
    with torch.no_grad():
        maps = detector.backbone(torch.from_numpy(rows)).values()
    detector.train()
    return np.hstack([level.mean((2, 3)).numpy() for level in maps])


def build_on_meta(name, pretrained=False):
    with torch.device("meta"):
        return detectors.create(name, pretrained)


def test_embedding_is_the_means_of_all_levels(detector, rows):
    found = PretrainedFeatures(detector, **ROWS).fit_transform(rows)
    expected = compute_pyramid(detector, rows)
    assert found.shape == (3, 3 * 5)  # the coarsest level is a pool of the one before
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_given_detector_is_neither_changed_nor_trained(detector, rows):
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    PretrainedFeatures(detector, **ROWS).fit_transform(rows)
    assert detector.training
    after = detector.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_maps_are_layers_by_the_names_of_their_modules(detector, rows):
    levels = ["fpn.layer_blocks.0", "fpn.layer_blocks.1"]
    found = PretrainedFeatures(detector, layers=levels, **ROWS).fit_transform(rows)
    expected = compute_pyramid(detector, rows)[:, :10]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_words_are_depths_of_the_body(detector, rows):
    backbone = load_backbone(detector, "pretrained")
    names = [stage.name for stage in backbone.layout.stages]
    assert names == ["body.stem", "body.early", "body.late"]
    deep = PretrainedFeatures(detector, layers="deep", **ROWS).fit_transform(rows)
    named = PretrainedFeatures(detector, layers="body.late", **ROWS).fit_transform(rows)
    np.testing.assert_array_equal(deep, named)


def test_detectors_have_no_logits(detector, rows):
    estimator = PretrainedFeatures(detector, layers="logits", preprocess=None)
    with pytest.raises(ValueError, match="has no classifier; use None for its embedding"):
        estimator.fit(rows)


def test_subclasses_and_backbones_alone_are_detectors(detector, rows):
    class Own(detection.FasterRCNN):
        pass

    convolutions = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU())
    convolutions.out_channels = 4
    own = PretrainedFeatures(Own(convolutions, num_classes=2), **ROWS).fit_transform(rows)
    assert own.shape == (3, 4)
    alone = PretrainedFeatures(detector.backbone, **ROWS).fit_transform(rows)
    whole = PretrainedFeatures(detector, **ROWS).fit_transform(rows)
    np.testing.assert_array_equal(alone, whole)


def test_checkpoints_give_the_bits_of_pretrained_weights(monkeypatch, crops):
    torch.manual_seed(1)
    module = detectors.create(NAME.partition("/")[2])
    whole, part = module.state_dict(), module.backbone.state_dict()
    api = "torchvision.models._api.WeightsEnum.get_state_dict"
    monkeypatch.setattr(api, lambda self, *args, **options: dict(whole))
    pretrained = PretrainedFeatures(NAME, **SMALL).fit_transform(crops[:2])
    for state in (whole, part):
        given = PretrainedFeatures(NAME, weights=state, **SMALL).fit_transform(crops[:2])
        np.testing.assert_array_equal(pretrained, given)


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_are_normalized_as_torchvision_does(name, monkeypatch):
    api = "torchvision.models._api.WeightsEnum.get_state_dict"
    monkeypatch.setattr(api, lambda self, *args, **options: {})
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda self, state: None)
    module = build_on_meta(name, pretrained=True).backbone
    frozen = {m.eps for m in module.modules() if isinstance(m, FrozenBatchNorm2d)}
    assert frozen == ({detectors._EPSILONS[name]} if name in detectors._EPSILONS else set())
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_stages_of_every_detector_run_in_their_order(name):
    module = build_on_meta(name).backbone.eval()
    stages, ended = [stage.name for stage in detectors.list_stages(module)], []
    for stage in stages:
        module.get_submodule(stage).register_forward_hook(
            lambda _, args, output, stage=stage: ended.append(stage)
        )
    module(torch.empty(1, 3, 320, 320, device="meta"))
    assert ended == stages


@pytest.mark.parametrize(
    ("name", "size", "mean", "std"),
    [
        ("fasterrcnn_resnet50_fpn", 800, 0.485, 0.229),
        ("keypointrcnn_resnet50_fpn", 800, 0.485, 0.229),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", 320, 0.485, 0.229),
        ("ssd300_vgg16", 300, 0.48235, 1 / 255),
        ("ssdlite320_mobilenet_v3_large", 320, 0.5, 0.5),
    ],
)
def test_input_is_that_of_the_detector(name, size, mean, std):
    spec = detectors.wrap_detector(build_on_meta(name), name, "", None).spec
    assert (spec.size, spec.resize, spec.crop_mode) == ((size, size), (size, size), "squash")
    assert (spec.mean[0], spec.std[0]) == (mean, pytest.approx(std))


def test_first_layer_is_adapted_to_gray_images(crops):
    gray = [crop[:, :, 0] for crop in crops[::8]]
    extractor = PretrainedFeatures(NAME, weights=None, n_channels=1, **SMALL)
    assert extractor.fit_transform(gray).shape == (2, 768)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_agree_on_the_levels(engine, detector, crops):
    pytest.importorskip(engine)
    extractor = PretrainedFeatures(detector, **SMALL)
    expected = extractor.fit_transform(crops)
    found = extractor.set_params(engine=engine).fit_transform(crops)
    error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 1e-4


@pytest.mark.parametrize("freeze", ["all", "middle"])
def test_the_backbone_is_fine_tuned_above_what_is_frozen(freeze, detector, crops):
    y = ["a", "b", "a", "b", "a", "b", "a", "b", "a"]
    options = {"freeze": freeze, "max_epochs": 1, "batch_size": 5, "input_size": 64}
    model = FineTunedClassifier(detector, **options).fit(crops, y)
    before, after = detector.backbone.state_dict(), model._network.body.state_dict()
    same = {n for n, t in before.items() if "weight" in n and torch.equal(t, after[n])}
    frozen = [n for n in before if n.startswith(("body.stem", "body.early")) and "weight" in n]
    assert set(frozen) <= same
    assert ("fpn.layer_blocks.0.0.weight" in same) == (freeze == "all")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(again.predict_proba(crops), model.predict_proba(crops), 1e-6)


def test_boxes_are_refused_in_training(detector):
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = detector

        def forward(self, images):
            return self.inner(list(images))

    rows = np.random.default_rng(0).random((4, 3, 64, 64), np.float32)
    model = FineTunedClassifier(Wrapper(), preprocess=None)
    with pytest.raises(ValueError, match="boxes are no features: give the backbone of the de"):
        model.fit(rows, [0, 1, 0, 1])


def test_near_names_include_detectors():
    with pytest.raises(ValueError, match="mean 'torchvision/retinanet_resnet50_fpn'"):
        PretrainedFeatures("torchvision/retinanet_resnet50_fpm").fit(["a.png"])


def test_missing_weights_name_the_file_of_the_detector(offline, fresh):
    with pytest.raises(FileNotFoundError, match="Bring fcos_resnet50_fpn_coco-99b0c9b7.pth"):
        PretrainedFeatures("torchvision/fcos_resnet50_fpn").fit(["a.png"])


def test_all_detectors_of_torchvision_are_known():
    assert set(NAMES) == set(models.list_models(module=detection))
