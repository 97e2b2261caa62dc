"""
What can be learned from samples without labels?
================================================

Sometimes many samples are available but few labels, and no pretrained network has seen similar
data. :class:`~sklearn_transfer.AutoencoderFeatures` learns features from all samples: a small
network fills in hidden values, and for this it has to learn how the parts of a sample depend
on each other. This requires no labels.
"""

# %%
# A hundred labels
# ----------------
#
# Of scikit-learn's digits, 500 form the test set. Of the other 1297, ten of each class have a
# label. The features are learned from all 1297 without their labels, and never from the test
# set.

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
# Comparison of pixels and codes
# ------------------------------
#
# The same classifier is fitted to raw pixels or to codes. Since the result depends on which
# samples are labeled, ten random draws are compared for each number of labels.


def make_classifier():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def compute_accuracies(n_labels, seed):
    """Return the accuracies of pixels and of codes with some labels per class."""
    order = np.random.default_rng(seed).permutation(len(y_rest))
    rows = np.concatenate([order[y_rest[order] == c][:n_labels] for c in range(10)])
    pairs = [(X_rest[rows], X_test), (codes_rest[rows], codes_test)]
    return [make_classifier().fit(a, y_rest[rows]).score(b, y_test) for a, b in pairs]


codes_rest, codes_test = features.transform(X_rest), features.transform(X_test)
numbers = [2, 5, 10, 20, 50]
found = np.array([[compute_accuracies(n, seed) for seed in range(10)] for n in numbers])
for n, scores in zip(numbers, found, strict=True):
    pixels, codes = scores.mean(axis=0)
    wins = (scores[:, 1] > scores[:, 0]).sum()
    print(f"{n:2} labels per class: pixels {pixels:.3f}, codes {codes:.3f}, {wins} wins of 10")

# %%
# Results
# -------
#
# The fewer labels there are, the larger the gain. The left plot shows its spread over the ten
# draws. The right side shows digits of the test set, the same digits with half of their pixels
# hidden, and the reconstruction by the network.

figure = plt.figure(figsize=(9, 4.2), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1.3, 1])
ax = left.subplots()
gains = found[:, :, 1] - found[:, :, 0]
ax.axhline(0, color="gray", linewidth=1)
ax.boxplot(gains.T, tick_labels=numbers)
ax.set_title("Gain from samples without labels")
ax.set(xlabel="labels per class", ylabel="accuracy of codes minus accuracy of pixels")
hidden = np.random.default_rng(0).random((5, 64)) < 0.5
shown = X_test[:5]
damaged = np.where(hidden, X_rest.mean(axis=0), shown)
rows = [shown, damaged, features.reconstruct(damaged)]
names = ["digits", "half hidden", "reconstructed"]
for axes, images, name in zip(right.subplots(3, 5), rows, names, strict=True):
    axes[2].set_title(name, fontsize="medium")
    for ax, image in zip(axes, images, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set_axis_off()
plt.show()
