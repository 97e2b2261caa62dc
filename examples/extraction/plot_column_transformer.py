"""
Do a photo and two measurements know more together?
===================================================

A robot stops, photographs the ground, reads its moisture and slope, and must tell
whether the wheels will hold. The photo shows the surface but not how wet or steep it is;
the numbers say how wet and steep, but not what. Both stand in one table, so both should
go through one scikit-learn pipeline: :class:`~sklearn.compose.ColumnTransformer` sends
the column of paths through :class:`~sklearn_transfer.PretrainedFeatures` and the numbers
through a scaler.
"""

# %%
# The table
# ---------
#
# The photos are random crops of four real surfaces. The measurements and the outcome are
# drawn here by a rule: a surface has its grip, moisture and slope use it up, and chance
# has a say. Knowing the rule, we know the best accuracy there can be. The classifier is
# told neither the rule nor the name of the surface.

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
# Eight principal components of the 1280 image features, each brought to variance 1, keep
# the two numbers from drowning. They are learned within each fold, and the folds share the
# features: each image passes the network once.

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
# The answer
# ----------
#
# Together they come close to the rule itself; alone, neither does.

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
ax.set_xlabel("accuracy: mean of ten test folds (bars) and each of them (dots)")
ax.spines[["left", "top", "right"]].set_visible(False)
plt.show()
folder.cleanup()
