"""
Can one network learn a class and a number when labels are missing?
===================================================================

Two quantities are predicted from a photo: what it shows and how noisy the camera was. Only
some of the photos have a label for the first, but all of them have a measurement of the
second. A network with two tasks learns from every available label, because the loss ignores
missing entries.
"""

# %%
# Photos from four cameras
# ------------------------
#
# The samples are crops of fifteen photos at four levels of noise. The class is known for only
# half of them.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor
from sklearn_transfer.datasets import load_photo_crops

LEVELS = (0.1, 0.3, 0.5, 0.7)


def load_crops(n, seed):
    """Return images, classes and levels of noise."""
    parts = [
        load_photo_crops(
            n, size=80, shift="noisy", severity=s, random_state=seed + i, return_X_y=True
        )
        for i, s in enumerate(LEVELS)
    ]
    images = [image for part in parts for image in part[0]]
    classes = np.concatenate([part[1] for part in parts])
    return images, classes, np.repeat(LEVELS, [len(part[1]) for part in parts])


X, photo, noise = load_crops(2, seed=0)
X_test, photo_test, noise_test = load_crops(2, seed=100)
known = np.random.default_rng(0).random(len(X)) < 1 / 2
print(f"{len(X)} crops, {known.sum()} with a class")

# %%
# One network, two tasks
# ----------------------
#
# y is a mapping of columns, and `tasks` describes them. `class_weight`, sample weights and
# early stopping work as they do for a single task.

y = {"photo": np.where(known, photo, None), "noise": noise}
tasks = [{"name": "photo"}, {"name": "noise", "kind": "regression"}]
options = {"freeze": "shallow", "max_epochs": 7, "input_size": 64}
both = FineTunedClassifier(tasks=tasks, **options).fit(X, y)
predicted = both.predict(X_test)

# %%
# Comparison with one network per task
# ------------------------------------

alone_photo = FineTunedClassifier(**options).fit(
    [image for image, k in zip(X, known, strict=True) if k], photo[known]
)
alone_noise = FineTunedRegressor(**options).fit(X, noise)
answers = {
    "one network": (predicted[:, 0], predicted[:, 1].astype(float)),
    "one per task": (alone_photo.predict(X_test), alone_noise.predict(X_test)),
}
for name, (labels, numbers) in answers.items():
    accuracy = (labels == photo_test).mean()
    off = np.abs(numbers - noise_test).mean()
    print(
        f"{name:>12}: {accuracy:.3f} of the photos correct, mean error of the level {off:.3f}"
    )

# %%
# The network that learns both tasks is about as accurate as two networks, at half the size.

figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained", sharey=True)
rng = np.random.default_rng(0)
for ax, (name, (labels, numbers)) in zip(axes, answers.items(), strict=True):
    right = labels == photo_test
    places = noise_test + rng.uniform(-0.04, 0.04, len(numbers))
    for mask, label in [(right, "class correct"), (~right, "class wrong")]:
        ax.scatter(places[mask], numbers[mask], 14, label=label)
    ax.plot([0, 0.8], [0, 0.8], color="gray", linewidth=1)
    ax.set(
        xlabel="true level of noise",
        title=f"{name}: {right.mean():.2f} of the classes correct",
    )
axes[0].set_ylabel("predicted level of noise")
axes[1].legend(loc="upper left")
plt.show()
