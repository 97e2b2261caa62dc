"""Compare ways of adapting to a target domain; run `python -m benchmarks.adaptation`.

`rank_adaptations` fits and scores its candidates on labeled source features and unlabeled
target features of the directions of `benchmarks.shifts`. Labels of the target only serve to
print accuracies: of every candidate, of what each score chooses, of what the package chooses,
and of an oracle, which chooses on half of the labels and is scored on the others.
"""

import argparse
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from benchmarks.shifts import (
    CONFIRMATION,
    DEVELOPMENT,
    SECOND_CONFIRMATION,
    load_features,
    locate_default_folder,
)
from sklearn_transfer import rank_adaptations
from sklearn_transfer.selection._adaptation_candidates import AUTO

SETS = {
    "development": DEVELOPMENT,
    "confirmation": CONFIRMATION,
    "second-confirmation": SECOND_CONFIRMATION,
}
NETWORKS = ("mcc", "infomax", "bnm", "jdot", "deep-coral", "mmd")
LIGHT = tuple(word for word in AUTO if word not in NETWORKS)
ADVERSARIAL = ("cdan", "dann")  # not in "auto"
HEAD = "head"  # of a network that is not adapted, for comparison only
SCORES = ("neighbors", "infomax", "bnm", "atc", "importance-weighted", "dev", "reverse")


@dataclass
class Result:
    """What was found of the candidates in one direction."""

    names: list
    rows: dict
    correct: np.ndarray  # bool, a row for each candidate and a column for each target sample

    def take(self, names):
        """The same with some of the candidates only."""
        places = [self.names.index(name) for name in names]
        return Result(list(names), self.rows, self.correct[places])

    @property
    def accuracies(self):
        return self.correct.mean(axis=1)

    def choose_by_rule(self):
        """Candidate that `rank_adaptations` chooses from these."""
        supported = [name for name in self.names if self.rows[name]["supported"]]
        return max(supported, key=lambda name: self.rows[name]["gain"], default="none")

    def choose_by_score(self, score):
        """Candidate with the best score; the first one, which does not adapt, wins ties."""
        sound = [name for name in self.names if not self.rows[name]["collapsed"]]
        return max(sound, key=lambda name: self.rows[name]["scores"][score], default="none")

    def compare(self, name):
        """Gain in accuracy over "none", and the half length of its paired 95 % interval."""
        one, none = (self.correct[self.names.index(each)] for each in (name, "none"))
        difference = one.astype(float) - none
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        return difference.mean(), 1.96 * error


def make_head():
    from torch import nn

    from sklearn_transfer import FineTunedClassifier

    return FineTunedClassifier(nn.Identity(), freeze="all", preprocess=None)


def measure_direction(name, candidates, features, cv=3):
    """Return the `Result` of one direction."""
    warnings.simplefilter("ignore")  # warnings of collapse and convergence are of no use here
    shift = load_features(name, features)
    given = {word: make_head() if word == HEAD else word for word in candidates}
    options = {"cv": cv, "task": "classification"}
    ranking = rank_adaptations(given, shift.X, shift.y, shift.X_target, **options)
    by_name = {row.name: row for row in ranking.candidates}
    names = [word for word in candidates if by_name[word].problem is None]
    correct = [
        by_name[word].estimator.predict(shift.X_target) == shift.y_target for word in names
    ]
    kept = ("scores", "gain", "gain_error", "collapsed", "supported", "seconds")
    rows = {word: {k: getattr(by_name[word], k) for k in kept} for word in names}
    for word in names if cv else ():
        rows[word]["scores"]["atc"] = by_name[word].accuracy
    return Result(names, rows, np.array(correct))


