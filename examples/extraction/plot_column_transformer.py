"""
Do a photo and two measurements predict more together than alone?
=================================================================

A robot takes a photo of the ground, measures its moisture and slope, and must predict whether
its wheels will hold. The photo shows the type of surface but not how wet or steep it is; the
measurements tell how wet and steep the surface is, but not its type. Both are columns of one
table, so a single scikit-learn pipeline can process them:
:class:`~sklearn.compose.ColumnTransformer` passes the column of paths to
:class:`~sklearn_transfer.PretrainedFeatures` and the measurements to a scaler.
"""

# %%
# The table
# ---------
#
# The photos are random crops of photos of four real surfaces. The measurements are random
# numbers, and the outcome follows a rule: each surface has a certain grip, moisture and slope
# reduce it, and there is some noise. Because the rule is known, so is the best possible
# accuracy. The classifier is given neither the rule nor the name of the surface.

import os
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops

GRIP = {"brick": 10, "gravel": 8, "grass": 5, "moon": 3}

folder = TemporaryDirectory()
paths, surface = load_photo_crops(60, classes=list(GRIP), folder=folder.name, return_X_y=True)
rng = np.random.default_rng(0)
table = pd.DataFrame(
    {
        "path": paths,
        "moisture": rng.uniform(0, 100, len(paths)),
        "slope": rng.uniform(0, 30, len(paths)),
    }
)
margin = pd.Series(surface).map(GRIP) - 0.06 * table["moisture"] - 0.25 * table["slope"]
holds = margin + rng.logistic(0, 0.5, len(paths)) > 0
print(table.assign(path=table["path"].map(os.path.basename), holds=holds).head())

# %%
# One pipeline, three choices of columns
# --------------------------------------
#
# The 1280 image features are reduced to eight principal components of unit variance, so that
# they do not dominate the two measurements. The components are fitted within each fold. The
# folds share the image features, so each image passes through the network only once.

components = PCA(8, whiten=True, random_state=0)
photo = ("image", make_pipeline(PretrainedFeatures(), components), "path")
numbers = ("numbers", StandardScaler(), ["moisture", "slope"])
cv = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)

scores = {}
for name, columns in {
    "photo": [photo],
    "numbers": [numbers],
    "photo and numbers": [photo, numbers],
}.items():
    model = make_pipeline(ColumnTransformer(columns), LogisticRegression())
    scores[name] = cross_val_score(model, table, holds, cv=cv)
    print(f"{name:<18} {scores[name].mean():.3f} +- {scores[name].std():.3f}")

# %%
# Results
# -------
#
# Together, the photo and the measurements come close to the accuracy of the rule itself.
# Neither of them does so alone.

fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
for i, (name, values) in enumerate(scores.items()):
    color = "#1a7f4b" if "and" in name else "#8a929c"
    ax.barh(i, values.mean(), height=0.6, color=color)
    ax.plot(values, np.full(len(values), i), "o", color="black", alpha=0.35, markersize=5)
    ax.text(0.02, i, f"{name}: {values.mean():.2f}", color="white", va="center")
for x, label in [
    (max(holds.mean(), 1 - holds.mean()), "more frequent outcome"),
    (np.mean((margin > 0) == holds), "knowing the rule"),
]:
    ax.axvline(x, color="black", linewidth=1, linestyle=":")
    ax.text(x, -0.6, label, ha="center", va="bottom")
ax.set(xlim=(0, 1.02), ylim=(2.5, -0.55), yticks=[])
ax.set_xlabel("accuracy: mean of ten test folds (bars) and single folds (dots)")
ax.spines[["left", "top", "right"]].set_visible(False)
plt.show()
folder.cleanup()
