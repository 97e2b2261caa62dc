"""
How do several processes share a table of images?
=================================================

A fitted pipeline becomes a function of batches by
:func:`~sklearn_transfer.export.batch_predictor`, which Dask hands to its workers, here two
processes of this machine. Three hundred rows name files, of which some have the content of
others. How often does an image pass the network?
"""

# %%
# A pipeline with a folder as cache
# ---------------------------------
#
# Five crops of each of fifteen photos are labeled. The last sixty of the files are copies of
# the first. The folder lets all processes of a machine share what they compute.

import os
import pickle
import shutil
import tempfile

import dask.dataframe as dd
import matplotlib.pyplot as plt
import pandas as pd
from distributed import Client, LocalCluster
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedFeatures, batch_predictor
from sklearn_transfer.datasets import load_photo_crops


def copy_files(paths, folder):
    """Copies of files under other names."""
    names = [f"copy_{os.path.basename(path)}" for path in paths]
    return [shutil.copy(path, f"{folder}/{names[k]}") for k, path in enumerate(paths)]


def count_passes(folder):
    """Samples that went through a network in this process."""
    return PretrainedFeatures(cache=folder).cache_info().misses


# %%
# Two workers
# -----------
#
# Each worker process imports this file when it starts, so what starts them stands behind a
# guard. Twelve partitions are handed to the workers one after the other. A task brings a few
# kB, since the weights of the network are installed; each worker builds it once. Partitions
# with equal images wait for each other rather than compute them twice.

if __name__ == "__main__":
    folder = tempfile.mkdtemp()
    images, y = load_photo_crops(16, size=96, folder=folder + "/images", return_X_y=True)
    paths = [str(path) for path in images]
    paths += copy_files(paths[:60], folder)
    features = PretrainedFeatures(cache=folder + "/features")
    pipe = make_pipeline(features, StandardScaler(), LogisticRegression())
    pipe.fit(paths[:75], y[:75])
    n_here = features.cache_info().misses
    predict = batch_predictor(pipe, "predict", column="path")
    print(f"bytes that travel: {len(pickle.dumps(predict))}")

    table = dd.from_pandas(pd.DataFrame({"path": paths, "row": range(300)}), npartitions=12)
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster) as client:
        found = table.map_partitions(predict).compute()
        by_worker = list(client.run(count_passes, folder + "/features").values())
    print(found.tail(3)[["row", "predict"]])
    print(f"accuracy: {(found['predict'][75:240] == y[75:]).mean():.2f}")
    print(f"images that passed a network: {n_here} here, {by_worker} in the workers")

# %%
# What passed the network
# -----------------------
#
# Each of the 240 different images passed once: 75 of them when the pipeline was fitted, and
# the rest in either worker. The copies were found in the folder.

if __name__ == "__main__":
    parts = {"fit": n_here, "worker 1": by_worker[0], "worker 2": by_worker[1]}
    fig, ax = plt.subplots(figsize=(7, 2.4), layout="constrained")
    start = 0
    for name, n_passed in parts.items():
        ax.barh("passed the network", n_passed, left=start, label=name)
        start += n_passed
    ax.barh("different images", 240, color="lightgrey")
    ax.barh("rows", 300, color="grey")
    ax.set(xlabel="images", title=f"{start} passes for 300 rows")
    ax.legend(loc="lower right")
    plt.show()
