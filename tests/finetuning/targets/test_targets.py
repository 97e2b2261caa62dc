"""What y means, against LabelEncoder, compute_sample_weight, StandardScaler and metrics."""

import json
import pickle
import subprocess
import sys
from operator import methodcaller
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array, csr_matrix
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from sklearn_transfer.finetuning.targets.targets import Targets

NAN = float("nan")
DRAWS = np.random.default_rng(0).integers(0, 3, 30)
LABELS = {
    "int": np.array([5, 7, -1])[DRAWS],
    "int8": np.array([5, 7, -1], dtype=np.int8)[DRAWS],
    "big-endian": np.array([5, 7, 300], dtype=">i4")[DRAWS],
    "uint64": np.array([5, 7, 2**63], dtype=np.uint64)[DRAWS],
    "long": np.array([2**53, 2**53 + 1, 0])[DRAWS],
    "float": np.array([5.0, 7.0, -1.0])[DRAWS],
    "float32": np.array([5, 7, -1], dtype=np.float32)[DRAWS],
    "bool": DRAWS > 0,
    "str": np.array(["cat", "owl", "a dog"])[DRAWS],
    "object": np.array(["cat", "owl", "a dog"], dtype=object)[DRAWS],
    "list": np.array(["cat", "owl", "a dog"])[DRAWS].tolist(),
    "list of int": np.array([5, 7, -1])[DRAWS].tolist(),
    "pandas": pd.Series(["cat", "owl", "a dog"])[DRAWS],
    "categorical": pd.Series(["cat", "owl", "a dog"], dtype="category")[DRAWS],
    "nullable": pd.Series([5, 7, -1], dtype="Int64")[DRAWS],
    "polars": pl.Series(["cat", "owl", "a dog"])[DRAWS.tolist()],
    "strided": np.repeat(np.array([5, 7, -1])[DRAWS], 2)[::2],
}
each_sort = pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)


@pytest.fixture
def output():
    return np.random.default_rng(1).normal(0, 3, (30, 3))


def two_tasks(n=30):
    """Strings and numbers as labels of two tasks, with entries missing in each."""
    animal = np.array(["cat", "owl", "dog"], dtype=object)[DRAWS[:n]]
    site = np.array([1, 2], dtype=object)[(DRAWS[:n] + np.arange(n)) % 2]
    animal[[0, 3]], site[[0, 4, 5]] = None, NAN
    return np.column_stack([animal, site])


