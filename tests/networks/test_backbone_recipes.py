"""Face networks and detectors of the user's own, as docs/howto/backbones.rst has them."""

import copy

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures, PrototypeClassifier
from sklearn_transfer.datasets import load_photo_crops
from tests.small_networks import Faces, Yolo

CONFIG = {
    "input_size": (3, 160, 160),
    "mean": (127.5 / 255,) * 3,
    "std": (128 / 255,) * 3,
    "interpolation": "bilinear",
    "crop_pct": 1.0,
    "crop_mode": "squash",
}


@pytest.fixture(scope="module")
def pictures():
    """Return crops of two photos, four of each, and their names."""
    images, y = load_photo_crops(4, size=160, classes=["flower", "pagoda"], return_X_y=True)
    return images, y


@pytest.fixture(scope="module")
def faces():
    torch.manual_seed(0)
    net = Faces()
    net(torch.randn(16, 3, 160, 160))  # statistics of normalization
    return net


@pytest.fixture(scope="module")
def yolo():
    torch.manual_seed(0)
    return Yolo()


def prepare_face(image):
    pixels = np.asarray(image.resize((160, 160), 2), dtype=np.float32)
    return ((pixels - 127.5) / 128).transpose(2, 0, 1)


def prepare_scene(image):
    return np.asarray(image.resize((64, 64)), dtype=np.float32).transpose(2, 0, 1) / 255


def remove_head(detector):
    found = copy.deepcopy(detector)
    head = nn.Identity()
    head.f = found.model[-1].f
    found.model[-1] = head
    return found


def test_embeddings_of_faces_are_what_the_network_returns(faces, pictures):
    found = PretrainedFeatures(faces, preprocess=prepare_face).fit_transform(pictures[0])
    net = copy.deepcopy(faces).eval()
    with torch.no_grad():
        rows = [torch.from_numpy(prepare_face(image)) for image in to_images(pictures[0])]
        expected = net(torch.stack(rows))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def to_images(arrays):
    from PIL import Image

    return [Image.fromarray(array) for array in arrays]


def test_a_stated_input_needs_no_callable(faces, pictures):
    stated = copy.deepcopy(faces)
    stated.pretrained_cfg = CONFIG
    found = PretrainedFeatures(stated).fit_transform(pictures[0])
    expected = PretrainedFeatures(faces, preprocess=prepare_face).fit_transform(pictures[0])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_layers_below_the_embedding_have_names(faces, pictures):
    options = {"preprocess": prepare_face, "layers": ["branch_1", "last_linear"]}
    assert PretrainedFeatures(faces, **options).fit_transform(pictures[0]).shape == (8, 20)


def test_one_picture_of_each_person_makes_a_classifier(faces, pictures):
    X, y = pictures
    people = make_pipeline(
        PretrainedFeatures(faces, preprocess=prepare_face),
        PrototypeClassifier(metric="cosine"),
    )
    people.fit([X[0], X[-1]], [y[0], y[-1]])
    features = people[0].transform(X)
    nearest = (features @ features[[0, -1]].T).argmax(axis=1)
    np.testing.assert_array_equal(people.predict(X), np.array([y[0], y[-1]])[nearest])


def test_head_on_embeddings_is_cross_validated(faces, pictures):
    X, y = pictures
    model = make_pipeline(
        PretrainedFeatures(faces, preprocess=prepare_face), PrototypeClassifier()
    )
    assert cross_val_score(model, X, y, cv=2, error_score="raise").shape == (2,)


@pytest.mark.parametrize("freeze", ["all", "avgpool", None])
def test_face_networks_are_fine_tuned(faces, freeze, pictures):
    options = {"freeze": freeze, "max_epochs": 1, "batch_size": 4}
    model = FineTunedClassifier(faces, preprocess=prepare_face, **options)
    before = faces.mixed.weight.detach().clone()
    after = model.fit(*pictures)._network.body.mixed.weight
    assert torch.equal(after, before) == (freeze is not None)
    assert torch.equal(faces.mixed.weight, before)


def test_maps_of_a_detector_have_names(yolo, pictures):
    options = {"preprocess": prepare_scene, "layers": ["model.5", "model.2"]}
    found = PretrainedFeatures(yolo, **options).fit_transform(pictures[0])
    assert found.shape == (8, 6 + 8)


def test_detector_without_its_head_gives_the_maps_of_the_head(yolo, pictures):
    named = PretrainedFeatures(
        yolo, preprocess=prepare_scene, layers=["model.5", "model.2"]
    ).fit_transform(pictures[0])
    trunk = PretrainedFeatures(remove_head(yolo), preprocess=prepare_scene)
    np.testing.assert_allclose(trunk.fit_transform(pictures[0]), named, rtol=1e-5)


def test_words_are_depths_of_the_layers_of_a_detector(yolo, pictures):
    options = {"preprocess": prepare_scene}
    middle = PretrainedFeatures(yolo, layers="middle", **options).fit_transform(pictures[0])
    named = PretrainedFeatures(yolo, layers="model.3", **options).fit_transform(pictures[0])
    np.testing.assert_array_equal(middle, named)


def test_sequence_that_never_runs_is_refused(yolo, pictures):
    extractor = PretrainedFeatures(yolo, layers="model", preprocess=prepare_scene)
    with pytest.raises(ValueError, match="'model' of Yolo is never run in one pass"):
        extractor.fit_transform(pictures[0])


@pytest.mark.filterwarnings("ignore:Yolo cannot be split after 'model.1':UserWarning")
@pytest.mark.parametrize("freeze", ["all", "model.1"])
def test_detectors_without_head_are_fine_tuned(yolo, freeze, pictures):
    options = {"freeze": freeze, "max_epochs": 1, "batch_size": 4}
    trunk = remove_head(yolo)
    model = FineTunedClassifier(trunk, preprocess=prepare_scene, **options).fit(*pictures)
    body = model._network.body.model
    assert torch.equal(body[1].weight, yolo.model[1].weight)
    assert torch.equal(body[5].weight, yolo.model[5].weight) == (freeze == "all")
