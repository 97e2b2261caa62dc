"""Batches in the workers of Ray Data. Ray is large, and is no part of the extra `test`."""

import os
from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer import batch_predictor
from sklearn_transfer._networks.machine import count_cores

ray = pytest.importorskip("ray", reason="Ray, 240 MB on disk, is not installed")
pytest.importorskip("ray.data", reason="Ray is installed without its data sets")
pd = pytest.importorskip("pandas", reason="pandas is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def paths(write_images):
    return write_images(200, 150)


@pytest.fixture(scope="module")
def pipe(paths, fit_logged):
    return fit_logged(paths)


@pytest.fixture(scope="module")
def _cluster(log):
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "LOGGED_NET": log.path}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.delenv("OMP_NUM_THREADS", raising=False)
        ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": environment})
        yield
        ray.shutdown()


@pytest.mark.usefixtures("_cluster")
def test_each_image_passes_once_in_any_format(paths, pipe, log):
    frame = pd.DataFrame({"path": paths, "row": np.arange(len(paths))})
    predict = batch_predictor(pipe, column="path")
    expected = {}
    for form in ("numpy", "pandas", "pyarrow"):
        data = ray.data.from_pandas(frame).repartition(8)
        found = data.map_batches(predict, batch_format=form).to_pandas().sort_values("row")
        assert found["path"].tolist() == paths
        expected[form] = found.filter(like="predict_proba").to_numpy(float)
    passes, built = log.read()
    assert set(passes.values()) == {1}
    assert len(passes) == 150
    assert set(built.values()) == {1}
    for values in expected.values():
        np.testing.assert_allclose(values, pipe.predict_proba(paths), rtol=1e-5)


@pytest.mark.usefixtures("_cluster")
def test_images_as_tensors_are_taken(paths, pipe):
    images = np.random.default_rng(1).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    items = [{"image": image, "row": row} for row, image in enumerate(images)]
    predict = batch_predictor(pipe, column="image")
    for form in ("numpy", "pandas", "pyarrow"):
        data = ray.data.from_items(items).map_batches(predict, batch_format=form)
        found = data.drop_columns(["image"]).to_pandas().sort_values("row")
        values = found.filter(like="predict_proba").to_numpy(float)
        np.testing.assert_allclose(values, pipe.predict_proba(images), rtol=1e-5)


@pytest.mark.usefixtures("_cluster")
def test_a_task_takes_the_cores_that_ray_gives_it():
    @ray.remote
    def count():
        return count_cores(), os.environ.get("OMP_NUM_THREADS")

    assert ray.get(count.remote()) == (1, "1")
