"""Compare fine-tuning with the same training in skorch, skada and a hand-written loop.

Each function with a name like `make_*_training` returns a function that trains once and
returns the seconds that this took and the accuracy on other images.
"""

import functools
import time
import warnings

import numpy as np
import timm
import torch
from torch import nn

from benchmarks.peers import is_installed
from benchmarks.timing import Row, SeparateProcess, divide
from sklearn_transfer import FineTunedClassifier
from sklearn_transfer._modalities.image.transforms import center
from sklearn_transfer._networks.weights import read_packaged_weights
from sklearn_transfer.datasets import load_photo_crops
from sklearn_transfer.finetuning.objectives import DANN, DeepCORAL, DeepJDOT

NETWORK, SIZE, SCALED, BATCH, LR = "tf_efficientnet_lite0", 128, 146, 32, 3e-4
FROZEN = "blocks.5"  # the last stage and the head are trained
SOURCE, TARGET = 0.2, 1.0  # severity of the noise in the domains of an adapted training


@functools.cache
def load_crops(n, seed, severity=0.6):
    """Return arrays that need only be cropped, and classes; noise makes the task harder."""
    options = {"size": SCALED, "shift": "noisy", "severity": severity, "return_X_y": True}
    images, y = load_photo_crops(-(-n // 15), random_state=seed, **options)
    order = np.random.default_rng(seed).permutation(len(images))[:n]
    return np.stack([images[i] for i in order]), np.unique(y, return_inverse=True)[1][order]


def make_tensors(n, seed, **options):
    """Return the same images as tensors that the network takes, and their classes."""
    images, y = load_crops(n, seed, **options)
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


class Weighable(nn.Module):
    """Network that ignores the weights that skada passes, and keeps its normalization.

    With statistics of normalization that move, the accuracy of skada is far lower.
    """

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, X, sample_weight=None):
        return self.module(X)

    def train(self, mode=True):
        super().train(mode)
        self.module.eval()
        return self


def build_discriminator(n_features):
    """Build the discriminator of skada's DANN so that it learns.

    The one of skada 0.6.0 ends in a softmax over one output, which is 1 for any input.
    """
    from skada.deep.modules import DomainClassifier

    discriminator = DomainClassifier(n_features)
    discriminator.classifier[-1] = nn.Sigmoid()
    return discriminator


def build_skada_net(word, module, **options):
    from skada import deep

    # Both train with the factors that are the defaults here.
    if word == "jdot":
        options |= {"reg_dist": DeepJDOT().alpha, "reg_cl": DeepJDOT().lambda_t}
    else:
        options["reg"] = {"coral": DeepCORAL, "dann": DANN}[word]().weight
    if word == "dann":
        discriminator = build_discriminator(module.num_features)
        options["domain_classifier"] = discriminator
    build = {"coral": deep.DeepCoral, "jdot": deep.DeepJDOT, "dann": deep.DANN}[word]
    return build(Weighable(module), layer_name="module.global_pool", **options)


def make_skada_training(word, n, n_epochs):
    """Make a training with an objective of skada.deep on prepared tensors.

    Its batches have `BATCH` samples of each domain, as ours, and both domains have n samples,
    a multiple of `BATCH`, so that it takes as many steps.
    """
    import skada.deep  # noqa: F401 - so that no round times the import
    from sklearn import config_context

    X, y = make_tensors(n, 0, severity=SOURCE)
    X_target, _ = make_tensors(n, 1, severity=TARGET)
    X_test, y_test = make_tensors(n, 2, severity=TARGET)
    X = torch.cat([X, X_target])
    y = torch.cat([y, torch.full((n,), -1)])
    sample_domain = torch.tensor([1, -2]).repeat_interleave(n)

    def run():
        torch.manual_seed(0)
        start = time.perf_counter()
        net = build_skada_net(
            word,
            freeze(load_pretrained()),
            optimizer=torch.optim.AdamW,
            lr=LR,
            batch_size=BATCH,
            max_epochs=n_epochs,
            train_split=None,
            verbose=0,
        )
        with config_context(enable_metadata_routing=False), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net.fit(X, y, sample_domain=sample_domain)
            seconds = time.perf_counter() - start
            n_steps = len(net.history[:, "batches"][0]) * n_epochs
            assert n_steps == n // BATCH * n_epochs, n_steps
            found = net.predict(X_test, sample_domain=-2 * torch.ones(n, dtype=int))
        return seconds, float((found == y_test.numpy()).mean())

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


def make_our_adaptation(word, n, n_epochs):
    """Make a fit to source and target images that reuses nothing from earlier fits."""
    from sklearn_transfer._store.choice import choose_store

    X, y = load_crops(n, 0, severity=SOURCE)
    X_target, _ = load_crops(n, 1, severity=TARGET)
    X_test, y_test = load_crops(n, 2, severity=TARGET)
    options = {"batch_size": BATCH, "lr": LR, "input_size": SIZE, "freeze": FROZEN}
    model = FineTunedClassifier(NETWORK, max_epochs=n_epochs, adapt=word, **options)

    def run():
        choose_store("memory", activations=True).clear()
        start = time.perf_counter()
        model.fit(X, y, X_target=X_target)
        seconds = time.perf_counter() - start
        return seconds, model.score(X_test, y_test)

    return run


def measure_adapted_stage(data, n=320, n_epochs=8):
    """Compare the speed, and the accuracies on as many other images of the target."""
    if not is_installed("skada"):
        return []
    rows = []
    make_our_adaptation("coral", n, 1)()  # loads and compiles the networks
    for word in ("coral", "jdot", "dann"):
        functions = {
            "ours": make_our_adaptation(word, n, n_epochs),
            "skada": SeparateProcess(make_skada_training, word, n, n_epochs),
        }
        times, accuracies = _run_rounds(functions, max(data.rounds // 2, 1))
        against = "skada.deep, as many steps, requires_grad off"
        what = (
            f"training the last stage with adapt={word!r}, 2 x {n} images, {n_epochs} epochs"
        )
        speed = divide(times["skada"], times["ours"])
        rows.append(Row.from_ratios(f"speed of {what}", against, speed, "at least 4"))
        gains = np.subtract(accuracies["ours"], accuracies["skada"]).tolist()
        what = f"difference in target accuracy with adapt={word!r} after {n_epochs} epochs"
        rows.append(Row.from_ratios(what, against, gains, "at least 0"))
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