def test_module_loads_no_network_library():
    code = (
        "import sys; import sklearn_transfer.finetuning.targets.targets; "
        "sys.exit(bool({'torch', 'timm', 'skorch'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0


# Labels of one task


@each_sort
def test_codes_are_those_of_label_encoder(y):
    encoder = LabelEncoder().fit(np.asarray(y))
    targets = Targets.from_labels(y)
    (codes,) = targets.encode(y)
    np.testing.assert_array_equal(codes, encoder.transform(np.asarray(y)))
    np.testing.assert_array_equal(targets.classes, encoder.classes_)
    assert codes.dtype == np.int64
    assert targets.classes.dtype == encoder.classes_.dtype
    assert targets.single
    assert targets.n_outputs == len(encoder.classes_)


@each_sort
def test_perfect_logits_predict_y(y):
    targets = Targets.from_labels(y)
    (codes,) = targets.encode(y)
    logits = np.eye(targets.n_outputs)[codes]
    np.testing.assert_array_equal(targets.predict(logits), np.asarray(y))
    assert targets.score(logits, y) == 1


@each_sort
def test_json_keeps_every_label_and_dtype(y):
    targets = Targets.from_labels(y)
    back = Targets.from_json(json.loads(json.dumps(targets.to_json())))
    assert back.classes.dtype == targets.classes.dtype
    assert back.classes.tolist() == targets.classes.tolist()
    assert list(map(type, back.classes)) == list(map(type, targets.classes))
    np.testing.assert_array_equal(back.encode(y)[0], targets.encode(y)[0])


def test_labels_are_equal_across_containers():
    targets = Targets.from_labels(np.array([5, 7, 5]))
    for y in [[7, 5], [7.0, 5.0], pd.Series([7, 5], dtype="Int64"), pl.Series([7, 5])]:
        assert targets.encode(y)[0].tolist() == [1, 0]


def test_unknown_label_is_named_with_its_row():
    targets = Targets.from_labels(["cat", "owl"])
    with pytest.raises(ValueError, match="'owi' in row 1.*'cat', 'owl'.*Did you mean 'owl'"):
        targets.encode(["cat", "owi"])


def test_strings_of_numbers_are_not_numbers():
    targets = Targets.from_labels([0, 1])
    with pytest.raises(ValueError, match="y holds '0' in row 0"):
        targets.encode(["0", "1"])


def test_message_lists_ten_classes():
    targets = Targets.from_labels(np.repeat(np.arange(15), 2))
    with pytest.raises(ValueError, match=r"8, 9, ... 5 more\]"):
        targets.encode([99])


@pytest.mark.parametrize(
    "y",
    [
        np.array([0, 1, NAN]),
        ["a", "b", None],
        ["a", "b", NAN],
        np.array(["a", "b", None], dtype=object),
        pd.Series(["a", "b", None]),
        pd.Series([0, 1, None], dtype="Int64"),
        pl.Series([0, 1, None]),
        [0, 1, pd.NaT],
    ],
    ids=str,
)
def test_one_task_refuses_missing_labels(y):
    with pytest.raises(ValueError, match="Input y contains NaN: row 2 is missing"):
        Targets.from_labels(y)
    classes = ["a", "b"] if isinstance(np.asarray(y).tolist()[0], str) else [0, 1]
    with pytest.raises(ValueError, match="row 2 is missing"):
        Targets.from_labels(classes).encode(y)


def test_infinite_labels_give_the_error_of_scikit_learn():
    with pytest.raises(ValueError, match="Input y contains infinity"):
        Targets.from_labels([0.0, 1.0, np.inf])


def test_continuous_labels_give_the_error_of_scikit_learn():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        Targets.from_labels([0.5, 1.2, 3.0])
    with pytest.raises(ValueError, match="column 1 of y: Unknown label type: continuous"):
        Targets.from_labels(np.array([[0.0, 0.5], [2.0, 1.5], [1.0, NAN]]))


def test_one_class_is_an_error():
    with pytest.raises(ValueError, match="y holds one class, 'a'.*at least two classes"):
        Targets.from_labels(["a", "a"])


@pytest.mark.parametrize("y", [["a", 1], [b"a", b"b"], np.array(["2020-01-01"], "M8[D]")])
def test_labels_of_no_single_sort_are_an_error(y):
    with pytest.raises(ValueError, match="y holds labels of type .*astype\\(str\\)"):
        Targets.from_labels(y)


@pytest.mark.parametrize(
    "y",
    [
        [["a"], ["a", "b"]],
        [np.array([1]), np.array([1, 2])],
        pd.Series([["a"], ["a", "b"]]),
        pd.Series([np.array([1, 2]), np.array([1, 2])]),
        {"labels": [{"a"}, {"a", "b"}]},
    ],
    ids=["lists", "arrays", "series of lists", "series of arrays", "sets"],
)
def test_sequences_of_labels_are_an_error_that_names_the_repair(y):
    with pytest.raises(ValueError, match="MultiLabelBinarizer"):
        Targets.from_labels(y)


@pytest.mark.parametrize("y", ["abc", np.zeros((2, 2, 2)), np.zeros((3, 0)), 3])
def test_shapes_that_are_no_table(y):
    with pytest.raises(ValueError, match="y should be a 1d array"):
        Targets.from_labels(y)


def test_y_is_required():
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        Targets.from_labels(None)


@pytest.mark.parametrize("wrap", [np.asarray, pd.DataFrame, list])
def test_a_column_of_labels_is_raveled_with_a_warning(wrap):
    y = np.array([["a"], ["b"], ["a"]])
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        targets = Targets.from_labels(wrap(y))
    assert targets.encode(wrap(y))[0].tolist() == [0, 1, 0]  # and without one
    assert targets.predict(np.eye(2)).tolist() == ["a", "b"]


def test_classes_may_be_more_than_y_holds():
    targets = Targets.from_labels(["b", "b"], classes=["c", "a", "b"])
    assert targets.encode(["b", "c"])[0].tolist() == [1, 2]
    with pytest.raises(ValueError, match="classes contains NaN"):
        Targets.from_labels(["b"], classes=["a", None])
    with pytest.raises(ValueError, match="y holds 'd' in row 1"):
        Targets.from_labels(["b", "d"], classes=["c", "a", "b"])


def test_probabilities_are_a_softmax(output):
    targets = Targets.from_labels(LABELS["str"])
    found = targets.predict_proba(output.astype(np.float32))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, softmax(output, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    extreme = targets.predict_proba([[1e4, -1e4, 0.0], [-1e30, -1e30, -1e30]])
    np.testing.assert_allclose(extreme, [[1, 0, 0], [1 / 3] * 3], atol=1e-12)


def test_decisions_of_two_classes_are_one_dimensional(output):
    logits = output[:, :2]
    targets = Targets.from_labels(LABELS["bool"])
    decision = targets.decision_function(logits)
    np.testing.assert_array_equal(targets.predict(logits), decision > 0)
    np.testing.assert_allclose(expit(decision), targets.predict_proba(logits)[:, 1])


def test_decisions_of_several_classes_are_logits(output):
    decision = Targets.from_labels(LABELS["int"]).decision_function(output)
    np.testing.assert_array_equal(decision, output)
    assert not np.shares_memory(decision, output)


def test_output_must_have_a_column_a_class_and_be_finite(output):
    targets = Targets.from_labels(LABELS["int"])
    with pytest.raises(ValueError, match=r"shape \(30, 2\); expected \(n_samples, 3\)"):
        targets.predict(output[:, :2])
    output[4, 1] = NAN
    with pytest.raises(ValueError, match="not finite in row 4"):
        targets.predict_proba(output)


# Several labels


@pytest.mark.parametrize(
    "wrap",
    [
        *[np.asarray, csr_array, csr_matrix, pd.DataFrame, pl.DataFrame, np.ndarray.tolist],
        *[methodcaller("astype", t) for t in (bool, np.float32, object, np.uint8)],
    ],
)
def test_a_matrix_of_zeros_and_ones_is_one_task(wrap, output):
    y = np.random.default_rng(2).integers(0, 2, (30, 3))
    targets = Targets.from_labels(wrap(y))
    assert [task.kind for task in targets.tasks] == ["multilabel"]
    (encoded,) = targets.encode(wrap(y))
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, y)
    assert targets.classes.tolist() == [0, 1, 2]
    found = targets.predict(output)
    assert found.dtype.kind == "i"
    np.testing.assert_array_equal(found, output > 0)
    np.testing.assert_allclose(targets.predict_proba(output), expit(output))
    decision = targets.decision_function(output)
    np.testing.assert_array_equal(decision, output)
    assert not np.shares_memory(decision, output)
    assert targets.score(output, y) == pytest.approx(accuracy_score(y.ravel(), found.ravel()))


def test_classes_of_several_labels_are_their_numbers():
    y = np.array([[0, 1], [1, 1]])
    assert Targets.from_labels(y, classes=[0, 1]).tasks[0].kind == "multilabel"
    targets = Targets.from_labels(y, classes=[[0, 1], [0, 1, 2]])
    assert [task.n_outputs for task in targets.tasks] == [2, 3]


def test_missing_entries_leave_several_labels_one_task():
    y = np.array([[0, 1], [NAN, 0], [1, 1]])
    for given in (y, pd.DataFrame(y).astype("Int64"), [[0, 1], [None, 0], [1, 1]]):
        targets = Targets.from_labels(given)
        assert targets.tasks[0].kind == "multilabel"
        np.testing.assert_array_equal(targets.encode(given)[0], y)
    # The missing entry counts neither way: three of five are right.
    output = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, -1.0]])
    assert targets.score(output, y) == pytest.approx(3 / 5)
    assert targets.score(output, y, [1, 1, 2]) == pytest.approx((1 + 1 + 2) / (2 + 1 + 4))


