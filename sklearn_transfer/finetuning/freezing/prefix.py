"""Frozen prefixes of networks: activations computed once, by the engines of features."""

import warnings
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch

from sklearn_transfer._callbacks import NO_TASK, count_parts
from sklearn_transfer._modalities.payloads import InputFormat
from sklearn_transfer._modalities.readers import Reader
from sklearn_transfer._networks.engines.choice import resolve_engine
from sklearn_transfer._networks.splits import split
from sklearn_transfer._networks.taps import Tap
from sklearn_transfer._networks.text_splits import split_sound, split_text
from sklearn_transfer._store.choice import choose_store
from sklearn_transfer._store.digests import digest, digest_array
from sklearn_transfer.extraction._loop import Extraction, PassOptions, count_threads
from sklearn_transfer.finetuning import _inputs
from sklearn_transfer.finetuning._ragged import ActivationFormat, Activations, Ragged
from sklearn_transfer.finetuning.freezing.policies import EMBEDDING

EMBEDDING_TAP = Tap("embedding", "", "auto", "embedding")
# Rows per batch while predicting from activations.
_PREDICTED = 64


def extract(
    estimator, reader, samples, backbone, tap, row_label=_inputs.label_row, task=NO_TASK
):
    """Activations of a frozen network, float32 (n_samples, n_values).

    Those of samples that differ in length are `KeptArrays` of a vector for each. The pass is a
    subtask of `task`.
    """

    def allocate(shape, dtype):
        folder = _inputs.find_folder(estimator.cache)
        if None in shape:
            return _inputs.KeptArrays(folder, shape[0])
        return _inputs.allocate(shape, dtype, folder)

    store = choose_store(estimator.cache, activations=True)
    with task.open("pass", count_parts(len(samples))) as rows:
        options = PassOptions(
            engine=resolve_engine(estimator.engine, "float32", backbone),
            n_threads=count_threads(estimator.n_jobs),
            row_label=row_label,
            content="activations",
            allocate=allocate,
            task=rows,
        )
        return Extraction(samples, reader, store, backbone, [tap], options).run().output


class FrozenPrefix:
    """A frozen prefix of a network, whose activations are computed only once.

    It ends at a `boundary`. The `split` runs the network from there on; it is None if the
    whole body is frozen.
    """

    def __init__(self, boundary, split, backbone):
        self.boundary, self.split, self.backbone = boundary, split, backbone
        name = boundary.removeprefix("body.")
        self.tap = EMBEDDING_TAP if split is None else Tap("module", name, "raw", name)

    def compute_activations(
        self, estimator, reader, samples, row_label=_inputs.label_row, task=NO_TASK
    ):
        """Activation of each sample, float32 (n_samples, ...), from the store where it is.

        They are `Ragged` inputs where samples differ in length. The pass is a subtask of
        `task`.
        """
        is_ragged = self.split is not None and reader.format.is_ragged
        if is_ragged:  # first, since it refuses sounds that take several passes
            payloads = _inputs.read_payloads(
                samples,
                reader,
                count_threads(estimator.n_jobs),
                _inputs.find_folder(estimator.cache),
                row_label,
                warns=False,  # as the extraction does
            )
        found = extract(estimator, reader, samples, self.backbone, self.tap, row_label, task)
        if self.split is None:
            return found
        if not is_ragged:
            return found.reshape(-1, *self.split.shape)
        activations = Activations(payloads, found, self.split.shape)
        return Ragged(activations, self.find_format(reader.format))

    def find_format(self, format):
        """Format of activations, where that of payloads is given."""
        if self.split is None or not format.is_ragged:
            return InputFormat()
        return ActivationFormat(format)

    def compute_outputs(self, network, activations, kind):
        """Outputs ("logits") or features of the head from activations, in evaluation mode."""
        if self.split is None and network.bottleneck is None and kind == "embedding":
            return activations
        with self._resume(network, network.run, network.finish) as run_rest:

            def compute(batch):
                features, logits = run_rest(batch)
                return logits if kind == "logits" else features

            return self._compute(network, activations, compute)

    def embed(self, network, activations):
        """Embeddings from activations, in evaluation mode."""
        if self.split is None:
            return activations
        with self._resume(network, network.embed) as run_rest:
            return self._compute(network, activations, run_rest)

    def _compute(self, network, activations, function):
        network.eval()
        outputs = []
        if isinstance(activations, Ragged):
            return self._compute_ragged(activations, function)
        with torch.inference_mode():
            for start in range(0, len(activations), _PREDICTED):
                batch = _to_device(activations[start : start + _PREDICTED], self.backbone)
                outputs.append(function(batch).float().cpu())
        return torch.cat(outputs).numpy()

    def _compute_ragged(self, inputs, function):
        outputs, batches = [], inputs.list_batches(_PREDICTED)
        with torch.inference_mode():
            for rows in batches:
                taken = inputs.take(rows, 0).items()
                batch = {name: t.to(self.backbone.device) for name, t in taken}
                outputs.append(function(inputs.format.to_input(batch)).float().cpu())
        return torch.cat(outputs).numpy()[np.argsort(np.concatenate(batches))]

    @contextmanager
    def _resume(self, network, run, finish=None):
        """The rest of `run(inputs)`, as a function of activations.

        It is `finish` where the activations are embeddings. Several threads may ask for the
        rest of a network: they wait for each other.
        """
        if self.split is None:
            yield finish
            return
        with self.split.resume(network) as resumed:
            yield partial(resumed, run)

    def compute_known(self, estimator, samples, row_label):
        """Activations of samples that are to be predicted."""
        reader = estimator._make_reader(self.backbone)
        return self.compute_activations(estimator, reader, samples, row_label)

    def resume_trunk(self, trunk):
        """Context of a function of activations that gives the embeddings of a trunk."""
        return self._resume(trunk, trunk.embed, _return_same)

    @contextmanager
    def enter(self, network):
        """Context in which the network, for training, takes activations and goes on."""
        with self._resume(network, network.run, network.finish) as network.entry:
            try:
                yield
            finally:
                network.entry = None


