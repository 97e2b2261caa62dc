"""Model cards: what is known of a fitted estimator, as Markdown."""

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._networks.weights import find_package
from sklearn_transfer._validation import shorten

_UNKNOWN = "unknown"
_PACKAGES = ("sklearn-transfer", "scikit-learn", "numpy", "scipy", "pillow", "torch", "timm")
_PACKAGES += ("transformers", "tokenizers", "soundfile", "openvino", "onnxruntime", "skops")
_PART = 1 << 20  # bytes of a file that are digested at once
_MOST_ROWS = 30  # of the tables of classes and of epochs
_TO_FILL = "*To be filled in by the author.*"


def make_model_card(
    estimator,
    *,
    X=None,
    y=None,
    scores=None,
    shift=None,
    intended_use=None,
    license=None,
    name=None,
):
    """Return a model card of a fitted estimator: Markdown with a header in YAML.

    The card says what the package knows, and "unknown" where it knows nothing. Its layout is
    that of model hubs, so that it can be published as the ``README.md`` beside the model.
    Fine-tuned networks write one with ``save(folder, card=True)``.

    Parameters
    ----------
    estimator : estimator
        Any fitted estimator: a pipeline, a search, a fine-tuned network.
    X : sequence of n_samples samples, default=None
        The samples that it was fitted on, of which the card has number and digest.
    y : array-like of shape (n_samples,), default=None
        Their labels or numbers, of which the card has a summary.
    scores : dict, default=None
        Scores to report, by a name that says what was measured on which data, such as
        ``{"accuracy on photos of 2026": 0.93}``. They are written as given.
    shift : ShiftReport or str, default=None
        What `shift_report` found between these samples and those of the use.
    intended_use : str, default=None
        What the model is for, and for whom. By default the card asks the author for it.
    license : str, default=None
        License of the model, as an identifier of SPDX.
    name : str, default=None
        Title; by default that of the class.

    Returns
    -------
    card : str
        The card.

    Raises
    ------
    ValueError
        If X and y differ in length.

    See Also
    --------
    shift_report : Finds whether two samples differ.
    get_trusted_types : What skops needs to load the model.

    Notes
    -----
    The digest of the data is SHA-256 over the SHA-256 of each sample: of the content of a
    file, of bytes, of a text in UTF-8, or of type, shape and values of an array. Strings that
    are names of files stand for what is in them. The parameters are written as ``repr``
    shows them, with your home folder as ``~`` and other folders by their names.

    Licenses are those that packages of weights state, or that timm states for networks that it
    knows. A license of weights does not tell that of the pictures they were trained on.

    Examples
    --------
    >>> from sklearn_transfer import PrototypeClassifier, make_model_card
    >>> fitted = PrototypeClassifier().fit([[0.0], [1.0]], ["cat", "dog"])
    >>> card = make_model_card(fitted, X=[[0.0], [1.0]], scores={"accuracy, 5 folds": 0.9})
    >>> print(card[card.index("## Scores"):].splitlines()[4])
    | accuracy, 5 folds | 0.9 |
    """
    check_is_fitted(estimator)
    title = type(estimator).__name__ if name is None else name
    sections = {
        "Intended use": _TO_FILL if intended_use is None else str(intended_use),
        "Limits": _describe_limits(shift),
        "Model": _describe_model(estimator),
        "Networks": _describe_networks(estimator),
        "Data": _describe_data(estimator, X, y),
        "Training": _describe_training(estimator),
        "Scores": _describe_scores(estimator, scores),
        "Versions": _make_table(["package", "version"], _list_versions()),
    }
    body = "\n\n".join(f"## {head}\n\n{text.strip()}" for head, text in sections.items())
    return _hide_home(f"{_write_header(license)}\n# {_write_line(title)}\n\n{body}\n")


def _hide_home(text):
    """Write `~` for the home folder, which tells the name of its user."""
    home = os.path.expanduser("~").rstrip(os.sep)
    for written in {home, repr(home)[1:-1]} - {"", "~"}:  # repr doubles backslashes
        text = re.sub(re.escape(written) + r"(?![\w.-])", "~", text)
    return text


