"""Callbacks of scikit-learn: which tasks they are told of, and what they can stop."""

import pickle

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, PredefinedSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    CORAL,
    KMM,
    AutoencoderFeatures,
    ConSE,
    DomainClassifierWeights,
    FineTunedClassifier,
    FineTunedFeatures,
    ImportanceWeighted,
    LabelShiftWeights,
    MultimodalVectorizer,
    PretrainedFeatures,
    PrototypeClassifier,
    TargetDomain,
    ZeroShotClassifier,
    make_multimodal_pipeline,
)
from sklearn_transfer._callbacks import count_parts
from tests import small_networks

callback = pytest.importorskip(
    "sklearn.callback", reason="scikit-learn has callbacks from 1.9 on"
)

Y = np.array([0, 1] * 6)
TABLE = np.random.default_rng(0).normal(size=(12, 3)) + 3 * Y[:, None]
TARGET = TargetDomain(TABLE[:5] + 1)


class Watching:
    """Callback that notes which tasks have begun and ended."""

    def __init__(self):
        self.begun, self.ended, self.n_set_up, self.n_torn_down = [], [], 0, 0

    def setup(self, estimator, context):
        self.n_set_up += 1

    def teardown(self, estimator, context):
        self.n_torn_down += 1

    def on_fit_task_begin(self, estimator, context):
        assert context.parent not in self.ended, "a task has begun after its parent's end"
        self.begun.append(context)

    def on_fit_task_end(self, estimator, context):
        open_ones = [c for c in self.begun if c.parent is context and c not in self.ended]
        assert open_ones == [], "a task has ended before its subtasks"
        self.ended.append(context)

    def list_paths(self):
        """Names of the tasks that have ended, each with those of its ancestors."""
        return {
            tuple(f"{c.estimator_name}.{c.task_name}" for c in trace(c)) for c in self.ended
        }

    def count(self, name):
        """Number of ended tasks of a name."""
        return sum(context.task_name == name for context in self.ended)


class WatchingAll(Watching):
    """The same for estimators inside others too."""

    max_propagation_depth = None


class Looking(Watching):
    """Keeps what is given as the fitted estimator at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        super().on_fit_task_end(estimator, context)
        if context.task_name == "epoch":
            self.found.append(fitted_estimator)


class Stopping(Watching):
    """Ends a loop after some tasks of a name."""

    def __init__(self, name, n_tasks):
        super().__init__()
        self.name, self.n_tasks = name, n_tasks

    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        return self.count(self.name) >= self.n_tasks


class Failing(Watching):
    """Raises an error at the end of the first task of a name."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def on_fit_task_end(self, estimator, context):
        if context.task_name == self.name:
            raise ArithmeticError(f"no more {self.name}")


def trace(context):
    """Contexts from the root to this one."""
    return [*(trace(context.parent) if context.parent is not None else []), context]


def tuner(**options):
    options = {"freeze": None, "max_epochs": 1, **options}
    return FineTunedClassifier(small_networks.perceptron, preprocess=None, **options)


def encoder(**options):
    return AutoencoderFeatures(2, preprocess=None, **{"max_epochs": 1, **options})


def features(**options):
    return PretrainedFeatures(small_networks.mlp, preprocess=None, **options)


MODELS = {
    "fine-tuning": (tuner(), {}),
    "fine-tuning in phases": (tuner(schedule="lp-ft", early_stopping=True, max_epochs=2), {}),
    "adaptation": (tuner(adapt="mcc", freeze="all"), {"X_target": TARGET}),
    "prototypes": (PrototypeClassifier(), {}),
    "zero shot": (ZeroShotClassifier(), {"attributes": {0: [0.0], 1: [1.0]}}),
    "features": (make_pipeline(features(), LogisticRegression()), {}),
    "table": (make_multimodal_pipeline(LogisticRegression()), {}),
    "autoencoder": (make_pipeline(encoder(), LogisticRegression()), {}),
    "crossed": (make_pipeline(FineTunedFeatures(tuner(), cv=2), LogisticRegression()), {}),
    "alignment": (
        Pipeline([("scale", StandardScaler()), ("a", CORAL()), ("c", LogisticRegression())]),
        {"a__X_target": TARGET},
    ),
    "weights": (ImportanceWeighted(LogisticRegression(), KMM()), {"X_target": TARGET}),
    "weights by classifier": (
        ImportanceWeighted(
            tuner(), DomainClassifierWeights(cv=2, max_ratio=2), representation=features()
        ),
        {"X_target": TARGET},
    ),
    "weights of classes": (
        ImportanceWeighted(PrototypeClassifier(), LabelShiftWeights(cv=2)),
        {"X_target": TARGET},
    ),
}


