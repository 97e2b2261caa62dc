"""Objectives of the predictions for the target alone: MCC, InfoMax and BNM."""

from numbers import Real

from sklearn.utils._param_validation import Interval

from sklearn_transfer.finetuning.objectives.adaptation import AdaptationObjective, check_task


class _PredictionObjective(AdaptationObjective):
    """An objective that needs one class per row."""

    def check(self, targets):
        super().check(targets)
        check_task(self, targets, ("multiclass",))


class MCC(_PredictionObjective):
    """Minimum class confusion."""

    _parameter_constraints: dict = {
        **AdaptationObjective._parameter_constraints,
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, weight=1.0, *, temperature=2.5):
        self.weight = weight
        self.temperature = temperature

    def compute(self, step):
        from sklearn_transfer.finetuning.objectives.formulas import compute_class_confusion

        return compute_class_confusion(step.target_logits, self.temperature)
