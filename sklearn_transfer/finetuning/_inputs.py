"""What an epoch is made of: rows kept in memory or in a file, and batches of them."""

import math
import os
import tempfile
import weakref
from collections import deque
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler

from sklearn_transfer._modalities.image.transforms import shrunk
from sklearn_transfer._modalities.inputs import BadSampleError, describe
from sklearn_transfer._modalities.remarks import Remarks
from sklearn_transfer._process.threads import Threads
from sklearn_transfer._store.base import read_limit
from sklearn_transfer._store.choice import resolve_folder

_LIMIT_VARIABLE = "SKLEARN_TRANSFER_TRAINING_BYTES"
_DEFAULT_LIMIT = 2 << 30
# Beyond this share of the size that images are scaled to, a crop has no use for pixels.
_LARGEST_RATIO = 2


def row_of(row):
    """What messages call a sample."""
    return f"row {row}"


def folder_of(cache):
    """Folder for temporary files, where `cache` names one."""
    if cache in (None, "memory"):
        return None
    folder = resolve_folder(cache)
    os.makedirs(folder, exist_ok=True)
    return folder


def allocate(shape, dtype, folder=None):
    """Array in memory; beyond a bound in a file, in `folder`, that ends with the array."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes <= read_limit(_LIMIT_VARIABLE, _DEFAULT_LIMIT):
        return np.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype=dtype, shape=shape, mode="w+")


def read_pixels(samples, reader, n_threads, folder, place=row_of):
    """What the network takes of each sample, stacked: uint8 pixels or float32 input.

    Raises ValueError that names the row of a sample that cannot be read.
    """
    remarks = Remarks()

    def read(row):
        def prepared(sample):
            return reader.prepare(reader.read(sample)[1], partial(remarks.add, row))

        return _guarded(prepared, samples[row], place(row))

    def finished(row, prepared):
        return _guarded(lambda _: reader.finish(prepared), samples[row], place(row))

    output = None
    with Threads(n_threads) as pool:
        for row, prepared in enumerate(_ahead(pool, read, len(samples), n_threads)):
            payload = finished(row, prepared)
            if output is None:
                output = allocate((len(samples), *payload.shape), payload.dtype, folder)
            if payload.shape != output.shape[1:]:
                raise ValueError(
                    f"preprocess gives shape {output.shape[1:]} for {place(0)} but"
                    f" {payload.shape} for {place(row)}; it must end in one size"
                )
            output[row] = payload
    remarks.warn(len(samples), place)
    return output


def _ahead(pool, function, n, n_threads):
    """Results of a function of 0, 1, ... n - 1 in order, of which few wait at a time."""
    running = deque()
    for row in range(n):
        running.append(pool.submit(function, row))
        if len(running) > 2 * n_threads:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def read_images(samples, reader, n_threads, folder, place=row_of):
    """Upright pictures of samples, no larger than twice what the network sees."""
    remarks = Remarks()

    def read(row):
        def picture(sample):
            return _picture(sample, reader, partial(remarks.add, row))

        return _guarded(picture, samples[row], place(row))

    images = KeptImages(folder)
    with Threads(n_threads) as pool:
        for image in _ahead(pool, read, len(samples), n_threads):
            images.append(image)
    remarks.warn(len(samples), place)
    return images


def _picture(sample, reader, note):
    image, is_8_bit = reader.decoding.picture(reader.read(sample)[1], note)
    array = shrunk(image, _LARGEST_RATIO * max(reader.spec.resize))
    if is_8_bit:
        reader.note_dark(array, image, note)
    return array


def _guarded(function, sample, place):
    """What a function makes of a sample; an error names its place, and the reason."""
    try:
        return function(sample)
    except BadSampleError as error:
        raise ValueError(
            f"{place} ({describe(sample)}): {error}. Repair or drop it"
        ) from error
    except Exception as error:
        error.add_note(f"while preparing {place} ({describe(sample)})")
        raise


class KeptImages:
    """Images of any size, in memory or, beyond the bound, in a file that ends with them."""

    def __init__(self, folder):
        self.folder, self.arrays, self.n_bytes = folder, [], 0
        self.limit = read_limit(_LIMIT_VARIABLE, _DEFAULT_LIMIT)
        self.file, self.offset = None, 0

    def __len__(self):
        return len(self.arrays)

    def append(self, array):
        self.n_bytes += array.nbytes
        if self.n_bytes <= self.limit:
            self.arrays.append(array)
            return
        if self.file is None:
            self.file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - kept open
            weakref.finalize(self, self.file.close)
        self.file.write(np.ascontiguousarray(array))
        self.file.flush()
        self.arrays.append((self.offset, array.shape))
        self.offset += array.nbytes

    def __getitem__(self, row):
        array = self.arrays[row]
        if isinstance(array, np.ndarray):
            return array
        offset, shape = array
        return np.memmap(self.file, np.uint8, "r", offset, shape)


class Fixed:
    """The same input of a row in every epoch."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def take(self, rows, epoch):
        return torch.from_numpy(self.array[rows])


class Views:
    """One of a few inputs of a row in each epoch, in turn; `array` is (n_views, n, ...)."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return self.array.shape[1]

    def take(self, rows, epoch):
        return torch.from_numpy(self.array[epoch % len(self.array)][rows])


class Augmented:
    """A new view of each image in every epoch, a function of the seed, epoch and row."""

    def __init__(self, images, augmentation, seed, n_threads, place=row_of):
        self.images, self.augmentation, self.seed = images, augmentation, seed
        self.n_threads, self.place = n_threads, place

    def __len__(self):
        return len(self.images)

    def take(self, rows, epoch):
        def view(row):
            return self.view(int(row), epoch)

        with Threads(self.n_threads) as pool:
            return torch.from_numpy(np.stack(list(pool.map(view, rows))))

    def view(self, row, epoch):
        image = np.asarray(self.images[row])
        if image.shape[2] == 3:  # else channels that Pillow does not know
            image = Image.fromarray(image)
        try:
            return self.augmentation(image, (self.seed, epoch, row))
        except Exception as error:
            error.add_note(f"while augmenting {self.place(row)}")
            raise


def made_once(views, n_views, n_threads, folder):
    """Views of all rows for some epochs, (n_views * n_rows, ...)."""

    def view(k):
        return views.view(k % len(views), k // len(views))

    output = None
    with Threads(n_threads) as pool:
        for k, made in enumerate(pool.map(view, range(n_views * len(views)))):
            if output is None:
                output = allocate((n_views * len(views), *made.shape), made.dtype, folder)
            output[k] = made
    return output


class Rows(Dataset):
    """Batches of inputs, encoded targets and weights; an index is (epoch, rows)."""

    def __init__(self, inputs, encoded, weights):
        self.inputs, self.weights = inputs, torch.as_tensor(weights, dtype=torch.float32)
        self.encoded = tuple(torch.as_tensor(part) for part in encoded)

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        epoch, rows = index
        encoded = tuple(part[rows] for part in self.encoded)
        return self.inputs.take(rows, epoch), (encoded, self.weights[rows])


class EvenBatches(Sampler):
    """Batches of nearly equal size, so that none of them is a single row by chance.

    `epoch` counts the passes; each has an order of its own, which the seed decides. Of a
    `share`, (processes, index), each process gets every so many batches, and all as many.
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


def loader(rows, sampler):
    """Iterable over the batches of an epoch."""
    return DataLoader(rows, sampler=sampler, batch_size=None)
