"""The loop of skorch, with weights in the loss, phases and what small data need."""

import math
import warnings
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from skorch.dataset import unpack_data

from sklearn_transfer._modalities.payloads import InputFormat
from sklearn_transfer._networks.inputs import get_first_tensor, map_tensors
from sklearn_transfer._validation import import_optional
from sklearn_transfer.finetuning._inputs import EvenBatches, Fixed, Rows, loader
from sklearn_transfer.finetuning.freezing.policies import parameter_groups
from sklearn_transfer.finetuning.objectives.supervised import row_losses

_TYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class WeightedLoss:
    """Mean over a batch of weight times loss, where weights have mean 1 over all rows."""

    def __init__(self, targets, factors, label_smoothing, loss):
        self.targets, self.factors = targets, factors
        self.label_smoothing, self.loss = label_smoothing, loss
        self.training = True

    def __call__(self, output, encoded, weights):
        smoothing = self.label_smoothing if self.training else 0.0
        options = {"label_smoothing": smoothing, "factors": self.factors, "loss": self.loss}
        losses = row_losses(output, encoded, self.targets, **options)
        return (weights * losses).mean()


class ValidScore(Callback):
    """Records the score of an epoch where callbacks of the user's look for it."""

    def on_epoch_end(self, net, **kwargs):
        """Score the outputs on the validation samples, if there are any."""
        setup = net.setup
        if setup.valid is not None and setup.score is not None:
            net.history.record("valid_score", setup.score(np.concatenate(setup.outputs)))


class _Steps:
    """Steps of skorch's loop, on batches that are ready from whatever boundary a phase has.

    `setup` is a `Setup`, which the phases change; the module is a `Network`.
    """

    memory_advice = "Pass a smaller batch_size, freeze more, or use precision='bfloat16'"

    def __init__(self, *args, setup, **kwargs):
        super().__init__(*args, **kwargs)
        self.setup = setup

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            ("valid_score", ValidScore()),
        ]

    def get_split_datasets(self, X, y=None, **fit_params):
        return X, self.setup.valid

    def get_dataset(self, X, y=None):
        """Rows of network input: as a training has them, or an array of it."""
        if isinstance(X, Rows):
            return X
        return Rows(Fixed({"input": np.asarray(X)}), (), np.ones(len(X)))

    def get_iterator(self, dataset, training=False):
        return loader(dataset, self.setup.sampler(dataset, training))

    def begin_phase(self):
        """Optimiser over what trains from now on."""
        self.initialize_optimizer()

    def initialize_optimizer(self, triggered_directly=None):
        """Optimiser over what trains, with a learning rate for each depth."""
        setup = self.setup
        groups = parameter_groups(
            setup.network, setup.lr, setup.weight_decay, setup.layer_decay
        )
        options = self.get_params_for("optimizer")
        self.optimizer_ = self.optimizer(groups, **options)
        return self

    def _set_training(self, training=True):
        # Walking over all modules at every batch would cost more than a small head does.
        if self.module_.training != training:
            self.module_.train(training)
        self.criterion_.training = training

    def infer(self, x, **fit_params):
        setup = self.setup
        dtype = _TYPES[setup.precision]
        batch = {name: t.to(setup.device, non_blocking=True) for name, t in x.items()}
        x = map_tensors(self._order_axes, setup.format.to_input(batch))
        if setup.mix is not None:
            x = setup.mix.inputs(x)
        with torch.autocast(setup.device.type, dtype, enabled=dtype is not None):
            return self.module_(x).float()

    def _order_axes(self, x):
        """Tensor in the order of memory that suits the network."""
        if x.ndim != 4:
            return x
        # A user's own code may ask for `view`.
        is_last = self.setup.channels_last
        order = torch.channels_last if is_last else torch.contiguous_format
        return x.contiguous(memory_format=order)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        encoded, weights = y_true
        device = y_pred.device
        encoded = tuple(part.to(device) for part in encoded)
        weights = weights.to(device)
        if self.setup.mix is None:
            return self.criterion_(y_pred, encoded, weights)
        return self.setup.mix.loss(self.criterion_, y_pred, encoded, weights)

    def train_step_single(self, batch, **fit_params):
        """Gradients of one batch; raises FloatingPointError where the loss is no number."""
        setup = self.setup
        Xi, yi = unpack_data(batch)
        self._set_training(True)
        n_rows = len(get_first_tensor(Xi))
        setup.begin_step(self.optimizer_, n_rows)
        with setup.mixing(n_rows), _statistics_kept(setup.network, n_rows):
            y_pred = self.infer(Xi)
            loss = self.get_loss(y_pred, yi, training=True)
        total = loss if setup.pull is None else loss + setup.pull()
        if not torch.isfinite(total):
            raise FloatingPointError(
                f"the loss is {total.item()} in epoch {setup.epoch} with lr={setup.lr:g}"
                f" (batch of {n_rows}); use a smaller lr, a longer warmup, or look for"
                " extreme values in X and sample_weight"
            )
        self._backward(total)
        return {"loss": loss, "y_pred": y_pred}

    def _backward(self, loss):
        self.setup.scaler.scale(loss).backward()

    def _step_optimizer(self, step_fn):
        step_fn()
        self.setup.scaler.step(self.optimizer_)
        self.setup.scaler.update()

    def validation_step(self, batch, **fit_params):
        """Loss and outputs without training; the outputs are kept for the score."""
        step = super().validation_step(batch)
        self.setup.outputs.append(step["y_pred"].cpu().numpy())
        return step

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """An epoch, begun anew with half of the batch size if memory does not suffice."""
        self.setup.outputs = []
        try:
            super().run_single_epoch(iterator, training, prefix, step_fn)
            return
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error) or not self.setup.halve():
                raise
        self._zero_grad_optimizer()
        if self.setup.device.type == "cuda":
            torch.cuda.empty_cache()
        self.history[-1]["batches"] = []
        warnings.warn(
            f"memory did not suffice; batch_size is now {self.setup.batch_size}, and the epoch"
            f" began anew. {self.memory_advice}",
            UserWarning,
            stacklevel=2,
        )
        dataset = iterator.dataset
        self.run_single_epoch(self.get_iterator(dataset, training), training, prefix, step_fn)


