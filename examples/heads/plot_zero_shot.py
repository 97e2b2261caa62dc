"""
Can a classifier name a digit it has never seen?
================================================

It can if somebody tells it what the digit looks like.
:class:`~sklearn_transfer.ZeroShotClassifier` learns from eight digits how pixels and
attributes go together, and recognizes the other two by their attributes. Where all ten
compete, the eight that it has seen win nearly always, until their scores are lowered: by how
much is learned as well, from digits that it has seen and that are held out.
"""

# %%
# What is told of each digit
# --------------------------
#
# The segments of a display that it lights, then what a pen draws: a loop at the top, one at
# the bottom, one that is the whole digit, and a stroke from top to bottom.

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sklearn_transfer import ZeroShotClassifier

digits = {
    0: "1111110 0010",
    1: "0110000 0001",
    2: "1101101 0000",
    3: "1111001 0000",
    4: "0110011 0001",
    5: "1011011 0000",
    6: "1011111 0100",
    7: "1110000 0001",
    8: "1111111 1100",
    9: "1111011 1000",
}
attributes = {k: [int(bit) for bit in bits.replace(" ", "")] for k, bits in digits.items()}
X, y = load_digits(return_X_y=True)
first_half = np.arange(len(y)) < len(y) // 2

# %%
# All pairs of unseen digits
# --------------------------
#
# `predict` with the attributes of two digits asks which of these two it is. The other
# figures are those of a choice between all ten.

calibrations = [0, *np.geomspace(0.002, 0.5, 9)]
alone, curves, chosen = np.full((10, 10), np.nan), [], []
for pair in combinations(range(10), 2):
    unseen = np.isin(y, pair)
    model = ZeroShotClassifier(calibration="auto")
    model.fit(X[first_half & ~unseen], y[first_half & ~unseen], attributes=attributes)
    found = model.predict(X[unseen], {k: attributes[k] for k in pair})
    alone[pair[1], pair[0]] = np.mean([np.mean(found[y[unseen] == k] == k) for k in pair])
    chosen.append(model.generalized_score(X[~first_half], y[~first_half]))
    fixed = ZeroShotClassifier(gamma=model.gamma_, alpha=model.alpha_, temperature=1)
    curve = []
    for value in calibrations:
        fixed.set_params(calibration=value)
        fixed.fit(X[first_half & ~unseen], y[first_half & ~unseen], attributes=attributes)
        curve.append(fixed.generalized_score(X[~first_half], y[~first_half]))
    curves.append(curve)
curve, auto = np.mean(curves, axis=0), np.mean(chosen, axis=0)
print(f"two unseen digits, told from each other: {np.nanmean(alone):.3f} (chance 0.5)")
print(f"all ten, as scored:  seen {curve[0, 0]:.3f}, unseen {curve[0, 1]:.3f}")
print(f"all ten, calibrated: seen {auto[0]:.3f}, unseen {auto[1]:.3f} (chance 0.1)")
print(f"harmonic mean {curve[0, 2]:.3f} before, {auto[2]:.3f} calibrated")

# %%
# On the left each pair of unseen digits: most are told from each other, and what the
# attributes leave open shows as pairs near or under one half. On the right each dot lowers
# the scores of seen digits a little more, by one number for all pairs; the star is what was
# learned for each pair without its unseen digits.

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.6), layout="constrained")
picture = left.imshow(alone, vmin=0, vmax=1, cmap="RdYlGn")
for (row, column), value in np.ndenumerate(alone):
    if not np.isnan(value):
        left.text(column, row, f"{value:.2f}"[1:], ha="center", va="center", fontsize=7)
left.set_xticks(range(10))
left.set_yticks(range(10))
left.set(xlabel="one unseen digit", ylabel="the other", title="Told from each other")
figure.colorbar(picture, ax=left, shrink=0.8, label="accuracy")
right.plot(curve[:, 0], curve[:, 1], "o-", label="the same for all pairs")
right.plot(*curve[0, :2], "o", color="black", label="as scored")
right.plot(*auto[:2], "*", markersize=16, color="tab:red", label='calibration="auto"')
right.set(xlabel="accuracy on seen digits", ylabel="accuracy on unseen digits")
right.set(xlim=(0, 1), ylim=(0, 1), title="All ten compete")
right.legend()
plt.show()
