"""
Do weights help a model of film reviews on reviews of products?
===============================================================

Sentences of film reviews have labels, and sentences of product reviews have none. Both praise
and criticize, but about other things and in other words. This example asks
:func:`~sklearn_transfer.shift_report` how the two differ, weights the film sentences by
:class:`~sklearn_transfer.KMM` so that they resemble the others, and lets
:func:`~sklearn_transfer.rank_adaptations` choose among weights, alignment and adapted
networks, without a label of a product.
"""

# %%
# The sentences
# -------------
#
# The sentences and their ratings are those of Hutto and Gilbert (2014). They come in the
# source archive of the package `vaderSentiment`, which pip downloads in the first run (2 MB);
# nothing of it is installed. Sentences rated within 1 of 0 are left out.

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import (
    KMM,
    ImportanceWeighted,
    PretrainedTextFeatures,
    rank_adaptations,
    shift_report,
)

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


def draw_sentences(file, n, seed):
    """Return n sentences of each class, in random order, and their classes."""
    texts, is_positive = read_sentences(file)
    rng = np.random.default_rng(seed)
    rows = [rng.choice(np.flatnonzero(is_positive == k), n, replace=False) for k in (0, 1)]
    rows = rng.permutation(np.concatenate(rows))
    return texts[rows], np.where(is_positive[rows], "praise", "criticism")


films, y_films = draw_sentences("movieReviewSnippets_GroundTruth.txt", 175, seed=0)
products, y_products = draw_sentences("amazonReviewSnippets_GroundTruth.txt", 450, seed=1)
# Labels of products only serve to check accuracies, on sentences that nothing was fitted to.
X_target, X_test, y_test = products[:400], products[400:], y_products[400:]

# %%
# How the domains differ
# ----------------------
#
# The report compares features of the sentences.

features = PretrainedTextFeatures()
report = shift_report(films, X_target, y_films, representation=features, random_state=0)
print(report)

# %%
# Weights
# -------
#
# In 384 dimensions, few film sentences lie where sentences about products do. The weights of
# the others are small, which a warning says: the model learns from fewer sentences, and it
# loses more by this than it gains by their resemblance.

model = make_pipeline(features, LogisticRegression(C=3, max_iter=1000)).fit(films, y_films)
weighted = ImportanceWeighted(model, KMM(), representation=features)
weighted.fit(films, y_films, X_target=X_target)
effective = weighted.weighter_.ess_
print(f"KMM: weights worth {effective:.0f} of {len(films)} sentences")
for name, fitted in [("without weights", model), ("with weights", weighted)]:
    print(f"{name:15}: {fitted.score(X_test, y_test):.3f} on products")

# %%
# Other ways to adapt
# -------------------
#
# The ranking compares how consistent the predictions for the products are, without labels.

ways = ["kmm", "mean", "coral", "mcc", "infomax"]
ranking = rank_adaptations(ways, films, y_films, X_target, representation=features, cv=None)
print(ranking)
accuracies = {}
for row in ranking.candidates:
    accuracies[row.name] = row.estimator.score(X_test, y_test)
    mark = "  (chosen)" if row is ranking.chosen else ""
    print(f"{row.name:8} {accuracies[row.name]:.3f}{mark}")

figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
names = sorted(accuracies, key=accuracies.get)
colors = ["tab:blue" if name == ranking.chosen.name else "lightgray" for name in names]
ax.barh(names, [accuracies[name] for name in names], color=colors)
ax.axvline(accuracies["none"], color="black", linestyle="--", linewidth=1)
ax.set(
    xlim=(0.5, None),
    xlabel="accuracy on product reviews",
    title="From films to products: the chosen way is in blue",
)
plt.show()
