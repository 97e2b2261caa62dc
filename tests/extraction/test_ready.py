"""Cached samples, and new ones with a graph at hand, need no library of networks."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from sklearn_transfer import (
    PretrainedAudioFeatures,
    PretrainedFeatures,
    PretrainedTextFeatures,
)
from sklearn_transfer._networks import opening, questions
from sklearn_transfer._networks.engines import graphs
from sklearn_transfer._networks.registry import clear_registry
from sklearn_transfer._store import shelves
from tests.ready import compute
from tests.small_texts import write_bert
from tests.stores import close_stores

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "torchvision", "timm", "skorch", "transformers", "onnx")
# What every program below begins with: paths and labels, and a search over features.
START = f"""
import json, os, sys, warnings
warnings.simplefilter("error", UserWarning)
import joblib
import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn_transfer import (
    PretrainedAudioFeatures, PretrainedFeatures, PretrainedTextFeatures
)

folder = sys.argv[1]
paths = sorted(os.path.join(folder, name) for name in os.listdir(folder) if ".png" in name)
y = np.arange(len(paths)) % 2

def loaded():
    return sorted(set({HEAVY!r}) & set(sys.modules))

class Scorer:
    def __call__(self, estimator, X, y):
        assert not loaded(), loaded()
        return estimator.score(X, y)
"""
SEARCH = """
pipe = Pipeline([("features", PretrainedFeatures(cache=folder + "/cache")),
                 ("clf", LogisticRegression(max_iter=1000))])