def write_card(path, card):
    """Write a card to a file, which is replaced only if nobody has edited it."""
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            text, _, mark = file.read().rpartition(_MARK)
        if mark.removesuffix(_END) != _compute_digest(text):
            raise FileExistsError(
                f"{shorten(os.fspath(path))} is no card as it was written here, and is not"
                " replaced: move it, and pass your text as card={'intended_use': ...}"
            )
    with open(path, "w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.write(f"{card}{_MARK}{_compute_digest(card)}{_END}")


_MARK, _END = "\n<!-- written by sklearn_transfer, SHA-256 of the text above: ", " -->\n"


def _compute_digest(text):
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _write_header(license):
    lines = ["library_name: sklearn", "tags:", "- sklearn", "- transfer-learning"]
    if license is not None:
        lines.insert(0, f"license: {json.dumps(license)}")  # a string of JSON is one of YAML
    return "---\n" + "\n".join(lines) + "\n---\n"


def _describe_limits(shift):
    found = "*Not measured: pass shift=shift_report(X, X_new) for data of the use.*"
    if shift is not None:
        found = f"Shift between the data and those of the use:\n\n{_write_block(shift)}"
    question = "Who might be harmed by an error, and what do the data leave out?"
    return f"{_TO_FILL} {question}\n\n{found}"


def _describe_model(estimator):
    kind = type(estimator)
    return f"`{kind.__module__}.{kind.__name__}`\n\n{_write_block(repr(estimator))}"


def _describe_networks(estimator):
    rows = []
    for part in _iterate_estimators(estimator):
        digest = getattr(part, "weights_sha256_", None)
        if digest is None or not hasattr(part, "model"):
            continue
        for model, weights in _list_models(part):
            row = (model, digest or _UNKNOWN, _find_license(model, weights))
            if row not in rows:
                rows.append(row)
    if not rows:
        return "No pretrained network is part of this model."
    return _make_table(["network", "SHA-256 of its weights", "license of its weights"], rows)


def _list_models(part):
    """Pairs of `model` and `weights` of an estimator with a network, or several."""
    model = part.model
    models = list(model.values()) if isinstance(model, Mapping) else [model]
    for found in models:
        if isinstance(found, BaseEstimator):
            yield _name_model(found.model), found.weights
        else:
            yield _name_model(found), getattr(part, "weights", None)


def _name_model(model):
    if isinstance(model, str):
        return model
    kind = model if hasattr(model, "__qualname__") else type(model)
    return f"{kind.__module__}.{kind.__qualname__}"


def _find_license(model, weights):
    if weights != "pretrained":
        return f"{_UNKNOWN} (weights={shorten(weights, 60)})"
    stated = []
    package = find_package(model)
    if package is not None:
        stated.append(f"{_read_license(package)} by the package {package}")
    try:
        import timm

        by_timm = timm.get_pretrained_cfg(model).license
    except Exception:  # not a name that timm knows, or no timm
        by_timm = None
    if by_timm:
        stated.append(f"{by_timm} by timm")
    return "stated: " + ", ".join(stated) if stated else _UNKNOWN


def _read_license(package):
    try:
        found = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return "none (not installed)"
    stated = found.get("License-Expression") or found.get("License")
    return "none" if stated in (None, "", "UNKNOWN") else shorten(_write_line(stated), 60)


def _iterate_estimators(value, seen=None, depth=0):
    """Fitted estimators within a value, each once."""
    seen = set() if seen is None else seen
    if id(value) in seen or depth > 12:
        return
    if isinstance(value, BaseEstimator):
        seen.add(id(value))
        yield value
        # The net of skorch within a fine-tuner is an estimator too, with the same history.
        parts = () if hasattr(value, "history_") else vars(value).values()
        for inner in parts:
            yield from _iterate_estimators(inner, seen, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _iterate_estimators(inner, seen, depth + 1)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _iterate_estimators(inner, seen, depth + 1)


def _describe_data(estimator, X, y):
    rows = []
    for part in _iterate_estimators(estimator):
        for number, counts in enumerate(getattr(part, "_rows", ())):
            which = "fit" if number == 0 else f"partial_fit {number}"
            rows += [(f"rows of {which}: {name}", n) for name, n in counts["rows"]]
            rows += _cut_rows([(f"class {label}", n) for label, n in counts["classes"]])
    if X is None:
        rows.append(("digest of the samples", f"{_UNKNOWN} (X was not given)"))
    else:
        samples = _list_samples(X)
        if y is not None and len(y) != len(samples):
            raise ValueError(
                f"X has {len(samples)} samples and y has {len(y)}: give those of the same fit"
            )
        rows += [("samples given", len(samples)), ("SHA-256 of these", _digest_data(samples))]
        n_texts = sum(isinstance(s, (str, os.PathLike)) and not _is_file(s) for s in samples)
        if n_texts:
            rows.append(("of these, strings that name no file, digested as texts", n_texts))
    if y is not None:
        rows += _describe_targets(np.asarray(y), estimator)
    return f"{_make_table(['data', 'value'], rows)}\n\nSource, license, consent: {_TO_FILL}"


def _cut_rows(rows):
    """Cut the rows of classes to as many as are shown, and say how many more there are."""
    more = len(rows) - _MOST_ROWS
    return [*rows[:_MOST_ROWS], ("further classes", more)] if more > 0 else rows


def _list_samples(X):
    if hasattr(X, "columns") and hasattr(X, "shape"):
        columns = [list(X[name]) for name in X.columns]
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    return [X[row] for row in range(len(X))] if isinstance(X, np.ndarray) else list(X)


def _digest_data(samples):
    whole = hashlib.sha256()
    for sample in samples:
        digest = _digest_sample(sample)
        if digest is None:
            return f"{_UNKNOWN} (samples of the type {type(sample).__name__})"
        whole.update(digest)
    return whole.hexdigest()


def _digest_sample(sample):
    if isinstance(sample, (str, os.PathLike)):
        if _is_file(sample):
            return _digest_file(sample)
        sample = str(sample).encode("utf-8", "surrogatepass")
    if isinstance(sample, (bytes, bytearray, memoryview)):
        return hashlib.sha256(sample).digest()
    if isinstance(sample, (list, tuple)):
        parts = [_digest_sample(part) for part in sample]
        return None if None in parts else hashlib.sha256(b"".join(parts)).digest()
    if hasattr(sample, "tobytes") and hasattr(sample, "mode"):  # an image of Pillow
        sample = np.asarray(sample)
    if sample is None or isinstance(sample, (Real, np.generic, np.ndarray)):
        array = np.asarray(np.nan if sample is None else sample)
        if not array.dtype.hasobject:
            head = f"{array.dtype.str} {array.shape} ".encode()
            return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).digest()
    return None


def _is_file(name):
    try:
        return os.path.isfile(name)
    except ValueError:  # no file has such a name
        return False


def _digest_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_PART):
            digest.update(part)
    return digest.digest()


