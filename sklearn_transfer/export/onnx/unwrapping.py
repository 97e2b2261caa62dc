"""Parts of a fitted estimator: the network in front, and the steps behind it."""

from typing import NamedTuple

from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer.columns import MultimodalVectorizer
from sklearn_transfer.extraction import (
    PretrainedAudioFeatures,
    PretrainedFeatures,
    PretrainedTextFeatures,
)
from sklearn_transfer.finetuning import FineTunedClassifier, FineTunedRegressor
from sklearn_transfer.weighting import ImportanceWeighted

EXTRACTORS = (PretrainedAudioFeatures, PretrainedFeatures, PretrainedTextFeatures)
FINE_TUNERS = (FineTunedClassifier, FineTunedRegressor)
_SEVERAL_INPUTS = (ColumnTransformer, FeatureUnion, MultimodalVectorizer)


class Parts(NamedTuple):
    """A fitted estimator in parts.

    front : an extractor or a fine-tuner, which takes the samples.
    steps : (name, estimator) of all that follows, in order.
    """

    front: object
    steps: list


def unwrap(fitted):
    """Return the `Parts` of a fitted estimator; raises ValueError where it has none."""
    if isinstance(fitted, type) or not isinstance(fitted, BaseEstimator):
        raise TypeError(
            f"to_onnx takes a fitted estimator, got {fitted!r:.200}; pass the object that"
            " fit returned"
        )
    steps = _list_steps(fitted, "")
    name, front = steps[0]
    if isinstance(front, EXTRACTORS + FINE_TUNERS):
        _check_front(front)
        return Parts(front, steps[1:])
    where = f"step {name!r}, {type(front).__name__}," if name else type(front).__name__
    if isinstance(front, _SEVERAL_INPUTS):
        raise ValueError(
            f"{where} takes several columns, and a file takes one kind of samples; export a"
            " pipeline for each column, or one whose first step is a PretrainedFeatures"
        )
    inner = _find_inner(front)
    if inner is not None:
        raise ValueError(
            f"{where} has no conversion around a {inner}; put it behind the network, as in"
            f" make_pipeline(PretrainedFeatures(), {type(front).__name__}(...))"
        )
    raise ValueError(
        f"{where} takes the samples, and has no conversion; the first step of what is"
        " exported must be PretrainedFeatures, PretrainedTextFeatures,"
        " PretrainedAudioFeatures, FineTunedClassifier or FineTunedRegressor"
    )


def _list_steps(fitted, name):
    """Return (name, estimator) of the steps of nested pipelines, without what wraps them."""
    fitted = unwrap_one(fitted)
    if not isinstance(fitted, Pipeline):
        return [(name, fitted)]
    found = []
    for inner, step in fitted.steps:
        # Samplers of imbalanced-learn act in fit alone.
        is_sampler = hasattr(step, "fit_resample") and not hasattr(step, "transform")
        if step is None or step == "passthrough" or is_sampler:
            continue
        found += _list_steps(step, f"{name}.{inner}" if name else inner)
    if not found:
        raise ValueError(f"Pipeline {name!r} has no step that changes anything")
    return found


def unwrap_one(fitted):
    """Return the estimator that predicts, in place of a search or weighting around it."""
    while True:
        if isinstance(fitted, BaseSearchCV):
            check_is_fitted(fitted)
            if not hasattr(fitted, "best_estimator_"):
                raise ValueError(
                    f"{type(fitted).__name__}(refit=False) holds no fitted estimator; use"
                    " refit=True, or export one that you fitted with its best_params_"
                )
            fitted = fitted.best_estimator_
        elif isinstance(fitted, ImportanceWeighted):
            check_is_fitted(fitted, "estimator_")
            fitted = fitted.estimator_  # weights matter in fit alone
        elif type(fitted).__name__ == "FrozenEstimator":  # of scikit-learn since 1.6
            fitted = fitted.estimator
        else:
            return fitted


def _check_front(front):
    name = type(front).__name__
    if isinstance(front, FINE_TUNERS):
        check_is_fitted(front, "history_")
        if front._network.columns is not None:
            raise ValueError(
                f"{name} takes several columns, and a file takes one kind of samples; export"
                " one that was fitted on a single column"
            )
        return
    check_is_fitted(front, "weights_sha256_")
    if front.on_error == "nan":
        raise ValueError(
            f"{name}(on_error='nan') gives rows of NaN for samples that cannot be read, which"
            " happens outside of a file; set on_error='raise'"
        )
    if front.precision != "float32":
        raise ValueError(
            f"{name}(precision={front.precision!r}) rounds features as a file does not, which"
            " computes in float32; set precision='float32' (of a pipeline:"
            " fitted.set_params(features__precision='float32')), which needs no new fit"
        )


def _find_inner(estimator):
    """Return the name of an estimator of this package inside another, or None."""
    for value in vars(estimator).values():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            steps = part.steps if isinstance(part, Pipeline) else [("", part)]
            for _, step in steps:
                if isinstance(step, EXTRACTORS + FINE_TUNERS):
                    return type(step).__name__
    return None
