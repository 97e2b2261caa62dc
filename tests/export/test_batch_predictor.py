"""Batches of every form: what comes back, which names and types it has, what is refused."""

import pickle
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR

from sklearn_transfer import (
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedFeatures,
    batch_predictor,
)
from sklearn_transfer._networks.machine import count_cores, count_share, use_cores
from sklearn_transfer.export import _batch_predictor
from sklearn_transfer.export._batch_predictor import load
from tests.processes import call
from tests.small_networks import CountingNet, trained_net

pd = pytest.importorskip("pandas", reason="pandas is not installed")
pl = pytest.importorskip("polars", reason="polars is not installed")
pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")

TEXTS = ["a cat", "my cat sat", "a dog", "my dog ran", "one cow", "that cow"]
ANIMALS = np.array(["cat", "cat", "dog", "dog", "cow", "cow"])
ADDED = ["predict_proba_cat", "predict_proba_cow", "predict_proba_dog"]
RNG = np.random.default_rng(0)
NUMBERS, TARGETS = RNG.normal(size=(30, 4)), RNG.normal(size=30)
IMAGES = RNG.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
LABELS, TAGS = np.arange(30) % 3, (RNG.random((30, 2)) > 0.5).astype(int)


@pytest.fixture(scope="module")
def pipe():
    return make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, ANIMALS)


@pytest.fixture
def frame():
    return pd.DataFrame({"id": range(6), "text": TEXTS}, index=list("abcdea"))


def as_dict(frame):
    return {name: frame[name].to_numpy() for name in frame}


FORMS = {
    "pandas": lambda frame: frame,
    "polars": lambda frame: pl.from_pandas(frame),
    "table": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "chunks": lambda frame: pa.concat_tables(
        [pa.Table.from_pandas(part, preserve_index=False) for part in (frame[:2], frame[2:])]
    ),
    "records": lambda frame: pa.RecordBatch.from_pandas(frame, preserve_index=False),
    "arrays": as_dict,
    "lists": lambda frame: {name: frame[name].tolist() for name in frame},
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gets_the_same_columns(form, pipe, frame):
    batch = FORMS[form](frame)
    found = batch_predictor(pipe, column="text")(batch)
    assert type(found) is type(batch)
    names = found.column_names if hasattr(found, "column_names") else list(found)
    if form == "records":
        names = found.schema.names
    elif form == "polars":
        names = found.columns
    assert names == ["id", "text", *ADDED]
    values = np.column_stack([np.asarray(found[name]) for name in ADDED])
    np.testing.assert_array_equal(values, pipe.predict_proba(TEXTS))
    assert list(np.asarray(found["id"])) == list(range(6))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ["predict_proba", "predict", "decision_function"])
def test_an_empty_batch_has_the_names_and_types_of_others(form, method, pipe, frame):
    predict = batch_predictor(pipe, method, column="text")
    full, empty = predict(FORMS[form](frame)), predict(FORMS[form](frame[:0]))
    if form == "pandas":
        assert empty.dtypes.equals(full.dtypes)
    elif form in ("arrays", "lists"):
        assert list(empty) == list(full)
        new = predict.get_feature_names_out()
        assert [empty[n].dtype.kind for n in new] == [full[n].dtype.kind for n in new]
    else:
        assert empty.schema == full.schema


def test_labels_as_objects_have_one_type_in_full_and_empty_batches(frame):
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    model.fit(TEXTS, ANIMALS.astype(object))
    predict = batch_predictor(model, "predict", column="text")
    assert predict(frame[:0]).dtypes.equals(predict(frame).dtypes)
    assert predict(pa.table(as_dict(frame[:0]))).schema.field("predict").type == pa.string()


def test_the_index_stays_with_its_repeated_labels(pipe, frame):
    found = batch_predictor(pipe, column="text")(frame)
    assert found.index.equals(frame.index)