def test_other_entries_in_several_labels_are_an_error():
    targets = Targets.from_labels(np.array([[0, 1], [1, 0]]))
    with pytest.raises(ValueError, match="column 1 of y holds 2 in row 1"):
        targets.encode(np.array([[0, 1], [1, 2]]))
    with pytest.raises(ValueError, match="y has 3 columns, and had 2 in fit"):
        targets.encode(np.zeros((2, 3)))


def test_a_label_that_is_always_missing_is_an_error():
    with pytest.raises(ValueError, match="column 1 of y has no entry that is present"):
        Targets.from_labels(np.array([[0, NAN], [1, NAN]]))


@pytest.mark.parametrize("y", [[[5, 7], [7, 5]], [[0, 1], [1, 2]], [["0", "1"], ["1", "0"]]])
def test_labels_other_than_zero_and_one_are_two_tasks(y):
    targets = Targets.from_labels(y)  # the first is an indicator to scikit-learn
    assert [task.kind for task in targets.tasks] == ["multiclass", "multiclass"]
    assert targets.classes[0].dtype == np.array(y).dtype


# Several tasks


@pytest.mark.parametrize("container", ["array", "list", "pandas", "polars", "dict"])
def test_tasks_with_gaps(container):
    y = two_tasks()
    columns = {"animal": y[:, 0].tolist(), "site": [None if v != v else v for v in y[:, 1]]}
    given = {
        "array": lambda: y,
        "list": y.tolist,
        "pandas": lambda: pd.DataFrame(columns).astype({"site": "Int64"}),
        "polars": lambda: pl.DataFrame(columns),
        "dict": lambda: columns,
    }[container]()
    targets = Targets.from_labels(given)
    named = container not in ("array", "list")
    assert [t.name for t in targets.tasks] == (["animal", "site"] if named else ["y0", "y1"])
    assert [t.columns for t in targets.tasks] == [slice(0, 3), slice(3, 5)]
    assert not targets.single
    for values, codes, classes in zip(
        y.T, targets.encode(given), targets.classes, strict=True
    ):
        missing = np.array([v is None or v != v for v in values])
        np.testing.assert_array_equal(codes == -1, missing)
        assert classes[codes[~missing]].tolist() == values[~missing].tolist()
    assert targets.classes[1].dtype.kind == "i"


