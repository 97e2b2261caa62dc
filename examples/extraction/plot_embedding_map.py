"""
What is near to what, at three depths of a network?
===================================================

To the first layers of a network two photos are alike if their colors and textures are; to
the last ones, if they show the same thing. Two maps of the same photos, drawn from features
of different layers, should therefore look different. Do they, and which layer is the one to
put a classifier on?
"""

# %%
# The photos
# ----------
#
# Crops of fifteen photos, each turned, scaled and lit at random. Among the photos are
# surfaces that differ in texture alone (brick, grass, gravel) and scenes in which each crop
# shows another part (pagoda, coffee, astronaut).

import matplotlib.pyplot as plt
import numpy as np
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops

X, y = load_photo_crops(20, size=128, return_X_y=True)
layers = ["shallow", "middle", "deep"]
PretrainedFeatures().precompute(X, layers=layers)  # one pass for the three of them

# %%
# Three maps
# ----------
#
# t-SNE keeps near what is near; distances between groups and the sizes of groups mean
# nothing. Next to each map stands a number that does not depend on the drawing: of how many
# photos the nearest other one, in all dimensions, is of the same class.
#
# In the shallow map grass lies among gravel, and the gray photographs (camera, coins) share
# one cloud, as their textures and grays are alike. The deep map has one island per photo: that
# layer is the one for a classifier. A crop on a foreign island is worth a look at the image.

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
    ax.set(title=f"{layer}: nearest of the same class {same:.0%}", xticks=[], yticks=[])
    print(f"{layer:8} {features.shape[1]:4} features, nearest of the same class {same:.2f}")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8)
figure.suptitle("The same photos from the first to the last layers")
plt.show()
