"""Frozen parts: their activations are computed once, by the engines of features."""

import os
from contextlib import contextmanager
from functools import partial

import torch

from sklearn_transfer._modalities.readers import Reader
from sklearn_transfer._networks.engines import resolve_engine
from sklearn_transfer._networks.splits import Resumption
from sklearn_transfer._networks.taps import Tap
from sklearn_transfer._process.threads import in_child_of_fork
from sklearn_transfer._store import memory
from sklearn_transfer._store.digests import array_digest
from sklearn_transfer._store.disk import disk_store
from sklearn_transfer.extraction._base import checked_folder
from sklearn_transfer.extraction._loop import Extraction
from sklearn_transfer.finetuning import _inputs

EMBEDDING_TAP = Tap("embedding", "", "auto", "embedding")
# Rows a batch while predicting from activations.
_PREDICTED = 64
_LIMIT_VARIABLE = "SKLEARN_TRANSFER_ACTIVATION_BYTES"
_store = None


@in_child_of_fork
def _after_fork_in_child():
    if _store is not None:
        _store.forget_process()


class _ActivationStore(memory.MemoryStore):
    """Activations at frozen boundaries, for later fits of the process."""

    def fits(self, n_vectors, n_bytes):
        return True  # what does not fit is computed once a fit


def activation_store(cache):
    """Store for a value of the parameter `cache`; apart from that of embeddings."""
    global _store
    if cache is None:
        return memory.NullStore()
    if cache != "memory":
        return disk_store(os.path.join(checked_folder(cache), "activations"))
    if _store is None:
        _store = _ActivationStore(memory.limit(_LIMIT_VARIABLE))
    return _store


class Passes:
    """What an `Extraction` asks of its estimator, for passes of a fine-tuner."""

    on_error, verbose, batch_size, precision = "raise", False, "auto", "float32"
    _advice = ""

    def __init__(self, estimator, reader, store, engine, place=_inputs.row_of):
        self.reader, self.store, self.engine, self._place = reader, store, engine, place
        self.n_jobs = estimator.n_jobs

    def _make_reader(self, backbone):
        return self.reader

    def _store(self):
        return self.store

    def _engine_name(self, backbone):
        return resolve_engine(self.engine, self.precision, backbone)


def run(estimator, reader, samples, backbone, tap, place=_inputs.row_of):
    """Activations of a frozen network, float32 (n_samples, n_values)."""
    store = activation_store(estimator.cache)
    passes = Passes(estimator, reader, store, estimator.engine, place)

    def allocate(shape, dtype):
        return _inputs.allocate(shape, dtype, _inputs.folder_of(estimator.cache))

    return Extraction(passes, samples, backbone, [tap], True, allocate).run().output


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
    """Network input that is ready, such as augmented views."""

    unit = "view"

    def __init__(self, reader):
        self.scaling, self.key = reader.scaling, reader.key + b"payload"
        self.shape_source = reader.shape_source

    def is_quick(self, sample):
        return True

    def known_digest(self, sample):
        return array_digest(sample)

    def read(self, sample, key=None):
        return key or self.known_digest(sample), sample

    def prepare(self, content, note=None):
        return content
