"""PretrainedFeatures with `cache=folder`, in one process after another."""

import os
import pickle
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities import contents as contents_module
from sklearn_transfer._modalities.image.decoding import Decoding
from sklearn_transfer._store import disk
from tests.processes import Worker, as_nobody, call, read_only, with_small_files
from tests.small_networks import CountingNet, trained_net
from tests.stores import close_stores, query

N = 24


@pytest.fixture(scope="module")
def paths(tmp_path_factory, photos):
    """Files of distinct crops of 40 pixels."""
    folder = tmp_path_factory.mktemp("images")
    corners = np.random.default_rng(0).integers(0, 380, size=(N, 2))
    for i, (y, x) in enumerate(corners):
        Image.fromarray(photos[i % 2][y : y + 40, x : x + 40]).save(folder / f"{i:03d}.png")
    return sorted(map(str, folder.iterdir()))


@pytest.fixture(scope="module")
def expected(paths):
    return PretrainedFeatures(trained_net(), cache=None).transform(paths)


def assert_same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def make(folder, **parameters):
    model = parameters.pop("model", None) or trained_net()
    return PretrainedFeatures(model, cache=folder, **parameters)


def features_and_counts(folder, paths):
    CountingNet.reset()
    features = make(folder)
    found = features.transform(paths)
    return found, CountingNet.images_seen, features.cache_info()[:3]


@pytest.fixture
def forget(monkeypatch):
    """Make this process forget what it has in memory, as a new one would."""

    def forget():
        close_stores()
        monkeypatch.setattr(disk, "_stores", type(disk._stores)())
        monkeypatch.setattr(contents_module, "_memo", {})

    yield forget
    close_stores()


def test_next_process_sends_nothing_through_the_network(tmp_path, paths, expected):
    first, n_images, counts = call(features_and_counts, tmp_path, paths)
    assert (n_images, counts) == (N, (0, N, N))
    second, n_images, counts = call(features_and_counts, tmp_path, paths)
    assert (n_images, counts) == (0, (N, 0, N))
    np.testing.assert_array_equal(second, first)
    assert_same(first, expected)


def test_second_call_answers_from_memory(tmp_path, paths):
    features = make(tmp_path).fit(paths)
    first = features.transform(paths)
    query(tmp_path, "DELETE FROM vectors")
    np.testing.assert_array_equal(features.transform(paths), first)


def test_part_of_the_images_is_computed_where_part_is_there(tmp_path, paths, expected):
    call(features_and_counts, tmp_path, paths[::3])
    found, n_images, _ = call(features_and_counts, tmp_path, paths)
    assert n_images == N - len(paths[::3])
    assert_same(found, expected)


def test_features_depend_on_content_not_on_the_name(tmp_path, paths):
    call(features_and_counts, tmp_path, paths)
    contents = [Path(path).read_bytes() for path in paths]
    assert call(features_and_counts, tmp_path, contents)[1] == 0


def precompute(folder, paths, layers):
    make(folder).precompute(paths, layers)


def features_of_layers(folder, paths, layers):
    CountingNet.reset()
    found = [make(folder, layers=layer).transform(paths) for layer in layers]
    return found, CountingNet.images_seen


def test_precomputed_layers_are_there_in_the_next_process(tmp_path, paths):
    layers = ["stem", None, "body"]
    call(precompute, tmp_path, paths, layers)
    found, n_images = call(features_of_layers, tmp_path, paths, layers)
    assert n_images == 0
    for matrix, layer in zip(found, layers, strict=True):
        assert_same(matrix, make(None, layers=layer).transform(paths))


def test_clear_cache_clears_for_the_next_process(tmp_path, paths):
    make(tmp_path).fit(paths).clear_cache().fit_transform(paths)
    make(tmp_path).clear_cache()
    assert call(features_and_counts, tmp_path, paths)[1] == N


def other_weights():
    net = trained_net()
    net.head.weight.data += 1
    return net


def brighter(image):
    return np.asarray(image.resize((32, 32)), np.float32).transpose(2, 0, 1) / 100


def darker(image):
    return np.asarray(image.resize((32, 32)), np.float32).transpose(2, 0, 1) / 200


