import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._networks.registry import clear_registry
from sklearn_transfer._store import memory as memory_module
from sklearn_transfer.extraction._dialogue import compute_contexts
from sklearn_transfer.extraction._loop import PassOptions
from sklearn_transfer.testing._assertions import assert_same
from tests import small_networks
from tests.small_networks import CountingNet, trained_net

ROOT = Path(__file__).parents[2]


def counting():
    CountingNet.reset()
    return PretrainedFeatures(trained_net())


def test_photos_are_recognized(photos):
    scores = PretrainedFeatures(layers="logits").fit_transform(photos)
    names = timm.data.ImageNetInfo()
    assert [names.index_to_description(int(i)) for i in scores.argmax(1)] == [
        "palace",
        "daisy",
    ]


def test_features_equal_a_hand_written_timm_loop(photos, crops):
    from sklearn_transfer._networks.weights import read_packaged_weights

    module = timm.create_model("tf_efficientnet_lite0")
    module.load_state_dict(read_packaged_weights("tf_efficientnet_lite0"))
    module.reset_classifier(0)
    config = timm.data.resolve_model_data_config(module)
    transform = timm.data.create_transform(**config, is_training=False)
    images = [*photos, photos[0].transpose(1, 0, 2), crops[0], photos[1][:, :100]]
    with torch.no_grad():
        batch = torch.stack([transform(Image.fromarray(image)) for image in images])
        expected = module.eval()(batch).numpy()
    assert_same(PretrainedFeatures().fit_transform(images), expected, 1e-5)


def test_use_without_fit_binds_to_no_weights(crops):
    estimator = PretrainedFeatures("test_resnet", weights=None).precompute(crops)
    before = estimator.transform(crops)
    after = estimator.set_params(random_state=1).transform(crops)
    assert not np.allclose(before, after)
    assert set(vars(estimator)) == set(estimator.get_params())


def test_transform_works_without_fit(crops):
    estimator = PretrainedFeatures(trained_net())
    fitted = PretrainedFeatures(trained_net()).fit(crops)
    np.testing.assert_array_equal(estimator.transform(crops), fitted.transform(crops))


def test_constructor_and_clone_build_nothing():
    estimator = clone(PretrainedFeatures("no_such_network"))
    with pytest.raises(ValueError, match="no network that timm"):
        estimator.fit([np.zeros((8, 8, 3), np.uint8)])


def test_pickle_after_use_is_small(photos):
    estimator = PretrainedFeatures(layers=["shallow", None]).fit(photos)
    estimator.transform(photos)
    assert len(pickle.dumps(estimator)) < 50_000


def test_pickle_of_a_module_holds_its_tensors(crops):
    estimator = PretrainedFeatures(trained_net()).fit(crops)
    expected = estimator.transform(crops)
    loaded = pickle.loads(pickle.dumps(estimator))
    loaded.clear_cache()
    np.testing.assert_array_equal(loaded.transform(crops), expected)


