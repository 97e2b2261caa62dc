"""Validation shared by all stages, and access to scikit-learn's private helpers."""

import difflib
import sys
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from numbers import Number

import numpy as np
from sklearn.utils import _safe_indexing, validation
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    _check_feature_names,
    _check_feature_names_in,
    _get_feature_names,
    assert_all_finite,
    check_array,
    check_consistent_length,
)

from sklearn_transfer._tables import BY_FEATURES, explain_samples

try:
    from sklearn.utils._repr_html.estimator import _VisualBlock
except ImportError:  # scikit-learn < 1.7
    from sklearn.utils._estimator_html_repr import _VisualBlock


_COMPARED = 200  # number of characters of a word that are compared with others


def check_feature_names_in(estimator, input_features):
    """Raise scikit-learn's error if `input_features` contradict those seen in fit."""
    _check_feature_names_in(estimator, input_features, generate_names=False)


def get_weight_request(estimator, method):
    """Return the request of "fit" or "score" for `sample_weight`: bool, a name or None."""
    if not hasattr(estimator, "_get_metadata_request"):
        return None
    return getattr(estimator._get_metadata_request(), method).requests.get("sample_weight")


def accepts_weights(scorer):
    """Whether a scorer, or its metric, has a parameter `sample_weight`."""
    return "sample_weight" in signature(getattr(scorer, "_score_func", scorer)).parameters


def make_visual_block(estimator, caption):
    """Return the diagram of an estimator with a caption under its class name."""
    return _VisualBlock(
        "single",
        estimator,
        names=type(estimator).__name__,
        name_caption=caption,  # scikit-learn escapes it
        name_details=str(estimator),
    )


def make_parallel_block(estimators, details):
    """Return the diagram of estimators side by side, with a text each; both are by name."""
    return _VisualBlock(
        "parallel",
        list(estimators.values()),
        names=list(estimators),
        name_details=[details[name] for name in estimators],
    )


def shorten(value, limit=200):
    """Return `repr` of a user's value for a message, without the middle of a long one.

    >>> shorten("a/path")
    "'a/path'"
    >>> shorten("x" * 1000, 20)
    "'xxxxxxxxxx...xxxxxxxxxx' (1000 characters)"
    """
    half = limit // 2
    if isinstance(value, str | bytes):
        if len(value) <= limit:
            return repr(value)
        dots = "..." if isinstance(value, str) else b"..."
        kind = "characters" if isinstance(value, str) else "bytes"
        return f"{value[:half] + dots + value[-half:]!r} ({len(value)} {kind})"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:half]}...{text[-half:]}"


def format_list(values, limit=10):
    """Return `repr` of a list for a message, with only its first few elements.

    >>> format_list(["cat", "dog"])
    "['cat', 'dog']"
    >>> format_list(range(1000), 3)
    '[0, 1, 2, ... 997 more]'
    """
    values = values.tolist() if isinstance(values, np.ndarray) else list(values)
    shown = [shorten(value, 60) for value in values[:limit]]
    more = [f"... {len(values) - limit} more"] if len(values) > limit else []
    return f"[{', '.join(shown + more)}]"


def format_one_line(result):
    """Return `repr` of a named tuple, in which a long array is replaced by its shape.

    >>> from collections import namedtuple
    >>> format_one_line(namedtuple("Result", ["mean", "scores"])(0.5, np.zeros(600)))
    'Result(mean=0.5, scores=<array of shape (600,)>)'
    """
    parts = [f"{name}={_format_brief(value)}" for name, value in result._asdict().items()]
    return f"{type(result).__name__}({', '.join(parts)})"


def _format_brief(value):
    if not isinstance(value, np.ndarray):
        return repr(value)
    text = str(value.tolist())
    return text if len(text) <= 60 else f"<array of shape {value.shape}>"