SETTINGS = {
    "base": {},
    "weights": {"model": other_weights},
    "layer": {"layers": "stem"},
    "deeper": {"layers": "body"},
    "pooling": {"layers": "body", "pooling": "max"},
    "flat": {"layers": "body", "pooling": "flatten"},
    "size": {"input_size": 24},
    "brighter": {"preprocess": brighter},
    "darker": {"preprocess": darker},
    "background": {"background": "black"},
    "precision": {"precision": "bfloat16"},
    "random": {"weights": None},
    "seed": {"weights": None, "random_state": 1},
}


def build(folder, name):
    options = dict(SETTINGS[name])
    if "model" in options:
        options["model"] = options["model"]()
    return make(folder, **options)


def clear_images(paths):
    """Images with transparency, so that the background counts."""
    images = [Image.open(path).convert("RGBA") for path in paths]
    for image in images:
        image.putalpha(100)
    return images


def test_no_setting_answers_for_another_on_disk(tmp_path, paths, forget):
    images = clear_images(paths[:3])
    for name in SETTINGS:
        forget()
        found = build(tmp_path, name).transform(images)
        assert_same(found, build(None, name).transform(images))


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_found_again(tmp_path, paths, forget, name):
    images = clear_images(paths[:3])
    build(tmp_path, name).transform(images)
    forget()
    again = build(tmp_path, name)
    again.transform(images)
    assert again.cache_info()[:2] == (3, 0)


@pytest.mark.parametrize("engines", [("torch", "openvino"), ("openvino", "torch")])
def test_engines_do_not_answer_for_each_other_on_disk(tmp_path, paths, forget, engines):
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    for engine in engines:
        forget()
        features = make(tmp_path, engine=engine)
        features.transform(paths[:3])
        assert features.cache_info()[:2] == (0, 3)


def test_networks_with_the_same_weights_and_other_code_do_not_answer(tmp_path, paths, forget):
    make(tmp_path).transform(paths[:3])
    forget()
    other = trained_net()
    other.drop.p = 0.1
    features = make(tmp_path, model=other)
    features.transform(paths[:3])
    assert features.cache_info().misses == 3


def test_file_that_changed_unseen_gives_other_features_in_the_next_process(tmp_path, photos):
    path, cache = str(tmp_path / "a.bmp"), tmp_path / "cache"
    found = []
    for photo in photos:
        Image.fromarray(photo[:40, :40]).save(path)
        os.utime(path, (1, 1))
        found.append((call(features_and_counts, cache, [path])[:2], os.path.getsize(path)))
    ((first, _), size), ((second, n_images), size_of_other) = found
    assert size == size_of_other
    assert n_images == 1
    assert not np.allclose(first, second)
    assert_same(second, make(None).transform([path]))


def transform_by_steps(pipe, folder, paths):
    """Ask for leave before each image is decoded."""
    picture = Decoding.make_picture

    def asking(*args):
        pipe.send("may I?")
        pipe.recv()
        return picture(*args)

    Decoding.make_picture = asking
    make(folder, batch_size=2, n_jobs=1).transform(paths)


def let_decode(worker, n_images):
    for _ in range(n_images):
        worker.hear()
        worker.tell()
    worker.hear()


