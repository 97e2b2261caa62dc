"""Training in several processes by accelerate."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from sklearn_transfer import FineTunedClassifier
from tests.small_networks import perceptron

ROOT = Path(__file__).parents[3]
OPTIONS = {"preprocess": None, "freeze": None, "lr": 1e-2, "max_epochs": 6}

SCRIPT = """
import sys
import numpy as np
import torch
from sklearn_transfer import FineTunedClassifier
from tests.finetuning.loop.test_accelerator import OPTIONS, blobs, perceptron

torch.set_num_threads(1)
model = FineTunedClassifier(perceptron, batch_size=20, accelerator={"cpu": True}, **OPTIONS)
model.fit(*blobs())
accelerator = model.net_.accelerator
np.save(f"{sys.argv[1]}/{accelerator.process_index}.npy", model.predict_proba(blobs()[0]))
assert accelerator.num_processes == 2
"""

ADAPTING = """
import sys
import numpy as np
import torch
from sklearn_transfer import FineTunedClassifier
from sklearn_transfer.finetuning.loop.target import TargetBatches
from tests.finetuning.loop.test_accelerator import OPTIONS, blobs, perceptron

torch.set_num_threads(1)
drawn, take = [], TargetBatches.__next__

def draw(batches):
    drawn.append(take(batches)["input"].numpy())
    return {"input": torch.from_numpy(drawn[-1])}

TargetBatches.__next__ = draw
X, y = blobs()
model = FineTunedClassifier(
    perceptron, batch_size=20, accelerator={"cpu": True}, adapt="dann", **OPTIONS
)
model.fit(X, y, X_target=X[:50] + 1)
accelerator = model.net_.accelerator
assert accelerator.num_processes == 2
own = torch.cat([p.detach().ravel() for p in model.net_.own_parameters_]).numpy()
found = {"proba": model.predict_proba(X), "own": own, "drawn": np.concatenate(drawn)}
np.savez(f"{sys.argv[1]}/{accelerator.process_index}.npz", **found)
"""


def blobs():
    return make_blobs(80, n_features=4, centers=3, random_state=0)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_in_two_processes(program, folder):
    script = folder / "train.py"
    script.write_text(program)
    launch = ["-m", "torch.distributed.run", "--nproc_per_node=2"]
    launch += [f"--master_port={free_port()}", str(script), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *launch], check=True, env=environment, cwd=ROOT)


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path):
    run_in_two_processes(SCRIPT, tmp_path)
    found = [np.load(tmp_path / f"{i}.npy") for i in (0, 1)]
    X, y = blobs()
    alone = FineTunedClassifier(perceptron, batch_size=40, **OPTIONS).fit(X, y)
    assert np.array_equal(*found)
    np.testing.assert_allclose(found[0], alone.predict_proba(X), atol=1e-5)


def test_two_processes_adapt_one_network_on_target_batches_of_their_own(tmp_path):
    run_in_two_processes(ADAPTING, tmp_path)
    first, second = (np.load(tmp_path / f"{i}.npz") for i in (0, 1))
    np.testing.assert_array_equal(first["proba"], second["proba"])
    np.testing.assert_array_equal(first["own"], second["own"])
    assert first["drawn"].shape == second["drawn"].shape
    assert not np.array_equal(first["drawn"], second["drawn"])


def test_one_process_trains_as_without_accelerator():
    X, y = blobs()
    alone = FineTunedClassifier(perceptron, **OPTIONS).fit(X, y)
    model = FineTunedClassifier(perceptron, accelerator={"cpu": True}, **OPTIONS).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), alone.predict_proba(X), atol=1e-6)


def test_phases_move_on_under_an_accelerator():
    X, y = blobs()
    options = {**OPTIONS, "schedule": "gradual"}
    model = FineTunedClassifier(perceptron, accelerator={"cpu": True}, **options).fit(X, y)
    assert model.score(X, y) == 1
    assert model.history_[0]["phase"] == "probe"


def test_missing_accelerate_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    model = FineTunedClassifier(perceptron, accelerator={}, **OPTIONS)
    with pytest.raises(ImportError, match=r"sklearn-transfer\[distributed\]"):
        model.fit(*blobs())
