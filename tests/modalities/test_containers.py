"""Containers beyond NumPy's and pandas' own, alone and in searches."""

import base64
import io
import pathlib
import urllib.parse

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from skorch.helper import SliceDataset

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._modalities.image.samples import as_images

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
xr = pytest.importorskip("xarray", reason="xarray is not installed")
da = pytest.importorskip("dask.array", reason="dask is not installed")
datasets = pytest.importorskip("datasets", reason="datasets is not installed")

NOISE = np.random.default_rng(0).integers(0, 256, (12, 24, 30, 3), dtype=np.uint8)
Y = np.arange(12) % 2


def extractor(**options):
    options = {"weights": None, "input_size": 32, **options}
    return PretrainedFeatures("test_resnet.r160_in1k", **options)


@pytest.fixture(scope="module")
def expected():
    return extractor(cache=None).transform(NOISE)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    names = [str(folder / f"{i:02}.png") for i in range(len(NOISE))]
    for name, image in zip(names, NOISE, strict=True):
        Image.fromarray(image).save(name)
    return names


def contents(paths):
    return [pathlib.Path(path).read_bytes() for path in paths]


def rows_of_bytes(paths):
    return [{"bytes": content, "path": None} for content in contents(paths)]


def uris(paths):
    return [f"data:image/png;base64,{base64.b64encode(c).decode()}" for c in contents(paths)]


class Images(torch.utils.data.Dataset):
    """A dataset of torch, which has a length and takes a number."""

    def __len__(self):
        return len(NOISE)

    def __getitem__(self, row):
        return Image.fromarray(NOISE[row])


class Pairs(Images):
    """The same with labels, as SliceDataset wants it."""

    def __getitem__(self, row):
        return NOISE[row], Y[row]


def hub_column(paths, decode):
    data = datasets.Dataset.from_dict({"image": contents(paths), "label": list(Y)})
    return data.cast_column("image", datasets.Image(decode=decode))["image"]


# Of these scikit-learn 1.9 itself cannot take rows; the column that they are from works.
WITHOUT_ROWS = {
    "pandas strings": lambda paths: pd.DataFrame({"path": paths})["path"].values,
    "pandas strings of arrow": lambda paths: pd.array(paths, dtype="string[pyarrow]"),
    "pandas index": pd.Index,
}
CONTAINERS = {
    "pandas categories": lambda paths: pd.Categorical(paths),
    "tensor": lambda paths: torch.from_numpy(NOISE),
    "tensor of floats": lambda paths: torch.from_numpy(NOISE) / 255,
    "tensor that wants a gradient": lambda paths: (
        torch.from_numpy(NOISE) / 255
    ).requires_grad_(),
    "list of tensors": lambda paths: list(torch.from_numpy(NOISE)),
    "dataset of torch": lambda paths: Images(),
    "SliceDataset": lambda paths: SliceDataset(Pairs(), 0),
    "column of a hub's dataset": lambda paths: hub_column(paths, decode=True),
    "column of a hub's dataset, undecoded": lambda paths: hub_column(paths, decode=False),
    "rows of bytes": rows_of_bytes,
    "rows of paths": lambda paths: [{"bytes": None, "path": path} for path in paths],
    "Series of rows": lambda paths: pd.Series(rows_of_bytes(paths)),
    "arrow strings": pa.array,
    "arrow binaries": lambda paths: pa.array(contents(paths)),
    "arrow chunks": lambda paths: pa.chunked_array([paths[:5], paths[5:]]),
    "arrow rows": lambda paths: pa.array(rows_of_bytes(paths)),
    "arrow table": lambda paths: pa.table({"path": paths}),
    "xarray": lambda paths: xr.DataArray(NOISE, dims=["n", "y", "x", "band"]),
    "dask": lambda paths: da.from_array(NOISE, chunks=(5, 24, 30, 3)),
    "data: URIs": uris,
    "data: URIs, quoted": lambda paths: [
        "DATA:image/png," + urllib.parse.quote(c) for c in contents(paths)
    ],
    "polars strings": lambda paths: pl.Series(paths),
    "range of Sequence": lambda paths: Reversed(paths[::-1]),
}