def test_pickle_refuses_other_weights(crops, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(trained_net().state_dict(), path)
    estimator = PretrainedFeatures(small_networks.counting_net, weights=path).fit(crops)
    data = pickle.dumps(estimator)
    torch.save(small_networks.CountingNet().state_dict(), path)
    loaded = pickle.loads(data)
    with pytest.raises(ValueError, match="was fitted with .*Bring those weights, or call fit"):
        loaded.transform(crops)


def test_fit_takes_new_weights(crops, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(trained_net().state_dict(), path)
    estimator = PretrainedFeatures(small_networks.counting_net, weights=path).fit(crops)
    torch.save(small_networks.CountingNet().state_dict(), path)
    assert np.isfinite(estimator.fit(crops).transform(crops)).all()


def test_bad_sample_keeps_what_was_computed_before(crops):
    with pytest.raises(ValueError, match="row 4 .*: contains NaN"):
        counting().fit([crops[0]]).transform([*crops[:4], np.full((8, 8), np.nan), *crops[4:]])
    assert CountingNet.images_seen == 4
    PretrainedFeatures(trained_net()).fit_transform(crops)
    assert memory_module.open_memory_store().info()[:2] == (4, 9)


def test_missing_file_is_found_before_any_computing(crops):
    estimator = counting().fit([crops[0]])
    with pytest.raises(
        ValueError, match="row 9 \\('gone.jpg'\\): no such file. Repair or drop"
    ):
        estimator.transform([*crops, "gone.jpg"])
    assert CountingNet.images_seen == 0


def test_nan_on_error_keeps_the_other_rows(crops):
    estimator = PretrainedFeatures(trained_net(), on_error="nan")
    X = [crops[0], "gone.jpg", crops[1], b"no image"]
    with pytest.warns(UserWarning, match="2 of 4 samples .* row 1 \\('gone.jpg'\\): no such"):
        out = estimator.fit_transform(X)
    assert np.isnan(out[[1, 3]]).all()
    expected = PretrainedFeatures(trained_net()).fit_transform(crops[:2])
    np.testing.assert_array_equal(out[[0, 2]], expected)


def test_nan_on_error_with_no_good_row_gives_rows_of_nan():
    estimator = PretrainedFeatures(trained_net(), on_error="nan").fit(["a"])
    with pytest.warns(UserWarning, match="2 of 2 samples"):
        features = estimator.transform(["a", "b"])
    assert features.shape == (2, len(estimator.get_feature_names_out()))
    assert np.isnan(features).all()


def test_nan_on_error_keeps_the_other_rows_of_a_table():
    X = np.array([[0.0, 1], [np.nan, 1], [2, 3]], dtype=np.float32)
    estimator = PretrainedFeatures(small_networks.mlp, preprocess=None, on_error="nan")
    with pytest.warns(UserWarning, match="1 of 3 samples"):
        out = estimator.fit_transform(X)
    np.testing.assert_array_equal(np.isnan(out).all(axis=1), [False, True, False])


def test_features_that_are_not_finite_name_the_row(crops):
    class Broken(CountingNet):
        def forward(self, x):
            out = super().forward(x)
            out[x.amax((1, 2, 3)) < -0.7] = torch.inf
            return out

    dark = np.zeros((32, 32, 3), np.uint8)
    estimator = PretrainedFeatures(Broken()).fit(crops)
    with pytest.raises(
        ValueError, match="row 3 .*: Broken gives features that are not finite"
    ):
        estimator.transform([*crops[:3], dark])


def test_the_first_bad_row_is_named_also_when_it_is_found_last(crops):
    class Broken(CountingNet):
        def forward(self, x):
            return super().forward(x) * torch.inf if x.amax() < -0.7 else super().forward(x)

    dark = np.zeros((32, 32, 3), np.uint8)
    estimator = PretrainedFeatures(Broken(), on_error="nan", batch_size=1)
    with pytest.warns(UserWarning, match="2 of 4 samples .* first is row 1 .*not finite"):
        out = estimator.fit_transform([crops[0], dark, "gone.jpg", crops[1]])
    assert np.isnan(out).all(axis=1).tolist() == [False, True, True, False]


def test_preprocess_that_gives_no_numbers_names_the_row(crops):
    def broken(image):
        return np.full((3, 32, 32), np.nan if image.getpixel((0, 0)) == (1, 2, 3) else 0.5)

    odd = np.full((9, 9, 3), (1, 2, 3), np.uint8)
    message = "row 1 .*preprocess gives NaN or infinity"
    with pytest.raises(ValueError, match=message):
        PretrainedFeatures(CountingNet(), preprocess=broken).fit_transform([crops[0], odd])
    features = PretrainedFeatures(CountingNet(), preprocess=broken, on_error="nan")
    with pytest.warns(UserWarning, match=message):
        out = features.fit_transform([crops[0], odd])
    assert np.isnan(out).all(axis=1).tolist() == [False, True]


def test_error_in_preprocess_names_the_row(crops):
    def broken(image):
        raise KeyError("mine")

    estimator = PretrainedFeatures(trained_net(), preprocess=broken)
    with pytest.raises(KeyError, match="mine") as caught:
        estimator.transform(crops)
    assert caught.value.__notes__ == ["while preparing row 0 (array (40, 40, 3) of uint8)"]


def test_preprocess_with_two_sizes_names_the_row(crops):
    def ragged(image):
        return np.zeros((3, 32, 32 if np.asarray(image)[0, 0, 0] == crops[0][0, 0, 0] else 40))

    estimator = PretrainedFeatures(trained_net(), preprocess=ragged, cache=None)
    with pytest.raises(
        ValueError, match=r"\(3, 32, 32\) for row 0 but \(3, 32, 40\) for row 1"
    ):
        estimator.transform(crops)


def test_preprocess_gets_an_upright_rgb_image(tmp_path):
    seen = []

    def keep(image):
        seen.append((image.mode, image.size))
        return np.zeros((3, 32, 32))

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (20, 10)).save(tmp_path / "a.jpg", exif=exif)
    PretrainedFeatures(trained_net(), preprocess=keep).transform([tmp_path / "a.jpg"])
    assert seen == [("RGB", (10, 20))]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("pooling", 3),
        ("on_error", "ignore"),
        ("batch_size", 0),
        ("random_state", None),
        ("cache", 5),
        ("preprocess", "none"),
        ("weights", 3),
        ("n_jobs", 1.5),
        ("n_jobs", 0),
        ("verbose", "yes"),
    ],
)
def test_wrong_parameter_is_named(option, value, crops):
    estimator = PretrainedFeatures(trained_net(), **{option: value})
    with pytest.raises(ValueError, match=f"The '{option}' parameter of PretrainedFeatures"):
        estimator.transform(crops)