def suggest_near(word, options, n=3):
    """Return the end of an error message: the options nearest to `word`, or nothing.

    >>> suggest_near("midle", ["shallow", "middle", "deep"])
    " Did you mean 'middle'?"
    """
    if len(str(word)) > 200:  # a long text given as a name
        return ""
    near = difflib.get_close_matches(str(word), [str(o) for o in options], n, 0.6)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def import_optional(module, extra, purpose):
    """Import `module`, or raise an error that names the extra of this package with it.

    >>> import_optional("no_such_module", "plot", "drawing")
    Traceback (most recent call last):
        ...
    ImportError: drawing needs no_such_module: pip install "sklearn-transfer[plot]"
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise ImportError(
            f'{purpose} needs {error.name}: pip install "sklearn-transfer[{extra}]"'
        ) from error


# Whole numbers are classes if there are at most so many values, and so many rows of each on
# average: `_SEVERAL_ROWS`, or `_ROWS_OF_CODES` of values that count without a gap.
_FEW_VALUES, _SEVERAL_ROWS, _ROWS_OF_CODES = 20, 5, 2


def count_doubtful_values(y):
    """Return the number of distinct whole numbers in y if y may be of a regression, else 0.

    Dates and durations count as whole numbers. The result is 0 if y certainly holds classes:

    - it is categorical, or has at most two values;
    - it has at most 20 values, with five rows each on average, or with two rows each if the
      values count from 0 or 1 without a gap;
    - the values count so, and all have the same number of rows, at least two, give or take
      one.
    """
    y = as_target(y)
    if _is_categorical(y):
        return 0
    y = np.asarray(y)
    if y.dtype == object and all(isinstance(v, Number | np.number) for v in y.ravel()):
        y = np.asarray(y.tolist())
    if y.dtype.kind in "mM" and not np.isnat(y).any():  # dates and durations
        y = y.astype(np.int64)
    if y.dtype.kind not in "iuf" or not np.isfinite(y).all() or (y != np.floor(y)).any():
        return 0
    values, counts = np.unique(y, return_counts=True)
    n_values, mean = len(values), y.size / max(len(values), 1)
    if n_values <= 2:
        return 0
    are_codes = values[0] in (0, 1) and values[-1] - values[0] == n_values - 1
    if n_values <= _FEW_VALUES and mean >= (_ROWS_OF_CODES if are_codes else _SEVERAL_ROWS):
        return 0
    if are_codes and mean >= _ROWS_OF_CODES and np.ptp(counts) <= 1:
        return 0
    return n_values


def _is_categorical(y):
    if np.ndim(y) == 2 and hasattr(y, "iloc") and y.shape[1] == 1:
        y = y.iloc[:, 0]
    return str(getattr(y, "dtype", "")) == "category"


def resolve_task(y, task="auto"):
    """Return "classification" or "regression"; y decides if `task` is "auto".

    Numbers with fractions mean regression; whole numbers that may be either raise an error.
    """
    if task != "auto":
        return task
    y = as_target(y)
    assert_all_finite(np.asarray(y), input_name="y")
    with _allow_many_classes(), np.errstate(invalid="ignore"):
        # numbers beyond int64 are cast to it there
        kind = type_of_target(y, input_name="y")
    if kind.startswith("continuous"):
        return "regression"
    if kind.startswith("multi") and np.ndim(y) == 2 and np.shape(y)[1] > 1:
        raise ValueError(
            f"y has {np.shape(y)[1]} columns of whole numbers: pass task='regression' if they "
            "are the outputs of a regression; classes must be one column"
        )
    if n_values := count_doubtful_values(y):
        raise ValueError(
            f"y holds {n_values} distinct whole numbers in {len(y)} rows, which may be the "
            "numbers of a regression or classes: pass task='regression' or "
            "task='classification'"
        )
    return "classification"


@contextmanager
def _allow_many_classes():
    """Silence scikit-learn on classes of one or two samples, which are no fault here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        yield


def check_class_labels(y):
    """Raise scikit-learn's error where labels are not classes but continuous numbers."""
    with _allow_many_classes():
        check_classification_targets(y)


def check_classes(y, task, user, instead=""):
    """Raise if y may hold the numbers of a regression and `task` is "auto".

    `user` takes classes; `instead` says what to do with numbers.
    """
    n_values = count_doubtful_values(y) if task == "auto" else 0
    if n_values:
        raise ValueError(
            f"y holds {n_values} distinct whole numbers in {len(y)} rows, which look like the "
            f"numbers of a regression, and {user} takes classes: pass task='classification' "
            f"if they are classes{instead}"
        )


