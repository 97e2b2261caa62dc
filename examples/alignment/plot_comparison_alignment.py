"""
Which alignment method helps against which shift?
=================================================

A model is trained on labeled samples of one domain and applied to another domain, of which
many samples without labels are available. The aligners of :mod:`sklearn_transfer.alignment`
map both domains into a common space before the model is trained. Each of them makes an
assumption about how the domains differ. This example compares them on shifts that satisfy
these assumptions and on shifts that violate them.
"""

# %%
# Five shifts of one problem
# --------------------------
#
# The source consists of two moons and a third feature that is noise. The target is a new draw
# that is moved in the plane, stretched and turned, bent, moved only in the third feature, or
# moved with one class nine times as frequent as the other. The labels of the target are used
# only to score the models.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_transfer import (
    CORAL,
    OptimalTransport,
    SubspaceAlignment,
    TargetDomain,
    TransferComponentAnalysis,
)

N = 150


def move(X):
    return X + np.array([1.5, -1, 0])


def stretch_and_turn(X):
    angle = np.pi / 5
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return np.column_stack([X[:, :2] * [1.6, 0.7] @ np.array(turn), X[:, 2]])


def bend(X):
    return X + np.outer((X[:, 0] - 0.5) ** 2, [0, 0.8, 0])


def move_noise(X):
    return X + np.array([0, 0, 1.5])


SHIFTS = {
    "moved": (move, 0.5),
    "stretched and turned": (stretch_and_turn, 0.5),
    "bent": (bend, 0.5),
    "noise moved": (move_noise, 0.5),
    "moved, classes 9 to 1": (move, 0.9),
}


def draw(name, seed):
    rng = np.random.RandomState(seed)
    shift, share = SHIFTS[name]
    domains = []
    for first in (N // 2, round(share * N)):
        plane, y = make_moons((first, N - first), noise=0.12, random_state=rng)
        domains += [np.column_stack([plane, 0.2 * rng.normal(size=N)]), y]
    X, y, X_target, y_target = domains
    return X, y, shift(X_target), y_target


# %%
# Five methods
# ------------
#
# In a pipeline, ``fit`` treats the samples that it receives as the source, and ``score``
# treats them as the target. Optimal transport uses the labels of the source to keep the two
# classes apart. The classifier is a support vector machine with a radial kernel, which can
# separate the moons.

METHODS = {
    "no adaptation": "passthrough",
    "CORAL": CORAL(),
    "subspace alignment": SubspaceAlignment(n_components=2),
    "transfer components": TransferComponentAnalysis(n_components=3, mu=1),
    "optimal transport": OptimalTransport(class_reg="l1l2"),
}


def compute_accuracy(aligner, X, y, X_target, y_target):
    model = Pipeline([("align", aligner), ("scale", StandardScaler()), ("svm", SVC())])
    target = {} if aligner == "passthrough" else {"align__X_target": TargetDomain(X_target)}
    return model.fit(X, y, **target).score(X_target, y_target)


scores = {
    shift: [
        [compute_accuracy(m, *draw(shift, seed)) for seed in range(10)]
        for m in METHODS.values()
    ]
    for shift in SHIFTS
}
for shift, rows in scores.items():
    print(shift)
    for method, values in zip(METHODS, rows, strict=True):
        print(f"    {method:<20} {np.mean(values):.2f} +- {np.std(values):.2f}")

# %%
# Results
# -------
#
# No method helps against every shift. CORAL, subspace alignment and optimal transport reverse
# most of a move; if the plane is stretched and turned they gain less, and CORAL, a linear map,
# gains nothing if it is bent.
# Subspace alignment benefits from its two components, which exclude the noise. Transfer
# components exclude the directions that distinguish the domains. This helps if these
# directions are noise or a bend, but not if the moons themselves have moved. If the class
# shares differ, all methods are less accurate than always predicting the frequent class,
# because they match the means of domains with different class shares. Therefore, compare the
# class shares first with :func:`~sklearn_transfer.selection.label_shift_test`.

colors = ["#8a929c", "#b8860b", "#3f6fb5", "#8d4fa8", "#1a7f4b"]
fig, axes = plt.subplots(2, 5, figsize=(13, 5.2), layout="constrained")
for (shift, rows), (above, below) in zip(scores.items(), axes.T, strict=True):
    X, y, X_target, y_target = draw(shift, 0)
    columns = [0, 2] if shift == "noise moved" else [0, 1]
    for samples, labels, color in [(X, y, "#b9bec5"), (X_target, y_target, "#c0392b")]:
        for label, marker in enumerate("ox"):
            plane = samples[labels == label][:, columns].T
            above.scatter(*plane, s=12, c=color, marker=marker, linewidths=0.9)
    above.set(title=shift, xticks=[], yticks=[])
    below.barh(list(METHODS), np.mean(rows, axis=1), color=colors, height=0.7)
    for i, values in enumerate(rows):
        below.plot(
            values, np.full(len(values), i), "o", color="black", alpha=0.3, markersize=3
        )
        below.text(1.08, i, f"{np.mean(values):.2f}", va="center")
    below.axvline(max(np.mean(y_target), 1 - np.mean(y_target)), color="black", ls=":", lw=1)
    below.set(xlim=(0, 1.3), xticks=[0, 0.5, 1], ylim=(4.6, -0.6))
    below.spines[["left", "top", "right"]].set_visible(False)
    if below is not axes[1, 0]:
        below.set(yticks=[])
axes[0, 0].set_ylabel("source (gray) and target (red)")
fig.supxlabel(
    "accuracy on the target: mean of ten draws (bars) and single draws (dots); "
    "dotted line: always predicting the frequent class"
)
plt.show()
