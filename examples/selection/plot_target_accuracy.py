"""
How good is a classifier on photos of another camera?
=====================================================

A classifier that was trained on photos of one camera is to be used with others. The held-out
photos of the first camera do not show how accurate it will be there, and neither do its
probabilities, which belong to the first camera as well. A few labels do.
:func:`~sklearn_transfer.selection.choose_rows_to_label` says which photos to label, and
:func:`~sklearn_transfer.selection.target_accuracy` returns the accuracy with a confidence
interval that can be relied on with so few.
"""

# %%
# One classifier and six cameras
# ------------------------------
#
# The classifier learns from five crops of each of fifteen photos. Each of six cameras takes
# 210 other crops. The first camera is that of the training photos; the others take dark,
# blurred, noisy, gray or recolored pictures.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedFeatures, choose_rows_to_label, target_accuracy
from sklearn_transfer.datasets import load_photo_crops

cameras = [None, "dark", "blurred", "noisy", "gray", "recolored"]
images, y = load_photo_crops(5, size=64, random_state=0, return_X_y=True)
model = make_pipeline(
    PretrainedFeatures(input_size=64), StandardScaler(), LogisticRegression(max_iter=500)
)
model.fit(images, y)

# %%
# Fifty labels per camera
# -----------------------
#
# All 210 crops of a camera have labels here, so that the true accuracy is known, but only
# fifty of them are shown to the function. They are spread over the certainty of the
# classifier: the more its certainty tells about which predictions are right, the more random
# labels they are worth.

results, truths = {}, {}
for camera in cameras:
    name = "the same" if camera is None else camera
    options = {"shift": camera, "severity": 0.8, "random_state": 1, "return_X_y": True}
    target, labels = load_photo_crops(14, size=64, **options)
    sample = choose_rows_to_label(model, target, 50, random_state=0)
    results[name] = target_accuracy(model, target, labels[sample.rows], sample=sample)
    truths[name] = float(np.mean(model.predict(target) == labels))
    print(f"{name}, truth {truths[name]:.3f}\n  {results[name]}")

# %%
# The interval of fifty labels contains the true accuracy for each camera. The mean certainty,
# which is an estimate without any label, is too high for some cameras and too low for others.

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for row, (name, result) in enumerate(results.items()):
    named = row == 0
    ax.plot(
        result.interval,
        [row, row],
        color="tab:blue",
        linewidth=6,
        alpha=0.5,
        solid_capstyle="butt",
        label="95 % interval from 50 labels" if named else None,
    )
    certainty = {"color": "tab:orange", "label": "mean certainty, no label" if named else None}
    ax.plot(result.mean_certainty, row, "D", **certainty)
    truth = {"color": "black", "label": "accuracy on all 210 photos" if named else None}
    ax.plot(truths[name], row, "|", markersize=16, markeredgewidth=2, **truth)
ax.set_yticks(range(len(results)), results)
ax.invert_yaxis()
ax.set_xlabel("Accuracy")
ax.set_ylabel("Camera")
ax.set_title("Fifty labels show what the certainty of a model does not")
ax.legend(loc="lower left", fontsize=9)
plt.show()