@pytest.mark.parametrize("background", ["nocolor", (1, 2), (0, 0, 300)])
def test_wrong_background_is_named(background, crops):
    estimator = PretrainedFeatures(trained_net(), background=background)
    with pytest.raises(ValueError, match="background="):
        estimator.transform(crops)


def test_default_network_works_offline(offline, photos):
    clear_registry()
    assert PretrainedFeatures(input_size=64).fit_transform(photos).shape == (2, 1280)


def test_other_network_offline_says_what_to_bring(offline, photos):
    with pytest.raises(FileNotFoundError) as caught:
        PretrainedFeatures("resnet50").fit(photos)
    message = str(caught.value)
    assert "Bring model.safetensors from https://huggingface.co/timm/resnet50" in message
    assert "PretrainedFeatures('resnet50', weights='path/to/model.safetensors')" in message
    assert "weights=None" in message


def test_torchvision_network_offline_says_what_to_bring(offline, photos):
    with pytest.raises(FileNotFoundError, match="Bring alexnet-owt-7be5be79.pth from https"):
        PretrainedFeatures("torchvision/alexnet").fit(photos)


def test_hub_network_offline_says_what_to_bring(offline, photos):
    with pytest.raises(FileNotFoundError, match="config.json .*huggingface.co/a/b"):
        PretrainedFeatures("hf-hub:a/b").fit(photos)


def test_verbose_shows_a_progress_bar(crops, capsys):
    PretrainedFeatures(trained_net(), verbose=True).fit(crops).transform(crops)
    assert "CountingNet: 100%" in capsys.readouterr().err


def test_progress_bar_counts_images_a_second_and_what_was_cached(crops, capsys):
    features = PretrainedFeatures(trained_net(), verbose=True).fit(crops)
    features.transform(crops[:4])
    capsys.readouterr()
    features.transform(crops)
    shown = capsys.readouterr().err
    assert "9/9" in shown
    assert "images/s, cached=4]" in shown


def test_silent_by_default(crops, capsys):
    PretrainedFeatures(trained_net()).fit(crops).transform(crops)
    assert capsys.readouterr() == ("", "")


def test_html_names_network_weights_and_layers(crops):
    estimator = PretrainedFeatures(weights=None, layers=["middle", "deep"], random_state=3)
    html = estimator._repr_html_()
    assert "tf_efficientnet_lite0, random weights (seed 3), layers: middle, deep" in html


def test_html_of_a_fitted_estimator_names_the_digest(crops):
    estimator = PretrainedFeatures(trained_net()).fit(crops)
    html = Pipeline([("features", estimator)])._repr_html_()
    assert f"CountingNet, its own weights {estimator.weights_sha256_[:8]}" in html


def test_feature_names_say_layer_and_number(crops):
    estimator = PretrainedFeatures(trained_net(), layers=["stem", 1, None]).fit(crops)
    names = list(estimator.get_feature_names_out())
    assert names[:4] == ["stem_0", "stem_1", "stem_2", "stem_3"]
    assert names[4:] == [f"stage1_{i}" for i in range(6)] + [
        f"embedding_{i}" for i in range(5)
    ]


def test_feature_names_without_fit():
    clear_registry()
    estimator = PretrainedFeatures(input_size=64)
    estimator._load_backbone()
    assert len(estimator.get_feature_names_out()) == 1280


def test_feature_names_of_unknown_input_need_a_fit(crops):
    PretrainedFeatures(trained_net()).fit_transform(crops)
    with pytest.raises(NotFittedError):
        PretrainedFeatures(trained_net(), preprocess=np.asarray).get_feature_names_out()


def test_feature_names_follow_a_new_input_size(crops):
    estimator = PretrainedFeatures(trained_net(), layers="stem", pooling="flatten").fit(crops)
    estimator.set_params(input_size=48).set_output(transform="pandas")
    assert estimator.transform(crops).shape == (9, 4 * 23 * 23)