def test_the_batch_itself_is_left_alone(pipe, frame):
    before = frame.copy()
    batch_predictor(pipe, column="text")(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_indices_and_columns_of_two_levels_stay(pipe, frame):
    frame.index = pd.MultiIndex.from_product([[0, 1], [0, 1, 2]])
    frame.columns = pd.MultiIndex.from_tuples([("a", "id"), ("a", "text")])
    found = batch_predictor(pipe, "predict", column=("a", "text"))(frame)
    assert found.columns.tolist() == [("a", "id"), ("a", "text"), ("predict", "")]
    assert found.index.equals(frame.index)


@pytest.mark.parametrize(("library", "values"), [(pd, "data"), (pl, "values")])
def test_a_series_becomes_a_frame(library, values, pipe):
    found = batch_predictor(pipe, "predict")(library.Series(name="text", **{values: TEXTS}))
    assert list(found.columns) == ["text", "predict"]
    assert list(found["predict"]) == list(pipe.predict(TEXTS))


def test_an_iterator_gives_an_iterator_that_reads_as_it_is_asked(pipe, frame):
    read = []
    batches = (read.append(k) or frame[k : k + 2] for k in range(0, 6, 2))
    found = batch_predictor(pipe, "predict", column="text")(batches)
    assert read == []
    assert next(found).shape == (2, 3)
    assert read == [0]
    assert len(list(found)) == 2


def test_a_pandas_partition_of_strings_keeps_its_type(pipe, frame):
    frame["text"] = frame["text"].astype("string[pyarrow]")
    found = batch_predictor(pipe, "predict", column="text")(frame)
    assert found["text"].dtype == "string[pyarrow]"


def test_images_as_arrays_are_taken_from_a_dict():
    images = IMAGES[:4]
    features = PretrainedFeatures(trained_net()).fit(images)
    found = batch_predictor(features, "transform")({"image": images})
    assert found["image"] is images
    assert found["embedding_0"].dtype == np.float32
    expected = features.transform(images)
    np.testing.assert_allclose(np.column_stack(list(found.values())[1:]), expected, rtol=1e-6)


def test_tensors_are_taken_from_pyarrow():
    images = IMAGES[:4]
    features = PretrainedFeatures(trained_net()).fit(images)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(images)
    found = batch_predictor(features, "transform")(pa.table({"image": tensors}))
    assert found.column_names[1] == "embedding_0"
    np.testing.assert_allclose(
        found["embedding_0"].to_numpy(), features.transform(images)[:, 0], rtol=1e-6
    )


@pytest.mark.parametrize("form", ["pandas", "polars", "table", "records", "arrays"])
def test_named_columns_are_chosen_among_others(form):
    frame = pd.DataFrame(NUMBERS, columns=list("abcd"))
    model = LinearRegression().fit(frame[["c", "a"]], TARGETS)
    found = batch_predictor(model, "predict")(FORMS[form](frame))
    np.testing.assert_allclose(np.asarray(found["predict"]), model.predict(frame[["c", "a"]]))


def test_a_list_of_columns_gives_a_table():
    frame = pd.DataFrame(NUMBERS, columns=list("abcd"))
    model = LinearRegression().fit(NUMBERS[:, :2], TARGETS)
    with pytest.warns(UserWarning, match="fitted without feature names"):
        found = batch_predictor(model, "predict", column=["a", "b"])(frame)
    np.testing.assert_allclose(found["predict"], model.predict(NUMBERS[:, :2]))


TASKS = [{"kind": "multiclass"}, {"kind": "regression"}]


def fine_tuned(kind, y, **params):
    return kind(trained_net(), max_epochs=1, freeze="all", **params).fit(IMAGES, y), IMAGES


def on_numbers(estimator, y):
    return estimator.fit(NUMBERS, y), NUMBERS


FITTED = {
    "binary": lambda: on_numbers(LogisticRegression(), TAGS[:, 0]),
    "classes": lambda: on_numbers(LogisticRegression(), LABELS),
    "booleans": lambda: on_numbers(LogisticRegression(), LABELS > 0),
    "objects": lambda: on_numbers(LogisticRegression(), ANIMALS.astype(object).repeat(5)),
    "search": lambda: on_numbers(
        GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2), LABELS
    ),
    "pairs": lambda: on_numbers(SVC(decision_function_shape="ovr"), LABELS),
    "several": lambda: on_numbers(RandomForestClassifier(9, max_depth=1), np.c_[LABELS, TAGS]),
    "tags": lambda: on_numbers(OneVsRestClassifier(LogisticRegression()), TAGS),
    "tags of mlp": lambda: on_numbers(MLPClassifier(4, solver="lbfgs", max_iter=5000), TAGS),
    "one each": lambda: on_numbers(MultiOutputClassifier(LogisticRegression()), TAGS),
    "numbers": lambda: on_numbers(Ridge(), TARGETS),
    "two numbers": lambda: on_numbers(Ridge(), np.c_[TARGETS, TARGETS]),
    "forest": lambda: on_numbers(RandomForestRegressor(5), TARGETS),
    "forest of two": lambda: on_numbers(RandomForestRegressor(5), np.c_[TARGETS, TARGETS]),
    "neighbors": lambda: on_numbers(KNeighborsRegressor(), np.c_[TARGETS, TARGETS]),
    "vectors": lambda: on_numbers(SVR(kernel="linear"), TARGETS),
    "target": lambda: on_numbers(TransformedTargetRegressor(Ridge()), np.c_[TARGETS, TARGETS]),
    "regressors": lambda: on_numbers(MultiOutputRegressor(Ridge()), np.c_[TARGETS, TARGETS]),
    "clusters": lambda: on_numbers(KMeans(3, n_init=1), None),
    "outliers": lambda: on_numbers(IsolationForest(n_estimators=5), None),
    "tuned": lambda: fine_tuned(FineTunedClassifier, ANIMALS.repeat(5)),
    "tuned tags": lambda: fine_tuned(FineTunedClassifier, TAGS),
    "tuned numbers": lambda: fine_tuned(FineTunedRegressor, np.c_[TARGETS, TARGETS]),
    "tuned tasks": lambda: fine_tuned(
        FineTunedClassifier, pd.DataFrame({"a": LABELS, "b": TARGETS}), tasks=TASKS
    ),
}