@pytest.mark.parametrize(("model", "params"), MODELS.values(), ids=MODELS)
def test_a_search_with_callbacks_does_not_warn(model, params):
    watching = WatchingAll()
    search = GridSearchCV(model, {}, cv=2).set_callbacks(watching)
    search.fit(TABLE, Y, **params)
    assert sorted(map(id, watching.begun)) == sorted(map(id, watching.ended))
    assert watching.n_set_up == watching.n_torn_down == 1
    for name in ("_parent_callback_ctx", "_skl_callbacks", "_callback_fit_ctx"):
        assert not hasattr(search.best_estimator_, name)


def test_progress_nests_search_fold_pass_and_rows():
    watching = WatchingAll()
    GridSearchCV(MODELS["features"][0], {}, cv=2).set_callbacks(watching).fit(TABLE, Y)
    assert (
        "GridSearchCV.fit",
        "GridSearchCV.search",
        "Pipeline.fit",
        "PretrainedFeatures.fit-transform",
        "PretrainedFeatures.rows",
    ) in watching.list_paths()
    assert watching.count("rows") == 6 + 6 + 12


def test_progress_nests_search_fold_and_epoch():
    watching = WatchingAll()
    search = GridSearchCV(tuner(max_epochs=3), {}, cv=2).set_callbacks(watching)
    search.fit(TABLE, Y)
    path = ("GridSearchCV.fit", "GridSearchCV.search", "FineTunedClassifier.fit")
    assert (*path, "FineTunedClassifier.epoch") in watching.list_paths()
    assert watching.count("epoch") == 3 * 3


def test_folds_of_fine_tuned_features_hold_epochs():
    watching = WatchingAll()
    FineTunedFeatures(tuner(), cv=3).set_callbacks(watching).fit_transform(TABLE, Y)
    root = "FineTunedFeatures.fit-transform"
    found = [c for c in watching.ended if c.source_task_name == "fold"]
    assert [c.parent.task_name for c in found] == ["fit-transform"] * 3
    assert (root, "FineTunedClassifier.fit", "FineTunedClassifier.epoch") in (
        watching.list_paths()
    )
    assert (root, "FineTunedFeatures.prepare", "FineTunedFeatures.pass") in {
        path[:3] for path in watching.list_paths()
    }


