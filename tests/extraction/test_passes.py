"""How often images pass the network, and that no setting answers for another."""

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.image import contents
from sklearn_transfer._store import memory
from sklearn_transfer.extraction import _loop
from tests.small_networks import CountingNet, trained_net


@pytest.fixture
def sixty(photos):
    """Sixty distinct crops of 32 pixels from two photos, and which photo each is of."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 390, size=(60, 2))
    images = [photos[i % 2][y : y + 32, x : x + 32] for i, (y, x) in enumerate(corners)]
    return images, np.arange(60) % 2


@pytest.fixture
def store(monkeypatch):
    """A cache of 10 kB for this process."""
    small = memory.MemoryStore(10_000)
    monkeypatch.setitem(memory._stores, memory.MemoryStore, small)
    return small


def counting():
    CountingNet.reset()
    return PretrainedFeatures(trained_net())


def grid(features, **parameters):
    steps = [("features", features), ("clf", LogisticRegression(max_iter=1000))]
    return GridSearchCV(Pipeline(steps), parameters, cv=5)


def test_grid_over_c_sends_each_image_through_the_network_once(sixty):
    X, y = sixty
    grid(counting(), clf__C=[0.01, 0.1, 1, 10]).fit(X, y)
    assert CountingNet.images_seen == 60


def test_grid_over_two_layers_makes_two_passes(sixty):
    X, y = sixty
    grid(counting(), features__layers=["stem", "body"]).fit(X, y)
    assert CountingNet.images_seen == 120


def test_precompute_makes_a_grid_over_layers_one_pass(sixty):
    X, y = sixty
    features = counting().precompute(X, layers=["stem", "body"])
    grid(features, features__layers=["stem", "body"]).fit(X, y)
    assert CountingNet.images_seen == 60


def test_precompute_of_the_own_layers(sixty):
    X, _ = sixty
    features = counting().precompute(X)
    features.fit_transform(X)
    assert CountingNet.images_seen == 60


def test_precompute_takes_one_layer_without_a_list(crops):
    features = counting().precompute(crops, layers="stem")
    features.set_params(layers="stem").fit_transform(crops)
    assert CountingNet.images_seen == len(crops)


def test_precompute_without_cache_is_refused(crops):
    with pytest.raises(ValueError, match="cache=None turns off the cache"):
        PretrainedFeatures(trained_net(), cache=None).precompute(crops)


def test_repeated_rows_pass_once(crops):
    features = counting().fit([*crops, *crops])
    out = features.transform([*crops, *crops])
    assert CountingNet.images_seen == 9
    np.testing.assert_array_equal(out[:9], out[9:])
    assert features.cache_info()[:2] == (9, 9)


def test_the_cache_goes_by_content_not_by_path(crops, tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(crops[0]).save(tmp_path / name)
    counting().fit_transform([str(tmp_path / "a.png")])
    counting_again = PretrainedFeatures(trained_net())
    CountingNet.reset()
    counting_again.fit_transform([str(tmp_path / "b.png")])
    assert CountingNet.images_seen == 0


def test_a_changed_file_gives_other_features(crops, tmp_path):
    path = str(tmp_path / "a.png")
    Image.fromarray(crops[0]).save(path)
    before = PretrainedFeatures(trained_net()).fit_transform([path])
    Image.fromarray(crops[1]).save(path)
    after = PretrainedFeatures(trained_net()).fit_transform([path])
    np.testing.assert_array_equal(
        after, PretrainedFeatures(trained_net(), cache=None).fit_transform([path])
    )
    assert not np.allclose(before, after)


DEEP = {"layers": "deep", "pooling": "avg"}


@pytest.mark.parametrize(
    ("base", "other"),
    [
        ({}, {"model": "test_resnet.r160_in1k", "random_state": 1}),
        ({}, {"random_state": 1}),
        ({}, {"layers": "deep"}),
        (DEEP, {**DEEP, "layers": "middle"}),
        (DEEP, {**DEEP, "pooling": "max"}),
        ({"pooling": "max"}, {"pooling": "gem"}),
        ({}, {"input_size": 96}),
        ({}, {"preprocess": lambda image: np.ones((3, 64, 64))}),
    ],
    ids=["network", "weights", "layer", "depth", "pooling", "head", "size", "preprocess"],
)
def test_no_setting_answers_for_another(base, other, crops):
    common = {"model": "test_resnet", "weights": None}
    PretrainedFeatures(**{**common, **base}).fit_transform(crops)
    options = {**common, **other}
    expected = PretrainedFeatures(**options, cache=None).fit_transform(crops)
    found = PretrainedFeatures(**options).fit_transform(crops)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*alpha channel is 0 everywhere")
def test_two_backgrounds_do_not_answer_for_each_other():
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    white, black = (
        PretrainedFeatures(trained_net(), background=color).fit_transform([clear])
        for color in ("white", "black")
    )
    assert not np.allclose(white, black)


def test_cached_features_cannot_be_changed_through_the_output(crops):
    features = PretrainedFeatures(trained_net()).fit(crops)
    first = features.transform(crops)
    expected = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(features.transform(crops), expected)


def test_features_beyond_the_cache_warn_and_are_right(crops, store):
    options = {"layers": "stem", "pooling": "flatten"}
    features = PretrainedFeatures(trained_net(), **options)
    with pytest.warns(UserWarning, match="do not fit into the cache of 0 MB .*CACHE_BYTES"):
        found = features.fit_transform(crops)
    expected = PretrainedFeatures(trained_net(), cache=None, **options).fit_transform(crops)
    np.testing.assert_array_equal(found, expected)
    assert store.info().bytes <= 10_000


def test_cache_info_without_cache_is_zero(crops):
    features = PretrainedFeatures(trained_net(), cache=None)
    features.fit_transform(crops)
    assert features.cache_info() == (0, 0, 0, 0, 0)


def test_clear_cache_forgets(crops):
    features = counting()
    features.fit_transform(crops)
    features.clear_cache().fit_transform(crops)
    assert CountingNet.images_seen == 18


def test_precompute_of_no_layer_is_refused(crops):
    with pytest.raises(ValueError, match="names no layer"):
        PretrainedFeatures(trained_net()).precompute(crops, layers=[])


READY = (168, 168)  # what test_resnet scales images to, before it crops them


def ready_arrays(photos, n=5):
    """Arrays of the size that images are scaled to, which need a crop alone."""
    return [photos[k % 2][20 * k : 20 * k + 168, 30 * k : 30 * k + 168] for k in range(n)]


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnxruntime"])
def test_arrays_that_need_only_a_crop_give_the_features_of_their_images(photos, engine):
    arrays = ready_arrays(photos)
    options = {"weights": None, "engine": engine, "cache": None}
    features = PretrainedFeatures("test_resnet", **options)
    expected = features.fit_transform([Image.fromarray(array) for array in arrays])
    np.testing.assert_allclose(features.transform(arrays), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("size", "n_pools"), [(READY, 0), ((200, 200), 1)])
def test_threads_read_only_what_takes_longer_than_reaching_them(
    photos, monkeypatch, size, n_pools
):
    made = []
    monkeypatch.setattr(_loop, "Threads", _made(_loop.Threads, made))
    X = np.stack([photo[: size[0], : size[1]] for photo in photos])
    PretrainedFeatures("test_resnet", weights=None, n_jobs=7).fit_transform(X)
    assert made.count(7) == n_pools


def _made(kind, counts):
    def make(count, *args):
        counts.append(count)
        return kind(count, *args)

    return make


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 160, 3), (5,), ()])
def test_bad_array_after_ready_ones_is_named(photos, shape):
    X = [*ready_arrays(photos, 1), np.zeros(shape, np.uint8)]
    features = PretrainedFeatures("test_resnet", weights=None, cache=None)
    with pytest.raises(ValueError, match="row 1 "):
        features.fit_transform(X)


def test_rows_before_one_whose_preprocessing_fails_are_kept(crops):
    def prepared(image):
        if np.array_equal(image, crops[7]):
            raise KeyError("no such thing")
        return np.asarray(image, dtype=np.float32).transpose(2, 0, 1)

    CountingNet.reset()
    features = PretrainedFeatures(trained_net(), preprocess=prepared, n_jobs=1).fit(crops)
    with pytest.raises(KeyError, match="no such thing"):
        features.transform(crops)
    assert features.cache_info().entries == CountingNet.images_seen == 7


@pytest.mark.parametrize("cache", [None, "memory"])
def test_each_array_is_hashed_once(crops, monkeypatch, cache):
    hashed, digest_array = [], contents.digest_array
    monkeypatch.setattr(
        contents, "digest_array", lambda array: hashed.append(1) or digest_array(array)
    )
    PretrainedFeatures(trained_net(), cache=cache).fit(crops).transform(crops)
    assert len(hashed) == len(crops)


@pytest.mark.parametrize("known", [[0, 2, 5], [1, 2, 3], [5], [0, 1, 2, 3, 4, 5]])
def test_rows_known_before_lie_where_they_belong(known, crops):
    features = PretrainedFeatures("test_resnet", weights=None, layers=["middle", "deep"])
    samples = crops[:6]
    options = {"weights": None, "layers": ["middle", "deep"], "cache": None}
    expected = PretrainedFeatures("test_resnet", **options).fit_transform(samples)
    features.clear_cache().fit_transform([samples[i] for i in known])
    np.testing.assert_array_equal(features.transform(samples), expected)
