"""
How much of a network should be trained?
========================================

The parameter `freeze` of :class:`~sklearn_transfer.FineTunedClassifier` determines which
layers are trained: only the head, some of the deepest layers, or all of them. With more
trained layers, the network can adapt better to images that differ from those of its
pretraining, but training takes longer. The output of frozen layers is computed only once,
regardless of the number of epochs.
"""

# %%
# Digits differ from photos
# -------------------------
#
# scikit-learn's digits are images of 8 x 8 gray pixels. The features of a network that was
# trained on photos do not represent them well: a linear model on raw pixels is more accurate.

import time

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures

X, y = load_digits(return_X_y=True)
images = (X / 16).reshape(-1, 8, 8)
split = train_test_split(images, y, train_size=200, test_size=400, stratify=y, random_state=0)
X_train, X_test, y_train, y_test = split

raw = LogisticRegression(max_iter=1000).fit(X_train.reshape(200, -1), y_train)
raw_accuracy = raw.score(X_test.reshape(400, -1), y_test)
print(f"raw pixels, logistic regression: {raw_accuracy:.3f}")

# %%
# From the head to the whole network
# ----------------------------------
#
# The default network has five stages. With `freeze=4`, only the last convolution and the head
# are trained; with `freeze=None`, all layers are trained.

PretrainedFeatures(input_size=64).transform(
    X_train[:2]
)  # the first use loads and compiles the network
depths = {"head": "all", "top": "deep", "2 stages": 2, "whole": None}
accuracies, seconds = [], []
for name, freeze in depths.items():
    model = FineTunedClassifier(freeze=freeze, max_epochs=5, input_size=64)
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds.append(time.perf_counter() - start)
    accuracies.append(model.score(X_test, y_test))
    print(f"{name:>10} {accuracies[-1]:.3f} {seconds[-1]:5.1f} s")

# %%
# Cost and benefit
# ----------------
#
# If only the head is trained, the accuracy is below that of raw pixels. Training the last two
# stages achieves the whole gain. The first stages, which detect edges and colors, contribute
# nothing more here and take the most time.

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ax.axhline(raw_accuracy, color="gray", linestyle="--")
place = {"transform": ax.get_yaxis_transform(), "va": "bottom"}
ax.text(0.01, raw_accuracy, "raw pixels", **place)
ax.plot(seconds, accuracies, "o-")
for name, x, accuracy in zip(depths, seconds, accuracies, strict=True):
    ax.annotate(name, (x, accuracy), (6, -12), textcoords="offset points")
ax.set(xlabel="seconds to train", ylabel="accuracy on test digits")
ax.set(title="200 digits: accuracy by trained layers")
ax.margins(x=0.15, y=0.1)
plt.show()
