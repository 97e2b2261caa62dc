"""
How accurate is a model at dusk, without labels from dusk?
==========================================================

Most of the labeled photos were taken by day and a few at dusk. The camera will be used at
dusk, and its photos have no labels yet. A cross-validation over the labeled photos estimates
the accuracy by day. :class:`~sklearn_transfer.ImportanceWeightedScorer` weights the photos of
each validation fold so that they resemble those at dusk. The same search then estimates the
accuracy under the conditions in which the model will be used.
"""

# %%
# The photos
# ----------
#
# The samples are files with crops of fifteen photos, and each photo is a class. Per class,
# there are twelve labeled crops by day, four labeled crops at dusk, and eight unlabeled crops
# at dusk, whose labels are used only at the end, to check the estimates.

from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    KMM,
    ImportanceWeighted,
    ImportanceWeightedScorer,
    PretrainedFeatures,
    TargetDomain,
)
from sklearn_transfer.datasets import load_photo_crops

folder = TemporaryDirectory()


def load_crops(n, seed, shift=None):
    """Return the paths and labels of n crops per class."""
    return load_photo_crops(
        n, size=128, shift=shift, random_state=seed, folder=folder.name, return_X_y=True
    )


(day, y_day), (dusk, y_dusk) = load_crops(12, seed=0), load_crops(4, seed=1, shift="dark")
paths, y = np.concatenate([day, dusk]), np.concatenate([y_day, y_dusk])
paths_target, y_target = load_crops(8, seed=2, shift="dark")

# %%
# One search, two scores
# ----------------------
#
# All layers of the network are computed in one pass. For comparison, the model is also fitted
# with weights. If the features are good enough for both kinds of light, the model neither
# needs weights nor benefits from them.

representation = PretrainedFeatures().precompute(
    [*paths, *paths_target], layers=["shallow", "middle", "deep", None]
)
pipe = Pipeline(
    [
        ("features", PretrainedFeatures()),
        ("scale", StandardScaler()),
        ("components", PCA(20, random_state=0)),
        ("clf", LogisticRegression(max_iter=200)),
    ]
)
scoring = {
    "by day": "accuracy",
    "for dusk": ImportanceWeightedScorer(
        "accuracy", X_target=paths_target, weighter=KMM(B=5), representation=representation
    ),
}
grid = {
    "features__layers": ["shallow", "middle", "deep", None],
    "clf__C": [0.001, 0.1],
}
search = GridSearchCV(
    pipe,
    grid,
    scoring=scoring,
    refit="for dusk",
    cv=StratifiedKFold(5, shuffle=True, random_state=0),
)
search.fit(paths, y)
weighted = ImportanceWeighted(
    search.best_estimator_, KMM(B=5), representation=representation
).fit(paths, y, X_target=TargetDomain(paths_target))

# %%
# Accuracy at dusk
# ----------------
#
# The estimates are compared with the accuracy on the labels at dusk, which the search has not
# used.

results = search.cv_results_
truth = np.array(
    [
        pipe.set_params(**p).fit(paths, y).score(paths_target, y_target)
        for p in results["params"]
    ]
)
for name in scoring:
    gap = np.abs(results[f"mean_test_{name}"] - truth).mean()
    print(f"score {name:9} is off by {gap:.3f} on average")
chosen = search.best_estimator_.score(paths_target, y_target)
print(f"chosen {search.best_params_}: {chosen:.3f} at dusk")
print(f"the same model fitted with weights: {weighted.score(paths_target, y_target):.3f}")

figure, ax = plt.subplots(figsize=(6.4, 5.2), layout="constrained")
ax.plot([0, 1], [0, 1], color="gray", linewidth=1)
colors = {"by day": "tab:orange", "for dusk": "tab:blue"}
for name, color in colors.items():
    estimate = results[f"mean_test_{name}"]
    ax.scatter(estimate, truth, s=40, color=color, alpha=0.7, label=f"estimated {name}")
ax.set(
    xlabel="accuracy estimated by cross-validation",
    ylabel="accuracy at dusk",
    title="Eight models: weighted scores predict the accuracy at dusk",
)
ax.legend(loc="upper left")
plt.show()
folder.cleanup()
