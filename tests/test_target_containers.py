"""Targets in any container give the same result as a list, or raise a helpful error."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
import xarray as xr
from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from skorch.helper import SliceDataset

from sklearn_transfer import (
    KMM,
    FineTunedClassifier,
    FineTunedRegressor,
    ImportanceWeighted,
    LabelShiftWeights,
    OptimalTransport,
    PrototypeClassifier,
    ZeroShotClassifier,
    negative_transfer_test,
    shift_report,
)
from sklearn_transfer._validation import as_target
from sklearn_transfer.heads import episodes
from sklearn_transfer.selection import gbc, h_score, label_shift_test, leep, logme, nce
from sklearn_transfer.selection._ranking import _validate_labels
from sklearn_transfer.weighting import ImportanceWeightedScorer
from tests import small_networks

N = 36
NAMES = ["cat", "dog", "owl"]
TEXT = [NAMES[row % 3] for row in range(N)]
NUMBERS = [row % 3 + 5 for row in range(N)]
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 4)) + np.arange(N)[:, None] % 3
TARGET = rng.normal(size=(20, 4)) + 1


class Bare:
    """Container with only a length and rows by number."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, row):
        return self.values[row]


CONTAINERS = {
    "pyarrow": pa.array(TEXT),
    "pyarrow chunks": pa.chunked_array([TEXT[:10], TEXT[10:]]),
    "pyarrow dictionary": pa.array(TEXT).dictionary_encode(),
    "pyarrow numbers": pa.array(NUMBERS),
    "polars": pl.Series(TEXT),
    "polars categories": pl.Series(TEXT, dtype=pl.Categorical),
    "pandas array": pd.array(TEXT),
    "pandas string array": pd.array(TEXT, dtype="string"),
    "pandas index": pd.Index(TEXT),
    "pandas of pyarrow": pd.Series(TEXT, dtype=pd.ArrowDtype(pa.string())),
    "categories": pd.Categorical(TEXT),
    "xarray": xr.DataArray(TEXT),
    "column of a hub": Dataset.from_dict({"y": TEXT})["y"],
    "tensor": torch.tensor(NUMBERS),
    "tensor with gradient": torch.tensor(NUMBERS, dtype=torch.float64, requires_grad=True),
    "list of tensors": [torch.tensor(number) for number in NUMBERS],
    "skorch": SliceDataset(list(zip(X, NUMBERS, strict=True)), idx=1),
    "bare": Bare(NUMBERS),
}
if hasattr(np.dtypes, "StringDType"):  # numpy >= 2
    CONTAINERS["strings of any length"] = np.array(TEXT, dtype=np.dtypes.StringDType())
OF_NUMBERS = {"pyarrow numbers", "tensor", "tensor with gradient", "list of tensors"}
OF_NUMBERS |= {"skorch", "bare"}


def tuner(kind=FineTunedClassifier, **options):
    options = {"preprocess": None, "freeze": None, "max_epochs": 1, **options}
    return kind(small_networks.perceptron, **options)


def weighted(estimator, y, **domain):
    return ImportanceWeighted(estimator, KMM()).fit(X, y, **domain)


def drawn(function, y, **options):
    return function(X, y, random_state=0, **options)


def of_zero_shot(y):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "ZeroShotClassifier got no attributes")
        return ZeroShotClassifier().fit(X, y).predict(X)


def of_scorer(y):
    """Return the share of labels that a model predicts correctly for its own training set."""
    model = LogisticRegression().fit(X, PrototypeClassifier().fit(X, y).predict(X))
    scorer = ImportanceWeightedScorer("accuracy", X_target=TARGET, weighter=KMM())
    return scorer(model, X, y)


def of_negative_transfer(y):
    models = PrototypeClassifier(), LogisticRegression()
    return negative_transfer_test(*models, X, y, cv=3, random_state=0).differences


