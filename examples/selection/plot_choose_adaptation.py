"""
Which way of adapting helps, when the new images have no labels?
================================================================

Labels exist for images from one camera, and the model will meet images from another. There are
many ways to adapt to the new images: the labeled ones can be weighted, their features can be
aligned with those of the new ones, or a network can be trained on both. Each of them sometimes
hurts. :func:`~sklearn_transfer.rank_adaptations` fits all of them and chooses by evidence that
needs no labels of the new images. Here these labels are known, so the choice can be checked.
"""

# %%
# Clean photos, and noisy ones of the same kind
# ---------------------------------------------
#
# The labeled images are plain crops of fifteen photos. The new ones are noisy, which changes
# the features of a pretrained network.

import matplotlib.pyplot as plt

from sklearn_transfer import PretrainedFeatures, rank_adaptations, shift_report
from sklearn_transfer.datasets import load_photo_crops

options = {"size": 96, "return_X_y": True}
images, y = load_photo_crops(10, random_state=0, **options)
new_images, y_new = load_photo_crops(12, shift="noisy", random_state=1, **options)

features = PretrainedFeatures(input_size=96).fit(images)
X, X_new = features.transform(images), features.transform(new_images)

# %%
# One table of all candidates
# ---------------------------
#
# The score in the first column of numbers is the information that predictions for new images
# have about those for the most similar new images. A model that gives similar images the
# same class, is confident of it, and uses several classes has a high score. The model
# without adaptation is always among the candidates, and wins unless another one is clearly
# better. Each word stands for a class with its default parameters, such as
# :class:`~sklearn_transfer.LabelShiftWeights`, :class:`~sklearn_transfer.MeanAlignment` and
# :class:`~sklearn_transfer.OptimalTransport`. With the extra `plot`, `ranking.plot()` draws
# the table as an :class:`~sklearn_transfer.AdaptationDisplay`.

ways = ["kmm", "label-shift", "mean", "mean-scale", "coral", "transport", "mcc", "infomax"]
ranking = rank_adaptations(ways, X, y, X_new, cv=None)
print(ranking)

# %%
# The shift report takes its advice from the same evidence, for the ways that need no network.

print(shift_report(X, X_new, y, random_state=0).advice)

# %%
# Was the choice right?
# ---------------------
#
# With the labels of the new images, the gain in the score can be compared with the gain in
# accuracy. The two agree on which ways help, though not on the exact order.

base = ranking.source_only.estimator.score(X_new, y_new)
fig, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
for row in ranking.candidates:
    accuracy = row.estimator.score(X_new, y_new)
    chosen = row is ranking.chosen
    ax.plot(row.gain, accuracy - base, "o", color="tab:red" if chosen else "tab:blue")
    ax.annotate(row.name, (row.gain, accuracy - base), (5, 3), textcoords="offset points")
    print(f"{row.name:12} {accuracy:.3f}{'  (chosen)' if chosen else ''}")
ax.axhline(0, color="gray", linewidth=0.8)
ax.axvline(0, color="gray", linewidth=0.8)
ax.margins(x=0.2, y=0.1)
ax.set(
    xlabel="Gain in the score, without labels",
    ylabel="Gain in accuracy, by the labels",
    title="Ways to adapt to noisy photos, the chosen one in red",
)
plt.show()
