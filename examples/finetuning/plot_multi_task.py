"""
Can one network learn a class and a number, with labels missing?
================================================================

Two things are to be told from a photo: what it shows, and how noisy the camera was. Few photos
have a label for the first, all have a measurement of the second. A network with two tasks
learns from every label there is: entries that are missing are left out of the loss.
"""

# %%
# Photos from four cameras
# ------------------------
#
# Crops of fifteen photos at four levels of noise. Only half of the classes are known.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor
from sklearn_transfer.datasets import load_photo_crops

LEVELS = (0.1, 0.3, 0.5, 0.7)


def crops(n, seed):
    """Images, classes and levels of noise."""
    parts = [
        load_photo_crops(
            n, size=80, shift="noisy", severity=s, random_state=seed + i, return_X_y=True
        )
        for i, s in enumerate(LEVELS)
    ]
    images = [image for part in parts for image in part[0]]
    classes = np.concatenate([part[1] for part in parts])
    return images, classes, np.repeat(LEVELS, [len(part[1]) for part in parts])


X, photo, noise = crops(2, seed=0)
X_test, photo_test, noise_test = crops(2, seed=100)
known = np.random.default_rng(0).random(len(X)) < 1 / 2
print(f"{len(X)} crops, {known.sum()} with a class")

# %%
# One network, two tasks
# ----------------------
#
# y is a mapping of columns; `tasks` says what they are. `class_weight`, weights of samples and
# early stopping work as ever.

y = {"photo": np.where(known, photo, None), "noise": noise}
tasks = [{"name": "photo"}, {"name": "noise", "kind": "regression"}]
options = {"freeze": "shallow", "max_epochs": 10, "input_size": 64}
both = FineTunedClassifier(tasks=tasks, **options).fit(X, y)
predicted = both.predict(X_test)

# %%
# Against one network for each
# ----------------------------

alone_photo = FineTunedClassifier(**options).fit(
    [image for image, k in zip(X, known, strict=True) if k], photo[known]
)
alone_noise = FineTunedRegressor(**options).fit(X, noise)
answers = {
    "one network": (predicted[:, 0], predicted[:, 1].astype(float)),
    "one for each": (alone_photo.predict(X_test), alone_noise.predict(X_test)),
}
for name, (labels, numbers) in answers.items():
    accuracy = (labels == photo_test).mean()
    off = np.abs(numbers - noise_test).mean()
    print(f"{name:>12}: {accuracy:.3f} of the photos right, level off by {off:.3f}")

# %%
# The network that learns both has half the size, and is about as good.

figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained", sharey=True)
rng = np.random.default_rng(0)
for ax, (name, (labels, numbers)) in zip(axes, answers.items(), strict=True):
    right = labels == photo_test
    places = noise_test + rng.uniform(-0.04, 0.04, len(numbers))
    for mask, label in [(right, "photo right"), (~right, "photo wrong")]:
        ax.scatter(places[mask], numbers[mask], 14, label=label)
    ax.plot([0, 0.8], [0, 0.8], color="gray", linewidth=1)
    ax.set(
        xlabel="true level of noise", title=f"{name}: {right.mean():.2f} of the photos right"
    )
axes[0].set_ylabel("predicted level of noise")
axes[1].legend(loc="upper left")
plt.show()
