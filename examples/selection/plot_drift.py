"""
When does a stream of photos need new labels?
=============================================

A camera sends photos while the light fades. Labels cost money, so they should be requested
only after the photos have changed. :func:`~sklearn_transfer.selection.mmd_test` compares the
features of the newest photos with those of the training photos, without using labels.
:class:`~sklearn_transfer.PrototypeClassifier` then learns from the new labels by
`partial_fit`, which takes very little time.
"""

# %%
# Photos that become darker
# -------------------------
#
# There are 45 crops of fifteen photos per day. The light is constant for five days, fades
# evenly to a fifth over seven days, and remains low on the last days. The noise of the camera
# stays the same. The features come from the default network, which is never retrained.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_transfer import PretrainedFeatures, PrototypeClassifier
from sklearn_transfer.datasets import load_photo_crops
from sklearn_transfer.selection import mmd_test

light = np.concatenate([np.ones(5), np.linspace(1, 0.2, 8)[1:], np.full(5, 0.2)])
extractor = PretrainedFeatures(input_size=64)


def load_photos(seed, n_per_class, light=1.0):
    """Return features and labels of crops taken in the given light."""
    images, y = load_photo_crops(n_per_class, size=64, random_state=seed, return_X_y=True)
    noise = np.random.default_rng(seed).normal(0, 5, images.shape)
    images = np.clip(light * images + noise, 0, 255).astype(np.uint8)
    return extractor.transform(images), y


X, y = load_photos(100, 6)
days = [load_photos(number, 3, light[number]) for number in range(len(light))]

# %%
# Request labels when the test detects a change
# ---------------------------------------------
#
# The reference contains the photos that the model was last trained on. Seventeen days require
# seventeen tests, so each test has a level of 5 % divided by seventeen: if the stream does not
# change, the probability of requesting labels at all is at most 5 %. (It is lower here,
# because each day has the same number of crops of each photo.) If a day differs, its labels
# are requested, the model learns them with a weight of five, and the day becomes the
# reference. The accuracy of each day is measured before its labels are used. For comparison, a
# second model is never updated.
#
# :func:`~sklearn_transfer.selection.classifier_two_sample_test` is another test for the same
# purpose, and :func:`~sklearn_transfer.selection.mmd` measures a difference without testing
# it.

level = 0.05 / len(days)
frozen = PrototypeClassifier(shrinkage=1.0).fit(X, y)
model, reference = PrototypeClassifier(shrinkage=1.0).fit(X, y), X
p_values, requested, accuracies = [], [], []
for number, (X_day, y_day) in enumerate(days):
    accuracies.append((frozen.score(X_day, y_day), model.score(X_day, y_day)))
    test = mmd_test(reference, X_day, n_permutations=999, random_state=0)
    p_values.append(test.p_value)
    if test.p_value <= level:
        model.partial_fit(X_day, y_day, sample_weight=np.full(len(y_day), 5.0))
        requested.append(number)
        reference = X_day
accuracies = np.array(accuracies)
print(f"labels requested on days {requested}, of {len(days)}")
late = accuracies[-6:].mean(axis=0)
print(f"last six days: {late[0]:.3f} with old labels, {late[1]:.3f} with new ones")

# %%
# Results
# -------
#
# No labels are requested while nothing changes. The test detects the change when the accuracy
# has begun to drop; with more than 45 photos per day, it would detect smaller changes. The
# labels of one day recover only a part of the loss, because dark photos contain less
# information.

figure, (top, bottom) = plt.subplots(
    2, sharex=True, figsize=(7, 5), layout="constrained", height_ratios=[2, 1]
)
numbers = np.arange(len(days))
for column, label in enumerate(["first labels only", "with requested labels"]):
    top.plot(numbers, accuracies[:, column], "o-", label=label)
for number in requested:
    top.axvline(number, color="gray", linestyle=":", linewidth=1)
    bottom.axvline(number, color="gray", linestyle=":", linewidth=1)
top.set(ylabel="accuracy of the day", title="Light fades from day 5 to day 11")
top.legend(loc="lower left")
bottom.semilogy(numbers, p_values, "s-", color="tab:green")
bottom.axhline(level, color="black", linewidth=1)
bottom.set(xlabel="day (dotted lines: labels were requested)", ylabel="p-value of the test")
plt.show()