@pytest.mark.parametrize("kind", FITTED)
def test_names_and_types_are_known_without_a_call(kind):
    model, X = FITTED[kind]()
    batch = {"x": X}
    for method in _batch_predictor.METHODS:
        if not hasattr(model, method) or (method == "transform" and kind != "clusters"):
            continue
        predict = batch_predictor(model, method)
        full, empty = predict(batch), predict({"x": X[:0]})
        names = list(full)[1:]
        assert list(predict.get_feature_names_out()) == names == list(empty)[1:], method
        assert [full[n].dtype.kind for n in names] == [empty[n].dtype.kind for n in names]
        outputs = getattr(model, method)(X)
        outputs = [o for o in outputs if o is not None] if type(outputs) is list else [outputs]
        expected = np.column_stack([np.asarray(o, dtype=object) for o in outputs])
        found = np.column_stack([full[n].astype(object) for n in names])
        if method == "transform":
            np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=1e-6)
        else:
            assert found.tolist() == expected.tolist()


def test_one_for_each_pair_of_classes_is_numbered():
    model = SVC(decision_function_shape="ovo").fit(NUMBERS, np.arange(30) % 4)
    found = batch_predictor(model, "decision_function")({"x": NUMBERS})
    assert list(found)[1:] == [f"decision_function_{k}" for k in range(6)]


def test_features_keep_the_names_of_a_frame():
    steps = [("a", StandardScaler(), ["a"]), ("b", "passthrough", ["d"])]
    frame = pd.DataFrame(NUMBERS, columns=list("abcd"))
    model = ColumnTransformer(steps).set_output(transform="pandas").fit(frame)
    found = batch_predictor(model, "transform")(frame)
    assert list(found.columns[4:]) == ["a__a", "b__d"]
    assert (found.dtypes[4:] == np.float32).all()


