"""
How much of a network should be trained?
========================================

:class:`~sklearn_transfer.FineTunedClassifier` trains what its parameter `freeze` leaves: the
head alone, some of the deepest layers, or everything. The more is trained, the better the
network can suit images unlike those it knows, and the longer it takes. What is frozen is
computed once, whatever the number of epochs.
"""

# %%
# Digits, which are unlike photos
# -------------------------------
#
# scikit-learn's digits are 8 x 8 gray pixels. Features of a network that was trained on photos
# are no good guide to them: a linear model on raw pixels does better.

import time

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from sklearn_transfer import FineTunedClassifier, PretrainedFeatures

X, y = load_digits(return_X_y=True)
images = (X / 16).reshape(-1, 8, 8)
split = train_test_split(images, y, train_size=300, test_size=500, stratify=y, random_state=0)
X_train, X_test, y_train, y_test = split

raw = LogisticRegression(max_iter=1000).fit(X_train.reshape(300, -1), y_train)
raw_accuracy = raw.score(X_test.reshape(500, -1), y_test)
print(f"raw pixels, logistic regression: {raw_accuracy:.3f}")

# %%
# From the head to the whole network
# ----------------------------------
#
# The default network has five stages. `freeze=4` leaves nothing but the last convolution
# and the head, `freeze=None` leaves everything.

PretrainedFeatures(input_size=64).transform(X_train[:2])  # loaded and compiled at first use
depths = {"head": "all", "top": "deep", "1 stage": 3, "2 stages": 2, "whole": None}
accuracies, seconds = [], []
for name, freeze in depths.items():
    model = FineTunedClassifier(freeze=freeze, max_epochs=7, input_size=64)
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds.append(time.perf_counter() - start)
    accuracies.append(model.score(X_test, y_test))
    print(f"{name:>10} {accuracies[-1]:.3f} {seconds[-1]:5.1f} s")

# %%
# What it costs, what it brings
# -----------------------------
#
# Training the head alone stays below raw pixels. Most of the gain is there once the last two
# stages are trained; the first ones, which see edges and colors, bring nothing more here, and
# take the most time.

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ax.axhline(raw_accuracy, color="gray", linestyle="--")
place = {"transform": ax.get_yaxis_transform(), "va": "bottom"}
ax.text(0.01, raw_accuracy, "raw pixels", **place)
ax.plot(seconds, accuracies, "o-")
for name, x, accuracy in zip(depths, seconds, accuracies, strict=True):
    ax.annotate(name, (x, accuracy), (6, -12), textcoords="offset points")
ax.set(xlabel="seconds to train", ylabel="accuracy on test digits")
ax.set(title="300 digits: what is trained, and what it brings")
ax.margins(x=0.15, y=0.1)
plt.show()