@pytest.mark.parametrize(
    ("cv", "n_tasks"), [(3, 5), (KFold(2), 4), (PredefinedSplit(np.arange(12) // 6), None)]
)
def test_the_number_of_folds_is_told_where_it_is_known(cv, n_tasks):
    watching = Watching()
    FineTunedFeatures(tuner(), cv=cv).set_callbacks(watching).fit_transform(TABLE, Y)
    assert watching.begun[0].max_subtasks == n_tasks
    assert watching.count("fit-estimator") == 1


def test_activations_of_frozen_layers_are_a_pass_of_the_preparation():
    X = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    watching = Watching()
    model = FineTunedClassifier(small_networks.staged(), freeze="early", max_epochs=1)
    model.set_callbacks(watching).fit(X, Y[:6])
    path = [f"FineTunedClassifier.{name}" for name in ("fit", "prepare", "pass", "rows")]
    assert tuple(path) in watching.list_paths()


def test_columns_of_a_table_hold_passes(tmp_path):
    paths = []
    for i in range(6):
        Image.new("RGB", (32, 32), (40 * i, 9, 9)).save(tmp_path / f"{i}.png")
        paths.append(str(tmp_path / f"{i}.png"))
    texts = ["some words here"] * 5 + ["and other ones"]
    table = pd.DataFrame({"photo": paths, "note": texts})
    watching = WatchingAll()
    model = MultimodalVectorizer(
        image=PretrainedFeatures("test_resnet", weights=None),
        specific_transformers=[(CountVectorizer(), ["note"])],
    )
    model.set_callbacks(watching).fit(table)
    assert (
        "MultimodalVectorizer.fit-transform",
        "PretrainedFeatures.fit-transform",
        "PretrainedFeatures.rows",
    ) in watching.list_paths()
    assert watching.count("fit-transform-note") == 1
    steps = model.transformer_.transformers + model.transformer_.transformers_
    assert {getattr(step, "task", None) for _, step, _ in steps} == {None}


def test_images_and_class_names_of_conse_are_passes():
    X = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    watching = WatchingAll()
    names = [f"kind {i}" for i in range(1000)]
    model = ConSE(
        PretrainedFeatures("test_resnet", weights=None), CountVectorizer(), class_names=names
    )
    found = model.set_callbacks(watching).fit_transform(X)
    assert watching.count("fit-transform-text") == 1
    assert watching.count("rows") == 4
    assert np.array_equal(found, clone(model).set_callbacks().fit(X).transform(X))


@pytest.mark.parametrize("model", [features(), tuner(), encoder()], ids=type)
def test_predicting_transforming_and_scoring_are_silent(model):
    watching = Watching()
    model = clone(model).set_callbacks(watching).fit(TABLE, Y)
    n_told = len(watching.begun)
    for method in ("transform", "predict", "predict_proba"):
        if hasattr(model, method):
            getattr(model, method)(TABLE)
    if hasattr(model, "partial_fit"):
        model.score(TABLE, Y)
        model.partial_fit(TABLE, Y)
    assert len(watching.begun) == n_told


@pytest.mark.parametrize(("n_rows", "n_parts"), [(1, 1), (7, 7), (250, 100)])
def test_a_pass_has_a_part_for_each_row_and_at_most_a_hundred(n_rows, n_parts):
    watching = Watching()
    X = np.random.default_rng(0).normal(size=(n_rows, 3))
    features(batch_size=16).set_callbacks(watching).fit_transform(X)
    assert watching.count("rows") == count_parts(n_rows) == n_parts
    assert watching.ended[-1].max_subtasks == n_parts


def test_parts_of_a_pass_are_told_for_rows_that_are_known_equal_or_bad():
    X = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), None, b"no image"]
    model = PretrainedFeatures("test_resnet", weights=None, on_error="nan")
    for _ in range(2):
        watching = Watching()
        with pytest.warns(UserWarning, match="2 of 4 samples"):
            clone(model).set_callbacks(watching).fit_transform(X)
        assert watching.count("rows") == 4


class Doubling(PretrainedFeatures):
    """Features of a user's own subclass."""

    def transform(self, X):
        return 2 * super().transform(X)


def test_a_pass_is_that_of_a_subclass_with_a_transform_of_its_own():
    model = Doubling(small_networks.mlp, preprocess=None)
    assert np.array_equal(model.fit_transform(TABLE), 2 * features().fit_transform(TABLE))


TRAININGS = {
    "all layers": tuner(max_epochs=4),
    "probe first": tuner(schedule="lp-ft", max_epochs=4),
    "best epoch": tuner(max_epochs=4, early_stopping=9, validation_fraction=0.4, lr=0.5),
    "autoencoder": encoder(max_epochs=4),
    "best code": encoder(max_epochs=4, early_stopping=9, noise=0.5, lr=0.9),
}


@pytest.mark.parametrize("model", TRAININGS.values(), ids=TRAININGS)
def test_a_callback_ends_a_training_after_an_epoch(model):
    looking, stopping = Looking(), Stopping("epoch", 2)
    model = clone(model).set_callbacks(looking, stopping).fit(TABLE, Y)
    n_epochs = sum(entry["phase"] != "probe" for entry in model.history_)
    assert n_epochs == len(looking.found) == 2
    assert model.n_iter_ == len(model.history_)
    assert np.array_equal(model.transform(TABLE), looking.found[-1].transform(TABLE))
    assert stopping.ended[-1].task_name == "fit"


def test_the_best_epoch_is_restored_when_a_callback_ends_the_training():
    options = {"max_epochs": 30, "lr": 0.9, "early_stopping": 30, "validation_fraction": 0.4}
    y = np.random.default_rng(2).permutation(Y)  # which the table tells nothing of
    looking = Looking()
    model = tuner(**options).set_callbacks(looking, Stopping("epoch", 12)).fit(TABLE, y)
    best = [entry["epoch"] for entry in model.history_ if entry["best"]]
    losses = [entry["valid_loss"] for entry in model.history_]
    assert best == [int(np.argmin(losses)) + 1]
    assert best[0] < len(losses) == 12
    again = tuner(**options).set_callbacks(Stopping("epoch", best[0]))
    again.fit(TABLE, y)
    for same in (again, looking.found[-1], looking.found[best[0] - 1]):
        assert np.array_equal(model.predict_proba(TABLE), same.predict_proba(TABLE))


@pytest.mark.parametrize(
    "options", [{}, {"freeze": "early"}, {"freeze": None, "augment": "flip"}]
)
def test_looking_at_each_epoch_changes_nothing(options):
    X = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    model = FineTunedClassifier(small_networks.staged(), max_epochs=3)
    model.set_params(**options)
    looking = Looking()
    watched = clone(model).set_callbacks(looking).fit(X, Y[:8])
    assert np.array_equal(
        watched.predict_proba(X), clone(model).fit(X, Y[:8]).predict_proba(X)
    )
    first, *_, last = [found.predict_proba(X) for found in looking.found]
    assert np.allclose(last, watched.predict_proba(X), atol=1e-6)
    assert np.abs(first - last).max() > 1e-4


def test_a_monitor_scores_epochs_on_paths(tmp_path):
    paths = []
    for i in range(8):
        color = (250, 9, 9) if i % 2 else (9, 9, 250)
        Image.new("RGB", (32, 32), color).save(tmp_path / f"{i}.png")
        paths.append(str(tmp_path / f"{i}.png"))
    labels = ["blue", "red"] * 4
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = FineTunedClassifier(small_networks.staged(), max_epochs=2)
    model.set_callbacks(monitor).fit(paths, labels, sample_weight=np.arange(1, 9))
    found = [row["accuracy"] for row in monitor.get_logs().data]
    assert len(found) == 3  # the fit and its epochs
    assert found[0] == found[-1] == model.score(paths, labels, np.arange(1, 9))


def test_callbacks_get_the_rows_of_the_source_alone():
    class Taking(Watching):
        def on_fit_task_end(self, estimator, context, *, X, y, metadata):
            self.ended.append((X, y, metadata["sample_weight"]))

    domain, weights = np.where(np.arange(12) < 8, 1, -1), np.arange(1.0, 13)
    taking = Taking()
    model = tuner(adapt="mcc").set_callbacks(taking)
    model.fit(TABLE, Y, sample_weight=weights, sample_domain=domain)
    X, y, found = taking.ended[-1]
    assert np.array_equal(X, TABLE[:8])
    assert np.array_equal(y, Y[:8])
    assert np.array_equal(found, weights[:8])


@pytest.mark.parametrize("model", [tuner(max_epochs=3), encoder(max_epochs=3)], ids=type)
def test_an_error_of_a_callback_surfaces_and_leaves_an_estimator_to_be_fitted(model):
    failing = Failing("epoch")
    model = clone(model).set_callbacks(failing)
    with pytest.raises(ArithmeticError, match="no more epoch"):
        model.fit(TABLE, Y)
    assert failing.n_torn_down == 1
    assert not hasattr(model, "history_")
    found = model.set_callbacks().fit(TABLE, Y).transform(TABLE)
    assert np.array_equal(found, clone(model).fit(TABLE, Y).transform(TABLE))


def test_an_error_of_a_callback_ends_a_pass():
    model = features(cache=None).set_callbacks(Failing("rows"))
    with pytest.raises(ArithmeticError, match="no more rows"):
        model.fit_transform(TABLE)
    assert model.set_callbacks().fit_transform(TABLE).shape == (12, 5)


def test_an_error_of_a_callback_frees_the_table():
    failing = Failing("fit-transform-note")
    table = pd.DataFrame({"note": ["some words here", "and other ones"] * 3})
    model = MultimodalVectorizer(specific_transformers=[(CountVectorizer(), ["note"])])
    with pytest.raises(ArithmeticError, match="no more fit-transform-note"):
        model.set_callbacks(failing).fit(table)
    assert model.transformer_.transformers[0][1].task is None


class Pickling(Watching):
    """Pickles the estimator in the middle of its fit; cannot be pickled itself."""

    def __init__(self):
        super().__init__()
        self.own, self.pickles = lambda: None, []

    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        self.pickles.append(pickle.dumps(estimator))


@pytest.mark.parametrize("model", [tuner(), encoder(), features(), KMM()], ids=type)
def test_pickles_in_the_middle_of_a_fit_hold_no_callbacks(model):
    pickling = Pickling()
    model = clone(model).set_callbacks(pickling)
    if isinstance(model, KMM):
        model.fit(TABLE, X_target=TARGET)
    else:
        model.fit_transform(TABLE, Y)
    restored = pickle.loads(pickling.pickles[0])
    assert restored.get_params().keys() == model.get_params().keys()
    assert not hasattr(restored, "_skl_callbacks")
    assert not hasattr(restored, "_callback_fit_ctx")


def test_kernel_mean_matching_stops_after_a_round():
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(1500, 3)), rng.normal(loc=1, size=(200, 3))
    full = KMM(B=5).fit(X, X_target=X_target)
    stopping = Stopping("round", 1)
    with pytest.warns(UserWarning, match="KMM stopped after 1 rounds"):
        found = KMM(B=5).set_callbacks(stopping).fit(X, X_target=X_target)
    assert full.n_iter_ > found.n_iter_ == 1
    assert found.objective_ > full.objective_
    assert found.weights_.mean() == pytest.approx(1)


