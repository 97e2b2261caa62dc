"""Names and types of the columns that a method of an estimator gives, known without a call."""

import numpy as np
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector
from sklearn.exceptions import NotFittedError

METHODS = (
    "predict_proba",
    "predict",
    "predict_log_proba",
    "decision_function",
    "score_samples",
    "transform",
)


def name_columns(estimator, method):
    """Return the names of the columns that a method gives, in order.

    Raises
    ------
    TypeError
        If a transformer does not tell the names of its features.
    """
    names = _list_names(estimator, method)
    return names if len(set(names)) == len(names) else _make_numbered(method, len(names))


def _list_names(estimator, method):
    if method == "transform":
        return _name_features(estimator)
    classes = getattr(estimator, "classes_", None)
    if method == "predict":
        return _make_numbered(method, _count_predicted(estimator, classes))
    if classes is None or method == "score_samples":
        return [method]
    if not isinstance(classes, list):
        shape = getattr(find_last(estimator), "decision_function_shape", None)
        if method == "decision_function" and shape == "ovo" and len(classes) > 2:
            return _make_numbered(method, len(classes) * (len(classes) - 1) // 2)
        is_single = method == "decision_function" and not _is_multilabel(estimator)
        return _name_by_classes(method, classes, is_single)
    names = []
    for number, labels in enumerate(classes):
        if labels is not None:  # as for a task of numbers
            is_single = method == "decision_function"
            names += _name_by_classes(f"{method}_{number}", labels, is_single)
    return names


def cast_columns(estimator, method, names, outputs):
    """Return the columns by name, as arrays of the types that the method always gives.

    Parameters
    ----------
    estimator : estimator
    method : str
    names : list of str
        What `name_columns` returns.
    outputs : array-like, list of these, or None
        What the method returned; None for columns without rows.
    """
    arrays = [np.empty(0)] * len(names) if outputs is None else _split_columns(outputs)
    if len(arrays) != len(names):  # such as one for each pair of classes
        names = _make_numbered(method, len(arrays))
    if method == "transform":
        return {n: _cast(a, np.float32) for n, a in zip(names, arrays, strict=True)}
    if method != "predict":
        return {n: a.astype(np.float64) for n, a in zip(names, arrays, strict=True)}
    dtypes = _find_predicted_dtypes(estimator, len(names))
    return {n: _cast(a, d) for n, a, d in zip(names, arrays, dtypes, strict=True)}


def find_last(estimator):
    """Return the estimator that predicts in the end, inside of pipelines and searches."""
    for name in ("best_estimator_", "regressor_"):
        if hasattr(estimator, name):
            return find_last(getattr(estimator, name))
    steps = getattr(estimator, "steps", None)
    return find_last(steps[-1][1]) if steps else estimator


def _name_features(estimator):
    try:
        return [str(name) for name in estimator.get_feature_names_out()]
    except NotFittedError:
        raise
    except (AttributeError, ValueError) as error:
        raise TypeError(
            f"{type(estimator).__name__} does not tell the names of its features ({error}),"
            " which become names of columns; give each of its steps get_feature_names_out,"
            " which FunctionTransformer has with feature_names_out='one-to-one'"
        ) from error


def _name_by_classes(stem, classes, is_single_if_two):
    if is_single_if_two and len(classes) == 2:
        return [stem]
    return [f"{stem}_{label}" for label in classes]


def _make_numbered(stem, count):
    return [stem] if count == 1 else [f"{stem}_{number}" for number in range(count)]


def _count_predicted(estimator, classes):
    """Return the number of columns that `predict` gives."""
    last = find_last(estimator)
    targets = getattr(last, "_targets", None)  # of a fine-tuner
    if targets is not None:
        return sum(1 if t.kind == "multiclass" else t.n_outputs for t in targets.tasks)
    if classes is not None:
        is_several = isinstance(classes, list) or _is_multilabel(estimator)
        return len(classes) if is_several else 1
    if isinstance(getattr(last, "n_outputs_", None), int):
        return last.n_outputs_
    return _count_fitted_outputs(last)


def _count_fitted_outputs(last):
    """Return the number of outputs of a regressor by what it has fitted."""
    if hasattr(last, "estimators_") and not hasattr(last, "estimators"):
        members = last.estimators_
        is_one_each = type(last).__name__ in ("MultiOutputRegressor", "RegressorChain")
        return len(members) if is_one_each else 1
    coefficients = np.ndim(getattr(last, "coef_", None)) == 2
    if coefficients and not hasattr(last, "support_vectors_"):
        return len(last.coef_)
    known = getattr(last, "_y", None)  # of neighbors
    return known.shape[1] if np.ndim(known) == 2 else 1


def _is_multilabel(estimator):
    last = find_last(estimator)
    targets = getattr(last, "_targets", None)
    if targets is not None:
        return [task.kind for task in targets.tasks] == ["multilabel"]
    binarizer = getattr(last, "label_binarizer_", getattr(last, "_label_binarizer", None))
    return getattr(binarizer, "y_type_", "").startswith("multilabel")


def _find_predicted_dtypes(estimator, count):
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, list):
        of_columns = [np.dtype(float) if c is None else _find_dtype(c) for c in classes]
        if len(of_columns) == count:
            return of_columns
        return [np.dtype(object)] * count
    if classes is not None:
        return [_find_dtype(classes)] * count
    is_whole = is_clusterer(estimator) or is_outlier_detector(estimator)
    if is_classifier(estimator):  # which does not list its classes
        return [np.dtype(object)] * count
    return [np.dtype(int if is_whole else float)] * count


def _find_dtype(classes):
    """Return the type of labels; that of texts does not depend on the length of any."""
    classes = np.asarray(classes)
    is_text = classes.dtype.kind == "U" or all(isinstance(c, str) for c in classes)
    return np.dtype(str) if is_text else classes.dtype


def _split_columns(outputs):
    """Return the columns of what a method returned, as 1-D arrays."""
    if isinstance(outputs, list) and any(np.ndim(o) for o in outputs):
        return [column for o in outputs if o is not None for column in _split_columns(o)]
    if hasattr(outputs, "toarray"):
        outputs = outputs.toarray()
    if hasattr(outputs, "columns"):
        return [np.asarray(outputs[name]) for name in outputs.columns]
    outputs = np.asarray(outputs)
    return list(outputs.T) if outputs.ndim == 2 else [outputs]


def _cast(array, dtype):
    """Return an array of a type, or as it is where numbers are expected and not found."""
    if dtype in (np.float32, np.float64) and array.dtype.kind not in "fiub":
        try:
            return np.asarray(array.tolist(), dtype=dtype) if array.dtype == object else array
        except (TypeError, ValueError):
            return array
    return array.astype(dtype)