USES = {
    "fine-tuning": lambda y: tuner().fit(X, y).predict_proba(X),
    "early stopping": lambda y: tuner(early_stopping=True).fit(X, y).predict_proba(X),
    "rows of weight zero": lambda y: tuner().fit(X, y, [0] + [1] * (N - 1)).predict(X),
    "validation": lambda y: tuner().fit(X, y, X_val=X, y_val=y).history_[0]["valid_score"],
    "partial_fit": lambda y: tuner().partial_fit(X, y, classes=y).predict(X),
    "score": lambda y: tuner().fit(X, y).score(X, y),
    "prototypes": lambda y: PrototypeClassifier().fit(X, y).predict(X),
    "classes of prototypes": lambda y: PrototypeClassifier().partial_fit(X, y, y).predict(X),
    "zero shot": of_zero_shot,
    "episodes": lambda y: drawn(episodes, y, n_way=2, n_query=2, n_episodes=3).scores,
    "kmm": lambda y: KMM().fit(X, y, X_target=TARGET).weights_,
    "stacked domains": lambda y: weighted(
        LogisticRegression(), y, sample_domain=[1] * 30 + [-1] * 6
    ).predict(X),
    "label shift": lambda y: (
        LabelShiftWeights(random_state=0).fit(X, y, X_target=TARGET).weights_
    ),
    "weighted": lambda y: weighted(LogisticRegression(), y, X_target=TARGET).predict(X),
    "transport": lambda y: OptimalTransport().fit(X, y, X_target=TARGET).transform(X),
    "logme": lambda y: logme(X, y),
    "h_score": lambda y: h_score(X, y),
    "gbc": lambda y: gbc(X, y),
    "leep": lambda y: leep(np.full((N, 2), 0.5), y),
    "nce": lambda y: nce(NUMBERS, y),
    "ranking": lambda y: _validate_labels(X, y, "logme", "classification"),
    "label shift test": lambda y: (
        label_shift_test(X, y, TARGET, n_permutations=9, random_state=0).p_value
    ),
    "scorer": of_scorer,
    "negative transfer": of_negative_transfer,
}


@cache
def of_list(use, numbers):
    return USES[use](NUMBERS if numbers else TEXT)


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("use", USES)
def test_gives_what_the_list_gives(use, name):
    found = USES[use](CONTAINERS[name])
    np.testing.assert_array_equal(found, of_list(use, name in OF_NUMBERS))


def test_report_on_tensors_is_that_on_lists():
    found, expected = (
        shift_report(X, TARGET, y, n_permutations=99, random_state=0)
        for y in (CONTAINERS["tensor with gradient"], NUMBERS)
    )
    assert found == expected


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"animal": TEXT, "site": NUMBERS}),
        Dataset.from_dict({"animal": TEXT, "site": NUMBERS}),
        {"animal": pa.array(TEXT), "site": torch.tensor(NUMBERS)},
        pl.DataFrame({"animal": TEXT, "site": NUMBERS}),
    ],
    ids=["pyarrow", "hub", "mapping", "polars"],
)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_tables_of_several_tasks(table, early_stopping):
    model = tuner(early_stopping=early_stopping).fit(X, table)
    assert [classes.tolist() for classes in model.classes_] == [NAMES, [5, 6, 7]]
    mapping = {"animal": TEXT, "site": NUMBERS}
    expected = tuner(early_stopping=early_stopping).fit(X, mapping).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_missing_entries_of_pyarrow_are_gaps_of_a_task():
    columns = {"a": pa.array([None, *TEXT[1:]]), "b": pa.array([*NUMBERS[:-1], None])}
    model = tuner().fit(X, pa.table(columns))
    assert [classes.tolist() for classes in model.classes_] == [NAMES, [5, 6, 7]]


def test_a_missing_label_of_pyarrow_is_refused_with_its_row():
    y = pa.array([*TEXT[:7], None, *TEXT[8:]])
    with pytest.raises(ValueError, match="Input y contains NaN: row 7 is missing"):
        tuner().fit(X, y)


@pytest.mark.parametrize("y", [pa.array([0.5] * 9 + [2.0] * 27), torch.linspace(0, 1, N)])
def test_numbers(y):
    expected = tuner(FineTunedRegressor).fit(X, np.array(y.tolist())).predict(X)
    np.testing.assert_allclose(tuner(FineTunedRegressor).fit(X, y).predict(X), expected)


@pytest.mark.parametrize(
    "fit", [tuner().fit, PrototypeClassifier().fit, lambda X, y: KMM().fit(X, y)]
)
def test_what_has_no_length_is_refused_with_the_repair(fit):
    with pytest.raises(TypeError, match=r"y is of type generator, .* pass a list, list\(y\)"):
        fit(X, (label for label in TEXT))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_are_numbers(dtype):
    y = torch.arange(20).to(dtype) / 4
    np.testing.assert_array_equal(as_target(y), np.arange(20, dtype=np.float32) / 4)


def test_a_lazy_frame_is_refused_with_the_repair():
    y = pl.DataFrame({"a": ["x", "y"] * 20}).lazy()
    with pytest.raises(TypeError, match=r"y is a lazy LazyFrame.*: pass y\.collect\(\)"):
        FineTunedClassifier(small_networks.perceptron, preprocess=None).fit(
            np.zeros((40, 5)), y
        )


def test_bytes_are_no_column_of_numbers():
    with pytest.raises(ValueError, match=r"y should be a 1d array.*shape \(\) instead"):
        FineTunedClassifier(small_networks.perceptron, preprocess=None).fit(
            np.zeros((40, 5)), b"ab" * 20
        )