def validate_data(estimator, X, *args, **options):
    """Call scikit-learn's `validate_data`; errors about texts and images say what to do."""
    repair = getattr(estimator, "_repair_of_samples", BY_FEATURES)
    with explain_samples(type(estimator).__name__, repair, X=X):
        return validation.validate_data(estimator, X, *args, **options)


def check_table(X, *, user, **options):
    """Call scikit-learn's `check_array`; errors about texts and images say what to do."""
    with explain_samples(user, **{options.get("input_name", "X"): X}):
        return check_array(X, **options)


class TargetDomain:
    """Target samples that scikit-learn's searches pass on as a whole.

    A search slices every argument of `fit` that is as long as X, so a target with as many
    rows as the source would be sliced too. This holder has neither length nor shape.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Target samples, in any form that the estimator takes as X. They are not copied.
    y : array-like of shape (n_samples,), default=None
        The few labels that are known of them, None or NaN where one is missing. Estimators
        that have a parameter `y_target` learn from them; all others ignore them.

    See Also
    --------
    KMM : Weights of source samples, which takes this as `X_target`.
    FineTunedClassifier : Adapts a network to the target, and learns from its few labels.

    Examples
    --------
    >>> from sklearn_transfer import TargetDomain
    >>> target = TargetDomain([[0.0], [1.0]])
    >>> hasattr(target, "shape")
    False
    """

    __slots__ = ("X", "y")

    def __init__(self, X, y=None):
        self.X = X
        self.y = y

    def __repr__(self):
        labels = "" if self.y is None else f", y={type(self.y).__name__}"
        return f"TargetDomain({type(self.X).__name__}{labels})"


def as_target(y):
    """Return y as a container that scikit-learn can check and select rows of.

    Arrays, lists, frames and Series are returned unchanged, others are converted.
    """
    if isinstance(y, np.ndarray):
        return y.astype(object) if y.dtype.kind == "T" else y
    if isinstance(y, list | tuple) and len(y) and hasattr(y[0], "detach"):
        return [value.item() if value.ndim == 0 else value.tolist() for value in y]
    if hasattr(y, "detach") and hasattr(y, "cpu"):  # torch, also on other devices
        return _convert_tensor(y.detach().cpu())
    if hasattr(y, "collect_schema") and not hasattr(y, "shape"):  # of polars
        raise TypeError(
            f"y is a lazy {type(y).__name__}, which has no length: pass y.collect()"
        )
    if hasattr(y, "to_pylist") and not hasattr(y, "column_names"):  # pyarrow
        return y.to_pylist()
    if type(y).__module__.partition(".")[0] == "pandas" and not hasattr(y, "iloc"):
        # An array or an index, from which `_safe_indexing` cannot select rows.
        return sys.modules["pandas"].Series(y)
    if hasattr(y, "__next__"):
        raise TypeError(
            f"y is of type {type(y).__name__}, which has no length: pass a list, list(y)"
        )
    if hasattr(y, "__array__") and not hasattr(y, "__getitem__"):
        return np.asarray(y)  # an array by its protocol alone, from which no rows are selected
    bare = not (hasattr(y, "__array__") or hasattr(y, "shape") or isinstance(y, Mapping))
    if bare and not isinstance(y, list | tuple | str | bytes) and hasattr(y, "__getitem__"):
        return as_target([y[row] for row in range(len(y))])
    return y


def _convert_tensor(tensor):
    try:
        return tensor.numpy()
    except TypeError:  # bfloat16 and other types that NumPy does not have
        if not tensor.is_floating_point():
            raise
        return tensor.float().numpy()


def column_or_1d(y, *, warn=False):
    """Call scikit-learn's `column_or_1d`, which then accepts more containers."""
    return validation.column_or_1d(as_target(y), warn=warn)


def forget_fit(estimator):
    """Delete attributes of an earlier fit, some of which a new one might not set."""
    for name in [name for name in vars(estimator) if name.endswith("_")]:
        delattr(estimator, name)


