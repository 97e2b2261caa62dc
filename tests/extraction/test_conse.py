"""Images in a space of texts, by small networks and, where noted, by the default ones."""

import pickle

import numpy as np
import pytest
import timm
import torchvision
from scipy.special import softmax
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_transfer import (
    ConSE,
    PretrainedFeatures,
    PretrainedTextFeatures,
    ZeroShotClassifier,
)
from sklearn_transfer._networks.class_names import find_class_texts
from sklearn_transfer._networks.registry import load_backbone
from tests import small_networks, small_texts

NAMES = ["red cat", "green dog", "blue fish", "cat", "dog"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Small networks of images and of texts, as estimators."""
    folder = small_texts.write_bert(tmp_path_factory.mktemp("networks") / "net")
    image = PretrainedFeatures(small_networks.trained_net(), engine="torch")
    return image, PretrainedTextFeatures(str(folder), engine="torch")


@pytest.fixture
def conse(parts):
    return ConSE(*map(clone, parts), class_names=NAMES)


@pytest.mark.parametrize("n_top", [1, 2, 4, 5, 9, None])
def test_rows_are_those_of_the_formula(parts, crops, n_top):
    image, text = parts
    logits = PretrainedFeatures(image.model, layers="logits").fit_transform(crops)
    vectors = text.fit_transform(NAMES)
    expected = []
    for p in softmax(logits, axis=1):
        likeliest = sorted(range(5), key=lambda k: -p[k])[:n_top]
        expected.append(sum(p[k] * vectors[k] for k in likeliest) / sum(p[likeliest]))
    found = ConSE(*parts, n_top=n_top, class_names=NAMES).fit_transform(crops)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_texts_whose_vectors_are_long_count_no_more(crops):
    image = PretrainedFeatures(small_networks.trained_net())
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    rows = []
    for scale in (1.0, np.array([[1.0], [2], [3], [4], [5]])):
        text = FunctionTransformer(lambda X, scale=scale: vectors * scale)
        rows.append(ConSE(image, text, class_names=NAMES).fit_transform(crops))
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)


def test_texts_may_be_counted(parts, crops):
    conse = ConSE(parts[0], TfidfVectorizer(), class_names=NAMES)
    assert conse.fit_transform(crops).shape == (len(crops), 6)


def test_each_image_passes_the_network_once_in_a_search(parts, crops):
    net = small_networks.trained_net()
    small_networks.CountingNet.reset()
    conse = ConSE(PretrainedFeatures(net), parts[1], class_names=NAMES)
    head = ZeroShotClassifier(method="cosine", describer=parts[1])
    model = make_pipeline(conse, head)
    y = ["cat", "dog", "cat"] * 3
    search = GridSearchCV(model, {"conse__n_top": [1, 2, 3, None]}, cv=3)
    before = net.images_seen
    search.fit(crops, y, zeroshotclassifier__attributes=["cat", "dog"])
    assert net.images_seen - before == len(crops)


def test_image_that_cannot_be_read_is_a_row_of_nan(parts, crops):
    image = PretrainedFeatures(parts[0].model, on_error="nan")
    conse = ConSE(image, parts[1], class_names=NAMES, n_top=2).fit(crops)
    with pytest.warns(UserWarning, match="row 1"):
        rows = conse.transform([crops[0], b"no image", crops[1]])
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, False]
    np.testing.assert_array_equal(rows[[0, 2]], conse.transform(crops[:2]))


def test_parameters_of_parts_are_searched_and_kept(conse):
    conse.set_params(image__input_size=24, n_top=3)
    assert conse.image.input_size == 24
    assert conse.get_params()["text__pooling"] == "auto"
    assert conse.image.layers is None


def test_fit_changes_no_part(conse, crops):
    conse.fit(crops)
    assert conse.image.layers is None
    assert not hasattr(conse.text, "weights_sha256_")


def test_layers_of_features_are_refused(parts, crops):
    image = PretrainedFeatures(parts[0].model, layers="stem")
    with pytest.raises(ValueError, match="layers='stem', but probabilities of classes"):
        ConSE(image, parts[1], class_names=NAMES).fit(crops)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, "The 5 outputs of CountingNet have no known names: pass class_names"),
        (NAMES[:4], "class_names has 4 texts, but CountingNet has 5 outputs"),
        ([*NAMES[:4], 5], "class_names holds 5, expected one text per output"),
    ],
    ids=["none", "too few", "number"],
)
def test_classes_need_names(parts, crops, names, message):
    with pytest.raises(ValueError, match=message):
        ConSE(*parts, class_names=names).fit(crops)


def test_networks_without_classifier_are_refused(parts, crops):
    net = timm.create_model("test_resnet", num_classes=0)
    with pytest.raises(ValueError, match="has no classifier"):
        ConSE(PretrainedFeatures(net), parts[1], class_names=NAMES).fit(crops)


def find_texts(model, n_outputs):
    return find_class_texts(load_backbone(model, None), n_outputs)


@pytest.mark.parametrize("name", ["test_resnet", "torchvision/squeezenet1_1"])
def test_classes_of_imagenet_are_known(name):
    texts = find_texts(name, 1000)
    assert len(texts) == 1000
    assert texts[0].startswith("tench, Tinca tinca: freshwater dace-like game fish")
    names = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.meta["categories"]
    # One of the two names in the list of torchvision that are not those of WordNet.
    agree = [name.lower() in text.lower() for name, text in zip(names, texts, strict=True)]
    assert sum(agree) > 900


@pytest.mark.parametrize("n_outputs", [11221, 11821, 21841, 21843])
def test_classes_of_larger_versions_of_imagenet_are_known(n_outputs):
    assert len(find_texts("test_resnet", n_outputs)) == n_outputs


def test_own_names_of_a_network_come_first():
    net = timm.create_model("test_resnet", num_classes=2)
    net.pretrained_cfg["label_names"] = ["n1", "n2"]
    net.pretrained_cfg["label_descriptions"] = {"n1": "a cat"}
    assert find_texts(net, 2) == ["a cat", "n2"]


def test_other_numbers_of_outputs_have_no_names():
    assert find_texts("test_resnet", 10) is None


def test_thousand_outputs_of_a_users_network_have_no_names():
    assert find_texts(small_networks.trained_net(), 1000) is None


def test_pickle_needs_no_network_of_texts(conse, crops):
    expected = conse.fit_transform(crops)
    copy = pickle.loads(pickle.dumps(conse))
    del copy.text_
    np.testing.assert_array_equal(copy.transform(crops), expected)


@pytest.mark.slow
def test_random_weights_say_nothing_about_photos(photos):
    """The control: with pretrained weights both photos are recognized."""
    words = ["a temple", "a flower", "a dog", "a car", "a boat", "a bird"]
    head = ZeroShotClassifier(method="cosine", describer=PretrainedTextFeatures())
    right = []
    for weights in ("pretrained", None):
        model = make_pipeline(ConSE(PretrainedFeatures(weights=weights)), head)
        model.fit(photos, zeroshotclassifier__attributes=words)
        right.append(model.predict(photos).tolist() == ["a temple", "a flower"])
    assert right == [True, False]
