"""Batches in the workers of Spark, which needs Java. It is no part of the extra `test`."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_transfer import batch_predictor

sql = pytest.importorskip("pyspark.sql", reason="PySpark, 490 MB on disk, is not installed")
types = pytest.importorskip("pyspark.sql.types", reason="PySpark is not installed")
pd = pytest.importorskip("pandas", reason="pandas is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def spark(log):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        builder = sql.SparkSession.builder.master("local[2]").config(
            "spark.ui.enabled", "false"
        )
        session = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
        yield session
        session.stop()


@pytest.fixture(scope="module")
def paths(write_images):
    return write_images(200, 150)


@pytest.fixture(scope="module")
def pipe(paths, fit_logged):
    return fit_logged(paths)


def add_fields(table, predict, kind):
    added = [types.StructField(name, kind) for name in predict.get_feature_names_out()]
    return types.StructType([*table.schema.fields, *added])


def test_each_image_passes_once(spark, paths, pipe, log):
    predict = batch_predictor(pipe, column="path")
    frame = pd.DataFrame({"path": paths, "row": np.arange(len(paths))})
    table = spark.createDataFrame(frame).repartition(8)
    schema = add_fields(table, predict, types.DoubleType())
    for map_in in (table.mapInPandas, table.mapInArrow):
        found = map_in(predict, schema).toPandas().sort_values("row")
        assert found["path"].tolist() == paths
        values = found.filter(like="predict_proba").to_numpy(float)
        np.testing.assert_allclose(values, pipe.predict_proba(paths), rtol=1e-5)
    passes, built = log.read()
    assert set(passes.values()) == {1}
    assert len(passes) == 150
    assert set(built.values()) == {1}


def test_files_are_taken_as_bytes(spark, paths, pipe):
    predict = batch_predictor(pipe, "predict", column="content")
    table = spark.read.format("binaryFile").load(os.path.dirname(paths[0]))
    schema = add_fields(table, predict, types.StringType())
    found = table.mapInPandas(predict, schema).select("path", "predict").toPandas()
    expected = dict(zip(map(os.path.basename, paths), pipe.predict(paths), strict=True))
    assert {os.path.basename(p): v for p, v in found.to_numpy()} == expected


def test_a_task_takes_the_cores_that_spark_gives_it(spark):
    def count(batches):
        for batch in batches:
            yield batch.assign(cores=os.environ.get("OMP_NUM_THREADS", "none"))

    found = spark.range(4).mapInPandas(count, "id long, cores string").toPandas()
    assert set(found["cores"]) == {"1"}
