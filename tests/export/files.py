"""Pictures for tests of files, and a process that has ONNX Runtime alone."""

import numpy as np

# Hides all but NumPy and ONNX Runtime, as if they were not installed.
BARE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"{name} is hidden")

HIDDEN = {"sklearn_transfer", "sklearn", "torch", "timm", "scipy", "onnx", "skl2onnx", "PIL"}
sys.meta_path.insert(0, Hidden())

import numpy as np
import onnxruntime

for path in sys.argv[2:]:
    session = onnxruntime.InferenceSession(path)
    pixels = np.load(sys.argv[1])
    together = session.run(["probabilities"], {"pixels": pixels})[0]
    alone = [session.run(["probabilities"], {"pixels": p[None]})[0] for p in pixels]
    np.save(path + ".npy", np.stack([together, np.concatenate(alone)]))
assert not HIDDEN & {name.partition(".")[0] for name in sys.modules}
"""


def make_pictures(n, size=(40, 30)):
    """Return noisy pictures in four colors, and their names."""
    rng = np.random.default_rng(0)
    colors = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 200)}
    colors["gräu"] = (120, 120, 120)
    names = [list(colors)[i % 4] for i in range(n)]
    shape = (n, *size, 3)
    levels = np.array([colors[name] for name in names])[:, None, None] + rng.normal(
        scale=40, size=shape
    )
    return levels.clip(0, 255).astype(np.uint8), np.array(names)
