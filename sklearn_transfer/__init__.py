"""Pretrained networks as scikit-learn estimators.

Data walk through the package without turning back::

    samples --extraction--> features --> any scikit-learn estimator, or heads --> predictions
       | inputs > backbone > tap > cache    ^
       +------------------finetuning------------------------------------------> predictions
                         source + target --weighting--> sample_weight
                         source + target --alignment--> features
                         source + target --selection--> what to do

Every public name is importable from here and is loaded at first use: importing this
module loads neither torch nor timm.
"""

from importlib import import_module

__version__ = "0.1.0.dev0"

_HOME = {
    "AutoencoderFeatures": "sklearn_transfer.finetuning",
    "CORAL": "sklearn_transfer.alignment",
    "DEVScorer": "sklearn_transfer.weighting",
    "DomainClassifierWeights": "sklearn_transfer.weighting",
    "DomainDisplay": "sklearn_transfer.plotting",
    "FineTunedClassifier": "sklearn_transfer.finetuning",
    "FineTunedRegressor": "sklearn_transfer.finetuning",
    "ImportanceWeighted": "sklearn_transfer.weighting",
    "ImportanceWeightedScorer": "sklearn_transfer.weighting",
    "KLIEP": "sklearn_transfer.weighting",
    "KMM": "sklearn_transfer.weighting",
    "LabelShiftWeights": "sklearn_transfer.weighting",
    "NearestNeighborWeights": "sklearn_transfer.weighting",
    "NegativeTransferDisplay": "sklearn_transfer.plotting",
    "OptimalTransport": "sklearn_transfer.alignment",
    "PretrainedFeatures": "sklearn_transfer.extraction",
    "PrototypeClassifier": "sklearn_transfer.heads",
    "SubspaceAlignment": "sklearn_transfer.alignment",
    "TargetDomain": "sklearn_transfer._validation",
    "TrainingDisplay": "sklearn_transfer.plotting",
    "TransferComponentAnalysis": "sklearn_transfer.alignment",
    "ULSIF": "sklearn_transfer.weighting",
    "WeightsDisplay": "sklearn_transfer.plotting",
    "ZeroShotClassifier": "sklearn_transfer.heads",
    "alignment": "sklearn_transfer.alignment",
    "datasets": "sklearn_transfer.datasets",
    "episodes": "sklearn_transfer.heads",
    "extraction": "sklearn_transfer.extraction",
    "finetuning": "sklearn_transfer.finetuning",
    "heads": "sklearn_transfer.heads",
    "negative_transfer_test": "sklearn_transfer.selection",
    "plotting": "sklearn_transfer.plotting",
    "rank_backbones": "sklearn_transfer.selection",
    "selection": "sklearn_transfer.selection",
    "shift_report": "sklearn_transfer.selection",
    "weighting": "sklearn_transfer.weighting",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOME[name])
    return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)


def __dir__():
    return sorted({*globals(), *__all__})
