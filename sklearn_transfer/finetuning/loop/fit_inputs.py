"""Inputs of the network for the samples of a fit, each of which is read once."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from sklearn_transfer._callbacks import NO_TASK
from sklearn_transfer._networks.engines.plan import Plan, to_tensors
from sklearn_transfer.extraction._loop import count_threads
from sklearn_transfer.finetuning import _inputs
from sklearn_transfer.finetuning._ragged import Ragged, RaggedViews
from sklearn_transfer.finetuning.freezing.prefix import (
    EMBEDDING_TAP,
    PayloadReader,
    Payloads,
    extract,
)
from sklearn_transfer.finetuning.loop.target import TargetBatches

# Rows whose activations are copied at once while their embeddings are computed.
_ROWS_AT_ONCE = 512


class BaseFitInputs(ABC):
    """Inputs of the samples of a fit, for one network or for those of several columns.

    Passes through networks are subtasks of `task`.
    """

    task = NO_TASK

    def attach(self, task):
        """Have passes from now on be subtasks of a task."""
        self.task = task

    @abstractmethod
    def make_training_inputs(self, part, prefix):
        """Inputs of the rows of a part, from the frozen prefix where there is one."""

    @abstractmethod
    def make_fixed_inputs(self, part, prefix):
        """Inputs that are the same in all epochs."""

    @abstractmethod
    def embed(self, part, inputs, network, prefix):
        """Embeddings of the rows of a part, whose inputs are given, in evaluation mode."""

    def embed_fixed(self, part, network, prefix):
        """Embeddings of the rows of a part without augmentation."""
        inputs = None if prefix is None else self.make_fixed_inputs(part, prefix)
        return self.embed(part, inputs, network, prefix)

    def draw_target_batches(self, prefix, net):
        """`TargetBatches` for a net; None where it is not adapted to a target domain.

        Each process draws its own, and each call of `partial_fit` goes on with others.
        """
        if self.parts.target is None or net.adaptation is None:
            return None
        inputs = self.make_training_inputs(self.parts.target, prefix)
        seed = (self.seed, net.setting.process_index, net.state_.n_passes)
        return TargetBatches(inputs, net.state_, seed)


class FitInputs(BaseFitInputs):
    """Payloads, views and activations of the samples of a fit.

    Parameters
    ----------
    estimator : estimator
        Its parameters say how samples are read, augmented and cached.
    backbone : Backbone
        The network that they are for.
    parts : Parts
        The samples.
    seed : int
        Of augmentation, and of the order of target rows.
    """

    def __init__(self, estimator, backbone, parts, seed):
        self.estimator, self.backbone, self.parts, self.seed = estimator, backbone, parts, seed
        self.reader = estimator._make_reader(backbone)
        self.augmentation = estimator._make_augmentation(backbone)
        self.n_threads = count_threads(estimator.n_jobs)
        self.signature, self._images, self._views = None, {}, {}

    @property
    def format(self):
        """What payloads hold."""
        return self.reader.format

    @property
    def input_source(self):
        """Where the shape of the network's input comes from, for messages."""
        return self.reader.input_source

    @property
    def array_name(self):
        """Name of the first array of a payload, known once samples were read."""
        return self.signature[0][0]

    @property
    def may_reuse(self):
        """Whether a row has the same activations in all epochs, so that they can be kept."""
        estimator = self.estimator
        changing = self.augmentation is not None and estimator.n_views is None
        return not (estimator.cache is None or changing or estimator.mixup or estimator.cutmix)

    def read(self):
        """Read every sample that no later step reads before the training begins."""
        train = self.parts.train
        if self.augmentation is not None:
            self._read_images(train)
        self.signature = self.reader.find_signature(train.samples)
        if self.signature is None:  # no sample can be read: the error of the first is raised
            self._load_payloads(train)
        if self.reader.format.is_ragged and (self.estimator.mixup or self.estimator.cutmix):
            raise ValueError(
                f"mixup={self.estimator.mixup:g} and cutmix={self.estimator.cutmix:g} mix"
                f" numbers of two samples, but a {self.reader.unit} has any number of them:"
                " set both to 0"
            )
        shape = self.reader.format.input_shape(self.signature)
        if self.estimator.cutmix and len(shape) < 2:
            raise ValueError(
                f"cutmix={self.estimator.cutmix:g} exchanges rectangles of images, and a row"
                f" of X has shape {shape}: use mixup for tables"
            )

    def make_noise(self, n_rows):
        """Network input of random payloads, on which the network shows its structure."""
        plan = Plan(self.backbone, [], self.reader.format, "float32", self.signature)
        noise = plan.to_input(to_tensors(plan.example(n_rows), self.backbone.device))
        if isinstance(noise, Mapping) and (self.estimator.mixup or self.estimator.cutmix):
            raise ValueError(
                f"mixup={self.estimator.mixup:g} and cutmix={self.estimator.cutmix:g} mix"
                f" numbers of one array, and {self.backbone.label} takes"
                f" {', '.join(map(repr, noise))}: set both to 0"
            )
        return noise

    def make_training_inputs(self, part, prefix):
        """Inputs of the rows of a part, from the frozen prefix where there is one.

        With augmentation they are views, of target rows too: objectives would otherwise see
        what it does as a difference between the domains.
        """
        if self.augmentation is None:
            return self.make_fixed_inputs(part, prefix)
        images = self._read_images(part)
        views = _inputs.Augmented(
            images,
            self.augmentation,
            self.seed,
            self.n_threads,
            self.reader.format,
            part.label_row,
        )
        if self.estimator.n_views is None:
            return views
        return self._make_fixed_views(part, views, prefix)

    def _read_images(self, part):
        """Pictures of a part, which are read once."""
        if part not in self._images:
            folder = _inputs.find_folder(self.estimator.cache)
            self._images[part] = _inputs.read_images(
                part.samples, self.reader, self.n_threads, folder, part.label_row
            )
        return self._images[part]

    def make_fixed_inputs(self, part, prefix):
        """Inputs that are the same in all epochs: payloads, or activations of the prefix."""
        if prefix is None:
            payloads = self._load_payloads(part)
            if self.reader.format.is_ragged:
                return Ragged(payloads, self.reader.format)
            return _inputs.Fixed(payloads)
        activations = self.compute_activations(part, prefix)
        if isinstance(activations, Ragged):
            return activations
        return _inputs.Fixed({"input": activations})

    def compute_activations(self, part, prefix):
        """Activations of the samples of a part at the end of a frozen prefix."""
        return prefix.compute_activations(
            self.estimator, self.reader, part.samples, part.label_row, self.task
        )

    def embed(self, part, inputs, network, prefix):
        """Embeddings of the rows of a part, whose inputs are given, in evaluation mode.

        The network is the one that the backbone gave, before any training.
        """
        if prefix is None:
            return extract(
                self.estimator,
                self.reader,
                part.samples,
                self.backbone,
                EMBEDDING_TAP,
                part.label_row,
                self.task,
            )
        if isinstance(inputs, RaggedViews):
            inputs = inputs.get_first()
        if isinstance(inputs, Ragged):
            return prefix.embed(network, inputs)
        chunks = np.array_split(np.arange(len(part)), -(-len(part) // _ROWS_AT_ONCE))
        activations = (inputs.take(rows, 0)["input"].numpy() for rows in chunks)
        return np.concatenate([prefix.embed(network, array) for array in activations])

    def _load_payloads(self, part):
        """Payloads of a part, as `read_payloads` gives them."""
        if part.payloads is None:
            if isinstance(part.samples, np.ndarray) and self.reader.unit == "row":
                part.payloads = {"input": np.ascontiguousarray(part.samples)}
            else:
                folder = _inputs.find_folder(self.estimator.cache)
                part.payloads = _inputs.read_payloads(
                    part.samples, self.reader, self.n_threads, folder, part.label_row
                )
        return part.payloads

    def _make_fixed_views(self, part, views, prefix):
        """Views that are made once, or their activations at the end of the prefix."""
        n_views, n_rows = self.estimator.n_views, len(views)
        if part not in self._views:
            folder = _inputs.find_folder(self.estimator.cache)
            self._views[part] = _inputs.make_once(views, n_views, self.n_threads, folder)
        arrays = self._views[part]
        if self.reader.format.is_ragged:
            return self._make_ragged_views(arrays, prefix)
        if prefix is not None:
            reader, payloads = PayloadReader(self.reader), Payloads(arrays)
            activations = prefix.compute_activations(
                self.estimator, reader, payloads, task=self.task
            )
            arrays = {"input": activations}
        return _inputs.Views(
            {name: a.reshape(n_views, n_rows, *a.shape[1:]) for name, a in arrays.items()}
        )

    def _make_ragged_views(self, payloads, prefix):
        """The same for payloads that differ in length."""
        n_views = self.estimator.n_views
        if prefix is None:
            return RaggedViews(Ragged(payloads, self.reader.format), n_views)
        reader = PayloadReader(self.reader)
        inputs = prefix.compute_activations(self.estimator, reader, payloads, task=self.task)
        if isinstance(inputs, Ragged):
            return RaggedViews(inputs, n_views)
        return _inputs.Views({"input": inputs.reshape(n_views, -1, *inputs.shape[1:])})