def test_scorers_in_callbacks_of_an_inner_estimator_keep_their_requests():
    from sklearn import config_context
    from sklearn.metrics import accuracy_score, make_scorer

    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        monitor = callback.ScoringMonitor(scoring=scorer)
        inner = LogisticRegression().set_callbacks(monitor)
        ImportanceWeighted(inner).fit(TABLE, Y, X_target=TARGET)
        assert scorer._metadata_request.score.requests == {"sample_weight": True}


def test_estimators_without_callbacks_tell_nobody(monkeypatch):
    made = []

    def note(*args, **kwargs):
        made.append(kwargs)
        raise AssertionError("a subtask was made")

    monkeypatch.setattr(callback.CallbackContext, "subcontext", note)
    tuner(max_epochs=2).fit(TABLE, Y)
    encoder(max_epochs=2).fit(TABLE)
    features().fit_transform(TABLE)
    KMM().fit(TABLE, X_target=TARGET)
    assert made == []


def test_the_bar_shows_all_levels(capsys):
    pytest.importorskip("rich", reason="the bar is drawn by rich")
    bar = callback.ProgressBar(max_propagation_depth=None)
    GridSearchCV(MODELS["features"][0], {}, cv=2).set_callbacks(bar).fit(TABLE, Y)
    found = capsys.readouterr().out
    assert "GridSearchCV - search #0" in found
    assert "PretrainedFeatures" in found


@pytest.mark.slow
def test_searches_in_several_processes_are_told_of():
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = tuner(max_epochs=2).set_callbacks(monitor)
    bar = callback.ProgressBar(max_propagation_depth=None)
    search = GridSearchCV(model, {"lr": [0.01, 0.1]}, cv=2, n_jobs=2).set_callbacks(bar)
    search.fit(TABLE, Y)
    tasks = [row["task_name"] for row in monitor.get_logs().data]
    assert tasks.count("epoch") == 2 * (4 + 1)
