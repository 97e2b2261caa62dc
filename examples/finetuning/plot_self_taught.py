"""
What are samples without labels good for?
=========================================

Labels are few, but samples are many, and no pretrained network has seen their like.
:class:`~sklearn_transfer.AutoencoderFeatures` learns features from all of them: a small
network fills in what is hidden from it, and to do so has to find out which parts of a sample
go together. No label is needed for that.
"""

# %%
# A hundred labels
# ----------------
#
# Of scikit-learn's digits, 500 are kept to test, and of the other 1297 ten of each class have
# a label. Features are learned from all 1297 without labels, never from those of the test.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import AutoencoderFeatures

X, y = load_digits(return_X_y=True)
split = train_test_split(X, y, test_size=500, stratify=y, random_state=0)
X_rest, X_test, y_rest, y_test = split
options = {"mask": 0.5, "hidden": (512,), "max_epochs": 60, "preprocess": None}
features = AutoencoderFeatures(256, **options).fit(X_rest)

# %%
# Pixels against codes
# --------------------
#
# The same classifier gets raw pixels or codes. Which samples have a label is a matter of luck,
# so ten draws of labels are compared, for several numbers of them.


def classifier():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def accuracies(n_labels, seed):
    """Accuracy from pixels and from codes, with some labels of each class."""
    order = np.random.default_rng(seed).permutation(len(y_rest))
    rows = np.concatenate([order[y_rest[order] == c][:n_labels] for c in range(10)])
    pairs = [(X_rest[rows], X_test), (codes_rest[rows], codes_test)]
    return [classifier().fit(a, y_rest[rows]).score(b, y_test) for a, b in pairs]


codes_rest, codes_test = features.transform(X_rest), features.transform(X_test)
numbers = [2, 5, 10, 20, 50]
found = np.array([[accuracies(n, seed) for seed in range(10)] for n in numbers])
for n, scores in zip(numbers, found, strict=True):
    pixels, codes = scores.mean(axis=0)
    wins = (scores[:, 1] > scores[:, 0]).sum()
    print(
        f"{n:2} labels a class: pixels {pixels:.3f}, codes {codes:.3f}, ahead in {wins} of 10"
    )

# %%
# What is gained, and how it was learned
# -------------------------------------
#
# The fewer the labels, the larger the gain. On the left is its spread over the ten draws; on
# the right are digits of the test, the same with half of the pixels hidden, and what the
# network makes of these.

figure = plt.figure(figsize=(9, 4.2), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1.3, 1])
ax = left.subplots()
gains = found[:, :, 1] - found[:, :, 0]
ax.axhline(0, color="gray", linewidth=1)
ax.boxplot(gains.T, tick_labels=numbers)
ax.set_title("What samples without labels bring")
ax.set(xlabel="labels of each class", ylabel="accuracy from codes minus from pixels")
hidden = np.random.default_rng(0).random((5, 64)) < 0.5
shown = X_test[:5]
damaged = np.where(hidden, X_rest.mean(axis=0), shown)
rows = [shown, damaged, features.reconstruct(damaged)]
names = ["digits", "half hidden", "filled in"]
for axes, images, name in zip(right.subplots(3, 5), rows, names, strict=True):
    axes[2].set_title(name, fontsize="medium")
    for ax, image in zip(axes, images, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set_axis_off()
plt.show()