def test_predictions_of_tasks_stand_side_by_side(output):
    output = np.column_stack([output, output[:, :2] + 0.5])
    targets = Targets.from_labels(two_tasks())
    found = targets.predict(output)
    assert found.dtype == object
    assert found[0].tolist() == [
        ["cat", "dog", "owl"][output[0, :3].argmax()],
        [1, 2][output[0, 3:].argmax()],
    ]
    first, second = targets.predict_proba(output)
    np.testing.assert_allclose(first, softmax(output[:, :3], axis=1))
    np.testing.assert_allclose(second, softmax(output[:, 3:], axis=1))
    first, second = targets.decision_function(output)
    np.testing.assert_array_equal(first, output[:, :3])
    np.testing.assert_array_equal(second, output[:, 4] - output[:, 3])


def test_predictions_of_tasks_of_different_sorts_keep_theirs():
    targets = Targets.from_labels([["a", 1, True], ["b", 2, False]])
    found = targets.predict(np.eye(6)[[0]])
    assert found.tolist() == [["a", 1, False]]
    assert [type(value) for value in found[0]] == [str, int, bool]


def test_predictions_of_tasks_of_one_sort_keep_it(output):
    y = np.array([["a", "xx"], ["b", "yyy"]])
    found = Targets.from_labels(y).predict(np.column_stack([output, output[:, 0]]))
    assert found.dtype == "<U3"
    y = np.array([[1, 2], [3, 4]], dtype=np.int32)
    assert Targets.from_labels(y).predict(np.zeros((1, 4))).dtype == np.int32


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([None, None, None], "column 'site' of y has no entry"),
        ([1, 1, None], "column 'site' of y holds one class, 1"),
        ([1, "a", None], "column 'site' of y holds labels of type int, str"),
    ],
)
def test_errors_of_tasks_name_the_column(column, message):
    with pytest.raises(ValueError, match=message):
        Targets.from_labels({"animal": ["cat", "owl", "cat"], "site": column})


def test_unknown_label_of_a_task_names_its_column():
    targets = Targets.from_labels(two_tasks())
    with pytest.raises(ValueError, match="column 1 of y holds 9 in row 1"):
        targets.encode([["cat", 1], ["cat", 9]])


def test_columns_must_be_those_of_fit():
    frame = pd.DataFrame({"a": ["x", "y"], "b": ["u", "v"]})
    targets = Targets.from_labels(frame)
    with pytest.raises(ValueError, match=r"columns \['b', 'a'\], and had \['a', 'b'\]"):
        targets.encode(frame[["b", "a"]])
    with pytest.raises(ValueError, match="several columns of the name 'a'"):
        Targets.from_labels(pd.concat([frame, frame], axis=1))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        Targets.from_labels({"a": ["x", "y"], "b": ["u"]})


def test_classes_of_tasks_are_a_list():
    y = np.array([["a", "x"], ["b", "x"]])
    targets = Targets.from_labels(y, classes=[["a", "b", "c"], ["x", "y"]])
    assert [c.tolist() for c in targets.classes] == [["a", "b", "c"], ["x", "y"]]
    with pytest.raises(ValueError, match="list with one array of labels per task"):
        Targets.from_labels(y, classes=["a", "b", "x"])


def test_score_is_the_weighted_mean_of_tasks():
    y = np.array([["a", "x"], ["b", None], ["b", "y"], ["a", "x"]], dtype=object)
    targets = Targets.from_labels(y, tasks=[{"weight": 3}, {}])
    output = np.tile([1.0, 0.0, 1.0, 0.0], (4, 1))  # "a" and "x" in every row
    assert targets.score(output, y) == pytest.approx((3 * 1 / 2 + 2 / 3) / 4)
    weighted = targets.score(output, y, [5, 9, 1, 1])
    assert weighted == pytest.approx((3 * 6 / 16 + 6 / 7) / 4)
    only = np.array([["a", None]], dtype=object)
    assert targets.score(output[:1], only) == 1  # by the task that has an entry
    assert np.isnan(targets.score(output[:1], np.array([[None, None]])))


def test_score_counts_unknown_labels_as_wrong():
    targets = Targets.from_labels(["a", "b"])
    assert targets.score(np.eye(2), ["a", "zebra"]) == 0.5


# The tasks parameter


def test_classes_labels_and_numbers_at_once():
    y = np.array([["a", 0, 1, 3.5], ["b", 1, None, 1.5], ["a", 1, 0, NAN]], dtype=object)
    tasks = [
        {"name": "species"},
        {"name": "traits", "kind": "multilabel", "n_columns": 2},
        {"name": "length", "kind": "regression", "weight": 0.5},
    ]
    targets = Targets.from_labels(y, tasks=tasks)
    assert [(t.name, t.kind, t.weight) for t in targets.tasks] == [
        ("species", "multiclass", 1.0),
        ("traits", "multilabel", 1.0),
        ("length", "regression", 0.5),
    ]
    assert targets.n_outputs == 5
    codes, labels, numbers = targets.encode(y)
    assert codes.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(labels, [[0, 1], [1, NAN], [1, 0]])
    np.testing.assert_array_equal(numbers, [[1], [-1], [NAN]])
    output = np.array([[0.0, 1.0, 2.0, -2.0, 1.0]])
    assert targets.predict(output).tolist() == [["b", 1, 0, 3.5]]
    species, traits, length = targets.predict_proba(output)
    assert species.shape == (1, 2)
    np.testing.assert_allclose(traits, expit([[2.0, -2.0]]))
    assert length is None
    assert targets.decision_function(output)[2] is None
    assert targets.classes[2] is None
    back = Targets.from_json(json.loads(json.dumps(targets.to_json())))
    assert back.predict(output).tolist() == [["b", 1, 0, 3.5]]


