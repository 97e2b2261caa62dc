"""Ranking of networks and their layers by a score, from one pass per network."""

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.special import softmax
from sklearn.base import is_classifier, is_regressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import check_cv, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import HasMethods, StrOptions, validate_params

from sklearn_transfer._process.blas import FEW_ROWS, one_blas_thread
from sklearn_transfer._validation import as_target, resolve_task
from sklearn_transfer.selection._logme import logme
from sklearn_transfer.selection._ranked_features import (
    build_extractor,
    has_layers,
    holds_sounds,
    match_network,
)
from sklearn_transfer.selection._ranking_table import (
    BackboneRanking,
    Candidate,
    describe_problems,
    list_names,
)
from sklearn_transfer.selection._scores import gbc, h_score, leep, nce
from sklearn_transfer.weighting._classifiers import build_default_classifier

_OF_FEATURES = {"gbc": gbc, "h_score": h_score, "logme": logme}
_OF_LOGITS = {
    "leep": lambda logits, y, task: leep(softmax(logits.astype(float), axis=1), y, task=task),
    "nce": lambda logits, y, task: nce(logits.argmax(axis=1), y, task=task),
}
_SCORES = {**_OF_FEATURES, **_OF_LOGITS}
_SHOWN = 5  # problems that a message tells


@validate_params(
    {
        "models": "no_validation",
        "X": "no_validation",
        "y": ["array-like"],
        "layers": "no_validation",
        "score": [StrOptions(set(_SCORES)), callable],
        "cv": ["cv_object"],
        "estimator": [HasMethods(["fit", "score"]), None],
        "task": [StrOptions({"auto", "classification", "regression"})],
        "features_params": [dict, None],
        "n_jobs": "no_validation",
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def rank_backbones(
    models,
    X,
    y,
    *,
    layers=(None,),
    score="logme",
    cv=None,
    estimator=None,
    task="auto",
    features_params=None,
    n_jobs=None,
    verbose=False,
):
    """Networks, and layers of networks, in the order of how well they suit a task.

    Each sample passes each network once, whatever the number of layers, and nothing is
    trained: minutes where fine-tuning every candidate takes days. A candidate with random
    weights among them shows what pretraining brings.

    Parameters
    ----------
    models : list or dict of str, module, callable or extractor
        The networks, all for one kind of samples: what `PretrainedFeatures`,
        `PretrainedTextFeatures` or `PretrainedAudioFeatures` takes as `model`, or one of these
        with parameters of its own, of which `layers` is not used. Where X holds sounds, those
        of images get pictures of them. "tfidf" and "log-mel" are no networks but the
        baselines for texts, counts of words, and for sounds, mean and standard deviation of
        64 bands. A dict gives names in the table. One network alone compares its layers.
    X : sequence of n_samples samples
        Samples as the networks take them; a few hundred are enough.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Labels of any kind, or numbers, where `score` takes them.
    layers : sequence of layer choices, str, int or None, default=(None,)
        Values of the parameter `layers` of `PretrainedFeatures`, each a candidate: None is
        the embedding, a list in the sequence the concatenation of several.
    score : {"logme", "h_score", "gbc", "leep", "nce"} or callable, default="logme"
        Score by which the candidates are sorted, higher being better. "leep" and "nce" rate
        the predictions of the network's own classifier, all its layers alike. A callable is
        given `(features, y)` and returns a number.
    cv : int, cross-validation generator or iterable, default=None
        Cross-validate `estimator` on the same features in addition, all candidates on the
        same folds. None does not; an int is the number of folds, stratified for a
        classifier.
    estimator : estimator, default=None
        What is cross-validated, and what says whether y holds classes or numbers, where it
        is a classifier or a regressor. None is a logistic regression on standardized
        features, a ridge regression for numbers.
    task : {"auto", "classification", "regression"}, default="auto"
        Whether y holds classes or numbers, where no `estimator` says it: "auto" is
        regression where y holds fractions, and raises an error for many distinct whole
        numbers, such as ages, by the rule of `logme`.
    features_params : dict, default=None
        Parameters of the estimator of features for such samples, for models
        that are not one already, such as `{"cache": "folder"}`.
    n_jobs : int, default=None
        Processes in cross-validation, as in scikit-learn. Up to 4000 rows of X, fits in
        this process run on one thread of BLAS, since more of them would wait for each other.
    verbose : bool or int, default=False
        Show a progress bar for each network.

    Returns
    -------
    ranking : BackboneRanking
        A table, the best candidate first, that prints itself and shows in notebooks, with

        candidates : tuple of Candidate
            One a network and layer, of equal score in the order given, those that failed
            last. Their attributes are

            - `name`, `layer` (str): network, and "embedding" or the name of the layer;
            - `score` (float), or None where `problem` (str) says why there is none;
            - `n_features` (int): width of the features;
            - `seconds` (float): time per sample in the pass through all of the layers,
              reading included, or None where all came from the cache;
            - `n_parameters` (int): of the whole network;
            - `cv_mean`, `cv_std` (float): of the estimator's own score, accuracy or R2, over
              the folds, or None without `cv`;
            - `features` (an estimator of features): the candidate, ready
              for a Pipeline.
        best : Candidate
            The first of them.
        score_name : str
            Name of the score.
        to_frame() : pandas.DataFrame
            One row per candidate.
        plot(ax=None, against=None) : RankingDisplay
            Score against the cost of a candidate; see there.

    Raises
    ------
    ValueError
        If y does not suit the score or may be classes or numbers, a sample cannot be read,
        or no candidate is left.

    See Also
    --------
    logme : The default score.
    PretrainedFeatures : What is ranked.
    RankingDisplay : Plot of the scores against the costs.

    Notes
    -----
    "log-mel" and "tfidf" have one row, whatever `layers`. The latter are frequencies of words
    in the texts of X, at most the 10,000 most frequent, weighted by their rarity. Networks
    that rank below their baseline do not pay for these samples. In cross-validation the words
    and weights are those of all of X, which uses no labels.

    A network that cannot be loaded or run, or lacks the layer, keeps its row with the
    reason, and one warning names all of them. Features stay in the cache: a second call, or
    a search over the best, computes nothing. With `on_error="nan"` among the parameters rows
    without features are left out.

    `seconds` is the time between the first and the last sample that this call computed, on
    this machine under its load; building the network and its engine is not part of it.

    References
    ----------
    You, K., Liu, Y., Zhang, Z., Wang, J., Jordan, M. and Long, M. (2022). Ranking and tuning
    pre-trained models: a new paradigm for exploiting model hubs. JMLR 23.

    Examples
    --------
    >>> from sklearn_transfer import PretrainedFeatures, rank_backbones
    >>> from sklearn_transfer.datasets import load_photo_crops
    >>> X, y = load_photo_crops(
    ...     10, size=64, classes=["flower", "pagoda"], return_X_y=True
    ... )
    >>> random = PretrainedFeatures(weights=None)
    >>> ranking = rank_backbones(["tf_efficientnet_lite0", random], X, y)
    >>> ranking.best.name
    'tf_efficientnet_lite0'
    """
    kind = _resolve_kind(y, score, cv, estimator, task)
    y = _validate_labels(X, y, score, kind)
    layers = _list_layers(layers)
    named = _name_extractors(models, features_params, verbose, holds_sounds(X))
    task = _Task(X, y, layers, score, kind, *_build_validation(y, cv, estimator, kind), n_jobs)
    rows = [row for name, extractor in named for row in task.rate_network(name, extractor)]
    _report_problems(rows, task.warnings)
    rows.sort(key=lambda row: (row.score is None, -(row.score or 0)))
    return BackboneRanking(tuple(rows), task.score_name)


def _resolve_kind(y, score, cv, estimator, task):
    """Kind of task: as the estimator says, else as `task` says, else by y if it matters."""
    said = _read_task(estimator)
    if said is not None and task not in ("auto", said):
        raise ValueError(
            f"task={task!r} contradicts the estimator, {type(estimator).__name__}, which is "
            f"made for {said}: leave task='auto' or give another estimator"
        )
    rates_classes = score in _SCORES and score != "logme"
    if rates_classes and "regression" in (said, task):
        raise ValueError(
            f"score={score!r} rates classes, and {'estimator' if said else 'task'} asks for a "
            "regression: give score='logme' or a function"
        )
    if said is None and (score == "logme" or (cv is not None and estimator is None)):
        return resolve_task(y, task)
    return said or task


def _read_task(estimator):
    if estimator is None:
        return None
    if is_classifier(estimator):
        return "classification"
    return "regression" if is_regressor(estimator) else None


def _validate_labels(X, y, score, task):
    """Refuse labels that the score does not take before a network runs."""
    y = np.asarray(as_target(y))
    if hasattr(X, "__len__") or hasattr(X, "shape"):
        check_consistent_length(X, y)
    if score in _OF_FEATURES:
        _OF_FEATURES[score](np.zeros((len(y), 1)), y, task=task)
    elif score in _OF_LOGITS:
        nce(np.zeros(len(y)), y, task=task)
    return y


def _list_layers(layers):
    if isinstance(layers, str) or not hasattr(layers, "__iter__"):
        return [layers]
    layers = list(layers)
    if not layers:
        raise ValueError("layers=[] names no layer; None is the network's embedding")
    return layers


def _name_extractors(models, params, verbose, of_sounds):
    """Pairs of a name and an unfitted extractor with checked parameters."""
    names = None
    if isinstance(models, Mapping):
        names, models = list(map(str, models)), list(models.values())
    elif isinstance(models, str) or not _is_collection(models):
        models = [models]
    if not len(models):
        raise ValueError("models is empty: name at least one network")
    extractors = [build_extractor(model, params or {}, verbose, of_sounds) for model in models]
    return list(zip(names or _build_names(extractors), extractors, strict=True))


def _is_collection(models):
    """Whether a value holds networks, and is not itself a network that can be iterated."""
    return isinstance(models, (list, tuple, set, np.ndarray))


def _build_names(extractors):
    """Model and weights, numbered where several are the same."""
    names = [_name_extractor(extractor) for extractor in extractors]
    total, seen = Counter(names), Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        if total[name] > 1:
            names[i] = f"{name} #{seen[name]}"
    return names


def _name_extractor(extractor):
    model, weights = extractor.model, extractor.weights
    if not isinstance(model, str):
        model = getattr(model, "__qualname__", type(model).__name__)
    if weights is None:
        return f"{model}, random weights (seed {extractor.random_state})"
    if isinstance(weights, Mapping):
        return f"{model}, weights from a mapping"
    if weights == "pretrained":
        return model
    return f"{model}, {os.path.basename(os.fspath(weights))}"


def _build_validation(y, cv, estimator, task):
    """Estimator and splitter to cross-validate with, or None twice."""
    if cv is None:
        return None, None
    if estimator is None:
        if task == "regression":
            estimator = make_pipeline(StandardScaler(), Ridge())
        else:
            estimator = build_default_classifier()
    return estimator, check_cv(cv, y, classifier=is_classifier(estimator))


class _Task:
    """What all candidates are asked; `warnings` are those of scores, with who had them."""

    def __init__(self, X, y, layers, score, task, estimator, cv, n_jobs):
        self.X, self.y, self.layers, self.score = X, y, layers, score
        self.task = "regression" if task == "regression" else "classification"
        self.estimator, self.cv, self.n_jobs = estimator, cv, n_jobs
        self.score_name = score if isinstance(score, str) else _name_callable(score)
        self.rates_logits = score in _OF_LOGITS
        self.folds, self.warnings = {}, defaultdict(list)

    def rate_network(self, name, extractor):
        """Rows of one network."""
        layers = self.layers if has_layers(extractor) else [None]
        asked = [*layers, "logits"] if self.rates_logits else layers
        rows = [
            Candidate(name, _label_layer(layer), _take_layer(extractor, layer))
            for layer in layers
        ]
        try:
            extractor = match_network(extractor)
            done = extractor._extract_layers(self.X, asked)
        except Exception as error:  # whatever a network raises, the others go on
            if _is_of_samples(error):
                raise
            return [row.add_problem(error) for row in rows]
        rows = [
            replace(row.add_costs(done), features=_take_layer(extractor, layer))
            for row, layer in zip(rows, layers, strict=True)
        ]
        logits = done.features[-1] if self.rates_logits else None
        return [
            self._rate(row, features, features if logits is None else logits)
            for row, features in zip(rows, done.features, strict=False)
        ]

    def _rate(self, row, features, scored):
        for matrix in (features, scored):
            if isinstance(matrix, ValueError):
                return row.add_problem(matrix)
        kept = np.isfinite(features).all(axis=1) & np.isfinite(scored).all(axis=1)
        features, scored, y = features[kept], scored[kept], self.y[kept]
        value = self._compute_score(row, scored, y)
        if not np.isfinite(value):
            return row.add_problem(ValueError(f"{self.score_name} gives {value}"))
        row = row.add_results(n_features=features.shape[1], score=value)
        if self.cv is None:
            return row
        results = self._cross_validate(features, y, kept)
        return row.add_results(cv_mean=float(results.mean()), cv_std=float(results.std()))

    def _compute_score(self, row, features, y):
        score = self.score
        if not callable(score):
            score = partial(_SCORES[score], task=self.task)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = float(score(features, y))
        for warning in caught:
            self.warnings[warning.category, str(warning.message)].append(row.title)
        return value

    def _cross_validate(self, features, y, kept):
        key = kept.tobytes()
        if key not in self.folds:
            self.folds[key] = list(self.cv.split(features, y))
        options = {"cv": self.folds[key], "n_jobs": self.n_jobs, "error_score": "raise"}
        with one_blas_thread(len(y) <= FEW_ROWS):
            return cross_val_score(self.estimator, features, y, **options)


def _name_callable(score):
    return getattr(score, "__name__", type(score).__name__)


def _label_layer(layer):
    if isinstance(layer, (list, tuple)):
        return " + ".join(map(_label_layer, layer))
    return "embedding" if layer is None else str(layer)


def _take_layer(extractor, layer):
    """The unfitted extractor as a user would write it; it shares the network."""
    params = extractor.get_params(deep=False)
    return type(extractor)(**{**params, "layers": layer})


def _is_of_samples(error):
    from sklearn_transfer._modalities.contents import BadSampleError

    return isinstance(error.__cause__, BadSampleError)


def _report_problems(rows, scored):
    """One warning for the networks that failed, one for each thing that scores say."""
    for (category, message), titles in scored.items():
        warnings.warn(f"{list_names(titles, '; ')}: {message}", category, stacklevel=4)
    failed = [row for row in rows if row.problem is not None]
    if not failed:
        return
    lines = [f"- {line}" for line in describe_problems(failed)]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"- and {len(lines) - _SHOWN} more"]
    reasons = "\n".join(lines)
    if len(failed) == len(rows):
        raise ValueError(f"No candidate could be rated:\n{reasons}")
    warnings.warn(
        f"{len(failed)} of {len(rows)} candidates could not be rated:\n{reasons}",
        UserWarning,
        stacklevel=4,
    )
