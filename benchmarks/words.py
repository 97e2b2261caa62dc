"""Classify images by words alone; `python -m benchmarks.words --fashion-mnist FOLDER`.

`ConSE` is measured with several numbers of averaged classes and several texts for the classes
of ImageNet, and `ZeroShotClassifier` with and without a prompt. Its defaults were chosen on
Fashion-MNIST, whose pictures are printed dark on white as photos of a catalogue are; crops of
photos are for the measurement alone. FOLDER has the .gz files of the data set.
"""

import argparse

import numpy as np
import timm

from benchmarks.scores import load_garments
from sklearn_transfer import (
    ConSE,
    PretrainedFeatures,
    PretrainedTextFeatures,
    ZeroShotClassifier,
)
from sklearn_transfer.datasets import load_photo_crops

GARMENTS = ["T-shirt", "trouser", "pullover", "dress", "coat"]
GARMENTS += ["sandal", "shirt", "sneaker", "bag", "ankle boot"]
NUMBERS = (1, 2, 5, 10, 20, 50, None)
PROMPTS = ("{}", "a photo of a {}")


def list_class_names():
    """Return texts for the classes of ImageNet by what they consist of."""
    info = timm.data.ImageNetInfo("imagenet-1k")
    synonyms, detailed = info.label_descriptions(), info.label_descriptions(detailed=True)
    first = [text.split(", ")[0] for text in synonyms]
    return {
        "first synonym": first,
        "prompt and first synonym": [f"a photo of a {name}" for name in first],
        "all synonyms": synonyms,
        "definition": [text.partition(": ")[2] for text in detailed],
        "synonyms and definition": detailed,
    }


def load_sets(folder, n):
    """Return images and names of their classes, by the names of the sets."""
    sets = {}
    if folder is not None:
        images, codes = load_garments(folder, n)
        sets["Fashion-MNIST"] = list(255 - images), np.array(GARMENTS)[codes]
    X, y = load_photo_crops(20, size=224, random_state=3, return_X_y=True)
    sets["photo crops"] = X, np.asarray(y)
    return sets


def measure(X, y, class_names, prompt, network):
    """Return the accuracy for each number of averaged classes."""
    attributes = {name: prompt.format(name) for name in np.unique(y)}
    head = ZeroShotClassifier("cosine", describer=PretrainedTextFeatures())
    space = ConSE(PretrainedFeatures(network), class_names=class_names).fit(X)
    found = []
    for n_top in NUMBERS:
        rows = space.set_params(n_top=n_top).transform(X)
        found.append(head.fit(rows, attributes=attributes).score(rows, y))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fashion-mnist", help="folder with the .gz files")
    parser.add_argument("--images", type=int, default=2000, help="of Fashion-MNIST")
    parser.add_argument("--network", default="tf_efficientnet_lite0")
    arguments = parser.parse_args()
    if arguments.fashion_mnist is None:
        print("Fashion-MNIST is skipped: pass its folder as --fashion-mnist")
    for name, (X, y) in load_sets(arguments.fashion_mnist, arguments.images).items():
        print(f"\n{name}, {len(X)} images, chance {1 / len(np.unique(y)):.3f}\n")
        print(f"| texts of ImageNet's classes | prompt | {' | '.join(map(str, NUMBERS))} |")
        print(f"| --- | --- {'| --- ' * len(NUMBERS)}|")
        for kind, texts in list_class_names().items():
            for prompt in PROMPTS:
                accuracies = measure(X, y, texts, prompt, arguments.network)
                cells = " | ".join(f"{accuracy:.3f}" for accuracy in accuracies)
                print(f"| {kind} | {prompt} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