def test_a_zero_one_table_may_be_two_tasks():
    targets = Targets.from_labels(np.array([[0, 1], [1, 0]]), tasks=[{}, {}])
    assert [task.kind for task in targets.tasks] == ["multiclass"] * 2


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("species", "tasks is 'species': it must be a list"),
        ([], "tasks is \\[\\]"),
        (["species", "site"], "tasks\\[0\\] is 'species': it must be a dict"),
        ([{"names": "a"}, {}], "tasks\\[0\\] has the key 'names'.*Did you mean 'name'"),
        ([{}, {"kind": "multilable"}], "tasks\\[1\\].*Did you mean 'multilabel'"),
        ([{"name": 3}, {}], "the name 3: it must be a string"),
        ([{"name": "anmial"}, {}], "its column of y is 'animal'.*Did you mean 'animal'"),
        ([{"weight": 0}, {}], "weight 0: it must be above 0"),
        ([{"weight": NAN}, {}], "weight nan"),
        ([{"weight": np.inf}, {}], "weight inf"),
        ([{"weight": "1"}, {}], "weight '1'"),
        ([{"n_columns": 2}], "multiclass with n_columns=2"),
        ([{"n_columns": 0}, {}], "n_columns=0"),
        ([{}], "tasks describe 1 columns and y has 2"),
        ([{"name": "site"}, {"name": "site"}], "several tasks of the name 'site'"),
        ([{"kind": "regression"}] * 2, "use FineTunedRegressor"),
    ],
)
def test_wrong_tasks_are_named(tasks, message):
    y = {"animal": ["cat", "owl"], "site": [5, 6]}
    with pytest.raises(ValueError, match=message):
        Targets.from_labels(y, tasks=tasks)


def test_a_regressor_needs_numbers():
    with pytest.raises(ValueError, match="use FineTunedClassifier"):
        Targets.from_numbers([1.0, 2.0], tasks=[{"kind": "multiclass"}])


def test_numbers_of_one_task_may_be_several_tasks_of_a_regressor(output):
    y = np.random.default_rng(3).normal(2, 5, (30, 3))
    tasks = [{"n_columns": 2, "weight": 2.0}, {"name": "depth"}]
    targets = Targets.from_numbers(y, tasks=tasks)
    assert [t.columns for t in targets.tasks] == [slice(0, 2), slice(2, 3)]
    whole = Targets.from_numbers(y)
    np.testing.assert_array_equal(targets.predict(output), whole.predict(output))
    found = whole.predict(output)
    first, second = r2_score(y[:, :2], found[:, :2]), r2_score(y[:, 2], found[:, 2])
    assert targets.score(output, y) == pytest.approx((2 * first + second) / 3)


# Numbers


@pytest.mark.parametrize("scale", [1e-200, 1e-6, 1.0, 1e6, 1e200])
def test_numbers_are_standardized_as_by_standard_scaler(scale):
    plain = np.random.default_rng(3).normal(2, 5, (30, 3))
    weights = np.random.default_rng(4).integers(1, 4, 30).astype(float)
    targets = Targets.from_numbers(plain * scale, sample_weight=weights)
    scaler = StandardScaler().fit(plain, sample_weight=weights)
    (encoded,) = targets.encode(plain * scale)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, scaler.transform(plain), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(targets.tasks[0].mean, scaler.mean_ * scale, rtol=1e-12)
    found = targets.predict(scaler.transform(plain))
    np.testing.assert_allclose(found, plain * scale, rtol=1e-9)


def test_gaps_in_numbers_are_left_out():
    y = np.random.default_rng(3).normal(2, 5, (30, 2))
    y[::3, 0], y[1, :] = NAN, NAN
    weights = np.random.default_rng(4).random(30)
    task = Targets.from_numbers(y, sample_weight=weights).tasks[0]
    for j in range(2):
        kept = ~np.isnan(y[:, j])
        scaler = StandardScaler().fit(y[kept, j : j + 1], sample_weight=weights[kept])
        assert task.mean[j] == pytest.approx(scaler.mean_[0], rel=1e-12)
        assert task.scale[j] == pytest.approx(scaler.scale_[0], rel=1e-12)
    np.testing.assert_array_equal(np.isnan(Targets.from_numbers(y).encode(y)[0]), np.isnan(y))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e15 + 0.3, -3e-7])
