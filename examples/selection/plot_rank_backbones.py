"""
Which network suits these photos, before any is trained on them?
================================================================

A hub offers a thousand networks, and fine-tuning each of them to see takes weeks. A score of
the features needs one pass over a few labeled photos. But does it put the networks in the
order in which a classifier on their features will be right?
:func:`~sklearn_transfer.rank_backbones` computes both here, so that they can be compared;
in practice the score alone is enough.
"""

# %%
# The task and the candidates
# ---------------------------
#
# Six crops of each of fifteen photos, taken by a noisy sensor so that no network is right
# everywhere. Three networks of rising size, each at three depths, are candidates, and one of
# them with random weights as a control: what it gets right needs no pretraining. (Weights of
# two of the networks come with the extra ``examples``; without it, their rows say so.)

import matplotlib.pyplot as plt
from scipy.stats import kendalltau
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedFeatures, rank_backbones
from sklearn_transfer.datasets import load_photo_crops

X, y = load_photo_crops(6, size=96, shift="noisy", return_X_y=True)
models = {
    "lite0": "tf_efficientnet_lite0",
    "lite1": "tf_efficientnet_lite1",
    "lite2": "tf_efficientnet_lite2",
    "lite0, random": PretrainedFeatures(weights=None),
}

# %%
# One pass per network
# --------------------
#
# LogME is the default score. The cross-validation is there to check it. All layers come from
# the same pass, whose time the table shows.

ranking = rank_backbones(
    models,
    X,
    y,
    layers=["middle", "deep", None],
    cv=StratifiedKFold(5, shuffle=True, random_state=0),
    estimator=make_pipeline(StandardScaler(), LogisticRegression(C=0.01)),
)
print(ranking)

# %%
# Do score and accuracy agree?
# ----------------------------
#
# Kendall's tau is 1 where two orders are the same and 0 where they have nothing in common.
# The random control makes the question easy, so the figure without it is the honest one. The
# score tells the depths apart and finds the control; between layers whose accuracies differ
# by less than the spread of the folds it cannot choose, and need not. The largest network is
# not the best one here.


def tau(rows):
    """Agreement of the score with the accuracy."""
    return kendalltau([r.score for r in rows], [r.cv_mean for r in rows]).statistic


rated = [row for row in ranking.candidates if row.score is not None]
pretrained = [row for row in rated if "random" not in row.name]
print(f"Kendall's tau: {tau(pretrained):.2f}, with the random control {tau(rated):.2f}")

display = ranking.plot(against="cv_mean")
display.ax_.set(
    xlabel="accuracy in 5 folds",
    ylabel="LogME, without training",
    title="A score from one pass puts the candidates in order",
)
plt.show()
