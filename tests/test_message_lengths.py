"""Messages stay short with many classes, long lists, long names and modules."""

import numpy as np
import pandas as pd
import pytest
from torch import nn

from sklearn_transfer import (
    KLIEP,
    KMM,
    AutoencoderFeatures,
    DEVScorer,
    FineTunedClassifier,
    PretrainedFeatures,
    PrototypeClassifier,
    ZeroShotClassifier,
    negative_transfer_test,
    rank_backbones,
)
from sklearn_transfer.datasets import load_photo_crops
from sklearn_transfer.heads import episodes
from sklearn_transfer.plotting import TrainingDisplay
from sklearn_transfer.selection import mmd
from tests import small_networks

N = 10_000
MANY = [f"class {row}" for row in range(N)]
LONG = "x" * N
NUMBERS = list(range(N))
TABLE = np.random.default_rng(0).normal(size=(20, 3))
Y = [row % 2 for row in range(20)]
IMAGES = np.zeros((2, 16, 16, 3), dtype=np.uint8)


def tuner(**options):
    options = {"preprocess": None, "freeze": None, "max_epochs": 1, **options}
    return FineTunedClassifier(small_networks.perceptron, **options)


def of_many_classes():
    return tuner(max_epochs=1).partial_fit(np.zeros((2, 3)), MANY[:2], classes=MANY)


def features(**options):
    return PretrainedFeatures(small_networks.trained_net(), **options)


def wide(prefix, n=N):
    return pd.DataFrame([[0.0] * n, [1.0] * n], columns=[f"{prefix}{j}" for j in range(n)])


def module():
    return nn.Sequential(*(nn.Linear(3, 3) for _ in range(300)))


def of_other_columns():
    X = np.zeros((2, 3))
    return tuner().fit(X, wide("a", 300)).score(X, wide("b", 300))


CALLS = {
    "unknown label": lambda: of_many_classes().partial_fit(np.zeros((1, 3)), ["none"]),
    "long label": lambda: of_many_classes().partial_fit(np.zeros((1, 3)), [LONG]),
    "other classes": lambda: of_many_classes().partial_fit(
        np.zeros((2, 3)), MANY[:2], classes=NUMBERS
    ),
    "class weights of others": lambda: tuner(class_weight=dict.fromkeys(NUMBERS, 1)).fit(
        TABLE, [f"{label}" for label in Y]
    ),
    "class weights below 0": lambda: tuner(
        class_weight={0: -1, **dict.fromkeys(NUMBERS[1:], 1)}
    ).fit(TABLE, Y),
    "list of class weights": lambda: tuner(class_weight=[NUMBERS]).fit(TABLE, Y),
    "one class": lambda: tuner().fit(TABLE, [LONG] * 20),
    "columns of y": of_other_columns,
    "task": lambda: tuner(tasks=[NUMBERS]).fit(TABLE, Y),
    "key of a task": lambda: tuner(tasks=[{LONG: 1}]).fit(TABLE, Y),
    "kind of a task": lambda: tuner(tasks=[{"kind": LONG}]).fit(TABLE, Y),
    "weight of a task": lambda: tuner(tasks=[{"weight": NUMBERS}]).fit(TABLE, Y),
    "callback": lambda: tuner(callbacks=[module()]).fit(TABLE, Y),
    "preprocess": lambda: FineTunedClassifier(
        small_networks.trained_net(), augment="flip", preprocess=module()
    ).fit(IMAGES, [0, 1]),
    "net_params": lambda: tuner(net_params={"optimizer__lr" + LONG: 1, "lr": 1}).fit(TABLE, Y),
    "frozen": lambda: tuner(freeze=[LONG]).fit(TABLE, Y),
    "frozen place": lambda: tuner(freeze=LONG).fit(TABLE, Y),
    "layer": lambda: features(layers=LONG).fit(IMAGES),
    "layers twice": lambda: features(layers=[-1] * N).fit(IMAGES),
    "pooling": lambda: features(pooling=LONG).fit(IMAGES),
    "layer of another kind": lambda: features(layers=[NUMBERS]).fit(IMAGES),
    "model": lambda: PretrainedFeatures(LONG).fit(IMAGES),
    "model of torchvision": lambda: PretrainedFeatures(f"torchvision/{LONG}").fit(IMAGES),
    "weights": lambda: features(weights=LONG).fit(IMAGES),
    "state dict of others": lambda: features(
        weights={f"{name}": np.zeros(1) for name in MANY}
    ).fit(IMAGES),
    "no tensors": lambda: features(weights=dict.fromkeys([LONG, *MANY], "no")).fit(IMAGES),
    "input_size": lambda: features(input_size=NUMBERS).fit(IMAGES),
    "background": lambda: features(background=NUMBERS).fit(IMAGES).transform(IMAGES),
    "background by name": lambda: features(background=LONG).fit(IMAGES).transform(IMAGES),
    "value_range": lambda: features(value_range=tuple(NUMBERS)).fit(IMAGES),
    "device": lambda: features(device=LONG).fit(IMAGES),
    "augment": lambda: FineTunedClassifier(small_networks.trained_net(), augment=LONG).fit(
        IMAGES, [0, 1]
    ),
    "columns of X": lambda: features().fit(wide("a")),
    "path": lambda: features().fit([LONG]).transform([LONG]),
    "hidden": lambda: AutoencoderFeatures(hidden=[0] * N).fit(TABLE),
    "no vector": lambda: ZeroShotClassifier().fit(
        np.zeros((N, 2)), MANY, attributes={"class 0": [0.0], LONG: [1.0]}
    ),
    "class of no vector": lambda: ZeroShotClassifier().fit(
        TABLE, [LONG] * 20, attributes={"a": [0.0]}
    ),
    "twice described": lambda: ZeroShotClassifier().fit(
        TABLE, Y, attributes=(np.zeros((2, 1)), [LONG] * 2)
    ),
    "few samples": lambda: episodes(np.zeros((N, 1)), MANY),
    "width": lambda: KLIEP(gamma=[-1.0] * N).fit(TABLE, X_target=TABLE),
    "columns of domains": lambda: mmd(wide("a"), wide("b")),
    "columns of the target": lambda: KMM().fit(wide("a"), X_target=wide("b")),
    "columns of prototypes": lambda: (
        PrototypeClassifier().fit(wide("a"), [0, 1]).predict(wide("b"))
    ),
    "baseline": lambda: negative_transfer_test(PrototypeClassifier(), LONG, TABLE, Y),
    "scoring": lambda: DEVScorer(LONG, X_target=TABLE)(PrototypeClassifier(), TABLE, Y),
    "candidates": lambda: rank_backbones([f"no {row}" for row in range(99)], IMAGES, Y[:2]),
    "parameters of features": lambda: rank_backbones(
        ["a"], IMAGES, Y[:2], features_params={LONG: 1}
    ),
    "classes of photos": lambda: load_photo_crops(1, classes=["cat"] * N),
    "photo": lambda: load_photo_crops(1, classes=[LONG]),
    "shift": lambda: load_photo_crops(1, shift=LONG),
    "history": lambda: TrainingDisplay.from_history([dict.fromkeys(MANY, 1)]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_message_is_short(call):
    with pytest.raises((ValueError, TypeError, OSError)) as caught:
        call()
    assert 20 < len(str(caught.value)) < 1000