@pytest.mark.parametrize("n_decoded", [0, 1, 6, 11, 16, 17, 23])
def test_run_after_a_kill_computes_what_is_missing(tmp_path, paths, expected, n_decoded):
    with Worker(transform_by_steps, tmp_path, paths) as worker:
        let_decode(worker, n_decoded)
        worker.kill()
    [[n_stored]] = query(tmp_path, "SELECT COUNT(*) FROM entries")
    found, n_images, _ = call(features_and_counts, tmp_path, paths)
    assert_same(found, expected)
    assert n_images == N - n_stored
    assert query(tmp_path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("n_decoded", [0, 5, 12, 23])
def test_run_after_an_interrupt_computes_what_is_missing(tmp_path, paths, expected, n_decoded):
    with Worker(transform_by_steps, tmp_path, paths) as worker:
        let_decode(worker, n_decoded)
        worker.interrupt()
        for _ in range(N):
            worker.tell()
        with pytest.raises(AssertionError, match="KeyboardInterrupt"):
            worker.result()
    assert query(tmp_path, "SELECT * FROM claims") == []
    assert query(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    [[n_stored]] = query(tmp_path, "SELECT COUNT(*) FROM entries")
    assert n_decoded - 15 <= n_stored < N  # some are decoded well ahead
    found, n_images, _ = call(features_and_counts, tmp_path, paths)
    assert n_images == N - n_stored
    assert_same(found, expected)


def test_error_of_a_network_leaves_no_claims(tmp_path, paths):
    features = make(tmp_path, preprocess=fail_at_the_tenth)
    with pytest.raises(RuntimeError, match="the tenth"):
        features.transform(paths)
    assert query(tmp_path, "SELECT * FROM claims") == []


_calls = []


def fail_at_the_tenth(image):
    _calls.append(image)
    if len(_calls) == 10:
        raise RuntimeError("the tenth")
    return brighter(image)


def stem_features_twice(folder, paths):
    features = make(folder, layers="stem", pooling="flatten", batch_size=2)
    return features.transform(paths), features.transform(paths), CountingNet.images_seen


@pytest.mark.parametrize("n_bytes", [0, 20_000, 60_000])
def test_full_disk_warns_once_and_features_are_right(tmp_path, paths, n_bytes):
    (found, again, n_images), [message] = call(
        with_small_files, n_bytes, stem_features_twice, tmp_path, paths
    )
    assert "features are right but kept in the memory" in message
    assert_same(found, make(None, layers="stem", pooling="flatten").transform(paths))
    np.testing.assert_array_equal(again, found)
    assert n_images == N


@pytest.fixture
def contents(paths):
    """Images that need no right to read a file."""
    return [Path(path).read_bytes() for path in paths]


def test_empty_folder_that_is_read_only_warns_once(tmp_path, contents, expected):
    (tmp_path / "cache").mkdir()
    with read_only(tmp_path / "cache") as folder:
        (found, n_images, _), [message] = call(
            as_nobody, features_and_counts, folder, contents
        )
    assert_same(found, expected)
    assert n_images == N
    assert "neither read nor written" in message


def test_features_in_a_folder_that_is_read_only_are_used(tmp_path, contents, expected):
    call(features_and_counts, tmp_path / "cache", contents[:20])
    with read_only(tmp_path / "cache") as folder:
        (found, n_images, counts), [message] = call(
            as_nobody, features_and_counts, folder, contents
        )
    assert_same(found, expected)
    assert (n_images, counts[:2]) == (4, (20, 4))
    assert "read but not written" in message


def test_file_that_is_no_database_warns_once_and_is_repaired(tmp_path, paths, expected):
    (tmp_path / "embeddings.sqlite").write_bytes(b"no database" * 99)
    features = make(tmp_path)
    with pytest.warns(UserWarning, match="neither read nor written.*clear_cache") as caught:
        found = features.transform(paths)
    assert len(caught) == 1
    assert_same(found, expected)
    features.clear_cache().transform(paths)
    assert call(features_and_counts, tmp_path, paths)[1] == 0


def corrupt(path):
    """Image file that can be read but not decoded."""
    content = Path(path).read_bytes()
    return content[: len(content) // 2]


def transform_both_ways(folder, paths):
    """Two threads that meet the same two bad images in opposite order."""
    picture, net = Decoding.make_picture, trained_net()

    def slow(*args):
        time.sleep(0.005)
        return picture(*args)

    Decoding.make_picture = slow
    bad = [corrupt(path) for path in paths[:2]]
    samples = [bad[0], *paths, bad[1]]

    def run(samples):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make(folder, model=net, on_error="nan", n_jobs=1).transform(samples)

    threads = [
        threading.Thread(target=run, args=(part,), daemon=True)
        for part in (samples, samples[::-1])
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 15
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    return [thread.is_alive() for thread in threads]


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_threads_do_not_wait_for_what_the_other_cannot_read(tmp_path, paths, cache):
    folder = "memory" if cache == "memory" else tmp_path
    assert call(transform_both_ways, folder, paths) == [False, False]


def test_estimators_with_a_path_are_cloned_and_pickled(tmp_path, paths, expected):
    features = make(tmp_path / "cache").fit(paths)
    for other in (clone(features), pickle.loads(pickle.dumps(features))):
        assert other.cache == tmp_path / "cache"
        assert_same(other.transform(paths), expected)
    assert features.cache_info().misses == N


def test_fit_alone_writes_nothing(tmp_path, paths):
    make(tmp_path / "cache").fit(paths)
    assert os.listdir(tmp_path) == []


def test_relative_path_is_a_folder_in_the_current_one(tmp_path, paths, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make("features").transform(paths[:2])
    assert os.path.exists(tmp_path / "features" / "embeddings.sqlite")


@pytest.mark.parametrize("name", ["a b", "ünïcødé 写真", "100%", "a?b=c#d", "file:x?mode=ro"])
def test_any_name_of_a_folder_will_do(tmp_path, paths, name):
    call(features_and_counts, tmp_path / name, paths[:2])
    assert call(features_and_counts, str(tmp_path / name), paths[:2])[1] == 0


def test_path_and_string_are_one_cache(tmp_path, paths):
    make(tmp_path).transform(paths)
    features = make(str(tmp_path))
    CountingNet.reset()
    features.transform(paths)
    assert CountingNet.images_seen == 0


def test_file_in_place_of_the_folder_is_refused(tmp_path, paths):
    (tmp_path / "file").write_text("")
    features = make(tmp_path / "file")
    with pytest.raises(ValueError, match="cache=.*file'.* is a file; expected 'memory', None"):
        features.fit(paths)


def test_folder_that_another_process_makes_just_now_is_a_folder(
    tmp_path, paths, expected, monkeypatch
):
    isdir, folder = os.path.isdir, tmp_path / "cache"

    def isdir_then_made(path):
        answer = isdir(path)
        folder.mkdir(exist_ok=True)
        return answer

    monkeypatch.setattr(os.path, "isdir", isdir_then_made)
    np.testing.assert_array_equal(make(folder).fit_transform(paths), expected)


@pytest.mark.parametrize("slip", ["Memory", "memory.", "MEMORY", ""])
def test_slip_of_the_pen_is_refused(slip, paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features = make(slip)
    with pytest.raises(ValueError, match="is no folder; expected 'memory', None, or a folder"):
        features.fit(paths)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("slip", ["Memory", "memory.", "MEMORY"])
def test_slip_of_the_pen_is_told_what_was_meant(slip, paths):
    features = make(slip)
    with pytest.raises(ValueError, match="Did you mean 'memory'\\?"):
        features.fit(paths)


@pytest.mark.parametrize("folder", ["./memory", Path("memory"), "my/memory"])
def test_path_that_ends_in_memory_is_a_folder(folder, paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(folder).transform(paths[:2])
    assert os.path.exists(tmp_path / folder / "embeddings.sqlite")


@pytest.mark.parametrize("wrong", [7, True, b"bytes", ["list"]])
def test_cache_that_is_no_path_is_refused(wrong, paths):
    features = make(wrong)
    with pytest.raises(ValueError, match="'cache' parameter of PretrainedFeatures"):
        features.fit(paths)


def test_features_beyond_the_bound_warn_and_are_right(tmp_path, paths, monkeypatch, expected):
    monkeypatch.setenv("SKLEARN_TRANSFER_DISK_CACHE_BYTES", "2000")
    features = make(tmp_path)
    with pytest.warns(UserWarning, match="do not fit.*SKLEARN_TRANSFER_DISK_CACHE_BYTES"):
        found = features.transform(paths)
    assert_same(found, expected)
    assert features.cache_info().bytes <= 2000


def test_memory_of_a_pipeline_does_no_harm(tmp_path, paths):
    y = np.arange(N) % 2
    scores = []
    for memory in (None, str(tmp_path / "joblib")):
        steps = [("features", make(tmp_path / "cache")), ("clf", LogisticRegression())]
        pipeline = Pipeline(steps, memory=memory)
        scores += [cross_val_score(pipeline, paths, y, cv=3) for _ in range(2)]
    assert make(tmp_path / "cache").cache_info().misses == N
    for score in scores[1:]:
        np.testing.assert_array_equal(score, scores[0])
