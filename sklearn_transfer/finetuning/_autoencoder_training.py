"""Training of an autoencoder, and passes through its trained layers."""

import copy
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch

from sklearn_transfer._modalities.image.reader import PixelFormat
from sklearn_transfer._modalities.payloads import InputFormat
from sklearn_transfer._networks.devices import single_precision
from sklearn_transfer.finetuning import _autoencoder
from sklearn_transfer.finetuning._inputs import Fixed, Rows
from sklearn_transfer.finetuning.freezing.phases import Phase
from sklearn_transfer.finetuning.freezing.policies import (
    Frozen,
    copy_weights,
    restore_weights,
)
from sklearn_transfer.finetuning.loop.epochs import EpochLoop, resolve_patience, train_alone
from sklearn_transfer.finetuning.loop.history import History
from sklearn_transfer.finetuning.loop.net import TrainingNet
from sklearn_transfer.finetuning.loop.options import Setting, TrainingOptions
from sklearn_transfer.finetuning.loop.state import Feed
from sklearn_transfer.finetuning.targets.rows import split_rows

# Rows whose pixels give the mean and deviation of the channels.
_LOOKED_AT = 4096
# Rows per pass.
_AT_ONCE = 256


class AutoencoderNet(TrainingNet):
    """Steps of fine-tuning with messages that name parameters of `AutoencoderFeatures`."""

    memory_advice = "Pass a smaller batch_size, input_size or hidden"

    def _describe_bad_loss(self, loss, n_rows):
        return (
            f"The error of reconstruction is NaN or infinite in epoch {self.state_.epoch} with"
            f" lr={self.options.lr:g}; use a smaller lr, or look for extreme values in X"
        )


class _Pixels(PixelFormat):
    """Format of pixels that are stored under the name "input", as all arrays here are."""

    def to_input(self, batch):
        return super().to_input({"pixels": batch["input"]})


def make_format(scaling):
    """Format of payloads: pixels where there is a scaling, else the input itself."""
    return InputFormat() if scaling is None else _Pixels(*scaling)