def estimate_oracle(correct, n_splits=100):
    """Return the accuracy on half of the target of the best candidate on the other half.

    The best on the same rows would seem to gain even where no candidate differs from another.
    """
    rng = np.random.default_rng(0)
    n, found = correct.shape[1], []
    for _ in range(n_splits):
        order = rng.permutation(n)
        chosen, scored = correct[:, order[: n // 2]], correct[:, order[n // 2 :]]
        found.append(scored[chosen.mean(axis=1).argmax()].mean())
    return float(np.mean(found))


def format_accuracies(results, candidates):
    lines = [f"| direction | {' | '.join(candidates)} | oracle |"]
    lines.append("| --- " * (len(candidates) + 2) + "|")
    table = []
    for name, result in results.items():
        found = result.take(candidates)
        table.append([*found.accuracies, estimate_oracle(found.correct)])
        lines.append(format_line(name, table[-1]))
    lines.append(format_line("mean", np.mean(table, axis=0)))
    seconds = [
        np.median([result.rows[candidate]["seconds"] for result in results.values()])
        for candidate in candidates
    ]
    lines.append(f"| seconds, median | {' | '.join(f'{s:.1f}' for s in seconds)} | |")
    return "\n".join(lines)


def format_line(name, accuracies):
    return f"| {name} | {' | '.join(f'{100 * value:.1f}' for value in accuracies)} |"


def format_choices(results, candidates):
    """Return a table of gains in points over source-only, by the way to choose."""
    ways = {"rank_adaptations": Result.choose_by_rule}
    ways |= {
        f"best {score}": lambda result, score=score: result.choose_by_score(score)
        for score in SCORES
        if all(score in result.rows["none"]["scores"] for result in results.values())
    }
    lines = ["| direction | oracle | " + " | ".join(ways) + " |"]
    lines.append("| --- " * (len(ways) + 2) + "|")
    table = []
    for name, result in results.items():
        found = result.take(candidates)
        none = found.accuracies[found.names.index("none")]
        gains, cells = [estimate_oracle(found.correct) - none], []
        for choose in ways.values():
            chosen = choose(found)
            gain, half = found.compare(chosen)
            gains.append(gain)
            low, high = 100 * (gain - half), 100 * (gain + half)
            cells.append(f"{chosen} {100 * gain:+.1f} ({low:.1f} to {high:.1f})")
        table.append(gains)
        lines.append(f"| {name} | {100 * gains[0]:+.1f} | {' | '.join(cells)} |")
    means, least = np.mean(table, axis=0), np.min(table, axis=0)
    lines.append(format_gains("mean", means))
    lines.append(format_gains("least", least))
    shares = " | ".join(f"{mean / means[0]:.0%}" for mean in means)
    lines.append(f"| share of the oracle's gain | {shares} |")
    return "\n".join(lines)


def format_gains(name, gains):
    return f"| {name} | {' | '.join(f'{100 * gain:+.1f}' for gain in gains)} |"


def save(results, path):
    arrays = {f"{name}/correct": result.correct for name, result in results.items()}
    rows = {name: result.rows for name, result in results.items()}
    np.savez_compressed(path, rows=json.dumps(rows), **arrays)


def load(path):
    with np.load(path) as stored:
        rows = json.loads(str(stored["rows"]))
        return {n: Result(list(r), r, stored[f"{n}/correct"]) for n, r in rows.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", choices=SETS, default="development")
    parser.add_argument("--directions", nargs="+", metavar="NAME", help="some of the set")
    parser.add_argument("--light", action="store_true", help="leave networks out")
    parser.add_argument(
        "--no-folds",
        action="store_true",
        help="leave out scores that need folds of the source",
    )
    parser.add_argument(
        "--features-cache",
        type=Path,
        default=locate_default_folder() / "features",
        help="folder filled by python -m benchmarks.shifts",
        metavar="FOLDER",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.npz", help="written, or read again")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    candidates = LIGHT if options.light else (*AUTO, HEAD, *ADVERSARIAL)
    known = load(options.out) if options.out and options.out.exists() else {}
    names = [name for name in SETS[options.set] if name in (options.directions or [name])]
    missing = [name for name in names if name not in known]
    jobs = Parallel(options.jobs, return_as="generator", verbose=1)
    cv = None if options.no_folds else 3
    measure = delayed(measure_direction)
    tasks = (measure(name, candidates, options.features_cache, cv) for name in missing)
    for name, result in zip(missing, jobs(tasks), strict=True):
        known[name] = result
        if options.out:
            save(known, options.out)
    results = {name: known[name] for name in names}
    print(format_accuracies(results, candidates))
    print("\nReweighted and aligned:\n")
    print(format_choices(results, LIGHT))
    if not options.light:
        print('\nNetworks as well, which is "auto":\n')
        print(format_choices(results, AUTO))


if __name__ == "__main__":
    main()