def validate_source_and_target(estimator, X, y, X_target, sample_domain):
    """Return validated rows of source and target, and y of the source.

    Sets the names and number of features on `estimator`. The target is None, with a
    warning, where neither `X_target` nor `sample_domain` brings one.
    """
    raw, y, raw_target = split_domains(X, y, X_target, sample_domain)
    X = validate_data(estimator, raw, dtype=np.float64, reset=True)
    if y is not None:
        check_consistent_length(X, y)
    if raw_target is None:
        warnings.warn(
            f"{type(estimator).__name__} got no target samples, so nothing is adapted: pass "
            "fit(..., X_target=X_target)",
            UserWarning,
            stacklevel=4,
        )
        return X, None, y
    name = "X_target" if sample_domain is None else "X"
    return X, _validate_target(estimator, raw, X, raw_target, name), y


def split_domains(X, y, X_target, sample_domain):
    """Return source samples, their y, and target samples or None, all of any kind."""
    check_one_form(X_target, sample_domain)
    y = as_target(y)
    if sample_domain is None:
        return X, y, X_target.X if isinstance(X_target, TargetDomain) else X_target
    source = find_source_rows(X, y, sample_domain)
    rows, others = np.flatnonzero(source), np.flatnonzero(~source)
    target = _safe_indexing(X, others) if len(others) else None
    return _safe_indexing(X, rows), None if y is None else _safe_indexing(y, rows), target


def check_one_form(X_target, sample_domain):
    """Raise where the target is given in two forms."""
    if X_target is not None and sample_domain is not None:
        raise ValueError(
            "X_target and sample_domain were both given: give X_target with source rows as X, "
            "or sample_domain with the rows of both domains stacked in X"
        )


def find_source_rows(X, y, sample_domain):
    """Return the mask of source rows in stacked domains; raises if there are none."""
    source = read_domain_mask(X, y, sample_domain)
    if not source.any():
        raise ValueError(
            "sample_domain marks no source rows: it must be >= 0 for rows of the source and "
            "< 0 for rows of the target"
        )
    return source


def read_domain_mask(X, y, sample_domain):
    """Return the mask of rows that belong to the source, of which there may be none."""
    sample_domain = column_or_1d(sample_domain)
    check_consistent_length(X, y, sample_domain)
    if sample_domain.dtype.kind not in "iuf" or np.isnan(sample_domain).any():
        raise ValueError(
            "sample_domain holds text, truth values, objects or NaN: it must be a number for "
            "each row, >= 0 for rows of the source and < 0 for rows of the target"
        )
    return sample_domain >= 0


def _validate_target(estimator, raw, X, X_target, name):
    if hasattr(raw, "columns") and hasattr(X_target, "columns"):
        _check_feature_names(estimator, X_target, reset=False)
    user = type(estimator).__name__
    try:
        repair = getattr(estimator, "_repair_of_samples", BY_FEATURES)
        with explain_samples(user, repair, **{name: X_target}):
            target = check_array(X_target, dtype=np.float64, input_name=name)
    except ValueError as error:
        if name in str(error):
            raise
        raise ValueError(f"{name}: {error}") from error  # of its shape, which has no name
    _check_same_width(X, target)
    return target


def _check_same_width(X, target):
    if target.shape[1] != X.shape[1]:
        raise ValueError(
            f"X_target has {target.shape[1]} features and X has {X.shape[1]}: both must hold "
            "the same features in the same order"
        )


def validate_domains(X, X_target, user, least=1, repair=BY_FEATURES):
    """Return validated rows of source and target, at least `least` each.

    Errors about samples that are not numbers name the `user` and say what to do.
    """
    if isinstance(X_target, TargetDomain):
        X_target = X_target.X
    names = [_get_feature_names(rows) for rows in (X, X_target)]
    with explain_samples(user, repair, X=X, X_target=X_target):
        source = check_array(X, dtype=np.float64, input_name="X")
        target = check_array(X_target, dtype=np.float64, input_name="X_target")
    _check_same_width(source, target)
    if all(n is not None for n in names) and list(names[0]) != list(names[1]):
        raise ValueError(
            f"X has columns {format_list(names[0], 5)} and X_target"
            f" {format_list(names[1], 5)}: both must hold the same features in the same order"
        )
    for name, rows in [("X", source), ("X_target", target)]:
        if len(rows) < least:
            raise ValueError(f"{name} has {len(rows)} row; at least {least} are needed")
    return source, target
