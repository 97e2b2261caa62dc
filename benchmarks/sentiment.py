"""Compare accuracies on sentiment within and across domains; `python -m benchmarks.sentiment`.

The texts are those of `benchmarks.texts`: 350 labeled ones of each domain, half of them
positive. Ratings within 1 of 0 are left out, as people disagree about the sign of many of
these; `--least 0.01` keeps all but 0. The tables show accuracies within a domain, on the three
others, and of a model of three domains on the fourth, means over domains and draws of the
texts; accuracies for growing numbers of labels; and for the 12 pairs of domains what each word
of `rank_adaptations` does, and which one it chooses without labels of the target.
`--fine-tune` shows instead, for each domain, what training the network on its labels brings
over features of the frozen one; it takes up to an hour on one core.
"""

import argparse
import warnings
from itertools import permutations
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.texts import DOMAINS, fetch_archive, load_sentiment
from sklearn_transfer import FineTunedClassifier, PretrainedTextFeatures, rank_adaptations

NUMBERS = (10, 20, 50, 100, 200, 350)
WORDS = [
    *("kmm", "ulsif", "neighbors", "label-shift", "mean", "mean-scale", "coral", "subspace"),
    *(
        "tca",
        "transport",
        "mcc",
        "infomax",
        "bnm",
        "jdot",
        "deep-coral",
        "mmd",
        "cdan",
        "dann",
    ),
]


def make_models(cache):
    """Return models of texts by name; each chooses its penalty on its training texts."""
    clf = LogisticRegressionCV(Cs=np.logspace(-3, 2, 6), cv=5, max_iter=3000)
    two = PretrainedTextFeatures(layers=["middle", None], cache=cache)
    pairs = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return {
        "frozen": make_pipeline(PretrainedTextFeatures(cache=cache), clf),
        "frozen, two layers": make_pipeline(two, StandardScaler(), clf),
        "TF-IDF": make_pipeline(TfidfVectorizer(), clf),
        "TF-IDF of words and pairs": make_pipeline(pairs, clf),
    }


def measure(model, domains, n=350):
    """Return a matrix of accuracies: fitted on the row's domain, scored on the column's."""
    found = np.empty((len(DOMAINS), len(DOMAINS)))
    for i, source in enumerate(DOMAINS):
        X, y = domains[source][:2]
        model.fit(X[:n], y[:n])
        for j, target in enumerate(DOMAINS):
            found[i, j] = model.score(*domains[target][2:])
    return found


def measure_joined(model, domains):
    """Return accuracies on each domain, fitted on the texts of the three others."""
    found = []
    for target in DOMAINS:
        others = [domains[domain][:2] for domain in DOMAINS if domain != target]
        X, y = (np.concatenate(parts) for parts in zip(*others, strict=True))
        found.append(model.fit(X.tolist(), y).score(*domains[target][2:]))
    return found


def split_means(accuracies):
    """Return means of the diagonal and of the rest."""
    same = np.eye(len(DOMAINS), dtype=bool)
    return accuracies[..., same].mean(), accuracies[..., ~same].mean()


def print_models(models, draws):
    n_labels = len(draws[0][DOMAINS[0]][0])
    print(f"\n| model, {n_labels} labels a domain | within | across | from three others |")
    print("| --- | --- | --- | --- |")
    for name, model in models.items():
        within, across = split_means(np.stack([measure(model, d) for d in draws]))
        joined = np.mean([measure_joined(model, d) for d in draws])
        print(f"| {name} | {within:.3f} | {across:.3f} | {joined:.3f} |", flush=True)


def print_pairs(model, draws):
    found = np.mean([measure(model, d) for d in draws], axis=0)
    print(f"\n| frozen, two layers, from | {' | '.join(DOMAINS)} |")
    print("| --- |" + " --- |" * len(DOMAINS))
    for domain, row in zip(DOMAINS, found, strict=True):
        print(f"| {domain} | {' | '.join(f'{value:.3f}' for value in row)} |", flush=True)