def test_a_class_of_a_notebook_travels_by_value():
    source = """
from sklearn.base import BaseEstimator
class Own(BaseEstimator):
    def fit(self, X=None, y=None):
        self.fitted_ = True
        return self
    def predict(self, X):
        return [7.0] * len(X)
"""
    notebook = {"__name__": "__main__"}
    exec(source, notebook)
    predict = batch_predictor(notebook["Own"]().fit(), "predict")
    assert predict({"x": NUMBERS})["predict"].tolist() == [7.0] * 30


def test_a_pickle_is_hardly_longer_than_that_of_the_estimator(pipe):
    predict = batch_predictor(pipe, column="text")
    assert len(pickle.dumps(predict)) < len(pickle.dumps(pipe)) + 500


def test_a_process_makes_the_estimator_once(pipe, monkeypatch):
    monkeypatch.setattr(_batch_predictor, "_loaded", type(_batch_predictor._loaded)())
    content = pickle.dumps(batch_predictor(pipe, column="text"))
    barrier = Barrier(4)

    def work(_):
        barrier.wait()
        return load(pickle.loads(content))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    assert len({id(estimator) for estimator in found}) == 1


def test_few_estimators_are_kept(monkeypatch):
    monkeypatch.setattr(_batch_predictor, "_loaded", type(_batch_predictor._loaded)())
    for C in range(1, 9):
        model = LogisticRegression(C=C).fit(NUMBERS, LABELS)
        batch_predictor(model)({"x": NUMBERS})
    assert len(_batch_predictor._loaded) == 4


def test_later_changes_of_the_estimator_have_no_effect(frame):
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, ANIMALS)
    predict = batch_predictor(model, "predict", column="text")
    model.fit(TEXTS, ANIMALS[::-1])
    assert predict(frame)["predict"].tolist() == ANIMALS.tolist()


def _predict_in_threads(predict, images):
    CountingNet.reset()
    built = []
    from sklearn_transfer._networks import registry

    build = registry._build
    registry._build = lambda *args: built.append(args) or build(*args)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(predict, [{"x": images}, {"x": images[:5]}, {"x": images[3:]}]))
    return len(built), CountingNet.images_seen, found[0]


@pytest.fixture(scope="module")
def tuned_here():
    model = make_pipeline(PretrainedFeatures(trained_net()), LogisticRegression())
    return model.fit(IMAGES[:9], LABELS[:9]), IMAGES[:9]


def test_a_new_process_with_threads_builds_the_network_once(tuned_here):
    model, images = tuned_here
    n_built, n_seen, found = call(_predict_in_threads, batch_predictor(model), images)
    assert (n_built, n_seen) == (1, 9)
    expected = model.predict_proba(images)[:, 0]
    np.testing.assert_allclose(found["predict_proba_0"], expected, rtol=1e-5)


def _predict_in_a_fork(predict, images):
    import multiprocessing

    here = predict({"x": images})
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        there = pool.map(predict, [{"x": images[::-1]}] * 2)
    return here["predict_proba_0"], [found["predict_proba_0"][::-1] for found in there]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children_predict_the_same(tuned_here):
    model, images = tuned_here
    here, there = call(_predict_in_a_fork, batch_predictor(model), images)
    np.testing.assert_allclose(there, [here, here], rtol=1e-6)


def test_cores_that_are_given_go_before_others():
    with use_cores(3):
        assert count_cores() == 3
    with use_cores(None):
        assert count_cores() == 1


@pytest.mark.parametrize(
    ("stated", "n_tasks", "expected"), [(None, 2, 2), ("1", 4, 4), ("3", 2, 6), ("8", 9, 16)]
)
def test_the_share_of_a_worker_follows_its_tasks(stated, n_tasks, expected, monkeypatch):
    monkeypatch.setattr("sklearn_transfer._networks.machine._count_physical", lambda: 16)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if stated is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert count_share(n_tasks) == expected


