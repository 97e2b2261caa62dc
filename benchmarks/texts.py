"""Load texts with ratings of sentiment; `python -m benchmarks.texts` caches them.

The four domains are tweets, sentences of film reviews, sentences of product reviews, and
sentences of newspaper editorials, each rated from -4 to 4 by twenty people. They are those of
Hutto and Gilbert, "VADER: a parsimonious rule-based model for sentiment analysis of social
media text", ICWSM, 2014, and come in the source archive of PyPI's package `vaderSentiment`,
which `fetch_archive` gets by pip. Its content is checked against a known digest.
"""

import argparse
import functools
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np

from benchmarks.shifts import check_digest, locate_default_folder

ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
COMMAND = [
    *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
    *("--no-binary", ":all:", "vaderSentiment==3.3.2"),
]
FILES = {
    "tweets": "tweets_GroundTruth.txt",
    "films": "movieReviewSnippets_GroundTruth.txt",
    "products": "amazonReviewSnippets_GroundTruth.txt",
    "editorials": "nytEditorialSnippets_GroundTruth.txt",
}
DOMAINS = tuple(FILES)


def locate_archive(folder=None):
    return (locate_default_folder() / "data" if folder is None else Path(folder)) / ARCHIVE


def fetch_archive(folder=None):
    """Download the archive by pip if the folder lacks it."""
    path = locate_archive(folder)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(COMMAND, cwd=path.parent, check=True)
    return path


@functools.cache
def read_ratings(folder=None):
    """Return for each domain its distinct texts and the mean rating of each."""
    path = locate_archive(folder)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run python -m benchmarks.texts")
    content = check_digest(path, path.read_bytes(), SHA256)
    inner = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
    with tarfile.open(fileobj=io.BytesIO(content)) as outer:
        content = outer.extractfile(inner).read()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {
            domain: parse_ratings(archive.extractfile(f"hutto_ICWSM_2014/{name}").read())
            for domain, name in FILES.items()
        }


def parse_ratings(content):
    """Return texts and ratings of lines of number, rating and text, divided by tabs.

    The first of equal texts is kept.
    """
    found = {}
    for line in content.decode().splitlines():
        if line.strip():
            _, rating, text = line.split("\t")
            found.setdefault(text.strip(), float(rating))
    return list(found), np.array(list(found.values()))


def load_sentiment(domain, n_train=350, n_test=600, *, least=1.0, seed=0, folder=None):
    """Return training texts and classes, then test texts and classes, of one domain.

    Classes are the signs of the ratings, in equal numbers, of texts that are rated at least
    `least` above or below 0. Training texts of the same seed contain one another: those of a
    smaller number are the first ones of a larger one.
    """
    texts, ratings = read_ratings(folder)[domain]
    rng = np.random.default_rng([seed, DOMAINS.index(domain)])
    clear = np.abs(ratings) >= least
    signs = [clear & (ratings < 0), clear & (ratings > 0)]
    orders = [rng.permutation(np.flatnonzero(rows)) for rows in signs]
    n_each = min(map(len, orders))
    # Alternating classes, so that each even number of first rows holds as many of both.
    rows = np.stack([order[:n_each] for order in orders], axis=1).ravel()
    parts = rows[:n_train], rows[-min(n_test, len(rows) - n_train) :]
    classes = np.where(ratings > 0, "positive", "negative")
    train, test = (([texts[i] for i in part], classes[part]) for part in parts)
    return *train, *test


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=None, metavar="FOLDER")
    options = parser.parse_args()
    fetch_archive(options.data)
    print("| domain | texts | positive | negative | words in the mean |")
    print("| --- | --- | --- | --- | --- |")
    for domain, (texts, ratings) in read_ratings(options.data).items():
        words = np.mean([len(text.split()) for text in texts])
        counts = len(texts), (ratings > 0).sum(), (ratings < 0).sum()
        print(f"| {domain} | {' | '.join(map(str, counts))} | {words:.1f} |")


if __name__ == "__main__":
    main()
