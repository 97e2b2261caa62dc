"""Speed of batches on two processes of Dask, against one process with both cores."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks.timing import Row, divide, time_interleaved
from sklearn_transfer import PretrainedFeatures, batch_predictor

N_WORKERS, N_PARTITIONS = 2, 10


def measure_dask(data):
    """Measure workers that have started and built their network, without a cache."""
    import dask.dataframe as dd
    import pandas as pd
    from distributed import Client, LocalCluster

    pipe = make_pipeline(PretrainedFeatures(cache=None), LogisticRegression())
    pipe.fit(data.paths[:20], np.arange(20) % 2)
    predict = batch_predictor(pipe, column="path")
    table = pd.DataFrame({"path": data.paths})
    parts = dd.from_pandas(table, npartitions=N_PARTITIONS).map_partitions(predict)
    cluster = LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster):
        functions = {"dask": parts.compute, "one": lambda: predict(table)}
        times = time_interleaved(functions, data.rounds)
    return [
        Row.from_ratios(
            "images/s from JPEG files, 500 x 375, two processes of Dask",
            "one process with the same two cores",
            divide(times["one"], times["dask"]),
        )
    ]
