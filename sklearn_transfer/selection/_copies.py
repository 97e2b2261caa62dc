"""Copies among samples: equal contents by digests, and near ones by candidates and a check."""

import re
import unicodedata
from itertools import pairwise

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from sklearn_transfer._modalities.contents import BadSampleError, describe_sample
from sklearn_transfer._modalities.samples import label_row
from sklearn_transfer._tables import find_extractor

_ROWS_AT_ONCE = 512  # of a matrix of similarities
_THUMB_SIDES = (16, 8)  # at which pictures are compared to find candidates
_SHINGLE = 5  # letters
_COMMON_SHARE = 0.1  # of texts: shingles in more of them find no candidates
_FEW_TEXTS = 50  # of which no shingle is too common
_EXTRACTORS = {
    "PretrainedFeatures": "image",
    "PretrainedTextFeatures": "text",
    "PretrainedAudioFeatures": "audio",
}


def find_kind(X):
    """Return "image", "text", "audio" or "table", as the first samples look."""
    first = X[0] if isinstance(X, list) and X else None
    if isinstance(first, tuple) and len(first) == 2 and np.ndim(first[0]) > np.ndim(first[1]):
        return "audio"  # a waveform and its sampling rate
    name = find_extractor(X)
    return "table" if name is None else _EXTRACTORS[name]


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
    is_verified = True

    def __init__(self, X, n_jobs):
        # Here, because this loads Pillow.
        from sklearn_transfer._modalities.image.samples import as_images
        from sklearn_transfer.selection._registration import SIDE

        self.samples = as_images(X)
        read = Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(_read_image)(row, sample) for row, sample in enumerate(self.samples)
        )
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

    threshold = 0.6
    is_verified = True

    def __init__(self, X, n_jobs):
        from sklearn_transfer._modalities.text.samples import as_texts

        self.samples = as_texts(X)
        for row, text in enumerate(self.samples):
            if not isinstance(text, str):
                raise ValueError(
                    f"{label_row(row)} of X is of type {type(text).__name__}, expected a"
                    " string: drop or replace it before searching for copies"
                )
        self.keys = self.samples
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

    threshold = 0.98
    is_verified = False

    def __init__(self, X, n_jobs, sampling_rate=None):
        from sklearn_transfer._modalities.audio import contents
        from sklearn_transfer._modalities.audio.samples import as_sounds

        self.samples = as_sounds(X, sampling_rate)
        self.keys = [
            _read_checked(row, sample, lambda s: contents.read_sample(s, sampling_rate)[0])
            for row, sample in enumerate(self.samples)
        ]

    def list_views(self):
        """None without an extractor."""
        return ()

    def compare(self, pairs, proposed):
        """The cosine by which pairs were proposed."""
        return proposed


class TableCopies:
    """Equal rows of a table; near ones by features alone."""

    threshold = 0.98
    is_verified = False

    def __init__(self, X, n_jobs):
        self.samples = X
        self.keys = [tuple(map(_make_key, row)) for row in _list_rows(X)]

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
    return normalize(features, axis=0 if refers_to_mean else None)


def normalize(matrix, axis):
    """Rows of norm 1, after the means along an axis were subtracted if there is one."""
    matrix = np.asarray(matrix, dtype=np.float32)
    if axis is not None:
        matrix = matrix - matrix.mean(axis=axis, keepdims=True)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.maximum(norms, np.finfo(np.float32).tiny)


def _read_image(row, sample):
    """Digest of an image and its thumbnail."""
    from sklearn_transfer._modalities.image.contents import read_sample
    from sklearn_transfer._modalities.image.decoding import Decoding
    from sklearn_transfer.selection._registration import make_thumbnail

    def read(sample):
        key, content = read_sample(sample)
        return key, make_thumbnail(Decoding().make_picture(content).image)

    return _read_checked(row, sample, read)


def _read_checked(row, sample, read):
    """Call a function on a sample; an error names the row."""
    try:
        return read(sample)
    except BadSampleError as error:
        raise ValueError(
            f"{label_row(row)} of X ({describe_sample(sample)}) {error}: drop or replace it"
            " before searching for copies"
        ) from error


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


def _normalize_text(text):
    """A text without case, punctuation and runs of spaces."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", text))


def _list_rows(X):
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if hasattr(X, "tocsr"):
        X = X.tocsr()
        bounds = pairwise(X.indptr.tolist())
        return [[*X.indices[a:b].tolist(), *X.data[a:b].tolist()] for a, b in bounds]
    X = np.asarray(X)
    return X.reshape(len(X), -1).tolist()


def _make_key(value):
    """A value that is equal for equal entries of a table; missing ones are equal."""
    is_missing = value is None or value != value or type(value).__name__ == "NAType"
    return None if is_missing else value
