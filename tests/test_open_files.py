"""The package leaves no file open."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = """
import gc, os, sys
import numpy as np
from PIL import Image
from sklearn_transfer import FineTunedClassifier, PretrainedFeatures
from sklearn_transfer.datasets import load_photo_crops
from tests import small_networks

folder = sys.argv[1]
rng = np.random.default_rng(0)
paths = []
for row, kind in enumerate(["png", "jpg", "tif", "bmp", "webp", "gif"]):
    image = Image.fromarray(rng.integers(0, 255, (24, 30, 3)).astype(np.uint8))
    paths.append(os.path.join(folder, f"{row}.{kind}"))
    image.save(paths[-1])
damaged = os.path.join(folder, "damaged.png")
with open(damaged, "wb") as file:
    file.write(b"no image")
net = small_networks.trained_net()
for cache in (None, os.path.join(folder, "cache"), os.path.join(folder, "cache")):
    features = PretrainedFeatures(net, cache=cache)
    features.fit(paths).transform(paths)
features.clear_cache().cache_info()
for kind in ("openvino", "onnxruntime"):
    PretrainedFeatures(net, cache=None, engine=kind).fit_transform(paths)
y = [0, 1] * 3
for options in ({}, {"augment": "flip"}, {"augment": "flip", "n_views": 2}):
    model = FineTunedClassifier(net, max_epochs=1, **options).fit(paths, y)
    model.save(os.path.join(folder, "model"))
for estimator in (PretrainedFeatures(net), FineTunedClassifier(net, augment="flip")):
    try:
        estimator.fit([*paths, damaged], [*y, 1]).transform([damaged])
    except ValueError:
        pass
    else:
        raise AssertionError("a damaged file was read")
load_photo_crops(1, size=32, classes=["cat", "rocket"])
gc.collect()
print("done")
"""


def test_no_file_is_left_open(tmp_path):
    """A bound of one byte forces training to use temporary files."""
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SKLEARN_TRANSFER_TRAINING_BYTES": "1",
        "SKLEARN_TRANSFER_ACTIVATION_BYTES": "1",
    }
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", SCRIPT, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT)
    assert run.stdout.endswith("done\n"), run.stderr
    assert "ResourceWarning" not in run.stderr