def test_an_engine_takes_the_cores_of_a_worker(tuned_here, monkeypatch):
    model, images = tuned_here
    seen = Counter()
    monkeypatch.setattr(_batch_predictor, "count_worker_cores", lambda: 2)
    monkeypatch.setattr(
        "sklearn_transfer._networks.engines.torch.TorchEngine.__init__",
        lambda engine, plan: seen.update([plan.n_threads]) or _stop(),
    )
    with pytest.raises(StopIteration):
        batch_predictor(model)({"x": images[:, ::-1]})
    assert seen == {2: 1}


def _stop():
    raise StopIteration


@pytest.mark.parametrize("batch", [[1, 2], np.zeros((2, 2)), "text", None, 3])
def test_other_batches_are_refused(batch, pipe):
    predict = batch_predictor(pipe)
    with pytest.raises(TypeError, match="expected a DataFrame or Series of pandas"):
        predict(batch)


def test_a_lazy_frame_is_refused_with_the_repair(pipe, frame):
    predict, lazy = batch_predictor(pipe, column="text"), pl.from_pandas(frame).lazy()
    with pytest.raises(TypeError, match=r"pass it to LazyFrame\.map_batches"):
        predict(lazy)


def test_a_lazy_frame_is_read_in_batches(pipe, frame):
    predict, lazy = batch_predictor(pipe, column="text"), pl.from_pandas(frame).lazy()
    found = lazy.map_batches(predict, validate_output_schema=False).collect()
    assert found.columns == ["id", "text", *ADDED]


def test_an_error_about_columns_says_how_to_select_them(tuned_here):
    model, _ = tuned_here
    predict, frame = batch_predictor(model), pd.DataFrame({"path": ["a"], "site": ["b"]})
    with pytest.raises(ValueError, match="X has 2 columns") as caught:
        predict(frame)
    assert caught.value.__notes__ == ["batch_predictor(..., column=...) selects the samples"]


def test_a_missing_column_is_named(pipe, frame):
    predict = batch_predictor(pipe, column="words")
    with pytest.raises(ValueError, match=r"no column 'words'.*it has \['id', 'text'\]"):
        predict(frame)


def test_a_column_that_is_there_already_is_refused(pipe, frame):
    predict = batch_predictor(pipe, "predict", column="text")
    once = predict(frame)
    with pytest.raises(ValueError, match="has the column 'predict' already"):
        predict(once)


def test_an_unknown_method_is_refused(pipe):
    with pytest.raises(ValueError, match=r"method='fit'; expected one of \['predict_proba'"):
        batch_predictor(pipe, "fit")


def test_a_method_that_the_estimator_lacks_is_refused():
    model = Ridge().fit(NUMBERS, TARGETS)
    with pytest.raises(TypeError, match=r"Ridge has no predict_proba.*\['predict'\]"):
        batch_predictor(model)


def test_an_estimator_that_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        batch_predictor(make_pipeline(CountVectorizer(), LogisticRegression()))


def test_features_without_names_are_refused():
    model = make_pipeline(FunctionTransformer(np.abs), StandardScaler()).fit(NUMBERS)
    predict = batch_predictor(model, "transform")
    with pytest.raises(TypeError, match="feature_names_out='one-to-one'"):
        predict({"x": NUMBERS})


def test_scores_of_pairs_of_classes_are_not_named_by_classes():
    X = np.arange(12.0).reshape(6, 2)
    y = ["a", "b", "c"] * 2
    fitted = SVC(decision_function_shape="ovo").fit(X, y)
    predictor = batch_predictor(fitted, "decision_function")
    names = [f"decision_function_{number}" for number in range(3)]
    assert list(predictor(pd.DataFrame(X)).columns[2:]) == names
    assert list(predictor(pd.DataFrame(X[:0])).columns[2:]) == names


def test_columns_of_different_lengths_are_refused():
    fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="expected one length"):
        batch_predictor(fitted, column="x")({"id": [], "x": np.zeros((1, 1))})