class Reversed(torch.utils.data.Dataset):
    """Something of a project's own with a length and rows."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.rows[-1 - row]


@pytest.mark.parametrize(
    "container",
    [*CONTAINERS.values(), *WITHOUT_ROWS.values()],
    ids=[*CONTAINERS, *WITHOUT_ROWS],
)
def test_features_are_the_same_from(container, paths, expected):
    found = extractor(cache=None).fit(container(paths)).transform(container(paths))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_search_with_refit_takes(container, paths, expected):
    pipe = Pipeline([("features", extractor()), ("clf", LogisticRegression(max_iter=2000))])
    search = GridSearchCV(pipe, {"clf__C": [0.1, 1]}, cv=2).fit(container(paths), Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    np.testing.assert_array_equal(
        search.predict(container(paths)), search.best_estimator_[-1].predict(expected)
    )


REFUSED = {
    "generator": (lambda: (path for path in ["a.png"]), r"got generator.*pass list\(X\)"),
    "set": (lambda: {"a.png"}, r"got set.*pass list\(X\)"),
    "mapping of columns": (lambda: {"path": ["a.png"]}, r"got dict.*one of \['path'\]"),
    "dataset of pairs": (Pairs, r"tuple.*\[image for image, label in X\]"),
    "tensor, channels first": (
        lambda: torch.zeros(2, 3, 8, 8),
        r"channels last: X.transpose\(0, 2, 3, 1\)",
    ),
    "arrow table of two": (
        lambda: pa.table({"a": ["x"], "b": ["y"]}),
        r"2 columns \['a', 'b'\]",
    ),
    "whole dataset of a hub": (
        lambda: datasets.Dataset.from_dict({"image": ["a"], "label": [0]}),
        r"2 columns \['image', 'label'\]",
    ),
    "file object": (lambda: io.BytesIO(b"x"), "got BytesIO"),
    "number": (lambda: 3, "got int"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_rows_cannot_be_taken_of_is_refused_with_the_repair(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        extractor(cache=None).fit(make()).transform(make())


def test_lazy_frame_is_refused_with_the_repair():
    class Lazy:
        def compute(self):
            return ["a.png"]

    with pytest.raises(ValueError, match=r"lazy Lazy.*pass X.compute\(\)"):
        extractor().fit(Lazy())


@pytest.mark.parametrize("uri", ["data:image/png;base64", "data:image/png;base64,%%%"])
def test_damaged_uri_is_refused(uri):
    with pytest.raises(ValueError, match=r"row 1 .*data: URI that cannot be decoded"):
        extractor(cache=None).transform([NOISE[0], uri])


def test_uri_and_its_bytes_are_one_sample(paths):
    estimator = extractor()
    estimator.transform(contents(paths))
    misses = estimator.cache_info().misses
    estimator.transform(uris(paths))
    assert estimator.cache_info().misses == misses


def test_tensor_is_not_copied():
    tensor = torch.from_numpy(NOISE)
    assert np.shares_memory(as_images(tensor), NOISE)


def test_bfloat16_tensors_are_as_the_same_values_in_float32():
    tensor = (torch.from_numpy(NOISE) / 255).to(torch.bfloat16)
    expected = extractor(cache=None).transform(tensor.float().numpy())
    for container in (tensor, list(tensor)):
        found = extractor(cache=None).transform(container)
        np.testing.assert_array_equal(found, expected)


UNHELD = {
    "sparse": torch.zeros(8, 8, 3).to_sparse(),
    "without data": torch.zeros(8, 8, 3, device="meta"),
}


@pytest.mark.parametrize("tensor", UNHELD.values(), ids=UNHELD)
def test_tensor_that_numpy_cannot_hold_is_one_bad_row(tensor):
    estimator = extractor(cache=None, on_error="nan")
    with pytest.warns(UserWarning, match="first is row 1 .*that NumPy cannot hold"):
        found = estimator.transform([NOISE[0], tensor])
    assert np.isnan(found).all(axis=1).tolist() == [False, True]


def test_container_that_numpy_cannot_hold_is_refused_with_the_repair():
    with pytest.raises(ValueError, match="X is a tensor of torch.float32 .*pass a dense one"):
        extractor().fit(torch.zeros(2, 8, 8, 3).to_sparse())


@pytest.mark.filterwarnings("error")
def test_lazy_frame_of_polars_is_refused_with_the_repair():
    with pytest.raises(ValueError, match=r"lazy LazyFrame.*pass X.collect\(\)"):
        extractor().fit(pl.LazyFrame({"path": ["a.png"]}))


def test_uri_may_be_wrapped_in_lines(paths, expected):
    wrapped = [
        "data:image/png;base64," + base64.encodebytes(content).decode()
        for content in contents(paths)
    ]
    np.testing.assert_array_equal(extractor(cache=None).transform(wrapped), expected)
