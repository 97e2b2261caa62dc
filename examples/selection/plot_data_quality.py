"""
Are there copies and wrong labels among my photos?
==================================================

Photos that were collected from several places come with copies of other sizes and qualities,
and with labels that somebody got wrong. Copies on both sides of a split make a score too good,
and wrong labels make a model too bad.
:func:`~sklearn_transfer.selection.duplicate_groups` finds the first,
:func:`~sklearn_transfer.selection.label_errors` the second.
"""

# %%
# Photos with planted copies
# --------------------------
#
# Ten crops of each of fifteen photos. Forty of them come a second time: smaller, in a low
# quality of JPEG, or without a margin.

import io

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from sklearn_transfer.datasets import load_photo_crops
from sklearn_transfer.selection import duplicate_groups

images, y = load_photo_crops(10, size=96, random_state=0, return_X_y=True)
pictures = [Image.fromarray(pixels) for pixels in images]


def make_copy(picture, row):
    """A copy that is smaller, of low quality, or without a margin."""
    if row % 3 == 0:
        return picture.resize((48, 48))
    if row % 3 == 1:
        file = io.BytesIO()
        picture.save(file, "jpeg", quality=30)
        return Image.open(file).convert("RGB")
    return picture.crop((4, 4, 92, 92))


copies = [make_copy(picture, row) for row, picture in enumerate(pictures[:40])]
photos, labels = [*pictures, *copies], np.concatenate([y, y[:40]])

# %%
# Copies, and the folds that divide them
# --------------------------------------
#
# Crops of one photo resemble each other, but only those that can be laid on each other are
# copies. Folds that know nothing of copies test many of them on a model that has seen them;
# folds by groups do not.

found = duplicate_groups(photos)
planted = {(row, 150 + row) for row in range(40)}
pairs = set(map(tuple, found.pairs.tolist()))
print(f"copies found: {len(pairs & planted)} of 40, other pairs: {len(pairs - planted)}")
print("folds without groups:", found.find_leaks_in(5, labels))
by_groups = StratifiedGroupKFold(5).split(photos, labels, found.groups)
print("folds by groups:", found.find_leaks_in(by_groups))

# %%
# Wrong labels
# ------------
#
# Fifteen labels are replaced by other ones. A linear model on features of a pretrained network
# is asked about crops that it has not seen.

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer.selection import label_errors

rng = np.random.default_rng(0)
wrong = rng.permutation(len(y))[:15]
given = y.copy()
for row in wrong:
    given[row] = rng.choice(np.setdiff1d(y, y[row]))
model = make_pipeline(PretrainedFeatures(input_size=96), LogisticRegression(max_iter=500))
errors = label_errors(model, images, given, random_state=0)
right = np.isin(errors.rows, wrong)
print(f"wrong labels found: {right.sum()} of 15, other rows: {(~right).sum()}")

# %%
# What was found
# --------------
#
# Above, a photo and its copy; below, photos with the label that they came with and the one
# that the model suggests.

near = found.pairs[np.argsort(found.similarity)][:4]
figure, axes = plt.subplots(3, 4, figsize=(8, 6.4), layout="constrained")
for column, (first, second) in enumerate(near):
    axes[0, column].imshow(photos[first])
    axes[1, column].imshow(photos[second])
    axes[1, column].set_title(f"copy of row {first}", fontsize=9)
shown = list(zip(errors.rows, errors.given, errors.suggested, strict=True))[:4]
for axis, (row, before, after) in zip(axes[2], shown, strict=False):
    axis.imshow(images[row])
    axis.set_title(f"{before}, rather {after}", fontsize=9)
for axis in axes.ravel():
    axis.axis("off")
plt.show()
