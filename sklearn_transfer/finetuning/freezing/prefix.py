"""Frozen prefixes of networks: activations computed once, by the engines of features."""

import warnings
from contextlib import contextmanager
from functools import partial

import torch

from sklearn_transfer._modalities.readers import Reader
from sklearn_transfer._networks.engines.choice import resolve_engine
from sklearn_transfer._networks.splits import Resumption, split
from sklearn_transfer._networks.taps import Tap
from sklearn_transfer._store.choice import choose_store
from sklearn_transfer._store.digests import digest, digest_array
from sklearn_transfer.extraction._loop import Extraction, PassOptions, count_threads
from sklearn_transfer.finetuning import _inputs
from sklearn_transfer.finetuning.freezing.policies import EMBEDDING

EMBEDDING_TAP = Tap("embedding", "", "auto", "embedding")
# Rows per batch while predicting from activations.
_PREDICTED = 64


def extract(estimator, reader, samples, backbone, tap, row_label=_inputs.label_row):
    """Activations of a frozen network, float32 (n_samples, n_values)."""

    def allocate(shape, dtype):
        return _inputs.allocate(shape, dtype, _inputs.find_folder(estimator.cache))

    options = PassOptions(
        engine=resolve_engine(estimator.engine, "float32", backbone),
        n_threads=count_threads(estimator.n_jobs),
        row_label=row_label,
        allocate=allocate,
    )
    store = choose_store(estimator.cache, activations=True)
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

    def compute_activations(self, estimator, reader, samples, row_label=_inputs.label_row):
        """Activation of each sample, float32 (n_samples, ...), from the store where it is."""
        matrix = extract(estimator, reader, samples, self.backbone, self.tap, row_label)
        return matrix if self.split is None else matrix.reshape(-1, *self.split.shape)

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
        with torch.inference_mode():
            for start in range(0, len(activations), _PREDICTED):
                batch = _to_device(activations[start : start + _PREDICTED], self.backbone)
                outputs.append(function(batch).float().cpu())
        return torch.cat(outputs).numpy()

    @contextmanager
    def _resume(self, network, run, finish=None):
        """The rest of `run(inputs)`, as a function of activations.

        It is `finish` where the activations are embeddings. Several threads may ask for the
        rest of a network: they wait for each other.
        """
        if self.split is None:
            yield finish
            return
        with Resumption(network, self.split) as resumed:
            yield partial(resumed, run)

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
    if backbone.layout.is_text:
        return None
    training = network.training
    network.eval()
    found = split(network, network.compute_logits, noise, boundary)
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
