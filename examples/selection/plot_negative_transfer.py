"""
When do pretrained features hurt?
=================================

A network that has seen a million photos is a good start for a hundred photos of your own. Is
it one for a hundred scans of digits, eight pixels wide? It may well be a bad one, and a
single split is too few samples to tell.
:func:`~sklearn_transfer.selection.negative_transfer_test` fits the model with transfer and a
model without it on the same folds, and gives an interval of the difference that allows for
folds sharing their samples.
"""

# %%
# Two tasks
# ---------
#
# Crops of six photos, and scikit-learn's digits at ten labels a class.

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
# Against pixels, and against random weights
# ------------------------------------------
#
# "raw" puts pixels in the place of the features, and asks whether the network is worth it at
# all. "scratch" draws the same network's weights at random, and asks what pretraining brought
# to it. The last model takes the feature map from the middle of the network as it is; the
# embedding is an average over all places of the image.


def on(**options):
    """Logistic regression on features of the default network."""
    features = PretrainedFeatures(**options)
    return make_pipeline(features, StandardScaler(), LogisticRegression(max_iter=200))


embedding, middle = on(), on(layers="middle", pooling="flatten", input_size=64)
results = {}
for name, model, task, baseline in [
    ("photos: embedding against pixels", embedding, "photos", "raw"),
    ("photos: embedding against random weights", embedding, "photos", "scratch"),
    ("digits: embedding against pixels", embedding, "digits", "raw"),
    ("digits: embedding against random weights", embedding, "digits", "scratch"),
    ("digits: middle map against pixels", middle, "digits", "raw"),
]:
    results[name] = negative_transfer_test(model, baseline, *tasks[task], random_state=0)
    print(f"{name}\n  {results[name]}")

# %%
# Each dot is a fold, each bar the interval of the mean difference. On photos the network is
# worth more than pixels. On digits its embedding hurts: where a stroke is tells digits
# apart, and an average forgets it. The map keeps it, and there is no harm left to be shown.

display = NegativeTransferDisplay.from_result(results)
display.ax_.set_title("Features of photos help on photos, and hurt on digits")
plt.show()