def test_a_constant_has_scale_one(value):
    targets = Targets.from_numbers(
        np.full(1001, value), sample_weight=np.linspace(0.1, 1, 1001)
    )
    assert targets.tasks[0].scale.tolist() == [1.0]
    assert targets.predict(np.zeros((1, 1)))[0] == pytest.approx(value, rel=1e-15)


def test_a_constant_but_for_rounding_has_scale_one():
    assert Targets.from_numbers(np.tile([0.3, 0.1 + 0.2], 50)).tasks[0].scale.tolist() == [1.0]


def test_small_differences_far_from_zero_are_no_constant():
    y = 1e8 + np.tile([0.0, 1e-3], 50)
    assert Targets.from_numbers(y).tasks[0].scale[0] == pytest.approx(5e-4, rel=1e-4)


@pytest.mark.parametrize(("y", "shape"), [([1.0, 2.0], (2,)), ([[1.0], [2.0]], (2, 1))])
def test_predictions_have_the_shape_of_y(y, shape):
    targets = Targets.from_numbers(y)
    assert targets.single
    assert targets.predict(np.zeros((2, 1))).shape == shape
    assert targets.encode(y)[0].shape == (2, 1)


def test_one_row_of_numbers():
    targets = Targets.from_numbers([3.0])
    assert targets.encode([3.0])[0].tolist() == [[0.0]]
    assert np.isnan(targets.score(np.zeros((1, 1)), [3.0]))


@pytest.mark.parametrize("bad", [NAN, np.inf, None])
def test_missing_numbers_in_one_dimension_give_the_error_of_scikit_learn(bad):
    message = "Input y contains infinity" if bad == np.inf else "Input y contains NaN"
    with pytest.raises(ValueError, match=message):
        Targets.from_numbers([1.0, bad])


def test_infinite_numbers_in_a_table_are_an_error():
    with pytest.raises(ValueError, match="column 1 of y contains infinity"):
        Targets.from_numbers([[1.0, np.inf], [2.0, NAN]])


@pytest.mark.parametrize("y", [["a", "b"], [1.0, "b"], [1j, 2j], np.array(["1", "2"])])
def test_numbers_must_be_numbers(y):
    with pytest.raises(ValueError, match="y must hold numbers"):
        Targets.from_numbers(y)


def test_a_column_without_numbers_is_an_error():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [NAN, 4.0]})
    Targets.from_numbers(frame)
    with pytest.raises(ValueError, match="column 'b' of y has no entry .* weight above 0"):
        Targets.from_numbers(frame, sample_weight=[1.0, 0.0])


@pytest.mark.parametrize(
    "wrap",
    [
        *[pd.DataFrame, pl.DataFrame, np.asfortranarray, np.ndarray.tolist, csr_array],
        *[methodcaller("astype", object), lambda y: pd.DataFrame(y).astype("Float64")],
    ],
)
def test_numbers_are_equal_across_containers(wrap):
    y = np.random.default_rng(3).normal(2, 5, (30, 2))
    found, expected = Targets.from_numbers(wrap(y)), Targets.from_numbers(y)
    np.testing.assert_array_equal(found.encode(wrap(y))[0], expected.encode(y)[0])


def test_score_of_numbers_is_r2(output):
    y = np.random.default_rng(3).normal(2, 5, (30, 3))
    weights = np.random.default_rng(4).random(30)
    targets = Targets.from_numbers(y)
    expected = r2_score(y, targets.predict(output), sample_weight=weights)
    assert targets.score(output, y, weights) == pytest.approx(expected, rel=1e-12)
    gaps = y.copy()
    gaps[::2, 1] = NAN
    parts = [
        r2_score(gaps[s, j], targets.predict(output)[s, j])
        for j, s in enumerate([slice(None), slice(1, None, 2), slice(None)])
    ]
    assert targets.score(output, gaps) == pytest.approx(np.mean(parts), rel=1e-12)


@pytest.mark.parametrize("flat", [True, False])
def test_json_keeps_every_number(flat, output):
    y = np.random.default_rng(3).normal(2, 5, (30, 3))
    y = y[:, 0] if flat else y
    targets = Targets.from_numbers(y)
    back = Targets.from_json(json.loads(json.dumps(targets.to_json())))
    output = output[:, : targets.n_outputs]
    np.testing.assert_array_equal(back.predict(output), targets.predict(output))
    assert back.predict(output).shape == y.shape
    assert back.names is None


# Weights


def test_no_weights_are_one_each():
    assert Targets.from_labels(["a", "b", "a"]).compute_row_weights(["a", "b"]).tolist() == [
        1,
        1,
    ]


