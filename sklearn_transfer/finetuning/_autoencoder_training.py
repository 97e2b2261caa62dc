"""One fit of an autoencoder, and its passes afterwards."""

import copy

import numpy as np
import torch
from sklearn.model_selection import ShuffleSplit

from sklearn_transfer._modalities.image.reader import PixelFormat
from sklearn_transfer._modalities.payloads import InputFormat
from sklearn_transfer._networks.devices import single_precision
from sklearn_transfer.finetuning import _autoencoder
from sklearn_transfer.finetuning._inputs import Fixed, Rows
from sklearn_transfer.finetuning.freezing import policies
from sklearn_transfer.finetuning.loop.fitting import (
    progress,
    show_epoch,
    training_scope,
    warn_of_interruption,
)
from sklearn_transfer.finetuning.loop.net import Setup, TrainingNet

_PATIENCE = 5
# Rows whose pixels give the mean and deviation of the channels.
_LOOKED_AT = 4096
# Rows a pass.
_AT_ONCE = 256
_OPTIONS = {"precision": "float32", "warmup": 0.1, "layer_decay": 1.0}
_NONE_OF = {"l2_sp": 0.0, "mixup": 0.0, "cutmix": 0.0}


class _Net(TrainingNet):
    """The loop of fine-tuning with messages that name what there is to change."""

    memory_advice = "Pass a smaller batch_size, input_size or hidden"

    def train_step_single(self, batch, **fit_params):
        try:
            return super().train_step_single(batch, **fit_params)
        except FloatingPointError:
            raise FloatingPointError(
                f"the error of reconstruction is no number in epoch {self.setup.epoch} with"
                f" lr={self.setup.lr:g}; use a smaller lr, or look for extreme values in X"
            ) from None


class _Pixels(PixelFormat):
    """Pixels under the name of a network's input, as rows of an array are kept here."""

    def to_input(self, batch):
        return super().to_input({"pixels": batch["input"]})


def make_format(scaling):
    """Format of payloads: pixels where there is a scaling, else the input itself."""
    return InputFormat() if scaling is None else _Pixels(*scaling)


def channel_statistics(pixels):
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


class _Part(Fixed):
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


class Training:
    """Training of an autoencoder on `payloads`, pixels where there is a `scaling`.

    `params` are the parameters of the estimator. `run` leaves `network`, in evaluation mode
    on the CPU with its final weights, and the `history`.
    """

    def __init__(self, payloads, scaling, params, device, seed):
        self.payloads, self.scaling, self.params = payloads, scaling, params
        self.device, self.seed = device, seed
        self.history, self.best, self.waited = [], None, 0

    def run(self):
        train, valid = self._parts()
        with training_scope(self.device, self.seed):
            with single_precision():
                self.network = self._network(train).to(self.device)
            self._loop(self._rows(train), None if valid is None else self._rows(valid))
        self.network.zero_grad(set_to_none=True)
        self.network = self.network.eval().to("cpu")
        return self

    def _parts(self):
        """Numbers of the rows to train on, and to validate on or None."""
        params, n_rows = self.params, len(self.payloads)
        if not params["early_stopping"]:
            return np.arange(n_rows), None
        share = params["validation_fraction"]
        splitter = ShuffleSplit(1, test_size=share, random_state=self.seed)
        try:
            return next(splitter.split(np.zeros(n_rows)))
        except ValueError as error:
            raise ValueError(
                f"early_stopping={params['early_stopping']!r} holds {share:g} of {n_rows}"
                " samples out, which leaves none for one side; use early_stopping=False"
            ) from error

    def _rows(self, numbers):
        return Rows(_Part(self.payloads, numbers), (), np.ones(len(numbers)))

    def _network(self, numbers):
        params, shape = self.params, self.payloads.shape[1:]
        if self.scaling is not None:
            shape = (shape[2], *shape[:2])
        is_convolutional = resolve_architecture(params["architecture"], shape)
        widths = params["hidden"]
        if widths is None:
            widths = _autoencoder.default_widths(shape, is_convolutional)
        standardise = None
        if self.scaling is None:
            part = _Part(self.payloads, numbers)
            standardise = _autoencoder.Standardise.of(part, is_convolutional)
        make = _autoencoder.convolutional if is_convolutional else _autoencoder.dense
        rest = (standardise, params["noise"], params["mask"])
        return _autoencoder.Autoencoder(make, shape, widths, params["n_components"], *rest)

    def _make_net(self):
        kept = {name: self.params[name] for name in ("batch_size", "lr", "weight_decay")}
        options = {**_OPTIONS, **_NONE_OF, **kept}
        setup = Setup(self.network, self.device, self.seed, options)
        setup.format = make_format(self.scaling)
        net = _Net(
            self.network,
            criterion=_autoencoder.MeanError,
            optimizer=torch.optim.AdamW,
            train_split=None,
            verbose=0,
            setup=setup,
            device=str(self.device),
        )
        return net.initialize()

    def _loop(self, train, valid):
        n_epochs = self.params["max_epochs"]
        net = self._make_net()
        net.setup.valid = valid
        phase = policies.Phase("train", policies.Frozen(), n_epochs)
        net.setup.begin_phase(len(train), phase)
        shown = (self.params["verbose"], n_epochs * len(train), "AutoencoderFeatures")
        net.notify("on_train_begin", X=None, y=None)
        try:
            with progress(*shown) as net.setup.bar:
                self._epochs(net, train)
        except KeyboardInterrupt:
            if not net.setup.step:
                raise
            warn_of_interruption(len(self.history) + 1, n_epochs)
        net.notify("on_train_end", X=None, y=None)
        if self.best is not None and self.best[1] is not None:
            policies.restore(self.network, self.best[1])

    def _epochs(self, net, train):
        patience = self.params["early_stopping"]
        if isinstance(patience, (bool, np.bool_)):
            patience *= _PATIENCE
        for _ in range(self.params["max_epochs"]):
            net.setup.epoch = len(self.history) + 1
            net.fit_loop(train, epochs=1)
            self._note(net)
            if patience and self.waited >= patience:
                break

    def _note(self, net):
        """Add an epoch to the history, and keep the weights of the best one."""
        last, judged = net.history[-1], "train_loss"
        row = {"phase": "train", "train_loss": float(last["train_loss"])}
        if net.setup.valid is not None:
            judged = "valid_loss"
            row[judged] = float(last[judged])
        best = self.best is None or row[judged] < self.best[0]
        self.waited = 0 if best else self.waited + 1
        if best:
            for earlier in self.history:
                earlier["best"] = False
            stops = judged == "valid_loss"
            state = policies.state_without(frozenset(), self.network) if stops else None
            self.best = (row[judged], state)
        rest = {"lr": net.setup.last_lr, "dur": last["dur"], "best": best}
        self.history.append({"epoch": len(self.history) + 1, **row, **rest})
        show_epoch(net.setup.bar, self.history)


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
