"""Compare trained networks with frozen features; run `python -m benchmarks.accuracy`.

The training set has a thousand of scikit-learn's digits and, if the folder with its files is
given, a thousand images of Fashion-MNIST. The test set has the remaining digits, or a thousand
other images of Fashion-MNIST. The linear model on frozen features uses the one of three values
of C that is best on the test images, which gives it an unfair advantage.
"""

import argparse
import statistics

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.scores import load_garments
from sklearn_transfer import FineTunedClassifier, PretrainedFeatures

SIZE, N_TRAIN, N_EPOCHS = 64, 1000, 8


def load_digit_images():
    X, y = load_digits(return_X_y=True)
    return (X / 16).reshape(-1, 8, 8).astype(np.float32), y


def measure_accuracies(X, y, seed):
    """Return the accuracies of a linear model on frozen features and of a trained network."""
    options = {"train_size": N_TRAIN, "stratify": y, "random_state": seed}
    X_train, X_test, y_train, y_test = train_test_split(X, y, **options)
    frozen = PretrainedFeatures(input_size=SIZE)
    probes = [
        make_pipeline(frozen, StandardScaler(), LogisticRegression(C=C, max_iter=1000))
        for C in (0.001, 0.01, 0.1)
    ]
    linear = max(probe.fit(X_train, y_train).score(X_test, y_test) for probe in probes)
    model = FineTunedClassifier(
        freeze=None, max_epochs=N_EPOCHS, input_size=SIZE, random_state=seed
    )
    return linear, model.fit(X_train, y_train).score(X_test, y_test)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fashion-mnist", help="folder with the .gz files")
    arguments = parser.parse_args()
    sets = {"digits": load_digit_images()}
    if arguments.fashion_mnist is None:
        print("Fashion-MNIST is skipped: pass its folder as --fashion-mnist")
    else:
        sets["Fashion-MNIST"] = load_garments(arguments.fashion_mnist, 2000)
    print("| data | frozen features | whole network | difference, smallest to largest |")
    print("| --- | --- | --- | --- |")
    for name, data in sets.items():
        pairs = [measure_accuracies(*data, seed) for seed in range(arguments.seeds)]
        linear, whole = (statistics.mean(column) for column in zip(*pairs, strict=True))
        gains = [b - a for a, b in pairs]
        spread = f"{whole - linear:.3f} ({min(gains):.3f} to {max(gains):.3f})"
        print(f"| {name} | {linear:.3f} | {whole:.3f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
