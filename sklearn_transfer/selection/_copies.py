"""Copies among samples: equal contents by digests, and near ones by candidates and a check."""

import unicodedata
from itertools import pairwise

import joblib
import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from sklearn_transfer._modalities.contents import (
    BadSampleError,
    describe_sample,
    is_missing,
)
from sklearn_transfer._modalities.samples import label_row
from sklearn_transfer._validation import format_list
from sklearn_transfer.selection._sample_kinds import check_text

_ROWS_AT_ONCE = 512  # of a matrix of similarities
_THUMB_SIDES = (16, 8)  # at which pictures are compared to find candidates
_SHINGLE = 5  # letters
_COMMON_SHARE = 0.1  # of texts: shingles in more of them find no candidates
_FEW_TEXTS = 50  # of which no shingle is too common


def find_exact(keys):
    """Pairs of rows of equal keys, each row with the first one of its key."""
    first, pairs = {}, []
    for row, key in enumerate(keys):
        start = first.setdefault(key, row)
        if start != row:
            pairs.append((start, row))
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


class ImageCopies:
    """Copies of images: encoded again, resized, or with up to a tenth of a side cropped."""

    threshold = 0.8
    ratio = 0.4  # of a distance to that to the nearest other picture, for a copy
    is_verified = True

    def __init__(self, X, n_jobs):
        # Here, because this loads Pillow.
        from sklearn_transfer._modalities.image.samples import as_images
        from sklearn_transfer.selection._registration import SIDE

        self.samples = as_images(X)
        read = _read_all(self.samples, _read_image, n_jobs)
        self.keys = [key for key, _ in read]
        self.thumbnails = np.empty((len(read), SIDE, SIDE), np.uint8)
        for row, (_, thumbnail) in enumerate(read):
            self.thumbnails[row] = thumbnail

    def list_views(self):
        """Matrices of vectors of norm 1 whose neighbors are candidates."""
        from sklearn_transfer.selection._registration import shrink

        for side in _THUMB_SIDES:
            yield normalize(shrink(self.thumbnails, side).reshape(len(self.keys), -1), axis=1)

    def compare(self, pairs, proposed):
        """Similarity of pairs; that by which they were proposed is not used."""
        from sklearn_transfer.selection._registration import compare_pairs

        return compare_pairs(self.thumbnails, pairs)


