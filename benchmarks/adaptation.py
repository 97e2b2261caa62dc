"""Compare ways of adapting to a target domain; run `python -m benchmarks.adaptation`.

Each candidate is fitted to labeled source features and unlabeled target features of the
directions of `benchmarks.shifts`, whose target labels only serve to print accuracies. With
--out, probabilities of the target rows and out-of-fold probabilities of the source rows are
stored, so that rules that choose a candidate can be compared without fitting anything again.
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.model_selection import StratifiedKFold

from benchmarks.shifts import CONFIRMATION, DEVELOPMENT, load_features, locate_default_folder
from sklearn_transfer import (
    CORAL,
    KMM,
    ULSIF,
    ImportanceWeighted,
    LabelShiftWeights,
    MeanAlignment,
    NearestNeighborWeights,
    OptimalTransport,
    SubspaceAlignment,
    TransferComponentAnalysis,
)
from sklearn_transfer.alignment._base import ComponentAligner
from sklearn_transfer.weighting._classifiers import build_default_classifier

SETS = {"development": DEVELOPMENT, "confirmation": CONFIRMATION}
N_FOLDS = 3
WORDS = ("mcc", "infomax", "bnm", "jdot", "coral", "mmd", "cdan", "dann")


class Unadapted:
    """The classifier that all candidates but networks share, fitted to the source alone."""

    def fit(self, X, y, X_target):
        self.classifier = build_default_classifier().fit(X, y)
        self.classes_ = self.classifier.classes_
        return self

    def predict_source(self, X):
        return self.classifier.predict_proba(X)

    predict_target = predict_source


@dataclass
class Weighted(Unadapted):
    weighter: object

    def fit(self, X, y, X_target):
        self.classifier = ImportanceWeighted(build_default_classifier(), self.weighter)
        self.classifier.fit(X, y, X_target=X_target)
        self.classes_ = self.classifier.estimator_.classes_
        return self


@dataclass
class Aligned(Unadapted):
    aligner: object

    def fit(self, X, y, X_target):
        mapped = self.aligner.fit_transform(X, y, X_target=X_target)
        of_components = isinstance(self.aligner, ComponentAligner)
        self.classifier = build_default_classifier(of_components=of_components)
        self.classes_ = self.classifier.fit(mapped, y).classes_
        return self

    def predict_source(self, X):
        mapped = self.aligner.transform(X, sample_domain=np.ones(len(X)))
        return self.classifier.predict_proba(mapped)

    def predict_target(self, X):
        return self.classifier.predict_proba(self.aligner.transform(X))


@dataclass
class Network(Unadapted):
    """Bottleneck and head on the features, trained with an objective; None trains a head."""

    adapt: str | None

    def fit(self, X, y, X_target):
        from torch import nn

        from sklearn_transfer import FineTunedClassifier

        options = {"freeze": "all", "preprocess": None, "cache": None}
        self.classifier = FineTunedClassifier(nn.Identity(), adapt=self.adapt, **options)
        self.classifier.fit(X, y, X_target=X_target)
        self.classes_ = self.classifier.classes_
        return self


CANDIDATES = {
    "none": Unadapted,
    "KMM": lambda: Weighted(KMM()),
    "ULSIF": lambda: Weighted(ULSIF(random_state=0)),
    "neighbors": lambda: Weighted(NearestNeighborWeights()),
    "label shift": lambda: Weighted(LabelShiftWeights(random_state=0)),
    "mean": lambda: Aligned(MeanAlignment()),
    "mean, scale": lambda: Aligned(MeanAlignment(match_scale=True)),
    "CORAL": lambda: Aligned(CORAL()),
    "subspace": lambda: Aligned(SubspaceAlignment()),
    "TCA": lambda: Aligned(TransferComponentAnalysis()),
    "transport": lambda: Aligned(OptimalTransport()),
}
NETWORKS = {
    "head": lambda: Network(None),
    **{f"adapt {word}": lambda word=word: Network(word) for word in WORDS},
}


def spread_probabilities(found, columns, n_classes):
    """Give probabilities a column for each class, also for those that a fold lacks."""
    spread = np.zeros((len(found), n_classes), np.float32)
    spread[:, columns] = found
    return spread


def measure_candidate(make, shift):
    """Return the arrays that are stored for one candidate in one direction."""
    classes = np.unique(shift.y)

    def fit_rows(rows):
        model = make().fit(shift.X[rows], shift.y[rows], shift.X_target)
        columns = np.searchsorted(classes, model.classes_)
        return model, lambda found: spread_probabilities(found, columns, len(classes))

    start = time.perf_counter()
    model, spread = fit_rows(np.arange(len(shift.X)))
    result = {
        "seconds": time.perf_counter() - start,
        "target": spread(model.predict_target(shift.X_target)),
        "source_seen": spread(model.predict_source(shift.X)),
        "source": np.zeros((len(shift.X), len(classes)), np.float32),
        "target_folds": np.zeros((N_FOLDS, len(shift.X_target), len(classes)), np.float32),
    }
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    for number, (train, test) in enumerate(folds.split(shift.X, shift.y)):
        model, spread = fit_rows(train)
        result["source"][test] = spread(model.predict_source(shift.X[test]))
        result["target_folds"][number] = spread(model.predict_target(shift.X_target))
    return result


def measure_direction(name, candidates, features):
    """Return {key: array} of one direction, with keys as in the file."""
    warnings.simplefilter("ignore")  # warnings of collapse and convergence are of no use here
    shift = load_features(name, features)
    arrays = {"y": shift.y, "y_target": shift.y_target, "classes": np.unique(shift.y)}
    for candidate in candidates:
        found = measure_candidate((CANDIDATES | NETWORKS)[candidate], shift)
        arrays |= {f"{candidate}/{key}": value for key, value in found.items()}
    return {f"{name}/{key}": value for key, value in arrays.items()}


def find_missing(arrays, name, candidates):
    return [c for c in candidates if f"{name}/{c}/target" not in arrays]


def compute_accuracies(arrays, name, candidates):
    """Return the target accuracy of each candidate, and which rows it predicts correctly."""
    y, classes = arrays[f"{name}/y_target"], arrays[f"{name}/classes"]
    hits = [
        classes[arrays[f"{name}/{candidate}/target"].argmax(axis=1)] == y
        for candidate in candidates
    ]
    return np.mean(hits, axis=1), np.array(hits)


def estimate_oracle(hits, n_splits=100):
    """Return the accuracy on half of the target of the best candidate on the other half.

    The best on the same rows would seem to gain even where no candidate differs from another.
    """
    rng = np.random.default_rng(0)
    n, found = hits.shape[1], []
    for _ in range(n_splits):
        order = rng.permutation(n)
        chosen, scored = hits[:, order[: n // 2]], hits[:, order[n // 2 :]]
        found.append(scored[chosen.mean(axis=1).argmax()].mean())
    return float(np.mean(found))


def format_accuracies(arrays, names, candidates):
    lines = [f"| direction | {' | '.join(candidates)} | oracle |"]
    lines.append("| --- " * (len(candidates) + 2) + "|")
    table = []
    for name in names:
        accuracies, hits = compute_accuracies(arrays, name, candidates)
        table.append([*accuracies, estimate_oracle(hits)])
        lines.append(format_line(name, table[-1]))
    lines.append(format_line("mean", np.mean(table, axis=0)))
    seconds = [
        np.median([arrays[f"{name}/{candidate}/seconds"] for name in names])
        for candidate in candidates
    ]
    cells = " | ".join(f"{value:.1f}" for value in seconds)
    lines.append(f"| seconds, median | {cells} | |")
    return "\n".join(lines)


def format_line(name, accuracies):
    return f"| {name} | {' | '.join(f'{100 * value:.1f}' for value in accuracies)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", choices=SETS, default="development")
    parser.add_argument("--directions", nargs="+", metavar="NAME", help="some of the set")
    choices = list(CANDIDATES | NETWORKS)
    parser.add_argument("--candidates", nargs="+", choices=choices, default=choices)
    parser.add_argument(
        "--features-cache",
        type=Path,
        default=locate_default_folder() / "features",
        help="folder filled by python -m benchmarks.shifts",
        metavar="FOLDER",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.npz")
    parser.add_argument("--resume", action="store_true", help="keep what the file holds")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    names = [name for name in SETS[options.set] if name in (options.directions or [name])]
    arrays = {}
    if options.resume and options.out and options.out.exists():
        with np.load(options.out) as stored:
            arrays = dict(stored)
    jobs = Parallel(options.jobs, return_as="generator_unordered", verbose=1)
    for found in jobs(
        delayed(measure_direction)(name, missing, options.features_cache)
        for name in names
        if (missing := find_missing(arrays, name, options.candidates))
    ):
        arrays |= found
        if options.out:
            np.savez_compressed(options.out, **arrays)
    print(format_accuracies(arrays, names, options.candidates))


if __name__ == "__main__":
    main()