@pytest.mark.parametrize("weights", [None, np.random.default_rng(5).random(30)])
@pytest.mark.parametrize("sort", ["int", "bool", "str", "float"])
def test_balanced_weights_are_those_of_scikit_learn(sort, weights):
    y = LABELS[sort]
    classes, codes = np.unique(y, return_inverse=True)
    given = np.ones(30) if weights is None else weights
    # Sums by class, as scikit-learn 1.6 counts rows there whatever their weights.
    sums = np.bincount(codes, given)
    expected = (1 / sums)[codes] * given
    if weights is None:
        known = compute_class_weight("balanced", classes=classes, y=y)
        np.testing.assert_allclose(expected / expected[0], known[codes] / known[codes[0]])
    found = Targets.from_labels(y).compute_row_weights(y, "balanced", weights)
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-12)
    assert found.mean() == pytest.approx(1)


def test_weight_two_is_two_rows():
    y, twice = np.array(["a", "b", "b", "b", "c"]), np.array(list("abbbca"))
    targets = Targets.from_labels(y)
    once = targets.compute_row_weights(y, "balanced", [2, 1, 1, 1, 1])
    rows = targets.compute_row_weights(twice, "balanced")
    np.testing.assert_allclose(once[1:] / once[0], rows[1:5] / (rows[0] + rows[5]))


@pytest.mark.parametrize(
    ("y", "class_weight"),
    [
        (LABELS["str"], {"cat": 3.0, "owl": 0.0, "a dog": 0.5}),
        (LABELS["int"], {5: 1000, 7: 1e-4, -1: 1}),
        (LABELS["bool"], {True: 3, False: 1}),
        (LABELS["float"], {5: 2}),  # the others weigh 1
    ],
)
def test_given_weights_are_those_of_scikit_learn(y, class_weight):
    given = np.random.default_rng(5).random(30)
    expected = compute_sample_weight(class_weight, y) * given
    found = Targets.from_labels(y).compute_row_weights(y, class_weight, given)
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-12)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2.0, 1: 5.0}])
def test_weights_of_several_labels_multiply_as_in_scikit_learn(class_weight):
    y = np.random.default_rng(2).integers(0, 2, (30, 3))
    each = class_weight if class_weight == "balanced" else [class_weight] * 3
    expected = compute_sample_weight(each, y)
    found = Targets.from_labels(y).compute_row_weights(y, class_weight)
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-12)


def test_weights_of_tasks_multiply_and_gaps_weigh_one():
    y = np.array([["a", "x"], ["b", None], ["b", "y"], [None, "x"]], dtype=object)
    targets = Targets.from_labels(y)
    found = targets.compute_row_weights(y, [{"a": 2.0}, {"x": 3.0, "y": 5.0}])
    expected = np.array([6.0, 1.0, 5.0, 3.0])
    np.testing.assert_allclose(found, expected / expected.mean())
    balanced = targets.compute_row_weights(y, "balanced")
    expected = np.array([3 / 2 * 3 / 4, 3 / 4, 3 / 4 * 3 / 2, 3 / 4])
    np.testing.assert_allclose(balanced, expected / expected.mean())
    only = targets.compute_row_weights(y, [None, {"x": 3.0, "y": 5.0}])
    np.testing.assert_allclose(only, np.array([3, 1, 5, 3]) / 3)


def test_classes_absent_from_the_rows_take_no_part():
    targets = Targets.from_labels(["a", "b", "c"])
    found = targets.compute_row_weights(["a", "a", "b"], "balanced")
    np.testing.assert_allclose(found, [0.75, 0.75, 1.5])
    targets.compute_row_weights(
        ["a", "b"], {"a": 1, "b": 2, "c": 3, "d": 4}
    )  # "d" in another fold
    targets = Targets.from_labels([["a", "x"], ["b", "y"], ["c", "x"]])
    y = [["a", "x"], ["a", "y"], ["b", "x"], [None, "x"]]
    expected = np.array([3 / 4, 3 / 4, 3 / 2, 1])
    found = targets.compute_row_weights(y, ["balanced", None])
    np.testing.assert_allclose(found, expected / expected.mean())


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_scale_of_weights_does_not_matter(scale):
    y, weights = LABELS["str"], np.random.default_rng(5).random(30)
    targets = Targets.from_labels(y)
    np.testing.assert_allclose(
        targets.compute_row_weights(y, "balanced", weights * scale),
        targets.compute_row_weights(y, "balanced", weights),
    )


def test_scale_of_class_weights_does_not_matter():
    y = LABELS["bool"]
    targets = Targets.from_labels(y)
    found = targets.compute_row_weights(y, {True: 1e308, False: 0.5e308})
    np.testing.assert_allclose(found, targets.compute_row_weights(y, {True: 2, False: 1}))


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"cat": 1, "bird": 2}, "names \\['bird'\\].*leaves out \\['a dog', 'owl'\\]"),
        ({"cat": -1}, "must be at least 0"),
        ({"cat": NAN}, "must be at least 0 and finite"),
        ("balance", "Did you mean 'balanced'"),
        (3, "class_weight is 3"),
        ([None, None], "class_weight has 2 entries and y 1"),
        ({"cat": 0, "owl": 0, "a dog": 0}, "Every row has weight 0"),
    ],
)
def test_wrong_class_weights_are_named(class_weight, message):
    targets = Targets.from_labels(LABELS["str"])
    with pytest.raises(ValueError, match=message):
        targets.compute_row_weights(LABELS["str"], class_weight)


