"""
Can I write an objective of my own?
===================================

Each word for `adapt`, such as "mmd", stands for a class of
:mod:`sklearn_transfer.finetuning.objectives`. A class of your own takes the place of a word:
it says what is minimized in a training step, and everything else stays as it is, from the
drawing of the target batches to searches and pickles.
"""

# %%
# The distance of two means
# -------------------------
#
# An objective that compares source and target derives from `AdaptationObjective`, which
# brings a weight and a warm-up, and writes `compute`. The step holds the features, the
# logits and the weights of a batch of the source, and the features and the logits of one of
# the target. This objective moves the means of both together, for each feature in units of
# its spread.

import matplotlib.pyplot as plt

from sklearn_transfer import FineTunedClassifier, TrainingDisplay
from sklearn_transfer.datasets import load_photo_crops
from sklearn_transfer.finetuning.objectives import (
    MMD,
    AdaptationObjective,
    DeepCORAL,
    resolve_adapt,
)


class MeanDistance(AdaptationObjective):
    def compute(self, step):
        spread = step.features.detach().std(0) + 0.1
        gap = (step.features.mean(0) - step.target_features.mean(0)) / spread
        return gap.square().mean()


# %%
# A comparison
# ------------
#
# The classes behind the words have parameters, too: their `weight`, and whatever the method
# has. :func:`~sklearn_transfer.finetuning.objectives.resolve_adapt` shows what a word stands
# for. A term that needs no target, such as a penalty, derives from
# :class:`~sklearn_transfer.finetuning.objectives.Objective` itself and writes `loss`, for
# the same :class:`~sklearn_transfer.finetuning.objectives.Step`.

print("the word 'coral' stands for", resolve_adapt("coral"))

X, y = load_photo_crops(10, size=64, random_state=0, return_X_y=True)
X_target, y_target = load_photo_crops(
    10, size=64, shift="noisy", severity=0.6, random_state=1, return_X_y=True
)
candidates = {
    "none": None,
    "CORAL": DeepCORAL(),
    "MMD": MMD(),
    "mean distance": MeanDistance(),
    "mean distance, weight 3": MeanDistance(weight=3),
}
models, accuracies = {}, {}
for name, adapt in candidates.items():
    model = FineTunedClassifier(freeze="all", input_size=64, adapt=adapt)
    models[name] = model.fit(X, y, X_target=X_target)
    accuracies[name] = model.score(X_target, y_target)
    print(f"{name:>24}: accuracy on the target {accuracies[name]:.3f}")

# %%
# Results
# -------
#
# Five lines are enough for an objective that helps about as much as CORAL, which compares
# covariances, and less than MMD, which compares the whole distributions. More weight does
# not help more. :class:`~sklearn_transfer.TrainingDisplay` shows the losses of a training.
# Without labels of the target, choose between objectives as in
# :ref:`sphx_glr_auto_examples_finetuning_plot_adaptation.py`.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
TrainingDisplay.from_estimator(models["mean distance"], ax=left)
right.barh(list(accuracies), accuracies.values(), color="tab:blue")
right.axvline(accuracies["none"], color="black", linestyle=":")
right.invert_yaxis()
right.set(xlabel="accuracy on the target", xlim=(0, 1))
plt.show()
