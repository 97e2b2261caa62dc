"""
How many photos per class are needed?
=====================================

Suppose that there is only one photo of a new product. With pretrained features, a class can be
represented by its mean, which requires no tuning; this is what
:class:`~sklearn_transfer.PrototypeClassifier` does. How accurate is it with one photo per
class, and with how many photos is a logistic regression, which must be tuned, more accurate?
The result for a single photo depends on chance, so :func:`~sklearn_transfer.heads.episodes`
draws classes and photos many times.
"""

# %%
# Features
# --------
#
# The samples are noisy crops of fifteen photos, and each photo is a class. Each crop passes
# through the network once, and the episodes draw from the resulting features.

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
# All models are evaluated on the same episodes because they use the same seed.

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
        episodes(X, y, 10, k, n_query=5, n_episodes=20, estimator=model, random_state=0)
        for k in shots
    ]
    for name, model in models.items()
}
for name, found in results.items():
    print(f"{name:28}", "  ".join(f"{r.n_shot:2}: {r.mean:.3f}" for r in found))

# %%
# The error bars are 95 % confidence intervals over episodes. With one photo per class, the
# class means are far more accurate without any tuning. With ten photos, logistic regression is
# equally accurate if its penalty is chosen well.

figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
for place, (name, found) in enumerate(results.items()):
    means = [r.mean for r in found]
    half = [(r.interval[1] - r.interval[0]) / 2 for r in found]
    shifted = [k * 1.03 ** (place - 1) for k in shots]
    ax.errorbar(shifted, means, half, marker="o", capsize=3, label=name)
ax.set(xscale="log", xlabel="photos per class", ylabel="accuracy on ten classes")
ax.set_xticks(shots, shots)
ax.set_xticks([], minor=True)
ax.set_title("Accuracy by the number of photos per class")
ax.legend(loc="lower right")
plt.show()
