"""A table of photos, captions and numbers: training in one line, and skrub without them.

`python -m benchmarks.columns --rows 5000` writes crops of photos, makes a table like that of
`examples/columns/plot_table_with_photos.py`, and prints how long a fit takes and how accurate
it is on held rows, beside skrub's TableVectorizer without photos and captions, and with them
as strings.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import MultimodalVectorizer, make_multimodal_pipeline
from sklearn_transfer.datasets import load_photo_crops

MOTIFS = ["cat", "coffee", "flower", "brick", "gravel", "moon"]
CLEAR = ["every detail is crisp", "beautiful light and focus", "sharp from corner to corner"]
POOR = ["the picture came out blurry", "too dark for my lens", "I moved, nothing is sharp"]
PLACES = ["at my aunt's", "on the way home", "in the afternoon", "before the rain", "again"]


def make_table(n_rows, folder, seed=0):
    """Return a table and its labels, which depend on photo, caption and numbers alike."""
    n_per_class = -(-n_rows // len(MOTIFS))
    paths, motifs = load_photo_crops(
        n_per_class, size=128, classes=MOTIFS, folder=folder, return_X_y=True
    )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(paths))[:n_rows]
    names = [Path(folder) / f"IMG_{k:05d}.jpg" for k in range(n_rows)]
    for row, name in zip(order, names, strict=True):
        Path(paths[row]).rename(name)
    is_clear = rng.random(n_rows) < 0.5
    said = [f"{rng.choice(CLEAR if c else POOR)}, {rng.choice(PLACES)}" for c in is_clear]
    table = pd.DataFrame(
        {
            "photo": [str(name) for name in names],
            "caption": [f"{text}, take {k}" for k, text in enumerate(said)],
            "iso": rng.choice([100, 200, 400, 800, 1600, 3200], n_rows),
            "f_number": rng.uniform(1.8, 11, n_rows).round(1),
            "camera": rng.choice(["compact", "phone", "reflex"], n_rows),
            "taken": pd.date_range("2023-05-01", periods=n_rows, freq="31min"),
        }
    )
    liked = np.isin(motifs[order], MOTIFS[:3])
    wish = np.where(liked, 1.5, -1.5) + np.where(is_clear, 1.5, -1.5)
    wish = wish - 0.5 * np.log2(table["iso"] / 600)
    return table, np.asarray(wish + rng.logistic(0, 0.3, n_rows) > 0)


def list_models():
    """Return the models by name, those with skrub where it is installed."""
    classifier = LogisticRegression(max_iter=1000)
    columns_alone = MultimodalVectorizer(image="drop", text="drop")
    models = {
        "the whole table": make_multimodal_pipeline(classifier),
        "without photos and captions": make_multimodal_pipeline(
            classifier, vectorizer=columns_alone
        ),
    }
    try:
        from skrub import TableVectorizer
    except ImportError:
        return models
    ignored = TableVectorizer(specific_transformers=[("drop", ["photo", "caption"])])
    for name, vectorizer in {
        "skrub without photos and captions": ignored,
        "skrub with them as strings": TableVectorizer(),
    }.items():
        models[name] = make_pipeline(vectorizer, StandardScaler(), classifier)
    return models


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        table, y = make_table(options.rows, folder)
        train, held, y_train, y_held = train_test_split(
            table, y, test_size=0.2, random_state=0
        )
        for name, model in list_models().items():
            start = time.perf_counter()
            model.fit(train, y_train)
            seconds = time.perf_counter() - start
            accuracy = model.score(held, y_held)
            print(f"{name:<34} fit {seconds:7.1f} s, accuracy {accuracy:.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