def test_preprocess_may_reuse_its_buffer(crops):
    buffer = np.zeros((3, 32, 32), np.float32)

    def fill(image):
        buffer[:] = np.asarray(image.resize((32, 32)), np.float32).transpose(2, 0, 1)
        return buffer

    options = {"preprocess": fill, "n_jobs": 1, "cache": None}
    found = PretrainedFeatures(trained_net(), **options).fit_transform(crops)
    assert len(np.unique(found, axis=0)) == len(crops)


def test_preprocess_that_returns_nothing_is_refused(crops):
    estimator = PretrainedFeatures(trained_net(), preprocess=lambda image: None)
    with pytest.raises(ValueError, match="preprocess returned NoneType, expected an array"):
        estimator.transform(crops)


def test_pandas_output_keeps_the_index(crops):
    X = pd.DataFrame({"image": crops}, index=[f"img{i}" for i in range(9)])
    frame = PretrainedFeatures(trained_net()).set_output(transform="pandas").fit_transform(X)
    assert list(frame.index) == list(X.index)


def test_column_transformer_hands_over_a_column(crops, tmp_path):
    paths = []
    for i, crop in enumerate(crops):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(crop).save(paths[-1])
    table = pd.DataFrame({"path": paths, "age": range(9)})
    for column in ("path", ["path"]):
        columns = [("image", PretrainedFeatures(trained_net()), column)]
        union = ColumnTransformer(columns, remainder="passthrough")
        out = union.fit_transform(table)
        assert out.shape == (9, 6)
        assert union.get_feature_names_out()[0] == "image__embedding_0"


def test_training_needs_no_labels_and_ignores_them(crops):
    estimator = PretrainedFeatures(trained_net())
    np.testing.assert_array_equal(
        estimator.fit(crops, range(9)).transform(crops), estimator.fit(crops).transform(crops)
    )


def test_threads_do_not_change_the_order(crops):
    one = PretrainedFeatures(trained_net(), n_jobs=1, cache=None).fit_transform(crops * 20)
    many = PretrainedFeatures(trained_net(), n_jobs=8, cache=None).fit_transform(crops * 20)
    assert_same(many, one)


def test_samples_are_read_a_bounded_way_ahead():
    """Memory stays flat: no more samples are in flight than batches and threads need."""
    loaded, ahead = [], []

    def load(image):
        loaded.append(1)
        return np.zeros((3, 32, 32), np.float32)

    class Watching(CountingNet):
        def forward(self, x):
            ahead.append(len(loaded) - sum(self.batches_seen))
            return super().forward(x)

    Watching.reset()
    images = [np.full((8, 8, 3), i, np.uint8) for i in range(255)]
    options = {"preprocess": load, "n_jobs": 2, "batch_size": 4, "cache": None}
    PretrainedFeatures(Watching(), **options).transform(images)
    assert Watching.images_seen == len(loaded) == 255
    assert max(ahead) <= 40


def test_peak_memory_does_not_grow_with_the_number_of_images():
    """Twenty times the images: more memory only by the output itself."""
    code = """
import resource, sys
import numpy as np
from sklearn_transfer import PretrainedFeatures
from tests.small_networks import trained_net
class Photos(list):
    def __getitem__(self, i): return np.full((400, 400, 3), i % 256, np.uint8)
n = int(sys.argv[1])
estimator = PretrainedFeatures(trained_net(), cache=None)
from sklearn_transfer.extraction import _features
_features.check_images = lambda estimator, X, reset: X
out = estimator.transform(Photos(range(n)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - out.nbytes // 1024)
"""
    peaks = []
    for n in (100, 2000):
        command = [sys.executable, "-c", code, str(n)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        peaks.append(int(run.stdout))
    assert peaks[1] < 1.1 * peaks[0]


CONTEXTS = [
    ({}, ["e394bbf1706720d2bb476955ae02a2e0"]),
    (
        {"layers": ["middle", "deep"], "pooling": "max"},
        ["2d52732e5bea06a99ea5e8b2a2522f1b", "8e8ae7ed252c38ee1639896886cc6aae"],
    ),
    (
        {"value_range": (0, 255), "background": "black", "layers": "logits"},
        ["37bfdabd095d69c2d4d3a0932ce3cad1"],
    ),
]


@pytest.mark.parametrize(("options", "expected"), CONTEXTS)
def test_folders_of_earlier_versions_are_read(options, expected):
    """Keys are those under which earlier versions stored the same vectors."""
    features = PretrainedFeatures(engine="torch", **options)
    backbone = features._load_backbone()
    taps = features._resolve(backbone, features.layers)
    reader, run = features._make_reader(backbone), PassOptions(engine="torch")
    found = compute_contexts(backbone, reader, taps, run)
    assert [context.hex() for context in found] == expected