class TrainingNet(_Steps, NeuralNet):
    """Net of skorch that trains in one process."""


def accelerated(arguments):
    """Class of a net that trains in several processes, and its arguments.

    Each process sees a share of the batches of an epoch, and validates on all rows. The
    batches are dealt out here, since accelerate cannot prepare a loader of whole batches.
    """
    accelerate = import_optional("accelerate", "distributed", "accelerator")
    from skorch.hf import AccelerateMixin

    class AcceleratedNet(_Steps, AccelerateMixin, NeuralNet):
        """Net of skorch whose steps accelerate takes in every process."""

        def begin_phase(self):
            self._unwrap_accelerator()
            self.initialize_optimizer()
            self._initialize_accelerator()

        def _backward(self, loss):
            self.accelerator.backward(loss)

        def _step_optimizer(self, step_fn):
            step_fn()
            self.optimizer_.step()

    return AcceleratedNet, accelerate.Accelerator(**arguments)


def _is_out_of_memory(error):
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


@contextmanager
def _statistics_kept(network, n_rows):
    """For a batch of one, normalise by running statistics, since one row has no spread."""
    norms = [m for m in network.norms().values() if m.training] if n_rows == 1 else []
    for module in norms:
        module.eval()
    try:
        yield
    finally:
        for module in norms:
            module.train()


