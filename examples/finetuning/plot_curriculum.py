"""
Does it help to show a network easy samples first?
==================================================

A curriculum trains on easy samples first and adds harder ones step by step [1]_. A frozen
network shows how easy a sample is: a linear classifier of its features, fitted on other
samples, gives the label of an easy one a much larger probability than any other class. This
example compares such a curriculum with its opposite, with a random order that grows in the
same way, and with ordinary training on all samples, on three data sets.

.. [1] Y. Bengio, J. Louradour, R. Collobert and J. Weston. "Curriculum Learning". ICML, 2009.
"""

# %%
# Three data sets
# ---------------
#
# The first one has 100 digits, the second one 75 noisy crops of photos of 15 classes, and the
# third one 180 such crops, of which about 28 % have a wrong label. A curriculum should help
# most against wrong labels, as these samples look hard. A frozen network turns all images into
# features.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops

SIZE, N_EPOCHS, N_DRAWS = 48, 10, 4


def draw_photos(n_per_class, seed):
    options = {"size": SIZE, "shift": "noisy", "severity": 0.7, "return_X_y": True}
    return load_photo_crops(n_per_class, random_state=seed, **options)


images, digits = load_digits(return_X_y=True)
images = (images.reshape(-1, 8, 8) * 15.9).astype(np.uint8).repeat(6, 1).repeat(6, 2)
photos, kinds = draw_photos(16, seed=0)
photos_test, kinds_test = draw_photos(10, seed=1)
pools = {  # samples to draw from, their labels, the same for testing, and number to draw
    "digits": (images[:400], digits[:400], images[400:700], digits[400:700], 100),
    "photos": (photos, kinds, photos_test, kinds_test, 75),
    "wrong labels": (photos, kinds, photos_test, kinds_test, 180),
}

# %%
# The margin of a frozen probe
# ----------------------------
#
# The margin is the probability of the label minus the largest one of another class, predicted
# by a linear probe that was fitted without the sample. Otherwise all samples would look easy.


def compute_margins(X, y):
    probe = LogisticRegression(C=0.01, max_iter=200)
    probabilities = cross_val_predict(probe, X, y, cv=3, method="predict_proba")
    rows, labels = np.arange(len(y)), LabelEncoder().fit_transform(y)
    own = probabilities[rows, labels]
    probabilities[rows, labels] = -1
    return own - probabilities.max(axis=1)


# %%
# A curriculum by `partial_fit`
# -----------------------------
#
# The network that is trained has one hidden layer on the frozen features. Each call of
# `partial_fit` trains for one epoch on the samples that it is given. The first epoch sees 30 %
# of the samples and the last three see all of them, in a random order within the epoch.
# Ordinary training gets all samples in fewer epochs, with about as many steps in total. All
# four ways start from the same weights.

SHARES = np.minimum(np.linspace(0.3, 1.2, N_EPOCHS), 1)
torch.manual_seed(0)
hidden = torch.nn.Sequential(torch.nn.Linear(1280, 64), torch.nn.ReLU())


def train(X, y, order, shares):
    options = {"preprocess": None, "cache": None, "batch_size": 16}
    model = FineTunedClassifier(hidden, freeze=None, lr=1e-3, **options)
    for share in shares:
        rows = order[: round(share * len(y))]
        model.partial_fit(X[rows], y[rows], classes=np.unique(y))
    return model


accuracy = {}
for data, (samples, labels, samples_test, y_test, n) in pools.items():
    extractor = make_pipeline(PretrainedFeatures(input_size=SIZE), StandardScaler())
    pool, X_test = extractor.fit_transform(samples), extractor.transform(samples_test)
    for seed in range(N_DRAWS):
        rng = np.random.default_rng(seed)
        draw = StratifiedShuffleSplit(1, train_size=n, random_state=seed)
        rows, _ = next(draw.split(pool, labels))
        X, y = pool[rows], labels[rows]
        if data == "wrong labels":
            y = np.where(rng.random(n) < 0.3, rng.permutation(y), y)
        margins, shuffled = compute_margins(X, y), rng.permutation(n)
        ways = {
            "easy first": (np.argsort(-margins), SHARES),
            "hard first": (np.argsort(margins), SHARES),
            "random growth": (shuffled, SHARES),
            "all samples": (shuffled, np.ones(round(SHARES.sum()))),
        }
        for way, options in ways.items():
            score = train(X, y, *options).score(X_test, y_test)
            accuracy.setdefault((data, way), []).append(score)

print(f"{'':>14}  " + "  ".join(f"{data:>16}" for data in pools))
for way in ways:
    cells = []
    for data in pools:
        scores = accuracy[data, way]
        error = np.std(scores, ddof=1) / np.sqrt(N_DRAWS)
        cells.append(f"{np.mean(scores):.3f} +- {error:.3f}")
    print(f"{way:>14}  " + "  ".join(f"{cell:>16}" for cell in cells))
for data in pools:
    gains = np.subtract(accuracy[data, "easy first"], accuracy[data, "all samples"])
    error = gains.std(ddof=1) / np.sqrt(N_DRAWS)
    print(f"easy first gains {100 * gains.mean():+.1f} +- {100 * error:.1f} points: {data}")

# %%
# Results
# -------
#
# The curriculum does not help. On clean labels it is less accurate than ordinary training, by
# 2 to 3 points on the digits and 5 on the photos, and even less accurate than the opposite
# order: the network learns more from samples that the probe finds hard. With wrong labels it
# does not gain either, as the last epochs of the curriculum see them as well. The random order
# shows that growing sets alone are of no use.

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for i, way in enumerate(ways):
    scores = np.array([accuracy[data, way] for data in pools])
    errors = scores.std(axis=1, ddof=1) / np.sqrt(N_DRAWS)
    ax.bar(np.arange(3) + 0.2 * (i - 1.5), scores.mean(axis=1), 0.19, yerr=errors, label=way)
ax.set_xticks(range(3), pools)
ax.set(ylabel="accuracy", ylim=(0, 1.25), title="Order of the samples in training")
ax.legend(loc="upper center", ncols=2)
plt.show()