def compute_channel_statistics(pixels):
    """Mean and deviation of each channel of uint8 pixels (n, height, width, channels)."""
    some = pixels[:: -(-len(pixels) // _LOOKED_AT)]
    counts = np.zeros((some.shape[3], 256))
    for start in range(0, len(some), _AT_ONCE):
        for i, count in enumerate(counts):
            values = some[start : start + _AT_ONCE, ..., i]
            count += np.bincount(values.ravel(), minlength=256)
    shares, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = shares @ levels
    variance = (shares * np.square(levels - mean[:, None])).sum(axis=1)
    deviation = np.maximum(np.sqrt(variance), 1 / 255)
    return tuple(mean.tolist()), tuple(deviation.tolist())


class _ArrayRows(Fixed):
    """Rows of an array by their numbers, which are not copied: there may be many."""

    def __init__(self, array, numbers):
        super().__init__({"input": array})
        self.array, self.numbers = array, numbers
        self.shape = (len(numbers), *array.shape[1:])

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, rows):
        return self.array[self.numbers[rows]]

    def take(self, rows, epoch):
        return {"input": torch.from_numpy(self[rows])}


class AutoencoderTraining:
    """Training of an autoencoder on `payloads`, pixels where there is a `scaling`.

    `params` are the parameters of the estimator. `run` leaves `network`, in evaluation mode
    on the CPU with its final weights, and the `history`. Epochs are subtasks of `task`;
    ``describe(training)`` returns the attributes of an estimator fitted by what is reached.
    """

    def __init__(self, payloads, scaling, params, device, seed, *, task, describe):
        self.payloads, self.scaling, self.params = payloads, scaling, params
        self.task, self.describe = task, describe
        self.device, self.seed = device, seed
        self.network, self.history = None, []

    def run(self):
        """Train through all epochs."""
        train, valid = self._split_rows()
        with train_alone(self.device, self.seed):
            with single_precision():
                self.network = self._build_network(train).to(self.device)
            valid = None if valid is None else self._make_rows(valid)
            self._train(self._make_rows(train), valid)
        self.network = self.network.to("cpu")
        return self

    def _split_rows(self):
        """Numbers of the rows to train on, and to validate on or None."""
        n_rows, early_stopping = len(self.payloads), self.params["early_stopping"]
        if not early_stopping:
            return np.arange(n_rows), None
        return split_rows(
            n_rows,
            None,
            self.params["validation_fraction"],
            self.seed,
            f"early_stopping={early_stopping!r}",
            "use early_stopping=False",
        )

    def _make_rows(self, numbers):
        return Rows(_ArrayRows(self.payloads, numbers), (), np.ones(len(numbers)))

    def _build_network(self, numbers):
        params, shape = self.params, self.payloads.shape[1:]
        if self.scaling is not None:
            shape = (shape[2], *shape[:2])
        is_convolutional = resolve_architecture(params["architecture"], shape)
        widths = params["hidden"]
        if widths is None:
            widths = _autoencoder.choose_widths(shape, is_convolutional)
        standardize = None
        if self.scaling is None:
            rows = _ArrayRows(self.payloads, numbers)
            standardize = _autoencoder.Standardize.learn(rows, is_convolutional)
        return _autoencoder.Autoencoder(
            is_convolutional,
            shape,
            widths,
            params["n_components"],
            standardize,
            noise=params["noise"],
            mask=params["mask"],
        )

    def _build_net(self):
        names = ("batch_size", "lr", "weight_decay")
        net = AutoencoderNet(
            self.network,
            criterion=_autoencoder.ReconstructionError,
            optimizer=torch.optim.AdamW,
            train_split=None,
            verbose=0,
            setting=Setting(self.network, self.device, self.seed),
            options=TrainingOptions(**{name: self.params[name] for name in names}),
            device=str(self.device),
        )
        return net.initialize()

    def _train(self, train, valid):
        net, judged, take_snapshot = self._build_net(), "train_loss", None
        if valid is not None:
            judged = "valid_loss"
            take_snapshot = partial(copy_weights, frozenset(), self.network)
        history = History(judged, take_snapshot, self.history)
        loop = EpochLoop(
            net,
            history,
            patience=resolve_patience(self.params["early_stopping"]),
            verbose=self.params["verbose"],
            label="AutoencoderFeatures",
            task=self.task,
            collect=lambda: self.describe(self._copy_reached(history)),
        )

        @contextmanager
        def begin_phase(phase, task):
            feed = Feed(valid=valid, format=make_format(self.scaling))
            net.begin_phase(feed, phase, len(train))
            yield train

        phases = [Phase("train", Frozen(), self.params["max_epochs"])]
        loop.run(phases, begin_phase, len(train))

    def _copy_reached(self, history):
        """Training that ends with the epochs so far, with a network of its own."""
        found = copy.copy(self)
        found.network = copy.deepcopy(self.network)
        if history.best_weights is not None:
            restore_weights(found.network, history.best_weights)
        found.network = found.network.to("cpu").eval()
        found.history = [dict(entry) for entry in self.history]
        return found


def resolve_architecture(architecture, shape):
    """Whether layers are convolutional, for samples of a shape.

    Raises ValueError where "convolutional" is asked for and samples are no maps.
    """
    if architecture == "auto":
        return len(shape) == 3
    if architecture == "convolutional" and len(shape) != 3:
        raise ValueError(
            "architecture='convolutional' needs maps (channels, height, width), got samples of"
            f" shape {tuple(shape)}; use 'dense' or 'auto'"
        )
    return architecture == "convolutional"


class Runner:
    """Passes of trained layers on a device; in float64, rows do not depend on each other."""

    def __init__(self, module, device, dtype, scaling=None):
        self.device, self.dtype, self.format = device, dtype, make_format(scaling)
        self.module = copy.deepcopy(module).to(device, dtype).eval()

    def __call__(self, payloads):
        """What the layers give for an array, as float32."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(payloads), _AT_ONCE):
                batch = torch.tensor(payloads[start : start + _AT_ONCE], device=self.device)
                batch = self.format.to_input({"input": batch})
                batch = batch.to(self.dtype).contiguous()
                parts.append(self.module(batch).float().cpu().numpy())
        return np.concatenate(parts)
