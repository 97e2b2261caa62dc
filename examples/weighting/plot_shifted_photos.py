"""
How good is it in the dark, without labels from the dark?
=========================================================

Most of the labeled photos were taken by day, a few at dusk. The camera will work at dusk,
where photos have no labels yet. A cross-validation over the labeled ones says how good a
model is by day. :class:`~sklearn_transfer.ImportanceWeightedScorer` weights the photos of
each validation fold so that they look like those at dusk: the same search, and an estimate
for the place where the model will be used.
"""

# %%
# The photos
# ----------
#
# Crops of fifteen photos in files, the photo being the class: twelve by day and four at
# dusk with labels, eight at dusk without. (Their labels are used at the end, to check.)

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


def crops(n, seed, shift=None):
    """Paths and labels of n crops per class."""
    return load_photo_crops(
        n, size=128, shift=shift, random_state=seed, folder=folder.name, return_X_y=True
    )


(day, y_day), (dusk, y_dusk) = crops(12, seed=0), crops(4, seed=1, shift="dark")
paths, y = np.concatenate([day, dusk]), np.concatenate([y_day, y_dusk])
paths_target, y_target = crops(8, seed=2, shift="dark")

# %%
# One search, two scores
# ----------------------
#
# Every network layer is computed once, in one pass. The model is fitted with weights as
# well: where features are good enough for both lights it neither needs them nor gains.

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
# What the dark says
# ------------------
#
# Now the labels at dusk, which the search has not seen.

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
print(f"the same fitted with weights: {weighted.score(paths_target, y_target):.3f}")

figure, ax = plt.subplots(figsize=(6.4, 5.2), layout="constrained")
ax.plot([0, 1], [0, 1], color="gray", linewidth=1)
colors = {"by day": "tab:orange", "for dusk": "tab:blue"}
for name, color in colors.items():
    estimate = results[f"mean_test_{name}"]
    ax.scatter(estimate, truth, s=40, color=color, alpha=0.7, label=f"estimated {name}")
ax.set(
    xlabel="accuracy that cross-validation promises",
    ylabel="accuracy at dusk",
    title="Eight models: weighted scores promise what the dark keeps",
)
ax.legend(loc="upper left")
plt.show()
folder.cleanup()
