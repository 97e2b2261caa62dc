"""Inputs of an epoch: rows kept in memory or in a file, and batches of them."""

import math
import os
import tempfile
import weakref
from collections import deque
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sklearn_transfer._modalities.contents import BadSampleError, describe_sample
from sklearn_transfer._modalities.payloads import Stream, Windows
from sklearn_transfer._modalities.remarks import Remarks
from sklearn_transfer._process.threads import Threads
from sklearn_transfer._store.base import read_limit
from sklearn_transfer._store.choice import resolve_folder

_LIMIT_VARIABLE = "SKLEARN_TRANSFER_TRAINING_BYTES"
_DEFAULT_LIMIT = 2 << 30


def label_row(row):
    """What messages call a sample."""
    return f"row {row}"


def find_folder(cache):
    """Folder for temporary files, where `cache` names one."""
    if cache in (None, "memory"):
        return None
    folder = resolve_folder(cache)
    os.makedirs(folder, exist_ok=True)
    return folder


def allocate(shape, dtype, folder=None):
    """Array in memory or, above a limit, in a temporary file in `folder` that ends with it."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes <= read_limit(_LIMIT_VARIABLE, _DEFAULT_LIMIT):
        return np.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype=dtype, shape=shape, mode="w+")


def read_payloads(samples, reader, n_threads, folder, row_label=label_row, warns=True):
    """Payloads of samples: collated, or a list of them where they differ in length.

    `warns` says whether remarks about samples become warnings.

    Raises ValueError that names the row of a sample that cannot be read.
    """
    remarks = Remarks()

    def read(row):
        def prepare(sample):
            content, note = reader.read(sample)[1], partial(remarks.add, row)
            reader.add_remarks(content, note)
            return refuse_windows(reader.prepare(content, note), reader)

        return _call_guarded(prepare, samples[row], row_label(row))

    def finish(row, prepared):
        return _call_guarded(lambda _: reader.finish(prepared), samples[row], row_label(row))

    output = None
    with Threads(n_threads) as pool:
        for row, prepared in enumerate(_run_ahead(pool, read, len(samples), n_threads)):
            payload = finish(row, prepared)
            signature = reader.format.compute_signature(payload)
            if output is None:
                first = signature
                output = _make_output(reader.format, signature, len(samples), folder)
            if signature != first:
                raise ValueError(
                    reader.describe_mismatch(first, row_label(0), signature, row_label(row))
                )
            if reader.format.is_ragged:
                output.append(payload)
                continue
            for name, array in payload.items():
                output[name][row] = array
    if warns:
        remarks.warn(len(samples), row_label, reader)
    return output


def refuse_windows(prepared, reader):
    """Return what was prepared; raises BadSampleError if it is windows of a longer sample."""
    if isinstance(prepared, (Stream, Windows)):
        raise BadSampleError(
            f"takes several passes through the network, but the loss needs one of each"
            f" {reader.unit}; cut it into parts with a label each, or use freeze='all', which"
            " trains on the mean over windows"
        )
    return prepared


def _make_output(format, signature, n_rows, folder):
    """What payloads of a signature are put into."""
    return [] if format.is_ragged else allocate_batch(signature, n_rows, folder)


def allocate_batch(signature, n_rows, folder=None):
    """Arrays for collated payloads of a signature."""
    return {
        name: allocate((n_rows, *shape), np.dtype(dtype), folder)
        for name, shape, dtype in signature
    }


def _run_ahead(pool, function, n, n_threads):
    """Results of a function of 0, 1, ..., n - 1 in order; a few are computed ahead."""
    running = deque()
    for row in range(n):
        running.append(pool.submit(function, row))
        if len(running) > 2 * n_threads:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def read_images(samples, reader, n_threads, folder, row_label=label_row):
    """Upright pictures of samples, no larger than twice what the network sees."""
    remarks = Remarks()

    def read(row):
        def read_picture(sample):
            return reader.prepare_original(reader.read(sample)[1], partial(remarks.add, row))

        return _call_guarded(read_picture, samples[row], row_label(row))

    images = KeptArrays(folder)
    with Threads(n_threads) as pool:
        for image in _run_ahead(pool, read, len(samples), n_threads):
            images.append(image)
    remarks.warn(len(samples), row_label, reader)
    return images


def _call_guarded(function, sample, row_label):
    """Call a function with a sample; an error names the row and the reason."""
    try:
        return function(sample)
    except BadSampleError as error:
        raise ValueError(
            f"{row_label} ({describe_sample(sample)}): {error}. Repair or drop it."
        ) from error
    except Exception as error:
        error.add_note(f"while preparing {row_label} ({describe_sample(sample)})")
        raise


class KeptArrays:
    """Arrays of any size, in memory or, above a limit, in a file that is deleted with them.

    `n_rows` of them are known beforehand, and are assigned in any order.
    """

    def __init__(self, folder, n_rows=0):
        self.folder, self.arrays, self.n_bytes = folder, [None] * n_rows, 0
        self.limit = read_limit(_LIMIT_VARIABLE, _DEFAULT_LIMIT)
        self.file, self.offset = None, 0

    def __len__(self):
        return len(self.arrays)

    def append(self, array):
        self.arrays.append(self._keep(array))

    def __setitem__(self, row, array):
        self.arrays[row] = self._keep(array)

    def _keep(self, array):
        """The array, or where in the file it is."""
        self.n_bytes += array.nbytes
        if self.n_bytes <= self.limit:
            return array
        if self.file is None:
            self.file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - kept open
            weakref.finalize(self, self.file.close)
        self.file.write(np.ascontiguousarray(array))
        self.file.flush()
        place = (self.offset, array.shape, array.dtype)
        self.offset += array.nbytes
        return place

    def __getitem__(self, row):
        array = self.arrays[row]
        if isinstance(array, np.ndarray):
            return array
        offset, shape, dtype = array
        return np.memmap(self.file, dtype, "r", offset, shape)


class Fixed:
    """The same payload of a row in every epoch; `batch` is collated."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(next(iter(self.batch.values())))

    def take(self, rows, epoch):
        return {name: torch.from_numpy(array[rows]) for name, array in self.batch.items()}


