"""Fine-tuning against the same training in skorch and timm, and in a loop by hand.

Each function trains once, and gives the seconds of that and the accuracy on other images.
"""

import functools
import time

import numpy as np
import timm
import torch
from torch import nn

from benchmarks.timing import Apart, Row, quotients
from sklearn_transfer import FineTunedClassifier
from sklearn_transfer._modalities.image.transforms import center
from sklearn_transfer._networks.weights import read_packaged_weights
from sklearn_transfer.datasets import load_photo_crops

NETWORK, SIZE, SCALED, BATCH, LR = "tf_efficientnet_lite0", 128, 146, 32, 3e-4
FROZEN = "blocks.5"  # the last stage and the head train


@functools.cache
def crops(n, seed):
    """Arrays of pixels that only need a crop, and classes; noisy, lest all be right."""
    options = {"size": SCALED, "shift": "noisy", "severity": 0.6, "return_X_y": True}
    images, y = load_photo_crops(-(-n // 15), random_state=seed, **options)
    order = np.random.default_rng(seed).permutation(len(images))[:n]
    return np.stack([images[i] for i in order]), np.unique(y, return_inverse=True)[1][order]


def tensors(n, seed):
    """The same as the network's input, ready."""
    images, y = crops(n, seed)
    config = timm.models.get_pretrained_cfg(NETWORK)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (config.mean, config.std))
    spec = FineTunedClassifier(input_size=SIZE)  # its network's size, for the same crop
    cropped = np.stack([center(image, _spec(spec)) for image in images])
    X = torch.from_numpy(cropped).permute(0, 3, 1, 2).float() / 255
    return ((X - mean) / std).contiguous(), torch.from_numpy(y)


def _spec(estimator):
    from sklearn_transfer._networks.registry import load_backbone

    return load_backbone(NETWORK, None, input_size=estimator.input_size).spec


def pretrained():
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


def skorch_training(n, n_epochs):
    """skorch as its documentation shows it, on tensors that are ready."""
    from skorch import NeuralNetClassifier

    X, y = tensors(n, 0)
    X_test, y_test = tensors(n, 1)

    def run():
        torch.manual_seed(0)
        start = time.perf_counter()
        net = NeuralNetClassifier(
            freeze(pretrained()),
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


def loop_by_hand(n, n_epochs):
    """All parameters by PyTorch alone, channels last, on tensors that are ready."""
    X, y = tensors(n, 0)
    X_test, y_test = tensors(n, 1)
    X = X.contiguous(memory_format=torch.channels_last)

    def run():
        torch.manual_seed(0)
        start = time.perf_counter()
        module = pretrained().to(memory_format=torch.channels_last).train()
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


def ours(n, n_epochs, **options):
    """A fit from arrays of pixels, with nothing known from earlier fits."""
    from sklearn_transfer._store.choice import choose_store

    X, y = crops(n, 0)
    X_test, y_test = crops(n, 1)
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


def last_stage(data, n=1000):
    """Two lengths of training, and accuracies on as many test images."""
    rows = []
    for n_epochs, aim in [(8, "at least 3.5"), (20, "at least 6")]:
        functions = {
            "ours": ours(n, n_epochs, freeze=FROZEN),
            "skorch": Apart(skorch_training, n, n_epochs),
        }
        ours(n, 1, freeze=FROZEN)()  # networks are loaded and compiled
        times, accuracies = _rounds(functions, max(data.rounds // 2, 1))
        what = f"speed of training the last stage, {n} images, {n_epochs} epochs"
        against = "skorch and timm, requires_grad off"
        rows.append(Row.of(what, against, quotients(times["skorch"], times["ours"]), aim))
        gains = np.subtract(accuracies["ours"], accuracies["skorch"]).tolist()
        rows.append(
            Row.of(
                f"difference in accuracy after {n_epochs} epochs", against, gains, "at least 0"
            )
        )
    return rows


def _rounds(functions, rounds):
    """Seconds and accuracies that functions give, by name, in interleaved rounds."""
    times, accuracies = ({name: [] for name in functions} for _ in range(2))
    for _ in range(rounds):
        for name, function in functions.items():
            seconds, accuracy = function()
            times[name].append(seconds)
            accuracies[name].append(accuracy)
    return times, accuracies


def whole_network(data, n=300, n_epochs=4):
    functions = {
        "ours": ours(n, n_epochs, freeze=None, freeze_norm=False),
        "hand": Apart(loop_by_hand, n, n_epochs),
    }
    _rounds(functions, 1)
    times, _ = _rounds(functions, data.rounds)
    what = f"time of training the whole network, {n} images, {n_epochs} epochs"
    ratios = quotients(times["ours"], times["hand"])
    return [Row.of(what, "a loop by hand on ready tensors", ratios, "at most 1.05")]