def print_fine_tuning(models, draws, epochs, cache):
    """Print accuracies within each domain, of frozen features and of a trained network."""
    fine_tuned = FineTunedClassifier("all-MiniLM-L6-v2", max_epochs=epochs, cache=cache)
    models = {**models, "fine-tuned": fine_tuned}
    print(f"\n| domain, {len(draws[0][DOMAINS[0]][0])} labels | {' | '.join(models)} |")
    print("| --- |" + " --- |" * len(models))
    found = {name: [] for name in models}
    for domain in DOMAINS:
        for name, model in models.items():
            scores = [model.fit(*d[domain][:2]).score(*d[domain][2:]) for d in draws]
            found[name].append(scores)
        cells = [_format_scores(scores[-1]) for scores in found.values()]
        print(f"| {domain} | {' | '.join(cells)} |", flush=True)
    means = [f"{np.mean(scores):.3f}" for scores in found.values()]
    print(f"| mean | {' | '.join(means)} |")


def _format_scores(scores):
    return f"{np.mean(scores):.3f} ({' '.join(f'{score:.3f}' for score in scores)})"


def print_curve(models, draws):
    print(f"\n| model, within / across | {' | '.join(map(str, NUMBERS))} |")
    print("| --- |" + " --- |" * len(NUMBERS))
    for name, model in models.items():
        cells = []
        for n in NUMBERS:
            within, across = split_means(np.stack([measure(model, d, n) for d in draws]))
            cells.append(f"{within:.3f} / {across:.3f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def print_adaptations(words, domains, cache):
    """Print what each way to adapt does on pairs of domains, and what is chosen."""
    features = PretrainedTextFeatures(cache=cache)
    tables = {d: (features.fit_transform(p[0]), p[1]) for d, p in domains.items()}
    tests = {d: (features.transform(p[2]), p[3]) for d, p in domains.items()}
    gains, chosen = {}, []
    print(f"\n| pair | without | {' | '.join(words)} | chosen |")
    print("| --- | --- |" + " --- |" * (len(words) + 1))
    for source, target in permutations(DOMAINS, 2):
        # The target's unlabeled texts are not those that accuracies are measured on.
        ranking = rank_adaptations(
            words, *tables[source], tables[target][0], cv=None, random_state=0
        )
        accuracy = {
            row.name: np.nan if row.problem else row.estimator.score(*tests[target])
            for row in ranking.candidates
        }
        for word in words:
            gains.setdefault(word, []).append(accuracy[word] - accuracy["none"])
        chosen.append(accuracy[ranking.chosen.name] - accuracy["none"])
        cells = " | ".join(f"{gains[word][-1]:+.3f}" for word in words)
        pair = f"{source} to {target}"
        print(
            f"| {pair} | {accuracy['none']:.3f} | {cells} | {ranking.chosen.name} |",
            flush=True,
        )
    means = " | ".join(f"{np.mean(gains[word]):+.3f}" for word in words)
    print(f"| mean | | {means} | {np.mean(chosen):+.3f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=None, metavar="FOLDER")
    parser.add_argument("--cache", default="memory", help="of features; a folder keeps them")
    parser.add_argument("--least", type=float, default=1.0, help="absolute rating of a text")
    parser.add_argument("--draws", type=int, default=3, help="of training and test texts")
    parser.add_argument("--words", nargs="*", default=WORDS)
    parser.add_argument("--fine-tune", action="store_true")
    parser.add_argument("--epochs", type=int, default=10, help="of fine-tuning")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    fetch_archive(options.data)
    draws = [
        {
            d: load_sentiment(d, least=options.least, seed=s, folder=options.data)
            for d in DOMAINS
        }
        for s in range(options.draws)
    ]
    models = make_models(options.cache)
    if options.fine_tune:
        print_fine_tuning(models, draws, options.epochs, options.cache)
        return
    print_models(models, draws)
    print_pairs(models["frozen, two layers"], draws)
    print_curve(models, draws)
    if options.words:
        print_adaptations(options.words, draws[0], options.cache)


if __name__ == "__main__":
    main()