class TextCopies:
    """Copies of texts up to case, punctuation, spaces and small changes of the wording."""

    threshold, ratio = 0.6, None
    is_verified = True

    def __init__(self, X, n_jobs):
        from sklearn_transfer._modalities.text.samples import as_texts

        self.samples = as_texts(X)
        self.keys = _read_all(self.samples, check_text)
        self.shingles = _count_shingles(self.samples)

    def list_views(self):
        """A sparse matrix of rare shingles, scaled to rows of norm 1."""
        n_texts = self.shingles.shape[0]
        shares = np.bincount(self.shingles.indices, minlength=self.shingles.shape[1])
        rare = (shares > 1) & (shares <= max(_FEW_TEXTS, _COMMON_SHARE * n_texts))
        kept = self.shingles[:, np.flatnonzero(rare)]
        norms = np.sqrt(np.maximum(np.asarray(kept.sum(axis=1)).ravel(), 1))
        yield (sparse.diags_array((1 / norms).astype(np.float32)) @ kept).tocsr()

    def compare(self, pairs, proposed):
        """Number of shared shingles over those of either text (Jaccard's index)."""
        sizes = np.asarray(self.shingles.sum(axis=1)).ravel()
        first, second = pairs.T
        similarity = np.zeros(len(pairs))
        for start in range(0, len(pairs), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            both = self.shingles[first[part]].multiply(self.shingles[second[part]])
            similarity[part] = np.asarray(both.sum(axis=1)).ravel()
        return similarity / np.maximum(sizes[first] + sizes[second] - similarity, 1)


class SoundCopies:
    """Copies of sounds; near ones by features alone."""

    threshold, ratio = 0.98, None
    is_verified = False

    def __init__(self, X, n_jobs, sampling_rate=None):
        from sklearn_transfer._modalities.audio import contents
        from sklearn_transfer._modalities.audio.samples import as_sounds

        self.samples = as_sounds(X, sampling_rate)
        self.keys = _read_all(
            self.samples, lambda sample: contents.read_sample(sample, sampling_rate)[0]
        )

    def list_views(self):
        """None without an extractor."""
        return ()

    def compare(self, pairs, proposed):
        """The cosine by which pairs were proposed."""
        return proposed


class TableCopies:
    """Equal rows of a table; near ones by features alone."""

    threshold, ratio = 0.98, None
    is_verified = False

    def __init__(self, X, n_jobs):
        self.samples = X
        self.keys = _list_row_keys(X)

    def list_views(self):
        """None without an extractor."""
        return ()

    def compare(self, pairs, proposed):
        """The cosine by which pairs were proposed."""
        return proposed


def find_candidates(views, n_neighbors):
    """Pairs of each row and its nearest neighbors in any view, with the largest cosine."""
    found = {}
    for view in views:
        for rows, others, cosines in _iterate_neighbors(view, n_neighbors):
            low, high = np.minimum(rows, others), np.maximum(rows, others)
            for *pair, cosine in np.column_stack([low, high, cosines]).tolist():
                pair = tuple(map(int, pair))
                found[pair] = max(cosine, found.get(pair, cosine))
    pairs = sorted(found)
    cosines = np.array([found[pair] for pair in pairs])
    return np.array(pairs, dtype=np.intp).reshape(-1, 2), cosines


def _iterate_neighbors(view, n_neighbors):
    """Yield rows, their neighbors and cosines, a block of rows at a time."""
    n_rows = view.shape[0]
    k = min(n_neighbors, n_rows - 1)
    if k < 1:
        return
    for start in range(0, n_rows, _ROWS_AT_ONCE):
        block = view[start : start + _ROWS_AT_ONCE] @ view.T
        block = block.toarray() if sparse.issparse(block) else block
        rows = np.arange(len(block))
        block[rows, start + rows] = -2  # itself
        nearest = np.argpartition(-block, k - 1, axis=1)[:, :k]
        cosines = np.take_along_axis(block, nearest, axis=1)
        kept = cosines > 0
        yield np.repeat(start + rows, k)[kept.ravel()], nearest[kept], cosines[kept]


def extract_view(extractor, samples, refers_to_mean):
    """Features of samples, scaled to rows of norm 1."""
    features = clone(extractor).fit_transform(samples)
    features = features.toarray() if sparse.issparse(features) else np.asarray(features)
    if features.ndim != 2 or len(features) != len(samples):
        raise ValueError(
            f"extractor gave an array of shape {features.shape} for {len(samples)} samples:"
            " expected a row of features for each"
        )
    view, rows = np.zeros(features.shape, np.float32), np.isfinite(features).all(axis=1)
    if rows.any():  # others, such as those of unreadable samples, are like none
        view[rows] = normalize(features[rows], axis=0 if refers_to_mean else None)
    return view


def normalize(matrix, axis):
    """Rows of norm 1, after the means along an axis were subtracted if there is one."""
    matrix = np.asarray(matrix, dtype=np.float32)
    if axis is not None:
        matrix = matrix - matrix.mean(axis=axis, keepdims=True)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.maximum(norms, np.finfo(np.float32).tiny)


def _read_image(sample):
    """Digest of an image and its thumbnail."""
    from sklearn_transfer._modalities.image.contents import read_sample
    from sklearn_transfer.selection._registration import make_thumbnail

    key, content = read_sample(sample)
    return key, make_thumbnail(content)


def _read_all(samples, read, n_jobs=None):
    """Call a function on each sample; one error names the rows that it cannot read."""

    def try_reading(sample):
        try:
            return read(sample)
        except BadSampleError as error:
            return error

    found = Parallel(n_jobs=n_jobs, prefer="threads")(map(delayed(try_reading), samples))
    bad = [row for row, value in enumerate(found) if isinstance(value, BadSampleError)]
    if bad:
        row, repair = bad[0], "drop or replace it before searching for copies"
        if len(bad) > 1:
            repair = (
                f"drop or replace these {len(bad)} rows before searching for copies:"
                f" {format_list(bad)}"
            )
        raise ValueError(
            f"{label_row(row)} of X ({describe_sample(samples[row])}) {found[row]}: {repair}"
        ) from found[row]
    return found


def _count_shingles(texts):
    """Sparse matrix of ones: which runs of letters each text has."""
    vocabulary, indices, ends = {}, [], [0]
    for text in texts:
        words = f" {_normalize_text(text)} "
        runs = {words[i : i + _SHINGLE] for i in range(max(len(words) - _SHINGLE + 1, 1))}
        indices.extend(sorted(vocabulary.setdefault(run, len(vocabulary)) for run in runs))
        ends.append(len(indices))
    ones = np.ones(len(indices), np.float32)
    shape = (len(texts), len(vocabulary))
    return sparse.csr_array((ones, np.array(indices, np.int32), np.array(ends)), shape=shape)


class _Letters(dict):
    """Table for `str.translate` that makes spaces of punctuation and of control characters.

    Symbols stay, such as those of emoji, and so do marks that belong to letters.
    """

    def __missing__(self, code):
        is_kept = unicodedata.category(chr(code))[0] not in "PZC"
        self[code] = code if is_kept else " "
        return self[code]


_LETTERS = _Letters()


def _normalize_text(text):
    """A text without case, punctuation and runs of spaces, unless nothing else is in it."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(text.translate(_LETTERS).split()) or " ".join(text.split())


def _list_row_keys(X):
    """For each row of a table, a key that is equal for equal rows."""
    if hasattr(X, "tocsr"):
        X = X.tocsr(copy=True)
        X.sum_duplicates()
        X.eliminate_zeros()
        bounds = pairwise(X.indptr.tolist())
        return [
            (X.indices[a:b].tobytes(), *map(_make_key, X.data[a:b].tolist()))
            for a, b in bounds
        ]
    table = _to_array(X)
    if table.dtype.kind in "biuf":
        if table.dtype.kind == "f":  # one kind of zero, and one of NaN
            table = np.where(np.isnan(table), table.dtype.type(np.nan), table + 0)
        return [row.tobytes() for row in np.ascontiguousarray(table)]
    return [tuple(map(_make_key, row)) for row in table.tolist()]


def _to_array(X):
    """Rows of a table as an array of two dimensions."""
    try:
        table = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
    except ValueError as error:  # of rows that differ in length
        raise ValueError(
            "X has rows that differ in length, as waveforms do, and no table does: for sounds"
            " pass sampling_rate, or pairs (waveform, sampling_rate)"
        ) from error
    if table.ndim == 0:
        raise ValueError(
            f"X is of type {type(X).__name__}, expected samples in a list, an array or a"
            " table: pass list(X)"
        )
    if not len(table):
        raise ValueError("X has no samples: pass at least one")
    return table.reshape(len(table), -1)


def _make_key(value):
    """A value that is equal for equal entries of a table; missing ones are equal."""
    if is_missing(value):
        return None
    try:
        hash(value)
    except TypeError:  # a list, for example
        return joblib.hash(value)
    return value
