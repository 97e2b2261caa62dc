"""
How does a table use photos whose frozen features miss the target?
==================================================================

A table has a photo of cloth beside its weight and its price, and gradient boosting is to
predict which pieces come back. Customers return cloth whose stripes fade to the left more
often than cloth whose stripes fade to the right. The features of a frozen network do not tell
these apart. A fine-tuned network does, but it has seen the labels of the rows that gradient
boosting is fitted on. `FineTunedFeatures` gives each of these rows features of a network that
has not seen its label, as scikit-learn's `TargetEncoder` does for categories [1]_.

.. [1] D. Micci-Barreca. "A Preprocessing Scheme for High-Cardinality Categorical Attributes in
   Classification and Prediction Problems". SIGKDD Explorations 3, 2001.
"""

# %%
# A table with photos
# -------------------
#
# Color, width and angle of the stripes mean nothing. Whether a piece comes back depends on the
# direction of fading, on its weight and on its price, and to a good part on chance.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline

from sklearn_transfer import (
    AutoencoderFeatures,
    FineTunedClassifier,
    FineTunedFeatures,
    PretrainedFeatures,
)

SIZE = 16
NUMBERS = ["weight", "price"]


def draw_table(n_rows, seed):
    rng = np.random.default_rng(seed)
    fades_left = rng.random(n_rows) < 0.5
    draws = rng.uniform([2, 0, -0.5], [3.5, 1, 0.5], (n_rows, 3))
    count, start, tilt = draws.T[:, :, None, None]
    x, y = np.arange(SIZE) / SIZE, np.arange(SIZE)[:, None] / SIZE
    stripes = (count * (x + tilt * y) + start) % 1
    stripes = np.where(fades_left[:, None, None], 1 - stripes, stripes)
    dye, ground = rng.uniform([0.2, 0], [0.6, 0.4], (n_rows, 3, 2)).transpose(2, 0, 1)
    cloth = ground[:, None, None] + dye[:, None, None] * stripes[..., None]
    cloth += rng.normal(0, 0.06, cloth.shape)
    photos = (255 * cloth.clip(0, 1)).astype(np.uint8)
    table = pd.DataFrame({"photo": list(photos), **dict.fromkeys(NUMBERS, 0.0)})
    table[NUMBERS] = rng.normal(size=(n_rows, 2))
    odds = 2 * (2 * fades_left - 1) + 1.5 * table["weight"] - table["price"]
    return table, (rng.random(n_rows) < 1 / (1 + np.exp(-odds))).astype(int)


table, returned = draw_table(400, seed=0)
new_table, new_returned = draw_table(800, seed=1)

# %%
# Four ways to use the photos
# ---------------------------
#
# The network is the encoder of an autoencoder that has seen 500 other photos without labels.
# All four ways end in the same gradient boosting.

unlabeled, _ = draw_table(500, seed=2)
self_taught = AutoencoderFeatures(32, hidden=(16, 32), input_size=SIZE, max_epochs=6)
network = self_taught.fit(unlabeled["photo"]).encoder_
tuner = FineTunedClassifier(network, freeze=None, lr=1e-2, max_epochs=15)
ways = {
    "no photos": "drop",
    "frozen features": PretrainedFeatures(network),
    "fine-tuned on the same rows": tuner,
    "target-aware (cross-fitted)": FineTunedFeatures(tuner),
}
accuracy = {}
for way, photos in ways.items():
    columns = make_column_transformer((photos, ["photo"]), ("passthrough", NUMBERS))
    boosting = HistGradientBoostingClassifier(max_iter=40, learning_rate=0.05, random_state=0)
    model = make_pipeline(columns, boosting).fit(table, returned)
    accuracy[way] = model.score(new_table, new_returned)
    print(f"{way:>28}: {accuracy[way]:.3f}")

# %%
# Results
# -------
#
# Frozen features add nothing but noise to the numbers. Features that were fine-tuned on the
# same rows show the labels of these rows, chance included, so that gradient boosting trusts
# them too much and the numbers too little. The cross-fitted features of the same network are
# the most accurate.

figure, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
bars = ax.barh(list(accuracy), list(accuracy.values()), color=["C7", "C7", "C3", "C0"])
ax.bar_label(bars, fmt="%.3f", padding=3)
ax.invert_yaxis()
ax.set(xlabel="accuracy on new rows", xlim=(0.5, 1), title="What photos add to a table")
plt.show()
