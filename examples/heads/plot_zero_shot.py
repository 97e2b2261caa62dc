"""
Can a classifier name a digit it has never seen?
================================================

It can if it is told what the digit looks like. :class:`~sklearn_transfer.ZeroShotClassifier`
learns from eight digits how pixels are related to attributes, and recognizes the other two
digits by their attributes. If it chooses among all ten digits, it nearly always predicts one
of the eight digits that it has seen unless their scores are lowered. It also learns by how
much to lower them, by holding out digits that it has seen.
"""

# %%
# Attributes of the digits
# ------------------------
#
# The first seven attributes are the segments that the digit lights on a display. The other
# four describe its shape in handwriting: a loop at the top, a loop at the bottom, a loop that
# is the whole digit, and a stroke from top to bottom.

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
# If `predict` is given the attributes of two digits, it chooses between these two. The other
# accuracies are those of a choice among all ten digits.

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
print(f"choice between two unseen digits: {np.nanmean(alone):.3f} (chance 0.5)")
print(f"all ten, uncalibrated: seen {curve[0, 0]:.3f}, unseen {curve[0, 1]:.3f}")
print(f"all ten, calibrated:   seen {auto[0]:.3f}, unseen {auto[1]:.3f} (chance 0.1)")
print(f"harmonic mean {curve[0, 2]:.3f} uncalibrated, {auto[2]:.3f} calibrated")

# %%
# The left plot shows the accuracy for each pair of unseen digits. Most pairs are distinguished
# well; pairs near or below one half are those that the attributes do not distinguish. In the
# right plot, each dot lowers the scores of seen digits a little more, by the same amount for
# all pairs. The star uses the amount that was learned for each pair without its unseen digits.

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.6), layout="constrained")
picture = left.imshow(alone, vmin=0, vmax=1, cmap="RdYlGn")
for (row, column), value in np.ndenumerate(alone):
    if not np.isnan(value):
        left.text(column, row, f"{value:.2f}"[1:], ha="center", va="center", fontsize=7)
left.set_xticks(range(10))
left.set_yticks(range(10))
left.set(
    xlabel="one unseen digit",
    ylabel="other unseen digit",
    title="Choice between two unseen digits",
)
figure.colorbar(picture, ax=left, shrink=0.8, label="accuracy")
right.plot(curve[:, 0], curve[:, 1], "o-", label="same amount for all pairs")
right.plot(*curve[0, :2], "o", color="black", label="uncalibrated")
right.plot(*auto[:2], "*", markersize=16, color="tab:red", label='calibration="auto"')
right.set(xlabel="accuracy on seen digits", ylabel="accuracy on unseen digits")
right.set(xlim=(0, 1), ylim=(0, 1), title="Choice among all ten digits")
right.legend()
plt.show()