class Setup:
    """State of a training that its phases change and the loop looks at.

    `start` are the parameters that `l2_sp` pulls to, where the network has moved already.
    """

    def __init__(self, network, device, seed, options, start=None):
        self.network, self.device, self.seed = network, device, seed
        vars(self).update(options)
        self.start = start
        self._pull_to_start()
        enabled = self.precision == "float16"
        self.scaler = torch.amp.GradScaler(device.type, enabled=enabled)
        self.constant, self.channels_last, self.halved = False, True, False
        self.renewed, self.factors = False, ()
        self.share = (1, 0)  # processes, and the index of this one
        self.format, self.mix, self.last_lr = InputFormat(), None, self.lr
        self.epoch, self.step, self.n_steps, self.passes = 0, 0, 0, 0
        self.forget()

    def _pull_to_start(self):
        if self.l2_sp:
            start = parameters(self.network) if self.start is None else self.start
            self.start = {name: tensor.to(self.device) for name, tensor in start.items()}
        self.pull = _pull(self.network, self.l2_sp, self.start)

    def refresh(self, estimator):
        """Take parameters that were set since; a new optimiser begins where it has to."""
        before = self.lr, self.weight_decay, self.layer_decay
        for name in ("batch_size", "lr", "weight_decay", "layer_decay", "mixup", "cutmix"):
            setattr(self, name, getattr(estimator, name))
        self.renewed = before != (self.lr, self.weight_decay, self.layer_decay)
        if estimator.l2_sp != self.l2_sp:
            self.l2_sp = estimator.l2_sp
            self._pull_to_start()

    def forget(self):
        """Let go of what only the training needs."""
        self.valid, self.score, self.outputs, self.bar = None, None, [], None
        self.format = InputFormat()

    def begin_phase(self, n_rows, phase):
        """Start the learning rate's course over the epochs of a phase."""
        self.n_rows, self.n_epochs, self.lr_share = n_rows, phase.n_epochs, phase.lr_share
        self.step, self.first_step, self.n_steps = 0, 0, self._count_steps()

    def _count_steps(self):
        batches = EvenBatches(self.n_rows, self.batch_size, share=self.share)
        return self.n_epochs * len(batches)

    def sampler(self, dataset, training):
        if not training:
            return EvenBatches(len(dataset), self.batch_size)
        batches = EvenBatches(len(dataset), self.batch_size, self.seed, self.share)
        batches.epoch = self.passes
        self.passes += 1
        self.first_step = self.step
        return batches

    def halve(self):
        """Whether the batch could be halved, which happens once."""
        if self.halved or self.batch_size < 2:
            return False
        before = self.n_steps
        self.halved, self.batch_size = True, self.batch_size // 2
        self.n_steps = self._count_steps()
        # The epoch begins anew, at the same place of the learning rate's course.
        self.step = self.first_step * self.n_steps // max(before, 1)
        return True

    def begin_step(self, optimizer, n_rows):
        factor = self.lr_share * self.factor()
        for group in optimizer.param_groups:
            group["lr"] = factor * group["base_lr"]
        self.last_lr = factor * self.lr
        self.step += 1
        if self.bar is not None:
            self.bar.update(n_rows)

    def factor(self):
        """Share of the learning rate at this step: linear warm-up, then half a cosine."""
        if self.constant:
            return 1.0
        n_warm = self.warmup * self.n_steps
        if self.step < n_warm:
            return (self.step + 1) / (n_warm + 1)
        progress = (self.step - n_warm) / max(self.n_steps - n_warm, 1)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def mixing(self, n_rows):
        if not (self.mixup or self.cutmix) or n_rows < 2:
            return nullcontext()
        rng = np.random.default_rng((self.seed, self.passes, self.step))
        return _Mixing(self, rng, n_rows)


class _Mixing:
    """Context in which a batch is mixed with itself in another order.

    Mixup [Zhang 2018] blends images, cutmix [Yun 2019] pastes a rectangle; where both are
    wanted, each batch gets one of them by chance.
    """

    def __init__(self, setup, rng, n_rows):
        self.setup, self.rng = setup, rng
        self.partner = torch.from_numpy(rng.permutation(n_rows))
        both = setup.mixup and setup.cutmix
        self.cuts = bool(setup.cutmix) and (not both or rng.random() < 0.5)
        alpha = setup.cutmix if self.cuts else setup.mixup
        self.share = float(rng.beta(alpha, alpha))

    def __enter__(self):
        self.setup.mix = self
        return self

    def __exit__(self, *error):
        self.setup.mix = None

    def inputs(self, x):
        partner = self.partner.to(x.device)
        if not self.cuts:
            return self.share * x + (1 - self.share) * x[partner]
        top, bottom, left, right = self._box(*x.shape[-2:])
        x = x.clone()
        x[..., top:bottom, left:right] = x[partner][..., top:bottom, left:right]
        cut = (bottom - top) * (right - left) / (x.shape[-2] * x.shape[-1])
        self.share = 1 - cut
        return x

    def _box(self, height, width):
        ratio = math.sqrt(1 - self.share)
        edges = []
        for length in (height, width):
            centre, half = self.rng.integers(length), int(length * ratio) // 2
            edges += [max(centre - half, 0), min(centre + half, length)]
        return edges

    def loss(self, criterion, output, encoded, weights):
        partner = self.partner.to(output.device)
        other = tuple(part[partner] for part in encoded)
        own = criterion(output, encoded, weights)
        return self.share * own + (1 - self.share) * criterion(output, other, weights[partner])


def parameters(network):
    """Copies of what the body holds."""
    return {name: p.detach().clone() for name, p in network.body.named_parameters()}


def _pull(network, strength, start):
    """Half of strength times the squared distance of the body from its start [Li 2018]."""
    if not strength:
        return None

    def penalty():
        moving = [(p, start[n]) for n, p in network.body.named_parameters() if p.requires_grad]
        return 0.5 * strength * sum(((p - origin) ** 2).sum() for p, origin in moving)

    return penalty
