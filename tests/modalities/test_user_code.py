"""Functions of the user's that prepare images: one at a time, in the order of the rows."""

import threading
import time

import numpy as np
import pytest
import torch

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures
from sklearn_transfer._process.threads import lock_user_code
from tests.small_networks import CountingNet, counting_net

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 20, 20, 3), dtype=np.uint8)


def to_input(image):
    return np.asarray(image.resize((32, 32)), dtype=np.float32).transpose(2, 0, 1) / 255


class KeepsAnImage:
    """Puts down between two steps what it works on, as OpenCV's objects do."""

    def __init__(self):
        self.image = None

    def __call__(self, image):
        self.image = image
        time.sleep(0.002)
        return to_input(self.image)


def extractor(preprocess, **options):
    return PretrainedFeatures(
        counting_net, preprocess=preprocess, cache=None, engine="torch", **options
    )


@pytest.fixture
def expected():
    return np.concatenate([extractor(to_input).transform(IMAGES[[i]]) for i in range(24)])


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_state_between_two_steps_is_safe(expected, n_jobs):
    found = extractor(KeepsAnImage(), n_jobs=n_jobs).transform(IMAGES)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_state_shared_by_two_extractors_is_safe(expected):
    shared, found = KeepsAnImage(), {}

    def work(name):
        def preprocess(image):
            return shared(image)

        found[name] = extractor(preprocess, n_jobs=2).transform(IMAGES)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for features in found.values():
        np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_jobs", [2, 4])
def test_calls_come_in_the_order_of_the_rows(n_jobs):
    levels = []

    def preprocess(image):
        levels.append(image.getpixel((0, 0))[0])
        time.sleep(0.001 * (levels[-1] % 3))
        return to_input(image)

    extractor(preprocess, n_jobs=n_jobs).transform(IMAGES)
    assert levels == [int(image[0, 0, 0]) for image in IMAGES]


def test_fine_tuner_calls_in_the_order_of_the_rows():
    levels = []

    def preprocess(image):
        levels.append(image.getpixel((0, 0))[0])
        time.sleep(0.001 * (levels[-1] % 3))
        return to_input(image)

    model = FineTunedClassifier(
        counting_net, preprocess=preprocess, freeze=None, max_epochs=1, n_jobs=4
    )
    model.fit(IMAGES, np.arange(24) % 2)
    assert levels[-24:] == [int(image[0, 0, 0]) for image in IMAGES]


class InParallel:
    """Waits until two threads are inside at once, as only a safe function may allow."""

    thread_safe = True

    def __init__(self):
        self.barrier = threading.Barrier(2)

    def __call__(self, image):
        self.barrier.wait(timeout=60)
        return to_input(image)


def test_function_that_says_so_runs_in_parallel(expected):
    preprocess = InParallel()
    found = PretrainedFeatures(counting_net, preprocess=preprocess, cache=None, n_jobs=2)
    found = found.transform(IMAGES)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_nested_extraction_ends():
    inner = extractor(to_input, n_jobs=2)

    def preprocess(image):
        inner.transform([image, image.rotate(90)])
        return to_input(image)

    done = []
    thread = threading.Thread(
        target=lambda: done.append(extractor(preprocess, n_jobs=2).transform(IMAGES[:4])),
        daemon=True,
    )
    thread.start()
    thread.join(timeout=60)
    assert len(done) == 1


def test_error_of_a_function_names_the_row():
    def preprocess(image):
        if image.getpixel((0, 0))[0] == IMAGES[5, 0, 0, 0]:
            raise RuntimeError("no")
        return to_input(image)

    with pytest.raises(RuntimeError) as caught:
        extractor(preprocess, n_jobs=2).transform(IMAGES)
    assert "while preparing row 5 " in caught.value.__notes__[0]


def test_lock_is_free_after_an_error():
    def preprocess(image):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        extractor(preprocess).transform(IMAGES)
    lock = lock_user_code().current
    assert lock.acquire(blocking=False)
    lock.release()


def test_torch_keeps_its_threads():
    before = torch.get_num_threads()
    CountingNet.reset()
    extractor(KeepsAnImage(), n_jobs=2).transform(IMAGES)
    assert torch.get_num_threads() == before