class Views:
    """One of a few payloads of a row in each epoch, in turn.

    `views` are arrays (n_views, n_rows, ...) by name.
    """

    def __init__(self, views):
        self.views = views

    def __len__(self):
        return next(iter(self.views.values())).shape[1]

    def take(self, rows, epoch):
        return {
            name: torch.from_numpy(array[epoch % len(array)][rows])
            for name, array in self.views.items()
        }


class Augmented:
    """A new view of each image in every epoch, a function of the seed, epoch and row."""

    def __init__(self, images, augmentation, seed, n_threads, format, row_label=label_row):
        self.images, self.augmentation, self.seed = images, augmentation, seed
        self.n_threads, self.format, self.row_label = n_threads, format, row_label

    def __len__(self):
        return len(self.images)

    def take(self, rows, epoch):
        def view(row):
            return self.view(int(row), epoch)

        with Threads(self.n_threads) as pool:
            batch = self.format.collate(list(pool.map(view, rows)))
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def view(self, row, epoch):
        try:
            return self.augmentation(np.asarray(self.images[row]), (self.seed, epoch, row))
        except Exception as error:
            error.add_note(f"while augmenting {self.row_label(row)}")
            raise


def make_once(views, n_views, n_threads, folder):
    """Views of all rows for some epochs, (n_views * n_rows, ...).

    Where they differ in length, they are a list of payloads.
    """

    def view(k):
        return views.view(k % len(views), k // len(views))

    output = None
    with Threads(n_threads) as pool:
        if views.format.is_ragged:
            return list(pool.map(view, range(n_views * len(views))))
        for k, made in enumerate(pool.map(view, range(n_views * len(views)))):
            if output is None:
                n_rows = n_views * len(views)
                output = allocate_batch(views.format.compute_signature(made), n_rows, folder)
            for name, array in made.items():
                output[name][k] = array
    return output


class Rows(Dataset):
    """Batches of inputs, encoded targets and weights; an index is (epoch, rows)."""

    def __init__(self, inputs, encoded, weights):
        self.inputs, self.weights = inputs, torch.as_tensor(weights, dtype=torch.float32)
        self.encoded = tuple(torch.as_tensor(values) for values in encoded)

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        epoch, rows = index
        encoded = tuple(values[rows] for values in self.encoded)
        return self.inputs.take(rows, epoch), (encoded, self.weights[rows])


class EvenBatches(Sampler):
    """Batches of nearly equal size, so that none of them is a single row by chance.

    `epoch` counts the passes, each of which has its own order, drawn from the seed. `share` is
    (n_processes, index): the batches are dealt to the processes in turn, and all processes get
    the same number.
    """

    def __init__(self, n_rows, batch_size, seed=None, share=(1, 0)):
        self.n_rows, self.batch_size, self.seed, self.epoch = n_rows, batch_size, seed, 0
        self.n_processes, self.index = share

    def __len__(self):
        """Batches of one process."""
        return -(-self.n_rows // (self.batch_size * self.n_processes))

    def __iter__(self):
        order = np.arange(self.n_rows)
        epoch = self.epoch
        if self.seed is not None:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.n_rows)
            self.epoch += 1
        parts = np.array_split(order, len(self) * self.n_processes)
        for rows in parts[self.index :: self.n_processes]:
            yield epoch, rows


def make_loader(rows, sampler):
    """Iterable over the batches of an epoch."""
    return DataLoader(rows, sampler=sampler, batch_size=None)