def _describe_targets(y, estimator):
    if y.ndim != 1:
        return [("shape of y", y.shape)]
    is_float = y.dtype.kind == "f" and not is_classifier(estimator)
    if is_float or (y.dtype.kind in "iuf" and is_regressor(estimator)):
        found = {"smallest y": y.min(), "mean of y": y.mean(), "largest y": y.max()}
        return list(found.items()) if len(y) else []
    try:
        labels, counts = np.unique(y, return_counts=True)
    except TypeError:  # of labels without an order
        return [("labels", _UNKNOWN)]
    rows = [(f"samples of {label}", n) for label, n in zip(labels, counts, strict=True)]
    return [("classes", len(labels)), *_cut_rows(rows)]


def _describe_training(estimator):
    texts = []
    for part in _iterate_estimators(estimator):
        history = getattr(part, "history_", None)
        if isinstance(history, list) and history and isinstance(history[0], Mapping):
            texts.append(_write_history(part, history))
        report = getattr(part, "adapt_report_", None)
        if report is not None:
            texts.append(f"Adaptation to a target domain:\n\n{_write_block(report)}")
        if hasattr(part, "best_params_"):
            found = {"best parameters": part.best_params_, "candidates": _count(part)}
            texts.append(_make_table(["search", "value"], found.items()))
    return "\n\n".join(texts) if texts else "No network was trained."


def _count(search):
    return len(search.cv_results_["params"])


def _write_history(part, history):
    names = [n for n, value in history[-1].items() if isinstance(value, (str, Real))]
    shown = list(enumerate(history, start=1))
    if len(shown) > _MOST_ROWS:
        shown = shown[: _MOST_ROWS // 2] + shown[-_MOST_ROWS // 2 :]
    rows = [(epoch, *(entry.get(name, "") for name in names)) for epoch, entry in shown]
    head = f"{type(part).__name__}, epochs: {len(history)}"
    if len(shown) < len(history):
        head += f", the first and last {_MOST_ROWS // 2}"
    return f"{head}\n\n{_make_table(['number', *names], rows)}"


def _describe_scores(estimator, scores):
    rows = [] if scores is None else list(scores.items())
    if hasattr(estimator, "best_params_") and hasattr(estimator, "best_score_"):
        rows.append(("best mean score over the folds of the search", estimator.best_score_))
    if not rows:
        return "*Unknown: no scores were given.*"
    return _make_table(["measured", "score"], rows)


def _list_versions():
    rows = [("python", platform.python_version())]
    for name in _PACKAGES:
        try:
            rows.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return rows


def _make_table(heads, rows):
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_write_cell, line))} |" for line in lines)


def _write_cell(value):
    if isinstance(value, (bool, np.bool_, Integral)):
        return str(value)
    if isinstance(value, Real):
        return f"{float(value):.6g}"
    return _write_line(value)[:2000].replace("|", "\\|")


def _write_line(value):
    return " ".join(str(value).split())


def _write_block(value):
    """Code block that no line of the text can end."""
    return "\n".join(f"    {line}" for line in str(value).splitlines())
