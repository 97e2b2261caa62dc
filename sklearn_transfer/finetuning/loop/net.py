"""Steps of skorch's loop, with weights in the loss, phases, and care for small data."""

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring
from skorch.dataset import unpack_data

from sklearn_transfer._networks.inputs import get_first_tensor
from sklearn_transfer._validation import import_optional
from sklearn_transfer.finetuning._inputs import EvenBatches, Rows, make_loader
from sklearn_transfer.finetuning.freezing.groups import group_parameters
from sklearn_transfer.finetuning.loop.mixing import mix_batch
from sklearn_transfer.finetuning.loop.passes import (
    compute_adaptation,
    has_whole_epoch,
    is_out_of_memory,
    keep_statistics,
    make_array_rows,
    move_targets,
    prepare_input,
    warn_of_memory,
)
from sklearn_transfer.finetuning.loop.state import Feed, TrainingState
from sklearn_transfer.finetuning.objectives.base import Step

_TYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class EpochStop(Exception):  # noqa: N818 - an outcome, as StopIteration is
    """A callback has ended the training after an epoch that is complete."""


class ValidScore(Callback):
    """Records the score of an epoch where callbacks of the user look for it."""

    def on_epoch_end(self, net, **kwargs):
        """Score the outputs on the validation samples, if there are any."""
        feed = net.feed_
        if feed.valid is not None and feed.score is not None:
            net.history.record("valid_score", feed.score(np.concatenate(net.outputs_)))


