"""
How many photos does a class need?
==================================

A new product on the shelf, and one photo of it. On pretrained features a class can be its
mean, and a mean needs no tuning: :class:`~sklearn_transfer.PrototypeClassifier`. How good is
one photo, and from how many on does a logistic regression, which has to be tuned, do better?
One draw of one photo says little, so :func:`~sklearn_transfer.heads.episodes` draws classes
and photos many times.
"""

# %%
# Features, once
# --------------
#
# Noisy crops of fifteen photos, the photo being the class. Each passes the network once;
# episodes then draw rows of its features.

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedFeatures, PrototypeClassifier, episodes
from sklearn_transfer.datasets import load_photo_crops

images, y = load_photo_crops(15, size=96, shift="noisy", return_X_y=True)
X = PretrainedFeatures(input_size=128).fit_transform(images)

# %%
# Ten classes, one to ten photos each
# -----------------------------------
#
# All models see the same episodes, since the seed is the same.

models = {
    "prototypes": PrototypeClassifier(),
    "logistic regression, C=1": make_pipeline(StandardScaler(), LogisticRegression()),
    "logistic regression, C=0.001": make_pipeline(
        StandardScaler(), LogisticRegression(C=1e-3)
    ),
}
shots = [1, 2, 5, 10]
results = {
    name: [
        episodes(X, y, 10, k, n_query=5, n_episodes=30, estimator=model, random_state=0)
        for k in shots
    ]
    for name, model in models.items()
}
for name, found in results.items():
    print(f"{name:28}", "  ".join(f"{r.n_shot:2}: {r.mean:.3f}" for r in found))

# %%
# Bars are 95 % intervals over episodes. With one photo the mean is far ahead, and nothing was
# tuned; at ten photos a logistic regression has caught up, if its penalty is right.

figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
for place, (name, found) in enumerate(results.items()):
    means = [r.mean for r in found]
    half = [(r.interval[1] - r.interval[0]) / 2 for r in found]
    shifted = [k * 1.03 ** (place - 1) for k in shots]
    ax.errorbar(shifted, means, half, marker="o", capsize=3, label=name)
ax.set(xscale="log", xlabel="photos of each class", ylabel="accuracy on ten classes")
ax.set_xticks(shots, shots)
ax.set_xticks([], minor=True)
ax.set_title("One photo of each class, and what more of them bring")
ax.legend(loc="lower right")
plt.show()
