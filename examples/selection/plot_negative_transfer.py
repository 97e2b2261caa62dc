"""
When do pretrained features hurt?
=================================

A network that was trained on a million photos is a good starting point for a hundred photos of
your own. For a hundred scans of digits that are eight pixels wide, it may be a bad one, and a
single split has too few samples to find out.
:func:`~sklearn_transfer.selection.negative_transfer_test` fits a model with transfer and a
model without it on the same folds. It returns a confidence interval of the difference that
accounts for samples shared by the folds.
"""

# %%
# Two tasks
# ---------
#
# The tasks are to classify crops of six photos and scikit-learn's digits with ten labels per
# class.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    NegativeTransferDisplay,
    PretrainedFeatures,
    negative_transfer_test,
)
from sklearn_transfer.datasets import load_photo_crops

photos = load_photo_crops(
    8, size=64, classes=["cat", "coffee", "coins", "pagoda", "retina", "rocket"]
)
digits = load_digits()
rng = np.random.default_rng(0)
rows = np.concatenate(
    [rng.choice(np.flatnonzero(digits.target == k), 10, replace=False) for k in range(10)]
)
tasks = {
    "photos": (photos.images, photos.target),
    "digits": (digits.images[rows] / 16, digits.target[rows]),
}

# %%
# Comparison with pixels and with random weights
# ----------------------------------------------
#
# The baseline "raw" replaces the features by pixels, which shows whether using the network is
# worthwhile. The baseline "scratch" uses the same network with random weights, which shows the
# gain from pretraining. The last model uses the whole feature map from the middle of the
# network, whereas the embedding is an average over all positions in the image.


def make_model(**options):
    """Return a logistic regression on features of the default network."""
    features = PretrainedFeatures(**options)
    return make_pipeline(features, StandardScaler(), LogisticRegression(max_iter=200))


embedding, middle = make_model(), make_model(layers="middle", pooling="flatten", input_size=64)
results = {}
for name, model, task, baseline in [
    ("photos: embedding versus pixels", embedding, "photos", "raw"),
    ("photos: embedding versus random weights", embedding, "photos", "scratch"),
    ("digits: embedding versus pixels", embedding, "digits", "raw"),
    ("digits: embedding versus random weights", embedding, "digits", "scratch"),
    ("digits: middle map versus pixels", middle, "digits", "raw"),
]:
    results[name] = negative_transfer_test(model, baseline, *tasks[task], random_state=0)
    print(f"{name}\n  {results[name]}")

# %%
# Each dot is a fold, and each bar is the confidence interval of the mean difference. On
# photos, the network is more accurate than pixels. On digits, its embedding hurts: the
# position of a stroke distinguishes the digits, and the average discards it. The feature map
# preserves it, and the test no longer finds any harm. Whether the gain lasts on noisy, blurred
# or darker photos is what :func:`~sklearn_transfer.robustness_report` measures.

display = NegativeTransferDisplay.from_result(results)
display.ax_.set_title("Features of photos help on photos and hurt on digits")
plt.show()
