"""
When do weights help, and when do they not?
===========================================

A probe was calibrated in a warm room and will be used outdoors. Its response is curved, but
the instrument can only store a straight line. The line through the calibration points is
suitable for the room. :class:`~sklearn_transfer.ImportanceWeighted` weights these points so
that, as a whole, they resemble the outdoor readings, which have no labels, and fits the line
that is suitable outdoors.
"""

# %%
# One calibration
# ---------------
#
# Weights can help under three conditions. The source and the target overlap, the response
# depends on the input in the same way in both, and the model cannot represent the response
# everywhere.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sklearn_transfer import KMM, ImportanceWeighted


def draw_readings(seed, n=300):
    """Return calibration inputs, their responses, and outdoor inputs."""
    rng = np.random.default_rng(seed)
    X, X_target = rng.normal(1, 0.5, (n, 1)), rng.normal(1.7, 0.3, (n, 1))
    return X, np.sinc(X[:, 0]) + 0.1 * rng.normal(size=n), X_target


X, y, X_target = draw_readings(0)
plain = LinearRegression().fit(X, y)
weighted = ImportanceWeighted(LinearRegression(), KMM(B=6)).fit(X, y, X_target=X_target)
print(f"effective sample size: {weighted.ess_:.0f} of {len(X)} calibration points")

# %%
# Twenty calibrations
# -------------------
#
# The experiment is repeated with new points for the line and for a polynomial that can
# represent the response. For the polynomial, there is nothing that weights could correct; they
# only reduce the effective number of points.

models = {"line": LinearRegression(), "polynomial": None}
models["polynomial"] = make_pipeline(PolynomialFeatures(4), LinearRegression())
errors = {(name, kind): [] for name in models for kind in ("equal", "weighted")}
for seed in range(20):
    X_, y_, T_ = draw_readings(seed)
    truth = np.sinc(T_[:, 0])
    for name, model in models.items():
        fits = {
            "equal": model.fit(X_, y_),
            "weighted": ImportanceWeighted(model, KMM(B=6)).fit(X_, y_, X_target=T_),
        }
        for kind, fitted in fits.items():
            errors[name, kind].append(np.sqrt(np.mean((fitted.predict(T_) - truth) ** 2)))

for (name, kind), values in errors.items():
    print(f"{name:11} {kind:9} error outdoors {np.median(values):.3f}")

# %%
# In the left plot, the area of a point is proportional to its weight. In the right plot, each
# point is a calibration: weights improve the line considerably and the polynomial not at all.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
left.scatter(
    X[:, 0], y, s=8 * weighted.weights_, alpha=0.5, label="calibration (area: weight)"
)
left.scatter(X[:, 0], y, s=2, color="gray")
bottom = np.full(len(X_target), -0.75)
left.plot(X_target[:, 0], bottom, "|", color="tab:orange", label="outdoor inputs")
grid = np.linspace(-0.3, 2.8, 100)[:, None]
left.plot(grid, np.sinc(grid), color="black", linewidth=1, label="response")
left.plot(grid, plain.predict(grid), "--", color="tab:red", label="line, equal weights")
left.plot(grid, weighted.predict(grid), color="tab:green", label="line, weighted")
left.set(xlabel="input", ylabel="response", ylim=(-0.85, 1.4), title="One calibration")
left.legend(loc="upper right", fontsize=8)

rng = np.random.default_rng(0)
for place, ((_, kind), values) in enumerate(errors.items()):
    color = "tab:red" if kind == "equal" else "tab:green"
    right.scatter(place + rng.uniform(-0.12, 0.12, 20), values, s=14, color=color)
right.set_xticks(range(4), [f"{name}\n{kind}" for name, kind in errors])
right.set(yscale="log", ylabel="error outdoors", title="Twenty calibrations")
plt.show()