def test_one_dict_for_several_tasks_is_an_error():
    targets = Targets.from_labels(two_tasks())
    with pytest.raises(ValueError, match="one dict and y has 2 tasks"):
        targets.compute_row_weights(two_tasks(), {"cat": 1})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0, 0], "sample_weight is zero in every row"),
        ([1, -1], "sample_weight is -1 in row 1"),
        ([1, NAN], "contains NaN"),
        ([1, 1, 1], "sample_weight.shape"),
    ],
)
def test_wrong_sample_weights_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        Targets.from_labels(["a", "b"]).compute_row_weights(["a", "b"], None, weights)


def test_factors_are_rows_over_those_with_an_entry():
    targets = Targets.from_labels(two_tasks())
    encoded = targets.encode(two_tasks())
    assert targets.compute_factors(encoded) == pytest.approx([30 / 28, 30 / 27])
    weights = np.arange(30.0)  # rows 0 and 3, and 0, 4 and 5, have none
    total = weights.sum()
    expected = [total / (total - 3), total / (total - 9)]
    assert targets.compute_factors(encoded, weights) == pytest.approx(expected)
    weights = np.zeros(30)
    weights[3] = 2.0
    assert targets.compute_factors(encoded, weights) == [0.0, 1.0]


def test_factors_of_blocks_count_rows_with_any_entry():
    y = [[1.0, NAN], [NAN, NAN], [2.0, 3.0], [4.0, 4.0]]
    targets = Targets.from_numbers(y)
    assert targets.compute_factors(targets.encode(y)) == [4 / 3]


# Splits


def test_stratify_keeps_shares():
    y = np.array(["a"] * 20 + ["b"] * 10)
    codes = Targets.from_labels(y).stratify(y)
    _, held = train_test_split(y, test_size=6, stratify=codes, random_state=0)
    assert sorted(held) == ["a"] * 4 + ["b"] * 2


def test_nothing_to_stratify_by():
    y = ["a", "b", "a"]
    assert Targets.from_labels(y).stratify(y) is None  # one "b"
    labels = np.array([[0, 1], [1, 0]] * 3)
    assert Targets.from_labels(labels).stratify(labels) is None
    assert Targets.from_labels(two_tasks()).stratify(two_tasks()) is None
    assert Targets.from_numbers([1.0, 2.0]).stratify([1.0, 2.0]) is None


# Contracts


@pytest.mark.parametrize(
    "y",
    [LABELS["int"], LABELS["object"], two_tasks(), np.array([[0, 1.0], [NAN, 0]])],
    ids=repr,
)
def test_arrays_of_the_caller_are_not_written_to(y):
    before, y = y, y.copy()
    y.flags.writeable = False
    weights = np.ones(len(y))
    weights.flags.writeable = False
    targets = Targets.from_labels(y, sample_weight=weights)
    encoded = targets.encode(y)
    targets.compute_row_weights(y, "balanced", weights)
    targets.compute_factors(encoded, weights)
    output = np.zeros((len(y), targets.n_outputs))
    output.flags.writeable = False
    for method in (targets.predict, targets.predict_proba, targets.decision_function):
        method(output)
    targets.score(output, y, weights)
    assert repr(y.tolist()) == repr(before.tolist())  # equal also where both are NaN
    assert (weights == 1).all()
    assert not output.any()


def test_pickles_and_repeats(output):
    y = LABELS["object"]
    targets = Targets.from_labels(y)
    back = pickle.loads(pickle.dumps(targets))
    np.testing.assert_array_equal(back.predict(output), targets.predict(output))
    np.testing.assert_array_equal(targets.encode(y)[0], targets.encode(y)[0])


def test_logarithms_of_probabilities_stay_finite_where_these_vanish():
    targets = Targets.from_labels(["cat", "owl", "dog"])
    output = np.array([[0.0, 2000.0, -3.0], [1.0, 2.0, 3.0]])
    found = targets.predict_log_proba(output)
    assert targets.predict_proba(output)[0, 0] == 0
    np.testing.assert_allclose(found, log_softmax(output, axis=1))
    assert found[0, 0] == -2000


def test_logarithms_of_probabilities_of_several_labels():
    targets = Targets.from_labels([[0, 1], [1, 0]])
    output = np.array([[-2000.0, 0.5]])
    np.testing.assert_allclose(targets.predict_log_proba(output), log_expit(output))


def test_logarithms_of_probabilities_of_several_tasks():
    targets = Targets.from_labels(
        {"a": ["x", "y"], "b": [0.5, 1.5]}, tasks=[{}, {"kind": "regression"}]
    )
    first, second = targets.predict_log_proba(np.array([[0.0, 1.0, 0.3]]))
    np.testing.assert_allclose(first, log_softmax([[0.0, 1.0]], axis=1))
    assert second is None
