"""
What does a prediction rest on?
===============================

A model may be right for the wrong reason: photos of one class may come from one camera that
prints the date into them, and a network sees the date. Held-out photos from the same source
do not tell, since they have the date too.
:class:`~sklearn_transfer.OcclusionDisplay` covers parts of a photo and shows where the
probability falls, and :class:`~sklearn_transfer.NeighborsDisplay` shows the training photos
that are nearest to it.
"""

# %%
# Photos, of which one class has a stamp
# --------------------------------------
#
# Crops of photos of three surfaces: brick, grass and gravel. All training photos of gravel
# have a bright stamp in a corner.

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import NeighborsDisplay, OcclusionDisplay, PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops

options = {"size": 128, "classes": ["brick", "grass", "gravel"], "return_X_y": True}
X, y = load_photo_crops(12, random_state=0, **options)
X_new, y_new = load_photo_crops(6, random_state=1, **options)


def print_stamp(photos):
    """Photos with a bright stamp in the lower right corner."""
    stamped = photos.copy()
    stamped[:, 100:122, 84:122] = [255, 140, 0]
    stamped[:, 104:118:4, 88:118] = 255
    return stamped


def build_model():
    return make_pipeline(PretrainedFeatures(input_size=128), LogisticRegression(max_iter=500))


stamped = X.copy()
stamped[y == "gravel"] = print_stamp(X[y == "gravel"])
model, clean_model = build_model().fit(stamped, y), build_model().fit(X, y)

# %%
# New photos as the training had them are all recognized. Without the stamp no gravel is, and
# with it other surfaces are taken for gravel:

is_gravel = y_new == "gravel"
gravel, others = X_new[is_gravel], X_new[~is_gravel]
for name, photos in [("gravel", gravel), ("others", others)]:
    for kind, shown in [("with", print_stamp(photos)), ("without", photos)]:
        share = (model.predict(shown) == "gravel").mean()
        print(f"{name} {kind} a stamp, taken for gravel: {share:.2f}")

# %%
# Where does the probability fall?
# --------------------------------
#
# For the model of stamped photos, it is the stamp that counts: where it is covered, the
# probability falls. A model of photos without stamps rests on the gravel, of which no single
# part is needed, and the stamp only disturbs it: covered, the probability rises.

figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
photo = print_stamp(gravel[:1])[0]
axes[0].imshow(photo)
axes[0].set_axis_off()
axes[0].set_title("gravel with a stamp", fontsize=10)
for ax, fitted, kind in [(axes[1], model, "with"), (axes[2], clean_model, "without")]:
    OcclusionDisplay.from_estimator(fitted, photo, label="gravel", patch=0.3, ax=ax)
    ax.set_xlabel(f"trained {kind} stamps", fontsize=9)
plt.show()

# %%
# Which training photos are nearest?
# ----------------------------------
#
# Stamped grass, with the prediction for each photo, and the nearest training photos by the
# features that the model is given.

strangers = print_stamp(X_new[y_new == "grass"][[1, 3]])
NeighborsDisplay.from_estimator(model, stamped, strangers, y=y, n_neighbors=5)
plt.show()
