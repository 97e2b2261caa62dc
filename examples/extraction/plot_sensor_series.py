"""
Can a network of images tell what a sensor on the wrist is doing?
=================================================================

An accelerometer on the wrist gives three numbers fifty times a second. What the person does
shows in rhythms: how often the hand moves, in which direction, and how the movement comes and
goes. :class:`~sklearn_transfer.PretrainedAudioFeatures` draws the spectrogram of each channel,
where a rhythm is a line, and a network that was trained on photos turns the pictures into
features. The model that follows is scikit-learn's logistic regression.
"""

# %%
# Windows of a sensor
# -------------------
#
# The series are made by formula, so that it is known what there is to find. Each window lasts
# 5.12 s. The five activities have equal means, and the strength of the movement is drawn anew
# for each window, so that neither tells the activity. Their rhythms do: "walking" and
# "running" differ in speed, "stairs" has a weak step after each strong one, "drilling" is fast
# and comes in bursts, and "stirring" turns in a circle at the speed of walking.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_transfer import PretrainedAudioFeatures

RATE, LENGTH, PER_ACTIVITY = 50, 256, 20
ACTIVITIES = ["walking", "running", "stairs", "drilling", "stirring"]


def make_window(activity, rng):
    """Three channels (3, time) of an activity, with gravity and noise."""
    time = np.arange(LENGTH) / RATE + rng.uniform(0, 10)
    speed = {"running": 2.8, "drilling": 14.0}.get(activity, 1.8) * rng.normal(1, 0.06)
    phase = 2 * np.pi * speed * time
    if activity == "stirring":
        swing = np.stack([np.sin(phase), np.cos(phase), 0.1 * np.sin(phase)])
    else:
        step = np.exp(3 * (np.cos(phase) - 1))
        if activity == "stairs":
            step *= np.where(np.floor(phase / (2 * np.pi)) % 2, 0.35, 1.0)
        if activity == "drilling":
            step *= np.sin(2 * np.pi * 0.5 * time) > 0
        swing = np.outer([0.3, 0.5, 1.0], step - step.mean())
    swing *= rng.lognormal(0, 0.5) / swing.std()
    return swing + np.array([[0.0], [0.0], [9.8]]) + rng.normal(0, 0.7, (3, LENGTH))


rng = np.random.default_rng(0)
y = np.repeat(ACTIVITIES, PER_ACTIVITY)
X = np.stack([make_window(activity, rng) for activity in y])  # (n_samples, channels, time)
print(f"X has shape {X.shape}")

# %%
# From windows to predictions
# ---------------------------
#
# With a sampling rate of 50 Hz, arrays are time series, and `channels="separate"` puts the
# features of the three channels side by side. The layer in the middle of the network is taken,
# since lines and edges are found there. A pipeline of features and classifier takes the array
# as it is, and each window passes the network once for all splits.
#
# There are two baselines with the same classifier: the numbers of the window themselves, and
# what is often tried first, mean and standard deviation of each channel with its extremes.


def compute_summaries(X):
    parts = [X.mean(2), X.std(2), X.min(2), X.max(2), np.abs(np.diff(X)).mean(2)]
    return np.hstack(parts)


features = PretrainedAudioFeatures(
    "tf_efficientnet_lite0", layers="middle", sampling_rate=RATE, channels="separate"
)
models = {
    "pictures of the series": features,
    "mean, deviation, extremes": FunctionTransformer(compute_summaries),
    "the numbers themselves": FunctionTransformer(lambda X: X.reshape(len(X), -1)),
}
n_labels = [2, 4, 8, 12]
accuracy = {}
for name, transformer in models.items():
    pipe = make_pipeline(transformer, StandardScaler(), LogisticRegression(max_iter=1000))
    for n in n_labels:
        splits = StratifiedShuffleSplit(
            6, train_size=n * len(ACTIVITIES), test_size=30, random_state=0
        )
        accuracy.setdefault(name, []).append(cross_val_score(pipe, X, y, cv=splits))
    means = " ".join(f"{scores.mean():.2f}" for scores in accuracy[name])
    print(f"{name:26} with {n_labels} labels per activity: {means}")

# %%
# What the network sees, and what it brings
# -----------------------------------------

figure, (axes, curve) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=[1, 2])
for row, activity in enumerate(ACTIVITIES):
    window = X[row * PER_ACTIVITY]
    axes.plot(np.arange(LENGTH) / RATE, window[2] - 9.8 - 8 * row, lw=0.8)
    axes.text(0, -8 * row + 3, activity)
axes.set(xlabel="seconds", yticks=[], title="One window of each activity")
for name, scores in accuracy.items():
    means, spread = np.mean(scores, axis=1), np.std(scores, axis=1)
    curve.errorbar(n_labels, means, spread, label=name, marker="o", capsize=3)
curve.axhline(1 / len(ACTIVITIES), color="gray", ls=":", label="chance")
curve.set(
    xlabel="labeled windows per activity",
    ylabel="accuracy on other windows",
    xticks=n_labels,
    ylim=(0, 1),
)
curve.legend(loc="lower right", bbox_to_anchor=(1, 0.03))
plt.tight_layout()
plt.show()

# %%
# The network has never seen a sensor, and yet its features tell rhythms apart that the usual
# summaries miss. They do not know how strong a movement is, because pictures are relative to
# their brightest place: where strength matters, join both kinds of features with
# :class:`~sklearn.pipeline.FeatureUnion`. With thousands of labeled windows, a network that is
# trained on series themselves is likely to be better.
