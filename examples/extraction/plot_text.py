"""
How many labels does a frozen network of texts save?
====================================================

A model that counts words knows only the words that it has seen, and a few hundred labeled
sentences contain few of them. A network that has read a billion sentences knows most words.
:class:`~sklearn_transfer.PretrainedTextFeatures` turns sentences of film reviews into
features, from which a linear model learns with 10 to 350 labels whether a sentence is praise.
The baseline is the same linear model on TF-IDF features of scikit-learn.
"""

# %%
# The sentences
# -------------
#
# The sentences and their ratings are those of Hutto and Gilbert (2014). They come in the
# source archive of the package `vaderSentiment`, which pip downloads in the first run (2 MB);
# nothing of it is installed. Twenty people rated each sentence from -4 to 4. Sentences rated
# within 1 of 0 are left out, because people disagree about their sign.

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedTextFeatures, ZeroShotClassifier

name, digest = (
    "vaderSentiment-3.3.2",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
folder = base / "sklearn_transfer_benchmarks" / "data"


def read_archive():
    """Return the content of the archive, which pip downloads if need be."""
    path = folder / f"{name}.tar.gz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--quiet", "--no-deps", "--no-binary", ":all:", "vaderSentiment==3.3.2"]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", *options], cwd=folder, check=True
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{path} has another digest than {digest}: delete it")
    return content


def read_sentences(file):
    """Return the clear sentences of one file, and whether each is positive."""
    with tarfile.open(fileobj=io.BytesIO(read_archive())) as archive:
        inner = archive.extractfile(f"{name}/additional_resources/hutto_ICWSM_2014.tar.gz")
        with tarfile.open(fileobj=inner) as archive:
            lines = (
                archive.extractfile(f"hutto_ICWSM_2014/{file}").read().decode().splitlines()
            )
    rows = [line.split("\t") for line in lines]
    ratings = {text.strip(): float(rating) for _, rating, text in rows}
    clear = {text: rating > 0 for text, rating in ratings.items() if abs(rating) >= 1}
    return np.array(list(clear), dtype=object), np.array(list(clear.values()))


texts, is_positive = read_sentences("movieReviewSnippets_GroundTruth.txt")
order = np.random.default_rng(0).permutation(len(texts))
texts, y = texts[order], np.where(is_positive[order], "praise", "criticism")
X_pool, y_pool, X_test, y_test = texts[:600], y[:600], texts[-500:], y[-500:]
for text, label in zip(X_pool[:3], y_pool[:3], strict=True):
    print(f"{label}: {text}")

# %%
# From 10 to 350 labels
# ---------------------
#
# For each number of labels, the labeled sentences are drawn ten times. After the first pass
# the features are in the cache, so that these fits compute only linear models.

counts = [10, 20, 50, 100, 200, 350]
models = {
    "frozen network": make_pipeline(
        PretrainedTextFeatures(), LogisticRegression(C=3, max_iter=1000)
    ),
    "TF-IDF": make_pipeline(TfidfVectorizer(), LogisticRegression(C=3, max_iter=1000)),
}
curves = {kind: np.empty((10, len(counts))) for kind in models}
for draw in range(10):
    rows = np.random.default_rng(draw).permutation(len(X_pool))
    for i, n in enumerate(counts):
        for kind, model in models.items():
            model.fit(X_pool[rows[:n]], y_pool[rows[:n]])
            curves[kind][draw, i] = model.score(X_test, y_test)
for kind, accuracies in curves.items():
    cells = " ".join(f"{accuracy:.3f}" for accuracy in accuracies.mean(axis=0))
    print(f"{kind:14} with {counts} labels: {cells}")

# %%
# Without a label
# ---------------
#
# The same network turns a description of each class into features.
# :class:`~sklearn_transfer.ZeroShotClassifier` predicts the class whose description is closer
# to the sentence, and needs no labeled sentence.

described = {
    "praise": "A wonderful film, a pleasure to watch.",
    "criticism": "A terrible film, a waste of time.",
}
features = PretrainedTextFeatures()
vectors = dict(zip(described, features.fit_transform(list(described.values())), strict=True))
zero_shot = make_pipeline(features, ZeroShotClassifier(method="cosine"))
zero_shot.fit(X_pool, zeroshotclassifier__attributes=vectors)
accuracy = zero_shot.score(X_test, y_test)
print(f"descriptions alone: {accuracy:.3f}")

# %%
# The frozen network is more accurate with 50 labels than TF-IDF with 350. The two
# descriptions are worth about a hundred labels.

figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
for (kind, accuracies), color in zip(curves.items(), ["tab:blue", "tab:orange"], strict=True):
    mean, spread = accuracies.mean(axis=0), accuracies.std(axis=0)
    ax.plot(counts, mean, marker="o", color=color, label=kind)
    ax.fill_between(counts, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
ax.axhline(accuracy, color="gray", linestyle="--", linewidth=1, label="descriptions alone")
ax.set(
    xscale="log",
    xlabel="labeled sentences",
    ylabel="accuracy on 500 other sentences",
    title="A frozen network needs a fraction of the labels",
)
ax.set_xticks(counts, map(str, counts))
ax.minorticks_off()
ax.legend(loc="upper left")
plt.show()
