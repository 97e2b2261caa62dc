"""Frozen parts: their activations are computed once, by the engines of features."""

from contextlib import contextmanager
from functools import partial

import torch

from sklearn_transfer._modalities.readers import Reader
from sklearn_transfer._networks.engines.choice import resolve_engine
from sklearn_transfer._networks.splits import Resumption
from sklearn_transfer._networks.taps import Tap
from sklearn_transfer._store.choice import choose_store
from sklearn_transfer._store.digests import array_digest
from sklearn_transfer.extraction._loop import Extraction, PassOptions, count_threads
from sklearn_transfer.finetuning import _inputs

EMBEDDING_TAP = Tap("embedding", "", "auto", "embedding")
# Rows a batch while predicting from activations.
_PREDICTED = 64


def run(estimator, reader, samples, backbone, tap, place=_inputs.row_of):
    """Activations of a frozen network, float32 (n_samples, n_values)."""

    def allocate(shape, dtype):
        return _inputs.allocate(shape, dtype, _inputs.folder_of(estimator.cache))

    options = PassOptions(
        engine=resolve_engine(estimator.engine, "float32", backbone),
        n_threads=count_threads(estimator.n_jobs),
        row_label=place,
        allocate=allocate,
    )
    store = choose_store(estimator.cache, activations=True)
    return Extraction(samples, reader, store, backbone, [tap], options).run().output


class Cut:
    """Where a frozen part ends: activations there are computed once, the rest goes on.

    `split` is None where the frozen part is the whole body.
    """

    def __init__(self, boundary, split, backbone):
        self.boundary, self.split, self.backbone = boundary, split, backbone
        name = boundary.removeprefix("body.")
        self.tap = EMBEDDING_TAP if split is None else Tap("module", name, "raw", name)

    def activations(self, estimator, reader, samples, place=_inputs.row_of):
        """Activation of each sample, float32 (n_samples, ...), from the store where it is."""
        matrix = run(estimator, reader, samples, self.backbone, self.tap, place)
        return matrix if self.split is None else matrix.reshape(-1, *self.split.shape)

    def outputs(self, network, activations, kind):
        """Outputs ("logits") or embeddings from activations, in evaluation mode."""
        if self.split is None and kind == "embedding":
            return activations
        network.eval()
        with torch.inference_mode(), self._rest(network, kind) as rest:
            parts = [
                rest(_placed(activations[i : i + _PREDICTED], self.backbone)).float().cpu()
                for i in range(0, len(activations), _PREDICTED)
            ]
        return torch.cat(parts).numpy()

    @contextmanager
    def _rest(self, network, kind):
        """What comes after the cut, as a function; several threads may ask for it."""
        if self.split is None:
            yield lambda batch: network.head(batch)  # a module would become a part of it
            return
        whole = network.whole if kind == "logits" else network.embed
        with Resumption(network, self.split) as resumed:
            yield partial(resumed, whole)

    @contextmanager
    def entered(self, network):
        """Context in which the network, for training, takes activations and goes on."""
        with self._rest(network, "logits") as network.entry:
            try:
                yield
            finally:
                network.entry = None


def _placed(array, backbone):
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
        self.format, self.key = reader.format, reader.key + b"payload"
        self.input_source = reader.input_source

    def is_quick(self, sample):
        return True

    def known_digest(self, sample):
        [array] = sample.values()  # the digests of before, for payloads of one array
        return array_digest(array)

    def read(self, sample, key=None):
        return key or self.known_digest(sample), sample

    def prepare(self, content, note=None):
        return content


class Payloads:
    """Payloads of a collated batch as a sequence of samples."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(next(iter(self.batch.values())))

    def __getitem__(self, row):
        return {name: array[row] for name, array in self.batch.items()}
