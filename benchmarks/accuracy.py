"""Whole networks trained against frozen features: `python -m benchmarks.accuracy`.

A thousand training images of scikit-learn's digits and, given the folder with its files, of
Fashion-MNIST; the rest of the digits, or a thousand other garments, to test. The linear model
on frozen features has the best of three C on the test images, which is more than it is due.
"""

import argparse
import statistics

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.scores import garments
from sklearn_transfer import FineTunedClassifier, PretrainedFeatures

SIZE, N_TRAIN, N_EPOCHS = 64, 1000, 8


def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).reshape(-1, 8, 8).astype(np.float32), y


def accuracies(X, y, seed):
    """Of a linear model on frozen features, and of the network trained as a whole."""
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
    sets = {"digits": digits()}
    if arguments.fashion_mnist is None:
        print("Fashion-MNIST is left out: name its folder by --fashion-mnist")
    else:
        sets["Fashion-MNIST"] = garments(arguments.fashion_mnist, 2000)
    print("| data | frozen features | whole network | difference, smallest to largest |")
    print("| --- | --- | --- | --- |")
    for name, data in sets.items():
        pairs = [accuracies(*data, seed) for seed in range(arguments.seeds)]
        linear, whole = (statistics.mean(column) for column in zip(*pairs, strict=True))
        gains = [b - a for a, b in pairs]
        spread = f"{whole - linear:.3f} ({min(gains):.3f} to {max(gains):.3f})"
        print(f"| {name} | {linear:.3f} | {whole:.3f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