def find_prefix(boundary, network, backbone, noise):
    """`FrozenPrefix` up to a boundary; None, with a warning, where the network has no split.

    `noise` is network input of three rows, on which the network shows whether anything
    bypasses the boundary.
    """
    if boundary == EMBEDDING:
        return FrozenPrefix(boundary, None, backbone)
    training = network.training
    network.eval()
    divide = split_text if backbone.layout.is_text else split
    if backbone.layout.is_audio and backbone.spec.front_end.format.is_ragged:
        divide = split_sound
    found = divide(network, network.compute_logits, noise, boundary)
    network.train(training)
    if found is None:
        warnings.warn(
            f"{backbone.label} cannot be split after {boundary.removeprefix('body.')!r}, since"
            " something else reaches what follows: every epoch runs the frozen layers too,"
            " which is slower. Freeze up to another layer to avoid this.",
            UserWarning,
            stacklevel=2,
        )
        return None
    return FrozenPrefix(boundary, found, backbone)


def _return_same(embeddings):
    return embeddings


def _to_device(array, backbone):
    batch = torch.from_numpy(array).to(backbone.device)
    if batch.ndim == 4 and not backbone.stateful:
        batch = batch.contiguous(memory_format=torch.channels_last)
    return batch


class PayloadReader(Reader):
    """Payloads that are ready, such as augmented views; a sample is a payload.

    They have the format of the payloads of another reader.
    """

    unit = "view"

    def __init__(self, reader):
        key = reader.key.encode() if isinstance(reader.key, str) else reader.key
        self.format, self.key = reader.format, key + b"payload"
        self.input_source = reader.input_source

    def is_quick(self, sample):
        """True: nothing is decoded."""
        return True

    def known_digest(self, sample):
        """Digest of the values."""
        if len(sample) > 1:
            return digest(sorted(sample.items()))
        # As earlier versions digested them, which knew payloads of one array only.
        [array] = sample.values()
        return digest_array(array)

    def read(self, sample, key=None):
        """Digest and the sample as it is."""
        return key or self.known_digest(sample), sample

    def prepare(self, content, note=None):
        """The sample as it is."""
        return content


class Payloads:
    """Payloads of a collated batch as a sequence of samples."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(next(iter(self.batch.values())))

    def __getitem__(self, row):
        return {name: array[row] for name, array in self.batch.items()}
