"""
What does a table with photos know that its numbers do not?
===========================================================

A photographer keeps a table of pictures: the file, a caption in free words, the camera and its
settings, and the day. Which pictures will a magazine buy? Part of the answer is in the photo,
part in the caption, and part in the numbers. :class:`~sklearn_transfer.MultimodalVectorizer`
decides what each column holds, sends photos and captions through pretrained networks, and
encodes the rest, so that the whole table trains an ordinary classifier in one line.
"""

# %%
# The table
# ---------
#
# The photos are random crops of six real photos, in files whose names say nothing. Numbers,
# captions and the decisions of the magazine are made by a rule, with some noise: it buys three
# of the six motifs, prefers captions that speak of a clear picture, and dislikes high
# sensitivities. No column names the motif. Some photos were lost, and one file is damaged.

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from sklearn_transfer import MultimodalVectorizer, make_multimodal_pipeline
from sklearn_transfer.datasets import load_photo_crops

MOTIFS = {
    "cat": 1.5,
    "coffee": 1.5,
    "flower": 1.5,
    "brick": -1.5,
    "gravel": -1.5,
    "moon": -1.5,
}
CLEAR = [
    "every detail is crisp",
    "beautiful light and perfect focus",
    "sharp from corner to corner",
    "bright, calm and well composed",
]
POOR = [
    "the picture came out blurry",
    "it was too dark for my lens",
    "I moved, so nothing is sharp",
    "dull light and a crooked frame",
]
PLACES = ["at my aunt's", "on the way home", "in the afternoon", "before the rain", "again"]

folder = TemporaryDirectory()
paths, motifs = load_photo_crops(
    40, size=96, classes=list(MOTIFS), folder=folder.name, return_X_y=True
)
rng = np.random.default_rng(0)
order = rng.permutation(len(paths))
n = len(order)
names = [Path(folder.name) / f"IMG_{k:04d}.jpg" for k in range(n)]
photos = [Path(paths[row]).rename(name) for row, name in zip(order, names, strict=True)]
is_clear = rng.random(n) < 0.5
table = pd.DataFrame(
    {
        "photo": [str(photo) for photo in photos],
        "caption": [
            f"{rng.choice(CLEAR if clear else POOR)}, {place}, take {rng.integers(9)}"
            for clear, place in zip(is_clear, rng.choice(PLACES, n), strict=True)
        ],
        "iso": rng.choice([100, 200, 400, 800, 1600, 3200], n),
        "f_number": rng.uniform(1.8, 11, n).round(1),
        "camera": rng.choice(["compact", "phone", "reflex"], n),
        "taken": pd.date_range("2023-05-01", periods=n, freq="31h").strftime("%d.%m.%Y"),
    }
)
taste = np.array([MOTIFS[motif] for motif in motifs[order]])
wish = taste + np.where(is_clear, 1.5, -1.5) - 0.5 * np.log2(table["iso"] / 600)
bought = wish + rng.logistic(0, 0.3, n) > 0

table.loc[rng.choice(n, 10, replace=False), "photo"] = None
Path(table["photo"].dropna().iloc[0]).write_bytes(b"\xff\xd8\xff damaged")
print(table.assign(photo=table["photo"].str[-12:], bought=bought).head())

# %%
# What the columns are taken for
# ------------------------------
#
# The decision looks at dtypes and at 20 entries of each column. A column that can be taken in
# several ways would raise an error that says what to pass.

vectorizer = MultimodalVectorizer()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # names the row with the damaged file
    vectorizer.fit(table)
print(*vectorizer.columns_, sep="\n")

# %%
# With and without photos and captions
# ------------------------------------
#
# Each photo and each caption passes its network once for all folds and all rows below.

choices = {
    "numbers and words": {"image": "drop", "text": "drop"},
    "and captions": {"image": "drop"},
    "and photos": {"text": "drop"},
    "the whole table": {},
}
cv = StratifiedKFold(5, shuffle=True, random_state=0)
scores = {}
for name, options in choices.items():
    model = make_multimodal_pipeline(
        LogisticRegression(max_iter=1000), vectorizer=MultimodalVectorizer(**options)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        scores[name] = cross_val_score(model, table, bought, cv=cv)
    print(f"{name:<18} {scores[name].mean():.3f} +- {scores[name].std():.3f}")
best = np.mean((wish > 0) == bought)
print(f"{'knowing the rule':<18} {best:.3f}")

# %%
# Results
# -------
#
# Photos and captions tell different things, and the whole table predicts best. The lost photos
# and the damaged file cost their own rows a part of the evidence, and the other rows nothing.

fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
for i, (name, values) in enumerate(scores.items()):
    color = "#1a7f4b" if name == "the whole table" else "#8a929c"
    ax.barh(i, values.mean(), height=0.6, color=color)
    ax.plot(values, np.full(len(values), i), "o", color="black", alpha=0.35, markersize=5)
    ax.text(0.02, i, f"{name}: {values.mean():.2f}", color="white", va="center")
for x, label in [(max(bought.mean(), 1 - bought.mean()), "more frequent"), (best, "the rule")]:
    ax.axvline(x, color="black", linewidth=1, linestyle=":")
    ax.text(x, -0.6, label, ha="center", va="bottom")
ax.set(xlim=(0, 1.02), ylim=(3.5, -0.55), yticks=[], xlabel="accuracy in five test folds")
ax.spines[["left", "top", "right"]].set_visible(False)
plt.show()
folder.cleanup()
