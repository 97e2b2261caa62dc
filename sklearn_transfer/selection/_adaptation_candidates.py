"""Ways to adapt a classifier to a target, by name, as estimators of tables of features."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer._validation import shorten, suggest_near
from sklearn_transfer.alignment import (
    CORAL,
    MeanAlignment,
    OptimalTransport,
    SubspaceAlignment,
    TransferComponentAnalysis,
)
from sklearn_transfer.weighting import (
    KMM,
    ULSIF,
    ImportanceWeighted,
    LabelShiftWeights,
    NearestNeighborWeights,
)

SOURCE_ONLY = "none"


@dataclass(frozen=True)
class Named:
    """A way to adapt, before it is fitted.

    `kind` is "none", "reweighted", "aligned", "adapted" or "given". Unless it
    `takes_features`, the estimator is given the samples as they are.
    """

    name: str
    kind: str
    estimator: object
    takes_features: bool = True

    def standardize(self):
        """The same on standardized features, unless it is given samples."""
        if not self.takes_features:
            return self
        return replace(self, estimator=make_pipeline(StandardScaler(), self.estimator))


def _build_weighted(weighter, classifier, seed):
    weighter = weighter()
    if "random_state" in weighter.get_params():
        weighter.set_params(random_state=seed)
    return ImportanceWeighted(classifier, weighter=weighter)


def _build_aligned(aligner, classifier, seed):
    return make_pipeline(aligner(), classifier)


def _build_adapted(word, classifier, seed):
    import torch

    from sklearn_transfer.finetuning import FineTunedClassifier

    options = {"preprocess": None, "freeze": "all", "random_state": seed}
    return FineTunedClassifier(torch.nn.Identity(), adapt=word, **options)


def _build_alone(classifier, seed):
    return classifier


_WAYS = {
    SOURCE_ONLY: ("none", _build_alone),
    "kmm": ("reweighted", partial(_build_weighted, KMM)),
    "ulsif": ("reweighted", partial(_build_weighted, ULSIF)),
    "neighbors": ("reweighted", partial(_build_weighted, NearestNeighborWeights)),
    "label-shift": (
        "reweighted",
        partial(_build_weighted, partial(LabelShiftWeights, task="classification")),
    ),
    "mean": ("aligned", partial(_build_aligned, MeanAlignment)),
    "mean-scale": (
        "aligned",
        partial(_build_aligned, partial(MeanAlignment, match_scale=True)),
    ),
    "coral": ("aligned", partial(_build_aligned, CORAL)),
    "subspace": ("aligned", partial(_build_aligned, SubspaceAlignment)),
    "tca": ("aligned", partial(_build_aligned, TransferComponentAnalysis)),
    "transport": ("aligned", partial(_build_aligned, OptimalTransport)),
    "mcc": ("adapted", partial(_build_adapted, "mcc")),
    "infomax": ("adapted", partial(_build_adapted, "infomax")),
    "bnm": ("adapted", partial(_build_adapted, "bnm")),
    "jdot": ("adapted", partial(_build_adapted, "jdot")),
    "deep-coral": ("adapted", partial(_build_adapted, "coral")),
    "mmd": ("adapted", partial(_build_adapted, "mmd")),
    "cdan": ("adapted", partial(_build_adapted, "cdan")),
    "dann": ("adapted", partial(_build_adapted, "dann")),
}
# Classes that stand behind the words, for texts.
TITLES = {
    "kmm": "ImportanceWeighted, KMM",
    "ulsif": "ImportanceWeighted, ULSIF",
    "neighbors": "ImportanceWeighted, NearestNeighborWeights",
    "label-shift": "ImportanceWeighted, LabelShiftWeights",
    "mean": "MeanAlignment",
    "mean-scale": "MeanAlignment(match_scale=True)",
    "coral": "CORAL",
    "subspace": "SubspaceAlignment",
    "tca": "TransferComponentAnalysis",
    "transport": "OptimalTransport",
}
# Adversarial networks are left out: results of two runs can differ by twenty points.
AUTO = tuple(word for word in _WAYS if word not in ("cdan", "dann"))


def name_candidates(candidates, classifier, seed):
    """`Named` candidates, source-only first, of what a user asked for.

    Those asked for by a word use clones of the classifier.
    """
    if isinstance(candidates, str):
        candidates = AUTO if candidates == "auto" else [candidates]
    if not isinstance(candidates, Mapping | list | tuple):
        raise TypeError(
            f"candidates={shorten(candidates)} is neither 'auto' nor a list nor a dict: give a"
            " list of words and classifiers, such as ['coral', classifier]"
        )
    if isinstance(candidates, Mapping):
        entries = [(str(name), value) for name, value in candidates.items()]
    else:
        entries = [(_name_entry(value), value) for value in candidates]

    def build(name, value):
        if not isinstance(value, str):
            return _check_given(name, value)
        return _build_word(name, value, clone(classifier), seed)

    named = [build(name, value) for name, value in entries]
    names = [candidate.name for candidate in named]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(
            f"candidates holds {shorten(repeated[0])} {names.count(repeated[0])} times: name"
            " them by a dict, such as {'mild': make_pipeline(CORAL(reg=0.5), classifier),"
            " 'full': make_pipeline(CORAL(), classifier)}"
        )
    given = [candidate for candidate in named if candidate.name != SOURCE_ONLY]
    alone = [candidate for candidate in named if candidate.name == SOURCE_ONLY]
    return [*(alone or [build(SOURCE_ONLY, SOURCE_ONLY)]), *given]


def _name_entry(value):
    return value if isinstance(value, str) else type(value).__name__


def _build_word(name, value, classifier, seed):
    if value not in _WAYS:
        raise ValueError(
            f"candidates holds {shorten(value)}, which is none of {list(_WAYS)}: give one of"
            f" these words or an estimator.{suggest_near(value, _WAYS)}"
        )
    kind, build = _WAYS[value]
    return Named(name, kind, build(classifier, seed))


def _check_given(name, value):
    if not hasattr(value, "fit") or isinstance(value, type):
        raise TypeError(
            f"candidates[{name!r}] is {shorten(value)}: expected a word such as 'coral', or a"
            " classifier that takes X_target in fit"
        )
    if not (hasattr(value, "predict") or hasattr(value, "predict_proba")):
        raise TypeError(
            f"candidates[{name!r}] is {shorten(value)}, which does not predict: put it before"
            " a classifier, such as make_pipeline(CORAL(), classifier)"
        )
    kind = SOURCE_ONLY if name == SOURCE_ONLY else "given"
    return Named(name, kind, clone(value), takes_features=False)
