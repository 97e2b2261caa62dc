"""Threads, forked processes and the plot of a real history."""

import multiprocessing
import threading

import numpy as np
import pytest

from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.plotting import TrainingDisplay
from tests import small_networks


def tuner(**options):
    defaults = {"max_epochs": 2, "lr": 1e-2, "engine": "torch", "batch_size": 8}
    model = options.pop("model", None) or small_networks.staged()
    return FineTunedClassifier(model, **{**defaults, **options})


@pytest.mark.parametrize("freeze", ["all", "early", None])
@pytest.mark.parametrize("method", ["predict_proba", "transform"])
def test_two_threads_predict_at_once(freeze, method, images, labels):
    fitted = tuner(freeze=freeze).fit(images, labels)
    parts = [images[:10], images[10:]]
    expected = [getattr(fitted, method)(part) for part in parts]
    wrong, start = [], threading.Barrier(4)

    def work(i):
        start.wait()
        try:
            for _ in range(15):
                found = getattr(fitted, method)(parts[i])
                if not np.array_equal(found, expected[i]):
                    wrong.append(found)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_two_threads_train_at_once(images, labels):
    model = small_networks.staged(drop=0.0)  # dropout draws from what threads share
    expected = tuner(model=model, freeze="early").fit(images, labels).predict_proba(images)
    found = [None] * 2

    def work(i):
        fitted = tuner(model=model, freeze="early").fit(images, labels)
        found[i] = fitted.predict_proba(images)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], expected)


def in_a_child(work, *args):
    """What `work` sends from a forked process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, *args))
    process.start()
    theirs.close()
    assert ours.poll(60), "the child hangs"
    found = ours.recv()
    process.join(60)
    assert process.exitcode == 0
    return found


def train_and_predict(pipe, options, fitted, images, labels):
    again = tuner(**options).fit(images, labels)
    pipe.send((again.predict_proba(images), fitted.predict_proba(images)))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"freeze": "early"},
        {"freeze": "early", "cache": None},
        {"freeze": None},
        {"freeze": "all", "augment": "flip"},
    ],
    ids=str,
)
def test_a_forked_process_trains_and_predicts(options, images, labels):
    fitted = tuner(**options).fit(images, labels)
    expected = fitted.predict_proba(images)
    for found in in_a_child(train_and_predict, options, fitted, images, labels):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_display_draws_a_real_history(images, labels):
    pytest.importorskip("matplotlib").use("agg")
    fitted = tuner(freeze="early", schedule="lp-ft", early_stopping=True).fit(images, labels)
    display = TrainingDisplay.from_estimator(fitted)
    drawn = [line.get_ydata() for line in display.figure_.axes[0].lines]
    losses = [row["train_loss"] for row in fitted.history_]
    assert any(len(y) == len(losses) and np.allclose(y, losses) for y in drawn)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*cannot be split")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 64),
        ("vit_tiny_patch16_224", 64),
        ("convnext_atto", 64),
        ("swin_tiny_patch4_window7_224", 64),
        ("densenet121", 64),
        ("mobilenetv3_small_100", 64),
        ("torchvision/squeezenet1_1", 64),
        ("torchvision/densenet121", 64),
        ("torchvision/googlenet", 64),
    ],
)
@pytest.mark.parametrize("freeze", ["shallow", "middle", "deep"])
def test_reuse_changes_nothing_for_real_networks(name, size, freeze, images, labels):
    options = {
        "model": name, "weights": None, "input_size": size, "freeze": freeze, "lr": 1e-3,
        "max_epochs": 2, "batch_size": 10,
    }  # fmt: skip
    rows = np.r_[:5, 10:15]
    with_reuse = tuner(**options).fit(images[rows], labels[rows])
    without = tuner(**options, cache=None).fit(images[rows], labels[rows])
    losses = [[row["train_loss"] for row in m.history_] for m in (with_reuse, without)]
    np.testing.assert_allclose(*losses, rtol=1e-3, atol=1e-4)
    start = with_reuse._load_backbone()[0].module.state_dict()
    end = with_reuse._network.body.state_dict()
    for parameter in with_reuse._frozen.parameters:
        inner = parameter.removeprefix("body.")
        assert np.array_equal(start[inner].cpu(), end[inner].cpu()), parameter


@pytest.mark.slow
def test_real_weights_learn_real_crops():
    from sklearn_transfer.datasets import load_photo_crops

    X, y = load_photo_crops(5, size=64, return_X_y=True, random_state=0)
    X_new, y_new = load_photo_crops(5, size=64, return_X_y=True, random_state=1)
    model = FineTunedClassifier(freeze="deep", max_epochs=8, input_size=64).fit(X, y)
    assert model.score(X_new, y_new) > 0.8