grid = {"features__layers": [None, "middle"], "clf__C": [0.01, 1]}
search = GridSearchCV(pipe, grid, cv=2, n_jobs=N_JOBS, scoring=Scorer(), error_score="raise")
"""
CACHED = """
features = PretrainedFeatures(cache=folder + "/cache")
found = features.fit(paths).transform(paths)
assert np.array_equal(found, features.fit_transform(paths))
assert np.array_equal(found, clone(features).precompute(paths).transform(paths))
assert features._repr_html_() and len(features.get_feature_names_out()) == found.shape[1]
assert features.cache_info().misses == 0, features.cache_info()
search.fit(paths, y)
chances = joblib.load(folder + "/model.joblib").predict_proba(paths)
texts = PretrainedTextFeatures(cache=folder + "/cache").fit_transform(["a dog", "a cat"])
sound = (np.sin(np.arange(9000) / 5), 16000)
heard = PretrainedAudioFeatures(cache=folder + "/cache").fit_transform([sound])
texts = [texts.tolist(), heard.tolist()]
print(json.dumps([loaded(), found.tolist(), chances.tolist(), texts]))
"""
NEW = """
images = list(np.random.default_rng(1).integers(0, 256, (5, 40, 50, 3), dtype=np.uint8))
found = PretrainedFeatures(layers=[None, "middle"]).fit_transform(images)
part = PretrainedFeatures(layers="middle", cache=None).fit_transform(images)
assert np.array_equal(part, found[:, 1280:])  # from a part of the same graph
texts = PretrainedTextFeatures().fit_transform(["a dog", "a horse runs", ""])
sounds = [(np.sin(np.arange(n) / 5), 16000) for n in (400, 9000, 30000)]
heard = PretrainedAudioFeatures().fit_transform(sounds)
print(json.dumps([loaded(), found.tolist(), [texts.tolist(), heard.tolist()]]))
"""


def run(program, folder, **environment):
    """Run a program in a new process, and return what it prints as JSON."""
    environment = {**os.environ, "SKLEARN_TRANSFER_HOME": str(folder / "home"), **environment}
    done = subprocess.run(
        [sys.executable, "-c", START + program, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Folder with images, a cache of their features, a fitted pipeline, and graphs."""
    folder = tmp_path_factory.mktemp("ready")
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(0, 256, (30 + number, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    paths = sorted(map(str, folder.glob("*.png")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKLEARN_TRANSFER_HOME", str(folder / "home"))
        clear_registry()
        features = PretrainedFeatures(cache=str(folder / "cache"))
        features.precompute(paths, layers=[None, "middle"])
        PretrainedFeatures(layers="middle", cache=str(folder / "cache")).fit(paths)
        steps = [("features", features), ("clf", LogisticRegression(max_iter=1000))]
        pipe = Pipeline(steps).fit(paths, np.arange(12) % 2)
        joblib.dump(pipe, folder / "model.joblib")
        images = list(
            np.random.default_rng(1).integers(0, 256, (5, 40, 50, 3), dtype=np.uint8)
        )
        new = PretrainedFeatures(layers=[None, "middle"]).fit_transform(images)
        texts = PretrainedTextFeatures().fit_transform(["a dog", "a horse runs", ""])
        sounds = [(np.sin(np.arange(n) / 5), 16000) for n in (400, 9000, 30000)]
        heard = PretrainedAudioFeatures().fit_transform(sounds)
        cached_sounds = PretrainedAudioFeatures(cache=str(folder / "cache")).fit_transform(
            sounds[1:2]
        )
        cached_texts = PretrainedTextFeatures(cache=str(folder / "cache")).fit_transform(
            ["a dog", "a cat"]
        )
        cached = (cached_texts, cached_sounds)
        known = features.transform(paths), pipe.predict_proba(paths), cached
    close_stores()
    return folder, known, (new, (texts, heard))


def test_cached_samples_need_no_library_of_networks(filled):
    folder, known, _ = filled
    program = SEARCH.replace("N_JOBS", "1") + CACHED
    heavy, features, chances, texts = run(program, folder)
    assert heavy == []
    assert np.array_equal(np.float32(features), known[0])
    assert np.allclose(chances, known[1], rtol=0, atol=1e-12)
    for found, expected in zip(texts, known[2], strict=True):
        assert np.array_equal(np.float32(found), expected)


def test_workers_of_a_search_need_no_library_of_networks(filled):
    program = SEARCH.replace("N_JOBS", "2") + "search.fit(paths, y)\nprint(loaded())"
    # A class in the main program is pickled by its value, and asserts in the workers.
    assert run(program, filled[0]) == []


def test_new_samples_with_graphs_at_hand_have_the_same_bits(filled):
    folder, _, known = filled
    heavy, features, texts = run(NEW, folder)
    assert heavy == []
    assert np.array_equal(np.float32(features), known[0])
    for found, expected in zip(texts, known[1], strict=True):
        assert np.array_equal(np.float32(found), expected)


# In one process: what is at hand decides whether the network is loaded.


def test_network_is_loaded_once_for_all_processes(home, loads, crops):
    first = compute(crops, cache=None)
    loads.clear()
    assert np.array_equal(compute(crops, cache=None), first)
    assert loads == []


def test_nothing_is_kept_where_the_home_is_turned_off(home, loads, crops, monkeypatch):
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME", "0")
    compute(crops, cache=None)
    loads.clear()
    compute(crops, cache=None)
    assert loads
    assert not home.exists()


def test_folder_suffices_without_a_home(tmp_path, loads, crops, fresh):
    folder = tmp_path / "cache"
    first = compute(crops[:3], cache=folder)
    loads.clear()
    assert np.array_equal(compute(crops[:3], cache=folder), first)
    compute(crops, cache=folder)  # new ones too
    assert loads == []


def test_home_serves_a_folder_that_is_empty(home, loads, crops, tmp_path):
    compute(crops, cache=None)
    loads.clear()
    compute(crops, cache=tmp_path / "cache")
    assert loads == []
    assert len(list((tmp_path / "cache" / "networks").iterdir())) == 2


CHANGES = [
    {"model": "test_vit"},
    {"weights": "pretrained", "model": "tf_efficientnet_lite0"},
    {"random_state": 1},
    {"input_size": 96},
    {"n_channels": 1},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: "_".join(c))
def test_other_parameters_ask_for_another_network(change, home, loads, crops):
    compute(crops[:2], cache=None)
    loads.clear()
    compute(crops[:2], cache=None, **change)
    assert loads


OTHER_LAYERS = [{"layers": "deep"}, {"pooling": "max"}, {"engine": "onnxruntime"}]


@pytest.mark.parametrize("change", OTHER_LAYERS, ids=lambda c: "_".join(c))
def test_other_graphs_are_made_for_other_features(change, home, loads, crops):
    compute(crops[:2], cache=None)
    expected = compute(crops[:2], cache=None, **change)
    clear_registry()
    torch_made = compute(crops[:2], cache=None, **{**change, "engine": "torch"})
    assert np.allclose(expected, torch_made, rtol=1e-3, atol=1e-3)
    loads.clear()
    assert np.array_equal(compute(crops[:2], cache=None, **change), expected)
    assert loads == []


PARTS = ["middle", ["deep", "middle"]]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_graph_of_more_layers_gives_the_bits_of_each(
    precision, home, loads, crops, monkeypatch
):
    options = {"cache": None, "precision": precision, "engine": "openvino"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKLEARN_TRANSFER_HOME", "0")
        expected = [compute(crops[:3], layers=part, **options) for part in PARTS]
    compute(crops[:3], layers=["middle", None, "deep"], **options)
    loads.clear()
    for part, known in zip(PARTS, expected, strict=True):
        assert np.array_equal(compute(crops[:3], layers=part, **options), known)
    assert loads == []
    assert len(list(home.glob("*.graph"))) == 1


def test_a_graph_of_other_poolings_serves_no_others(home, crops):
    compute(crops[:2], cache=None, layers=["middle", "deep"], pooling="max")
    found = compute(crops[:2], cache=None, layers="deep")
    expected = compute(crops[:2], cache=None, layers="deep", engine="torch")
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_part_of_a_graph_is_checked_against_the_network(home, loads, crops, monkeypatch):
    expected = compute(crops[:2], cache=None, layers="deep")
    compute(crops[:2], cache=None, layers=["middle", "deep"])
    (path,) = sorted(home.glob("*.graph"), key=os.path.getsize)[:1]
    path.unlink()
    (path,) = home.glob("*.graph")
    shelf = shelves.Shelf(str(home))
    graph = graphs.read_graph(shelf.read(path.name))
    wrong = dataclasses.replace(graph, expected=[array + 1 for array in graph.expected])
    shelf.write(path.name, graphs.write_graph(wrong))
    loads.clear()
    assert np.array_equal(compute(crops[:2], cache=None, layers="deep"), expected)
    assert loads


def test_a_damaged_graph_of_more_layers_serves_none(home, loads, crops):
    compute(crops[:2], cache=None, layers=["middle", "deep"])
    expected = compute(crops[:2], cache=None, layers="middle")
    damage_by_a_flipped_bit(list(home.glob("*.graph")))
    loads.clear()
    with pytest.warns(UserWarning, match=r"graph.*is damaged") as told:
        found = compute(crops[:2], cache=None, layers="middle")
    assert len(told) == 1
    assert loads
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 20, (2).to_bytes(8, "little") + b"[]", (99).to_bytes(8, "little") + b"{}"],
)
def test_what_is_no_graph_is_none(content):
    assert graphs.read_graph(content) is None


def test_graph_is_made_anew_for_another_cpu(home, loads, crops, monkeypatch):
    compute(crops[:2], cache=None)
    loads.clear()
    monkeypatch.setattr(graphs, "describe_cpu", lambda: "another")
    compute(crops[:2], cache=None)
    assert loads


def test_graph_is_made_anew_for_another_version_of_an_engine(home, loads, crops, monkeypatch):
    compute(crops[:2], cache=None)
    loads.clear()
    monkeypatch.setattr(graphs, "list_engine_versions", lambda: [["openvino", "9.9"]])
    compute(crops[:2], cache=None)
    assert loads


def test_package_of_another_version_asks_for_the_network_anew(home, loads, crops, monkeypatch):
    folder = home.parent / "cache"
    first = compute(crops[:2], cache=folder)
    loads.clear()
    monkeypatch.setattr(questions, "list_versions", lambda: [["timm", "9.9"]])
    assert np.array_equal(compute(crops[:2], cache=folder), first)
    assert loads


def register(monkeypatch, activation):
    """Register a user's own network with timm, as another version of a program would."""
    import timm
    import torch

    def own_net(pretrained=False, in_chans=3, num_classes=10, **options):
        layer = getattr(torch.nn, activation)
        return timm.create_model(
            "test_resnet", act_layer=layer, in_chans=in_chans, num_classes=num_classes
        )

    monkeypatch.setitem(timm.models._registry._model_entrypoints, "own_net", own_net)


@pytest.mark.parametrize("place", ["home", "folder", "config"])
def test_own_network_of_timm_is_not_known_by_its_name(
    place, home, crops, tmp_path, monkeypatch
):
    options = {"model": "own_net", "cache": tmp_path / "cache" if place == "folder" else None}
    if place == "config":
        (tmp_path / "net").mkdir()
        (tmp_path / "net" / "config.json").write_text('{"architecture": "own_net"}')
        options["model"] = tmp_path / "net"
    register(monkeypatch, "ReLU")
    before = compute(crops, **options)
    register(monkeypatch, "SiLU")
    found = compute(crops, **options)
    expected = compute(crops, **{**options, "cache": None}, engine="torch")
    assert not np.allclose(before, expected, rtol=1e-3, atol=1e-3)
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_own_network_of_timm_can_be_registered_again(home, crops, monkeypatch):
    register(monkeypatch, "ReLU")
    before = compute(crops, model="own_net", cache=None)
    register(monkeypatch, "SiLU")
    found = compute(crops, start_anew=False, model="own_net", cache=None)
    assert not np.allclose(before, found, rtol=1e-3, atol=1e-3)


def save_weights(path, seed):
    import timm
    import torch

    torch.manual_seed(seed)
    torch.save(timm.create_model("test_resnet").state_dict(), path)


@pytest.mark.parametrize("is_in_place", [False, True])
def test_changed_file_of_weights_is_noticed(is_in_place, home, crops, tmp_path):
    path = tmp_path / "weights.pt"
    save_weights(path, 0)
    times = path.stat()
    first = compute(crops, weights=path, cache=tmp_path / "cache")
    other = tmp_path / "other.pt"
    save_weights(other, 1)
    if is_in_place:  # and with the times that it had
        path.write_bytes(other.read_bytes())
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        os.replace(other, path)
    found = compute(crops, weights=path, cache=tmp_path / "cache")
    assert not np.array_equal(found, first)
    clear_registry()
    expected = compute(crops, weights=path, cache=None, engine="torch")
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_weights_are_noticed_within_a_process(home, crops, tmp_path):
    path = tmp_path / "weights.pt"
    save_weights(path, 0)
    compute(crops, weights=path, cache=None)
    first = compute(crops, weights=path, cache=None)  # of the recorded network
    save_weights(path, 1)
    second = compute(crops, weights=path, cache=None, start_anew=False)
    third = compute(crops, weights=path, cache=None)
    assert not np.array_equal(first, second)
    assert np.array_equal(second, third)


def test_touched_file_of_weights_is_still_known(home, loads, crops, tmp_path):
    path = tmp_path / "weights.pt"
    save_weights(path, 0)
    compute(crops, weights=path, cache=None)
    os.utime(path)
    loads.clear()
    compute(crops, weights=path, cache=None)
    assert loads == []


def test_missing_file_of_weights_is_an_error(home, crops, tmp_path):
    path = tmp_path / "weights.pt"
    save_weights(path, 0)
    compute(crops, weights=path, cache=tmp_path / "cache")
    path.unlink()
    clear_registry()
    with pytest.raises(FileNotFoundError, match=r"weights\.pt"):
        compute(crops, weights=path, cache=tmp_path / "cache")


def damage_by_truncation(files):
    for file in files:
        file.write_bytes(file.read_bytes()[:-100])


def damage_by_a_flipped_bit(files):
    for file in files:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)


def damage_by_emptying(files):
    for file in files:
        file.write_bytes(b"")


def damage_by_exchange(files):
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents[1:] + contents[:1], strict=True):
        file.write_bytes(content)


@pytest.mark.parametrize(
    ("ending", "damage"),
    [
        ("graph", damage_by_truncation),
        ("manifest", damage_by_a_flipped_bit),
        ("graph", damage_by_emptying),
        ("graph", damage_by_exchange),
        ("manifest", damage_by_exchange),
    ],
)
def test_damaged_files_are_made_anew_with_a_warning(ending, damage, home, loads, crops):
    first = compute(crops, cache=None)
    other = compute(crops, cache=None, random_state=1)
    damage(sorted(home.glob(f"*.{ending}")))
    with pytest.warns(UserWarning, match=f"{ending}.*is damaged") as told:
        found = compute(crops, cache=None)
    assert len(told) == 1
    assert np.array_equal(found, first)
    with pytest.warns(UserWarning, match="is damaged"):
        assert np.array_equal(compute(crops, cache=None, random_state=1), other)
    loads.clear()
    compute(crops, cache=None)
    assert loads == []


def test_home_that_cannot_be_written_gives_one_warning(home, crops, tmp_path):
    (tmp_path / "home").write_text("a file where the folder would be")
    with pytest.warns(UserWarning, match="in SKLEARN_TRANSFER_HOME cannot be written") as told:
        compute(crops, cache=None)
    assert len(told) == 1
    compute(crops, cache=None)


def test_default_home_that_cannot_be_written_is_silent(home, crops, tmp_path, monkeypatch):
    monkeypatch.delenv("SKLEARN_TRANSFER_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "file").write_text("a file where the folder would be")
    assert compute(crops, cache=None).shape[0] == len(crops)


def test_network_that_changes_during_a_call_is_refused(home, crops, monkeypatch):
    compute(crops, cache=None)
    clear_registry()
    other = opening._load("test_resnet", None, device="cpu", random_state=1)
    monkeypatch.setattr(opening, "_load", lambda *args, **options: other)
    clear_registry()
    features = PretrainedFeatures("test_resnet", weights=None, cache=None, engine="torch")
    with pytest.raises(RuntimeError, match="has changed while it was in use"):
        features.transform(crops)


def test_modules_leave_nothing_on_the_shelf(home, crops):
    import timm

    compute(crops, model=timm.create_model("test_resnet"), weights="pretrained", cache=None)
    assert not home.exists()


def test_network_of_images_is_refused_for_texts_when_recorded(home, crops):
    compute(crops, cache=None)
    clear_registry()
    with pytest.raises(ValueError, match="does not take texts"):
        PretrainedTextFeatures("test_resnet", weights=None).fit(["a"])


def test_folder_of_texts_is_recorded_until_a_file_changes(home, loads, tmp_path):
    folder = tmp_path / "net"
    write_bert(folder)
    features = PretrainedTextFeatures(str(folder), cache=None)
    first = features.fit_transform(["red cat", "blue fish is"])
    clear_registry()
    loads.clear()
    assert np.array_equal(features.fit_transform(["red cat", "blue fish is"]), first)
    assert loads == []
    stated = {"prompts": {"p": "dog "}, "default_prompt_name": "p"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(stated))
    clear_registry()
    assert not np.array_equal(features.fit_transform(["red cat", "blue fish is"]), first)
    assert loads


def test_names_are_known_for_other_layers_of_a_recorded_network(home, crops):
    compute(crops, cache=None)
    clear_registry()
    features = PretrainedFeatures("test_resnet", weights=None, cache=None).fit(crops)
    features.set_params(layers="middle")
    assert features.get_feature_names_out()[0] == "middle_0"


def test_wrong_layer_of_a_recorded_network_has_the_usual_message(home, crops):
    compute(crops, cache=None)
    clear_registry()
    with pytest.raises(ValueError, match="names no layer of test_resnet.*Did you mean"):
        compute(crops, cache=None, layers="midle", start_anew=False)
