"""
Which photos are similar at three depths of a network?
======================================================

In the first layers of a network, two photos are similar if their colors and textures are
similar; in the last layers, they are similar if they show the same object. Maps of the same
photos that are drawn from features of different layers should therefore look different. This
example draws three such maps and shows which layer is best suited for a classifier.
"""

# %%
# The photos
# ----------
#
# The samples are crops of fifteen photos, each randomly rotated, scaled and lit. Some photos
# show surfaces that differ only in texture (brick, grass, gravel), and others show scenes of
# which each crop contains a different part (pagoda, coffee, astronaut).

import matplotlib.pyplot as plt
import numpy as np
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops

X, y = load_photo_crops(20, size=128, return_X_y=True)
layers = ["shallow", "middle", "deep"]
PretrainedFeatures().precompute(X, layers=layers)  # one pass for all three layers

# %%
# Three maps
# ----------
#
# t-SNE preserves neighborhoods; the distances between groups and the sizes of groups have no
# meaning. The title of each map contains a number that does not depend on the map: the
# fraction of crops whose nearest neighbor, in all dimensions, belongs to the same class.
#
# In the shallow map, grass lies among gravel, and the grayscale photos (camera, coins) form
# one cluster because their textures and shades of gray are similar. The deep map has one
# cluster per photo, so this layer is best suited for a classifier. If a crop lies in the
# cluster of another class, it is worth looking at the image:
# :class:`~sklearn_transfer.NeighborsDisplay` shows it with the most similar training images,
# and :class:`~sklearn_transfer.OcclusionDisplay` the parts that a prediction depends on.

figure, axes = plt.subplots(1, 3, figsize=(13, 5.2), layout="constrained")
classes = np.unique(y)
colors = plt.get_cmap("tab20")(np.arange(len(classes)))
for layer, ax in zip(layers, axes, strict=True):
    features = PretrainedFeatures(layers=layer).fit_transform(X)
    features = StandardScaler().fit_transform(features)
    distances = pairwise_distances(features)
    np.fill_diagonal(distances, np.inf)
    same = np.mean(y[distances.argmin(axis=1)] == y)
    plane = TSNE(perplexity=15, init="pca", random_state=0).fit_transform(features)
    for label, color in zip(classes, colors, strict=True):
        ax.scatter(*plane[y == label].T, s=18, color=color, label=label)
    ax.set(
        title=f"{layer}: nearest neighbor of the same class {same:.0%}", xticks=[], yticks=[]
    )
    print(f"{layer:8} {features.shape[1]:4} features, nearest of the same class {same:.2f}")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8)
figure.suptitle("The same photos in early and late layers")
plt.show()
