"""
When does a stream of photos need new labels?
=============================================

A camera sends photos, and the light fades. Labels cost money, so they should be asked for
when the photos have changed and not before. :func:`~sklearn_transfer.selection.mmd_test`
compares the features of the newest photos with those that the model has learned from, without
any label; :class:`~sklearn_transfer.PrototypeClassifier` learns new ones by `partial_fit`, in
no time.
"""

# %%
# Photos that grow dark
# ---------------------
#
# Each day brings 45 crops of fifteen photos. For five days nothing happens, then light fades
# evenly to a fifth in seven days, while the noise of the camera stays; on the last days it is
# night. Features come from the default network, which never changes.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_transfer import PretrainedFeatures, PrototypeClassifier
from sklearn_transfer.datasets import load_photo_crops
from sklearn_transfer.selection import mmd_test

light = np.concatenate([np.ones(5), np.linspace(1, 0.2, 8)[1:], np.full(5, 0.2)])
extractor = PretrainedFeatures(input_size=64)


def photos(seed, n_per_class, light=1.0):
    """Features and labels of crops taken in some light."""
    images, y = load_photo_crops(n_per_class, size=64, random_state=seed, return_X_y=True)
    noise = np.random.default_rng(seed).normal(0, 5, images.shape)
    images = np.clip(light * images + noise, 0, 255).astype(np.uint8)
    return extractor.transform(images), y


X, y = photos(100, 6)
days = [photos(number, 3, light[number]) for number in range(len(light))]

# %%
# Ask when the test says so
# -------------------------
#
# The reference is what the model has learned from last. Seventeen days mean seventeen tests,
# so each has a seventeenth of 5 % as its level: in a stream that does not change, the chance
# of asking even once is then at most 5 %. (It is less here, where each day has as many crops
# of each photo.) On a day that differs, its labels are bought, the model learns them, each
# counted five times, and the day becomes the reference. Each day's accuracy is taken before
# its labels are seen. Beside it runs a model that never learns again.

level = 0.05 / len(days)
frozen = PrototypeClassifier(shrinkage=1.0).fit(X, y)
model, reference = PrototypeClassifier(shrinkage=1.0).fit(X, y), X
p_values, asked, accuracies = [], [], []
for number, (X_day, y_day) in enumerate(days):
    accuracies.append((frozen.score(X_day, y_day), model.score(X_day, y_day)))
    test = mmd_test(reference, X_day, n_permutations=999, random_state=0)
    p_values.append(test.p_value)
    if test.p_value <= level:
        model.partial_fit(X_day, y_day, sample_weight=np.full(len(y_day), 5.0))
        asked.append(number)
        reference = X_day
accuracies = np.array(accuracies)
print(f"labels asked for on days {asked}, of {len(days)}")
late = accuracies[-6:].mean(axis=0)
print(f"last six days: {late[0]:.3f} with old labels, {late[1]:.3f} with new ones")

# %%
# What it brings
# --------------
#
# Nothing is asked for while nothing changes. The test speaks when the accuracy has begun to
# fall: it sees 45 photos a day, and would see smaller changes in more of them. One day's
# labels bring back a part of what the night takes, not all: such photos do hold less.

figure, (top, bottom) = plt.subplots(
    2, sharex=True, figsize=(7, 5), layout="constrained", height_ratios=[2, 1]
)
numbers = np.arange(len(days))
for column, label in enumerate(["first labels only", "labels when asked for"]):
    top.plot(numbers, accuracies[:, column], "o-", label=label)
for number in asked:
    top.axvline(number, color="gray", linestyle=":", linewidth=1)
    bottom.axvline(number, color="gray", linestyle=":", linewidth=1)
top.set(ylabel="accuracy of the day", title="Light fades from day 5 to day 11")
top.legend(loc="lower left")
bottom.semilogy(numbers, p_values, "s-", color="tab:green")
bottom.axhline(level, color="black", linewidth=1)
bottom.set(xlabel="day (dotted: labels were asked for)", ylabel="p-value of the test")
plt.show()
