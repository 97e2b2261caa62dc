"""Compare fine-tuning with the same training in skorch and timm and in a hand-written loop.

Each function with a name like `make_*_training` returns a function that trains once and
returns the seconds that this took and the accuracy on other images.
"""

import functools
import time

import numpy as np
import timm
import torch
from torch import nn

from benchmarks.timing import Row, SeparateProcess, divide
from sklearn_transfer import FineTunedClassifier
from sklearn_transfer._modalities.image.transforms import center
from sklearn_transfer._networks.weights import read_packaged_weights
from sklearn_transfer.datasets import load_photo_crops

NETWORK, SIZE, SCALED, BATCH, LR = "tf_efficientnet_lite0", 128, 146, 32, 3e-4
FROZEN = "blocks.5"  # the last stage and the head are trained


@functools.cache
def load_crops(n, seed):
    """Return arrays that need only be cropped, and classes; noise makes the task harder."""
    options = {"size": SCALED, "shift": "noisy", "severity": 0.6, "return_X_y": True}
    images, y = load_photo_crops(-(-n // 15), random_state=seed, **options)
    order = np.random.default_rng(seed).permutation(len(images))[:n]
    return np.stack([images[i] for i in order]), np.unique(y, return_inverse=True)[1][order]


def make_tensors(n, seed):
    """Return the same images as tensors that the network takes, and their classes."""
    images, y = load_crops(n, seed)
    config = timm.models.get_pretrained_cfg(NETWORK)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (config.mean, config.std))
    spec = FineTunedClassifier(input_size=SIZE)  # uses the same crop as the estimator
    cropped = np.stack([center(image, _load_spec(spec)) for image in images])
    X = torch.from_numpy(cropped).permute(0, 3, 1, 2).float() / 255
    return ((X - mean) / std).contiguous(), torch.from_numpy(y)


def _load_spec(estimator):
    from sklearn_transfer._networks.registry import load_backbone

    return load_backbone(NETWORK, None, input_size=estimator.input_size).spec


def load_pretrained():
    module = timm.create_model(NETWORK, num_classes=15)
    weights = {
        k: v for k, v in read_packaged_weights(NETWORK).items() if "classifier" not in k
    }
    module.load_state_dict(weights, strict=False)
    return module


def freeze(module):
    for name, parameter in module.named_parameters():
        trains = name.startswith(("blocks.6", "conv_head", "bn2", "classifier"))
        parameter.requires_grad_(trains)
    return module


def make_skorch_training(n, n_epochs):
    """Make a training by skorch, as in its documentation, on prepared tensors."""
    from skorch import NeuralNetClassifier

    X, y = make_tensors(n, 0)
    X_test, y_test = make_tensors(n, 1)

    def run():
        torch.manual_seed(0)
        start = time.perf_counter()
        net = NeuralNetClassifier(
            freeze(load_pretrained()),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.AdamW,
            lr=LR,
            batch_size=BATCH,
            max_epochs=n_epochs,
            train_split=None,
            iterator_train__shuffle=True,
            verbose=0,
        ).fit(X, y)
        seconds = time.perf_counter() - start
        return seconds, float((net.predict(X_test) == y_test.numpy()).mean())

    return run


def make_manual_training(n, n_epochs):
    """Make a training of all parameters by PyTorch alone, channels last."""
    X, y = make_tensors(n, 0)
    X_test, y_test = make_tensors(n, 1)
    X = X.contiguous(memory_format=torch.channels_last)

    def run():
        torch.manual_seed(0)
        start = time.perf_counter()
        module = load_pretrained().to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(module.parameters(), lr=LR, fused=True)
        for _ in range(n_epochs):
            for rows in torch.randperm(n).split(BATCH):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(module(X[rows]), y[rows])
                loss.backward()
                optimizer.step()
                loss.item()
        seconds = time.perf_counter() - start
        with torch.inference_mode():
            module.eval()
            found = torch.cat([module(X_test[rows]) for rows in torch.arange(n).split(BATCH)])
        return seconds, float((found.argmax(1) == y_test).float().mean())

    return run


def make_our_training(n, n_epochs, **options):
    """Make a fit to arrays of pixels that reuses nothing from earlier fits."""
    from sklearn_transfer._store.choice import choose_store

    X, y = load_crops(n, 0)
    X_test, y_test = load_crops(n, 1)
    model = FineTunedClassifier(
        NETWORK, max_epochs=n_epochs, batch_size=BATCH, lr=LR, input_size=SIZE, **options
    )

    def run():
        choose_store("memory", activations=True).clear()
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
        return seconds, model.score(X_test, y_test)

    return run


def measure_last_stage(data, n=1000):
    """Compare two lengths of training and the accuracies on as many test images."""
    rows = []
    for n_epochs, aim in [(8, "at least 3.5"), (20, "at least 6")]:
        functions = {
            "ours": make_our_training(n, n_epochs, freeze=FROZEN),
            "skorch": SeparateProcess(make_skorch_training, n, n_epochs),
        }
        make_our_training(n, 1, freeze=FROZEN)()  # loads and compiles the networks
        times, accuracies = _run_rounds(functions, max(data.rounds // 2, 1))
        what = f"speed of training the last stage, {n} images, {n_epochs} epochs"
        against = "skorch and timm with requires_grad off"
        rows.append(
            Row.from_ratios(what, against, divide(times["skorch"], times["ours"]), aim)
        )
        gains = np.subtract(accuracies["ours"], accuracies["skorch"]).tolist()
        rows.append(
            Row.from_ratios(
                f"difference in accuracy after {n_epochs} epochs", against, gains, "at least 0"
            )
        )
    return rows


def _run_rounds(functions, rounds):
    """Run interleaved rounds; return the seconds and accuracies of each function by name."""
    times, accuracies = ({name: [] for name in functions} for _ in range(2))
    for _ in range(rounds):
        for name, function in functions.items():
            seconds, accuracy = function()
            times[name].append(seconds)
            accuracies[name].append(accuracy)
    return times, accuracies


def measure_whole_network(data, n=300, n_epochs=4):
    functions = {
        "ours": make_our_training(n, n_epochs, freeze=None, freeze_norm=False),
        "hand": SeparateProcess(make_manual_training, n, n_epochs),
    }
    _run_rounds(functions, 1)
    times, _ = _run_rounds(functions, data.rounds)
    what = f"time to train the whole network, {n} images, {n_epochs} epochs"
    ratios = divide(times["ours"], times["hand"])
    return [
        Row.from_ratios(
            what, "a hand-written loop on prepared tensors", ratios, "at most 1.05"
        )
    ]