class Steps:
    """Steps of skorch's loop, on batches that start wherever a phase starts.

    Parameters
    ----------
    setting : Setting
        Network, device and seed.
    options : TrainingOptions
        What the training is asked to do.
    objectives : tuple of Objective, default=()
        Terms of the loss beside the criterion.
    adaptation : Objective, default=None
        A further term, in steps that have a batch of the target domain.
    """

    memory_advice = "Pass a smaller batch_size, freeze more, or use precision='bfloat16'"

    def __init__(self, *args, setting, options, objectives=(), adaptation=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.setting, self.options, self.objectives = setting, options, tuple(objectives)
        n_processes = setting.n_processes
        self.state_ = TrainingState(options.batch_size, options.lr, n_processes=n_processes)
        self.feed_, self.outputs_ = Feed(), []
        enabled = options.precision == "float16"
        self.scaler_ = torch.amp.GradScaler(setting.device.type, enabled=enabled)
        # Asked for once, so that a later optimizer gets the same ones.
        self._parameters = self._list_parameters(self.objectives)
        self.renew_adaptation(adaptation)

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            ("valid_score", ValidScore()),
        ]

    def notify(self, method_name, **cb_kwargs):
        """Call a method of all callbacks.

        Callbacks of skorch end a training by a KeyboardInterrupt at the end of an epoch. It
        becomes an `EpochStop` here, where it is known to come from there. So does a Ctrl-C
        that happens to fall into a callback of the user: the epoch is complete, and is kept.
        """
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as interrupt:
            if method_name == "on_epoch_end" and has_whole_epoch(self.history[-1], self.feed_):
                raise EpochStop from interrupt
            raise

    def get_split_datasets(self, X, y=None, **fit_params):
        """Rows to train on, and those to validate on or None."""
        return X, self.feed_.valid

    def get_dataset(self, X, y=None):
        """Rows as a training has them, or an array of what the network takes."""
        return X if isinstance(X, Rows) else make_array_rows(X, self.feed_.array_name)

    def get_iterator(self, dataset, training=False):
        """Batches of an epoch; in training, each epoch has its own order."""
        setting, batch_size = self.setting, self.state_.batch_size
        if not training:
            return make_loader(dataset, EvenBatches(len(dataset), batch_size))
        share = (setting.n_processes, setting.process_index)
        batches = EvenBatches(len(dataset), batch_size, setting.seed, share)
        batches.epoch = self.state_.begin_pass()
        return make_loader(dataset, batches)

    def renew_options(self, options, objectives):
        """Train with other options and objectives from now on."""
        self.state_.needs_optimizer = self.options.needs_other_optimizer(options)
        self.state_.batch_size = options.batch_size
        self.options, self.objectives = options, tuple(objectives)

    def renew_adaptation(self, adaptation):
        """Adapt by another objective from now on, or by none."""
        self.adaptation = adaptation
        more = [] if adaptation is None else self._list_parameters([adaptation])
        self.own_parameters_ = [*self._parameters, *more]
        self.state_.needs_optimizer = True

    def _list_parameters(self, objectives):
        """Parameters of objectives, which are not those of the network."""
        network = self.setting.network
        return [p for objective in objectives for p in objective.parameters(network)]

    def begin_phase(self, feed, phase, n_rows, *, keeps_optimizer=False):
        """Get ready for the epochs of a phase, with an optimizer for what trains in it.

        It is a new one unless the one at hand serves and `keeps_optimizer`.
        """
        self.feed_ = feed
        self.state_.begin_phase(
            n_rows,
            phase.n_epochs,
            warmup=self.options.warmup,
            share=phase.lr_share,
            is_constant=phase.is_constant,
        )
        if self.state_.needs_optimizer or not keeps_optimizer:
            self.renew_optimizer()
        self.state_.needs_optimizer = False

    def renew_optimizer(self):
        """Make an optimizer over what trains from now on."""
        self.initialize_optimizer()

    def end_training(self):
        """Drop what only the training needs."""
        self.feed_, self.outputs_, self.state_.bar = Feed(), [], None

    def initialize_optimizer(self, triggered_directly=None):
        """Make an optimizer over what trains, with a learning rate for each depth."""
        options = self.options
        groups = group_parameters(
            self.setting.network,
            options.lr,
            options.weight_decay,
            options.layer_decay,
            self.own_parameters_,
        )
        self.optimizer_ = self.optimizer(groups, **self.get_params_for("optimizer"))
        return self

    def _set_training(self, training=True):
        # Walking over all modules at every batch would cost more than a small head does.
        if self.module_.training != training:
            self.module_.train(training)
        self.criterion_.training = training

    def infer(self, x, **fit_params):
        """Outputs of the network for a batch."""
        return self._forward(self._prepare_input(x))[1]

    def _prepare_input(self, payloads):
        """Input of the network on its device, from collated payloads."""
        return prepare_input(payloads, self.setting, self.feed_.format)

    def _forward(self, inputs):
        """Features and outputs of the network."""
        dtype = _TYPES[self.options.precision]
        with torch.autocast(self.setting.device.type, dtype, enabled=dtype is not None):
            features, outputs = self.module_(inputs, with_features=True)
        return features.float(), outputs.float()

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Loss of the criterion alone."""
        return self.criterion_(y_pred, *move_targets(y_true, y_pred.device))

    def train_step_single(self, batch, **fit_params):
        """Gradients of one batch; raises FloatingPointError if the loss is NaN or infinite."""
        Xi, yi = unpack_data(batch)
        self._set_training(True)
        n_rows, progress = len(get_first_tensor(Xi)), self.state_.progress
        self._begin_step(n_rows)
        step = self._make_step(Xi, yi, progress)
        loss = total = self.criterion_.loss(step)
        for objective in self.objectives:
            total = total + objective.loss(step)
        unadapted = total
        if step.target_logits is not None:
            total = total + compute_adaptation(self.adaptation, step, self.state_)
        if not torch.isfinite(total):
            message = self._describe_bad_loss(total.item(), n_rows)
            if torch.isfinite(unadapted):
                message += ", and in X_target: it is finite without the term of adapt"
            raise FloatingPointError(message)
        self._backward(total)
        return {"loss": loss, "y_pred": step.logits}

    def _begin_step(self, n_rows):
        factor = self.state_.advance(n_rows)
        for group in self.optimizer_.param_groups:
            group["lr"] = factor * group["base_lr"]
        self.state_.last_lr = factor * self.options.lr

    def _make_step(self, batch, targets, progress):
        """`Step` of a batch: mixed where that is asked for, after its forward pass."""
        seed = (self.setting.seed, self.state_.n_passes, self.state_.step)
        inputs, mixture = mix_batch(self._prepare_input(batch), self.options, seed)
        is_single = len(get_first_tensor(batch)) == 1
        features, logits = self._forward_training(inputs, is_single)
        encoded, weights = move_targets(targets, logits.device)
        target_features, target_logits = self._forward_target()
        return Step(
            features=features,
            logits=logits,
            encoded=encoded,
            weights=weights,
            progress=progress,
            mixture=mixture,
            target_features=target_features,
            target_logits=target_logits,
        )

    def _forward_target(self):
        """Features and outputs of a batch of the target domain, in a pass of its own."""
        target = self.feed_.target
        if target is None or self.adaptation is None:
            return None, None
        batch = next(target)
        is_single = target.is_single or len(get_first_tensor(batch)) == 1
        return self._forward_training(self._prepare_input(batch), is_single)

    def _forward_training(self, inputs, is_single):
        with keep_statistics(self.setting.network, is_single):
            return self._forward(inputs)

    def _describe_bad_loss(self, loss, n_rows):
        return (
            f"The loss is {loss} in epoch {self.state_.epoch} with lr={self.options.lr:g}"
            f" (batch of {n_rows}); use a smaller lr, a longer warmup, or look for extreme"
            " values in X and sample_weight"
        )

    def _backward(self, loss):
        self.scaler_.scale(loss).backward()

    def _step_optimizer(self, step_fn):
        step_fn()
        self.scaler_.step(self.optimizer_)
        self.scaler_.update()

    def validation_step(self, batch, **fit_params):
        """Loss and outputs without training; the outputs are kept for the score."""
        step = super().validation_step(batch)
        self.outputs_.append(step["y_pred"].cpu().numpy())
        return step

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run an epoch; if memory does not suffice, start again with half the batch size."""
        self.outputs_ = []
        try:
            super().run_single_epoch(iterator, training, prefix, step_fn)
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not self.state_.halve():
                raise
        self._zero_grad_optimizer()
        if self.setting.device.type == "cuda":
            torch.cuda.empty_cache()
        self.history[-1]["batches"] = []
        warn_of_memory(self.state_.batch_size, self.memory_advice)
        dataset = iterator.dataset
        self.run_single_epoch(self.get_iterator(dataset, training), training, prefix, step_fn)


class TrainingNet(Steps, NeuralNet):
    """Net of skorch that trains in one process."""


def make_accelerated(arguments):
    """Class of a net that trains in several processes, and its accelerator.

    Each process sees a share of the batches of an epoch, and validates on all rows. The
    batches are dealt out here, since accelerate cannot prepare a loader of whole batches.
    """
    accelerate = import_optional("accelerate", "distributed", "accelerator")
    from skorch.hf import AccelerateMixin

    class AcceleratedNet(Steps, AccelerateMixin, NeuralNet):
        """Net of skorch whose steps accelerate takes in every process."""

        def renew_optimizer(self):
            self._unwrap_accelerator()
            self.initialize_optimizer()
            self._initialize_accelerator()

        def _backward(self, loss):
            self.accelerator.backward(loss)

        def _step_optimizer(self, step_fn):
            step_fn()
            # Parameters of the network are averaged by accelerate, since it knows of them.
            for parameter in self.own_parameters_:
                if parameter.grad is not None:
                    parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
            self.optimizer_.step()

    return AcceleratedNet, accelerate.Accelerator(**arguments)
