"""Copies in a data set, as groups that must not be divided between training and test."""

from numbers import Integral, Real

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_params,
)

from sklearn_transfer.selection import _copies
from sklearn_transfer.selection._duplicate_result import DuplicateGroups
from sklearn_transfer.selection._isolation import find_isolated_pairs
from sklearn_transfer.selection._sample_kinds import find_kind

_FINDERS = {
    "audio": _copies.SoundCopies,
    "image": _copies.ImageCopies,
    "table": _copies.TableCopies,
    "text": _copies.TextCopies,
}


@validate_params(
    {
        "X": "no_validation",
        "kind": [StrOptions({"auto", *_FINDERS})],
        "threshold": [Interval(Real, 0, 1, closed="right"), StrOptions({"auto"}), None],
        "extractor": [HasMethods(["fit_transform"]), None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def duplicate_groups(
    X,
    *,
    kind="auto",
    threshold="auto",
    extractor=None,
    n_neighbors=10,
    sampling_rate=None,
    n_jobs=None,
):
    """Find exact and near copies, as groups that a split should keep together.

    A picture that was saved twice, or a text that was quoted, may end up on both sides of a
    split, and the score then rewards memory. Give the groups to `StratifiedGroupKFold`, or
    ask the result which test rows of your split have a copy among the training rows.

    Parameters
    ----------
    X : sequence of n_samples samples
        Images, texts or sounds as the extractors take them, or a table.
    kind : {"auto", "image", "text", "audio", "table"}, default="auto"
        What the samples are. "auto" goes by the first of them: strings are paths where they
        end like a file of images or sounds, else texts; an array of two dimensions is a
        table, unless there is a `sampling_rate`.
    threshold : float, "auto" or None, default="auto"
        Smallest similarity of near copies. "auto" is 0.8 for images that are also much more
        like each other than like other images (see Notes), 0.6 for texts and 0.98 for cosines
        of features. A number is the only condition; None finds exact copies alone.
    extractor : transformer, default=None
        Makes features, whose neighbors are compared too. Images and texts need none.
        Sounds and tables have near copies only with it, by the cosine of features, which
        nothing verifies. A clone is fitted.
    n_neighbors : int, default=10
        Nearest neighbors of each sample that are compared with it.
    sampling_rate : float, default=None
        In Hz, of sounds given as arrays.
    n_jobs : int, default=None
        Threads that decode images, as in scikit-learn.

    Returns
    -------
    result : DuplicateGroups
        Prints as a short report, shows as HTML in a notebook, and holds

        groups : ndarray of shape (n_samples,)
            Number of each row's group, for a splitter. Rows without a copy have a group of
            their own.
        pairs : ndarray of shape (n_pairs, 2)
            Rows of the copies that were found, the smaller first; the most similar pair comes
            first. Of more than two equal rows, each is paired with the first.
        similarity : ndarray of shape (n_pairs,)
            Similarity of each pair, 1 for equal contents.
        exact : ndarray of bool of shape (n_pairs,)
            Whether contents are equal.
        first_rows : ndarray of shape (n_groups,)
            The first row of each group; ``X[first_rows]`` has no copies.
        kind, threshold : str, float or None
            As they were resolved.
        n_left_out : int
            Number of pairs of images above the threshold that are no more like each other
            than like other images.

        and the methods ``find_leaks(train, test)`` and ``find_leaks_in(cv, y)``, which report
        the test rows with a copy among the training rows, and ``to_dict()``.

    Raises
    ------
    ValueError
        If samples are missing or cannot be read; the message lists the rows.

    See Also
    --------
    label_errors : Rows whose label is probably wrong.
    sklearn.model_selection.StratifiedGroupKFold : Folds that keep groups together.

    Notes
    -----
    Equal contents are found by digests: bytes of files, values of arrays, strings, or the
    entries of a row. Near copies are the nearest neighbors that pass a check:

    - images: neighbors are those of gray pictures of 16 x 16 and 8 x 8 pixels. A pair is then
      registered at 64 x 64 pixels over shifts and over scales of rows and of columns, by
      Gauss-Newton steps [1]_. Its similarity is the correlation of gray levels, or that of
      their fine detail if it is smaller, and 0 unless 77 % of the area of both is common, or
      95 % where the light differs. So pictures that were encoded again, resized, lit
      differently, or cropped by up to a tenth of each side are copies; turned and mirrored
      ones are not. Two photos of one thing are copies if they could be one photo, such as
      frames of a film.
    - texts: neighbors are those by shared runs of five letters, rare ones, without case and
      punctuation; the similarity is the number of runs in both over that in either [2]_.
      Translations and paraphrases are not copies.
    - sounds and tables: the cosine of features from `extractor`, without further check.

    One threshold on the cosine of features of images would not do: neighboring windows
    of one photo reach 0.97, and true copies in a low quality of JPEG fall to 0.5. Nor
    would one on this similarity: small or simple pictures, such as digits, correlate although
    they are different. With ``threshold="auto"``, a group of copies must therefore stand
    apart: in single linkage with the distance d = 1 - similarity, the links that hold the
    group together have at most 0.4 times its distance to the nearest image outside. Pairs
    that fail only this are counted in `n_left_out`; pass ``threshold=0.8`` to take them too.
    Copies of pictures of a few hundred pixels that lost detail, and of pictures without any
    (an empty sky), may be missed. Groups are transitive, so a series of frames is one group.

    Memory grows with the number of samples alone: 4 kB for an image, beside the features of
    `extractor`. Time grows linearly with it but for the neighbors, for which it grows with
    its square, and which take a small part of it up to some ten thousand samples.

    References
    ----------
    .. [1] S. Baker, I. Matthews. "Lucas-Kanade 20 Years On: A Unifying Framework". IJCV,
       2004.
    .. [2] A. Broder. "On the resemblance and containment of documents". SEQUENCES, 1997.

    Examples
    --------
    >>> from sklearn_transfer.selection import duplicate_groups
    >>> texts = ["The cat sat on the mat.", "Stocks fell.", "the cat  sat on the mat!"]
    >>> result = duplicate_groups(texts)
    >>> result.groups
    array([0, 1, 0])
    >>> print(result.find_leaks(train=[0, 1], test=[2]))
    1 of 1 test rows (100 %) has a copy among the training rows.
    Row 2 is like row 0 (similarity 1.00).
    Split by groups: StratifiedGroupKFold with groups=result.groups.
    """
    kind = find_kind(X, sampling_rate) if kind == "auto" else kind
    options = {"sampling_rate": sampling_rate} if kind == "audio" else {}
    finder = _FINDERS[kind](X, n_jobs, **options)
    ratio, n_left_out = finder.ratio, 0
    if threshold == "auto":
        threshold = finder.threshold
    else:
        ratio = None  # a number is taken at its word
    exact = _copies.find_exact(finder.keys)
    near, similarity = np.empty((0, 2), np.intp), np.empty(0)
    if threshold is not None:
        near, similarity, n_left_out = _find_near(
            finder, exact, extractor, n_neighbors, threshold, ratio
        )
    is_searched = finder.is_verified or extractor is not None
    pairs = np.concatenate([exact, near])
    similarity = np.concatenate([np.ones(len(exact)), similarity])
    is_exact = np.arange(len(pairs)) < len(exact)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -similarity, ~is_exact))
    return DuplicateGroups(
        groups=_label_groups(pairs, len(finder.keys)),
        pairs=pairs[order],
        similarity=similarity[order],
        exact=is_exact[order],
        kind=kind,
        threshold=threshold if is_searched else None,
        is_verified=finder.is_verified,
        n_left_out=n_left_out,
    )


def _find_near(finder, exact, extractor, n_neighbors, threshold, ratio):
    """Pairs of near copies, their similarity, and how many pairs no ratio lets pass."""
    rows = np.setdiff1d(np.arange(len(finder.keys)), exact[:, 1])
    views = (view[rows] for view in _iterate_views(finder, extractor))
    pairs, cosines = _copies.find_candidates(views, n_neighbors)
    pairs = rows[pairs]
    similarity = np.clip(finder.compare(pairs, cosines), -1, 1)
    is_similar = kept = similarity >= threshold
    if ratio is not None:
        kept = is_similar & find_isolated_pairs(
            len(finder.keys), pairs, similarity, threshold, ratio
        )
    return pairs[kept], similarity[kept], int(is_similar.sum() - kept.sum())


def _iterate_views(finder, extractor):
    yield from finder.list_views()
    if extractor is not None:
        yield _copies.extract_view(extractor, finder.samples, finder.is_verified)


def _label_groups(pairs, n_samples):
    """Numbers of connected rows, in the order of their first rows."""
    ones = np.ones(len(pairs), dtype=bool)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n_samples, n_samples))
    labels = connected_components(graph, directed=False)[1]
    first = np.unique(labels, return_index=True)[1]
    return np.argsort(np.argsort(first))[labels]
