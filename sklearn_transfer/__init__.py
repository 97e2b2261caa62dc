"""Pretrained networks as scikit-learn estimators.

Data flow through the package in one direction::

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
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what editors and type checkers see
    from sklearn_transfer import alignment as alignment
    from sklearn_transfer import columns as columns
    from sklearn_transfer import datasets as datasets
    from sklearn_transfer import export as export
    from sklearn_transfer import extraction as extraction
    from sklearn_transfer import finetuning as finetuning
    from sklearn_transfer import heads as heads
    from sklearn_transfer import plotting as plotting
    from sklearn_transfer import selection as selection
    from sklearn_transfer import testing as testing
    from sklearn_transfer import weighting as weighting
    from sklearn_transfer._validation import TargetDomain as TargetDomain
    from sklearn_transfer._versions import show_versions as show_versions
    from sklearn_transfer.alignment import CORAL as CORAL
    from sklearn_transfer.alignment import MeanAlignment as MeanAlignment
    from sklearn_transfer.alignment import OptimalTransport as OptimalTransport
    from sklearn_transfer.alignment import SubspaceAlignment as SubspaceAlignment
    from sklearn_transfer.alignment import (
        TransferComponentAnalysis as TransferComponentAnalysis,
    )
    from sklearn_transfer.columns import MultimodalVectorizer as MultimodalVectorizer
    from sklearn_transfer.columns import make_multimodal_pipeline as make_multimodal_pipeline
    from sklearn_transfer.export import batch_predictor as batch_predictor
    from sklearn_transfer.export import check_untrusted_samples as check_untrusted_samples
    from sklearn_transfer.export import get_trusted_types as get_trusted_types
    from sklearn_transfer.extraction import ConSE as ConSE
    from sklearn_transfer.extraction import PretrainedAudioFeatures as PretrainedAudioFeatures
    from sklearn_transfer.extraction import PretrainedFeatures as PretrainedFeatures
    from sklearn_transfer.extraction import PretrainedTextFeatures as PretrainedTextFeatures
    from sklearn_transfer.finetuning import AutoencoderFeatures as AutoencoderFeatures
    from sklearn_transfer.finetuning import FineTunedClassifier as FineTunedClassifier
    from sklearn_transfer.finetuning import FineTunedFeatures as FineTunedFeatures
    from sklearn_transfer.finetuning import FineTunedRegressor as FineTunedRegressor
    from sklearn_transfer.heads import PrototypeClassifier as PrototypeClassifier
    from sklearn_transfer.heads import ZeroShotClassifier as ZeroShotClassifier
    from sklearn_transfer.heads import episodes as episodes
    from sklearn_transfer.plotting import AdaptationDisplay as AdaptationDisplay
    from sklearn_transfer.plotting import DomainDisplay as DomainDisplay
    from sklearn_transfer.plotting import NegativeTransferDisplay as NegativeTransferDisplay
    from sklearn_transfer.plotting import NeighborsDisplay as NeighborsDisplay
    from sklearn_transfer.plotting import OcclusionDisplay as OcclusionDisplay
    from sklearn_transfer.plotting import RankingDisplay as RankingDisplay
    from sklearn_transfer.plotting import TrainingDisplay as TrainingDisplay
    from sklearn_transfer.plotting import WeightsDisplay as WeightsDisplay
    from sklearn_transfer.selection import ATCScorer as ATCScorer
    from sklearn_transfer.selection import BNMScorer as BNMScorer
    from sklearn_transfer.selection import InfoMaxScorer as InfoMaxScorer
    from sklearn_transfer.selection import (
        NeighborInformationScorer as NeighborInformationScorer,
    )
    from sklearn_transfer.selection import ReverseValidationScorer as ReverseValidationScorer
    from sklearn_transfer.selection import choose_rows_to_label as choose_rows_to_label
    from sklearn_transfer.selection import duplicate_groups as duplicate_groups
    from sklearn_transfer.selection import label_errors as label_errors
    from sklearn_transfer.selection import negative_transfer_test as negative_transfer_test
    from sklearn_transfer.selection import rank_adaptations as rank_adaptations
    from sklearn_transfer.selection import rank_backbones as rank_backbones
    from sklearn_transfer.selection import robustness_report as robustness_report
    from sklearn_transfer.selection import shift_report as shift_report
    from sklearn_transfer.selection import target_accuracy as target_accuracy
    from sklearn_transfer.weighting import KLIEP as KLIEP
    from sklearn_transfer.weighting import KMM as KMM
    from sklearn_transfer.weighting import ULSIF as ULSIF
    from sklearn_transfer.weighting import DEVScorer as DEVScorer
    from sklearn_transfer.weighting import DomainClassifierWeights as DomainClassifierWeights
    from sklearn_transfer.weighting import ImportanceWeighted as ImportanceWeighted
    from sklearn_transfer.weighting import ImportanceWeightedScorer as ImportanceWeightedScorer
    from sklearn_transfer.weighting import LabelShiftWeights as LabelShiftWeights
    from sklearn_transfer.weighting import NearestNeighborWeights as NearestNeighborWeights

__version__ = "0.1.0"

_HOME = {
    "AdaptationDisplay": "sklearn_transfer.plotting",
    "ATCScorer": "sklearn_transfer.selection",
    "AutoencoderFeatures": "sklearn_transfer.finetuning",
    "BNMScorer": "sklearn_transfer.selection",
    "CORAL": "sklearn_transfer.alignment",
    "ConSE": "sklearn_transfer.extraction",
    "DEVScorer": "sklearn_transfer.weighting",
    "DomainClassifierWeights": "sklearn_transfer.weighting",
    "DomainDisplay": "sklearn_transfer.plotting",
    "FineTunedClassifier": "sklearn_transfer.finetuning",
    "FineTunedFeatures": "sklearn_transfer.finetuning",
    "FineTunedRegressor": "sklearn_transfer.finetuning",
    "ImportanceWeighted": "sklearn_transfer.weighting",
    "ImportanceWeightedScorer": "sklearn_transfer.weighting",
    "InfoMaxScorer": "sklearn_transfer.selection",
    "KLIEP": "sklearn_transfer.weighting",
    "KMM": "sklearn_transfer.weighting",
    "LabelShiftWeights": "sklearn_transfer.weighting",
    "MeanAlignment": "sklearn_transfer.alignment",
    "MultimodalVectorizer": "sklearn_transfer.columns",
    "NearestNeighborWeights": "sklearn_transfer.weighting",
    "NegativeTransferDisplay": "sklearn_transfer.plotting",
    "NeighborInformationScorer": "sklearn_transfer.selection",
    "NeighborsDisplay": "sklearn_transfer.plotting",
    "OcclusionDisplay": "sklearn_transfer.plotting",
    "OptimalTransport": "sklearn_transfer.alignment",
    "PretrainedAudioFeatures": "sklearn_transfer.extraction",
    "PretrainedFeatures": "sklearn_transfer.extraction",
    "PretrainedTextFeatures": "sklearn_transfer.extraction",
    "PrototypeClassifier": "sklearn_transfer.heads",
    "RankingDisplay": "sklearn_transfer.plotting",
    "ReverseValidationScorer": "sklearn_transfer.selection",
    "SubspaceAlignment": "sklearn_transfer.alignment",
    "TargetDomain": "sklearn_transfer._validation",
    "TrainingDisplay": "sklearn_transfer.plotting",
    "TransferComponentAnalysis": "sklearn_transfer.alignment",
    "ULSIF": "sklearn_transfer.weighting",
    "WeightsDisplay": "sklearn_transfer.plotting",
    "ZeroShotClassifier": "sklearn_transfer.heads",
    "alignment": "sklearn_transfer.alignment",
    "batch_predictor": "sklearn_transfer.export",
    "check_untrusted_samples": "sklearn_transfer.export",
    "choose_rows_to_label": "sklearn_transfer.selection",
    "columns": "sklearn_transfer.columns",
    "datasets": "sklearn_transfer.datasets",
    "duplicate_groups": "sklearn_transfer.selection",
    "episodes": "sklearn_transfer.heads",
    "export": "sklearn_transfer.export",
    "extraction": "sklearn_transfer.extraction",
    "finetuning": "sklearn_transfer.finetuning",
    "get_trusted_types": "sklearn_transfer.export",
    "heads": "sklearn_transfer.heads",
    "label_errors": "sklearn_transfer.selection",
    "make_multimodal_pipeline": "sklearn_transfer.columns",
    "negative_transfer_test": "sklearn_transfer.selection",
    "plotting": "sklearn_transfer.plotting",
    "rank_adaptations": "sklearn_transfer.selection",
    "rank_backbones": "sklearn_transfer.selection",
    "robustness_report": "sklearn_transfer.selection",
    "selection": "sklearn_transfer.selection",
    "shift_report": "sklearn_transfer.selection",
    "show_versions": "sklearn_transfer._versions",
    "target_accuracy": "sklearn_transfer.selection",
    "testing": "sklearn_transfer.testing",
    "weighting": "sklearn_transfer.weighting",
}

__all__ = sorted(_HOME)


if not TYPE_CHECKING:  # else a checker believes any name to be here

    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(_HOME[name])
        return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)


def __dir__():
    return sorted({*globals(), *__all__})
