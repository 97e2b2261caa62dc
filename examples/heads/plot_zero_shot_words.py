"""
Can photos be classified by words alone?
========================================

Some classes have a name and no labeled photo. A network that was trained on photos of a
thousand classes, and another one that has read a billion sentences, can make up for that:
:class:`~sklearn_transfer.ConSE` places each photo among texts, at the weighted mean of the
texts that describe the classes which the first network takes it for. Then
:class:`~sklearn_transfer.ZeroShotClassifier` predicts the class whose description is nearest.
This works where the thousand classes show something similar, and nowhere else.
"""

# %%
# Photos without labels
# ---------------------
#
# The images are crops of fifteen photos, twelve of each. Their classes are known here, but are
# used for nothing but the score.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline

from sklearn_transfer import ConSE, PretrainedTextFeatures, ZeroShotClassifier
from sklearn_transfer.datasets import load_photo_crops

X, y = load_photo_crops(12, size=224, random_state=0, return_X_y=True)
y = np.asarray(y)
print(f"{len(X)} crops of {len(np.unique(y))} classes, chance {1 / len(np.unique(y)):.3f}")

# %%
# One word, a few words, several texts
# ------------------------------------
#
# A description is anything that the network of texts can read. The first attempt takes the
# names of the classes. The second one says what the photo shows, and the third one gives two
# texts per class, whose vectors are averaged. Both networks keep what they have computed, so
# that the second and third attempts only embed new descriptions.

words = {
    "astronaut": "an astronaut in a space suit",
    "brick": "a brick wall",
    "camera": "a man with a camera on a tripod",
    "cat": "a cat",
    "coffee": "a cup of coffee",
    "coins": "old coins",
    "flower": "a flower",
    "galaxies": "galaxies in the night sky",
    "grass": "grass",
    "gravel": "gravel, small stones",
    "moon": "the surface of the moon",
    "pagoda": "a Chinese temple",
    "retina": "the retina of an eye",
    "rocket": "a rocket on its launch pad",
    "tissue": "human tissue under a microscope",
}
attempts = {
    "one word": list(words),
    "a few words": words,
    "both": {name: [name, text] for name, text in words.items()},
}
space = ConSE()
describer = PretrainedTextFeatures()
head = ZeroShotClassifier(method="cosine", describer=describer, temperature=0.1)
model = make_pipeline(space, head)
for name, attributes in attempts.items():
    model.fit(X, zeroshotclassifier__attributes=attributes)
    print(f"{name:12}: accuracy {model.score(X, y):.3f}")

# %%
# How many classes are averaged
# -----------------------------
#
# With `n_top=1` a photo is placed at the text of the likeliest class. The mean of ten, the
# default, is better: if the network does not know what it sees, its guesses still say
# something together. The photos do not pass the network again.

for n_top in [1, 2, 5, 10, 50, None]:
    model.set_params(conse__n_top=n_top)
    model.fit(X, zeroshotclassifier__attributes=words)
    print(f"n_top={n_top}: accuracy {model.score(X, y):.3f}")

# %%
# What words cannot do
# --------------------
#
# None of the thousand classes of ImageNet is like a retina, a galaxy or the surface of the
# moon. The network takes these photos for something else, with which no description helps.
# How near a description is to the nearest class of ImageNet can be computed before any photo
# is seen, and tells which classes to worry about, although not with certainty.

model.set_params(conse__n_top=10).fit(X, zeroshotclassifier__attributes=words)
found = model.predict(X)
accuracies = {name: np.mean(found[y == name] == name) for name in words}
vectors = PretrainedTextFeatures().fit_transform(list(words.values()))
nearest = (vectors @ model[0].class_vectors_.T).max(axis=1)
known = np.array(list(accuracies.values()))
print(f"recognized nearly always: {[n for n, a in accuracies.items() if a > 0.9]}")
print(f"hardly ever: {[n for n, a in accuracies.items() if a < 0.1]}")

# %%
# The figure shows one crop of each class with the description that was predicted for it, and
# the accuracy of each class over the similarity of its description to ImageNet's classes.

figure = plt.figure(figsize=(12, 5.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
for ax, name in zip(left.subplots(3, 5).flat, words, strict=True):
    row = np.flatnonzero(y == name)[0]
    ax.imshow(X[row])
    ax.set_axis_off()
    color = "tab:green" if found[row] == name else "tab:red"
    ax.set_title(found[row], fontsize=9, color=color)
left.suptitle("Predicted from words alone (green: right)")
ax = right.subplots()
ax.scatter(nearest, known, color="tab:blue")
for name, x, accuracy in zip(words, nearest, known, strict=True):
    ax.annotate(
        name, (x, accuracy), xytext=(3, 4), textcoords="offset points", fontsize=8, rotation=25
    )
ax.axhline(1 / len(words), color="gray", linestyle="--", linewidth=1, label="chance")
ax.set(
    xlabel="cosine of the description and the nearest class of ImageNet",
    ylabel="accuracy",
    ylim=(-0.04, 1.12),
    xlim=(0.28, 0.79),
    title="Classes that ImageNet does not know are missed",
)
ax.legend(loc="center left")
plt.show()
