"""Fine-tuners with a target domain, on tables that a small network takes."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor, TargetDomain
from sklearn_transfer.finetuning.loop.target import TargetBatches
from sklearn_transfer.finetuning.objectives import DANN, MCC, AdaptationObjective, Objective
from tests import small_networks

LABELS = np.array(["ash", "elm", "oak"])


class Progress(AdaptationObjective):
    """Keeps the progress of steps."""

    def loss(self, step):
        self.progress = [*getattr(self, "progress", []), step.progress]
        return super().loss(step)

    def compute(self, step):
        return step.logits.new_zeros(())


def draw_domains(n=60, m=50, angle=0.6, seed=0):
    """Three clusters of the source, and the same ones turned."""
    rng = np.random.default_rng(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centers = 4 * np.array([[1, 0], [-0.5, 0.87], [-0.5, -0.87]])
    codes, others = rng.integers(3, size=n), rng.integers(3, size=m)
    X = (centers[codes] + rng.normal(size=(n, 2))).astype(np.float32)
    T = ((centers[others] + rng.normal(size=(m, 2))) @ turn.T).astype(np.float32)
    return X, LABELS[codes], T, LABELS[others]


def make_module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU())


def make_classifier(**params):
    options = {"preprocess": None, "freeze": None, "max_epochs": 4, "adapt": "mcc"}
    return FineTunedClassifier(make_module(), **{**options, **params})


def make_regressor(**params):
    options = {"preprocess": None, "freeze": None, "max_epochs": 3, "adapt": "coral"}
    return FineTunedRegressor(make_module(), **{**options, **params})


def get_weights(model):
    return {k: v.clone() for k, v in model.net_.module_.state_dict().items()}


def assert_equal_weights(first, second):
    first, second = get_weights(first), get_weights(second)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "word", ["mcc", "infomax", "bnm", "jdot", "coral", "mmd", "cdan", "dann"]
)
@pytest.mark.parametrize("freeze", [None, "all"])
def test_domains_smaller_than_a_batch_are_trained_on(word, freeze):
    X, y, T, _ = draw_domains(60, 50)
    model = make_classifier(adapt=word, freeze=freeze, batch_size=128).fit(X, y, X_target=T)
    alone = make_classifier(adapt=word, freeze=freeze, batch_size=128)
    with pytest.warns(UserWarning, match="and no target samples, so nothing is adapted"):
        alone.fit(X, y)
    assert model.adapt_report_.n_steps == 4
    assert all(np.isfinite(entry["adapt_loss"]) for entry in model.history_)
    assert not np.array_equal(model.predict_proba(T), alone.predict_proba(T))


@pytest.mark.parametrize("word", ["jdot", "coral", "mmd", "dann"])
def test_a_regressor_adapts(word):
    X, _, T, _ = draw_domains()
    model = make_regressor(adapt=word).fit(X, X[:, 0], X_target=T)
    assert model.adapt_report_.n_target == 50
    assert -1 <= model.adapt_report_.agreement <= 1
    assert not hasattr(model, "target_classes_")


def test_a_word_for_classes_is_an_error_in_a_regressor():
    X, _, T, _ = draw_domains()
    with pytest.raises(ValueError, match="mcc|MCC"):
        make_regressor(adapt="mcc").fit(X, X[:, 0], X_target=T)


def test_a_misspelled_word_is_an_error_with_a_suggestion():
    X, y, T, _ = draw_domains()
    with pytest.raises(ValueError, match="Did you mean 'infomax'"):
        make_classifier(adapt="infomx").fit(X, y, X_target=T)


def test_the_same_seed_gives_the_same_bits():
    X, y, T, _ = draw_domains()
    first, second = (make_classifier(adapt="dann").fit(X, y, X_target=T) for _ in range(2))
    assert_equal_weights(first, second)


def test_the_module_the_objective_and_the_arrays_are_untouched():
    X, y, T, _ = draw_domains()
    module, objective = make_module(), MCC(weight=0.5)
    before = copy.deepcopy(module.state_dict()), X.copy(), T.copy(), dict(vars(objective))
    model = make_classifier(adapt=objective).set_params(model=module).fit(X, y, X_target=T)
    assert all(torch.equal(before[0][k], v) for k, v in module.state_dict().items())
    np.testing.assert_array_equal(X, before[1])
    np.testing.assert_array_equal(T, before[2])
    assert vars(objective) == before[3]
    assert model.adapt is objective


def test_labels_of_target_rows_are_never_read():
    X, y, T, _ = draw_domains()
    rows, domain = np.concatenate([X, T]), np.repeat([1, -1], [60, 50])
    found = [
        make_classifier().fit(rows, np.concatenate([y, others]), sample_domain=domain)
        for others in (np.full(50, "ash"), np.tile(LABELS, 17)[:50])
    ]
    assert_equal_weights(*found)
    assert_equal_weights(found[0], make_classifier().fit(X, y, X_target=T))


@pytest.mark.parametrize("freeze", [None, "all"])
def test_without_adapt_a_target_changes_nothing(freeze):
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt=None, freeze=freeze).fit(X, y, X_target=T)
    assert_equal_weights(model, make_classifier(adapt=None, freeze=freeze).fit(X, y))
    assert not hasattr(model, "adapt_report_")


def test_known_labels_of_the_target_join_the_loss():
    X, y, T, u = draw_domains()
    few = np.array([None] * 50, dtype=object)
    few[:10] = u[:10]
    model = make_classifier().fit(X, y, X_target=T, y_target=few)
    assert model.adapt_report_.n_labeled == 70
    domain = make_classifier().fit(X, y, X_target=TargetDomain(T, few))
    assert_equal_weights(model, domain)


def test_a_class_that_only_the_target_holds_is_learned():
    X, y, T, _ = draw_domains()
    few = np.array([None] * 50, dtype=object)
    few[7] = "yew"
    model = make_classifier().fit(X, y, X_target=T, y_target=few)
    assert model.classes_.tolist() == [*LABELS, "yew"]


@pytest.mark.parametrize(
    "codes", [np.array([5, 7, 9]), np.array(["a", "b", "c"]), np.array([0.0, 2.0, 4.0])]
)
def test_labels_of_any_kind_and_weights(codes):
    X, y, T, _ = draw_domains()
    labels = codes[np.searchsorted(LABELS, y)]
    weights = np.random.default_rng(0).random(60)
    model = make_classifier().fit(X.astype(np.float64), labels, weights, X_target=T[:1])
    np.testing.assert_array_equal(model.classes_, codes)
    assert model.target_classes_.sum() == pytest.approx(1)


def test_shares_of_predicted_classes_are_those_of_predictions():
    X, y, T, _ = draw_domains()
    model = make_classifier(max_epochs=10).fit(X, y, X_target=T)
    expected = [(model.predict(T) == label).mean() for label in model.classes_]
    np.testing.assert_allclose(model.target_classes_, expected)
    assert model.adapt_report_.adapted_shares == pytest.approx(expected)
    assert "Adapted in" in str(model.adapt_report_)
    assert "<table" in model.adapt_report_._repr_html_()


class Collapsing(AdaptationObjective):
    """Drives all target rows to the first class."""

    def compute(self, step):
        return -step.target_logits.log_softmax(dim=1)[:, 0].mean()


def test_a_collapse_is_warned_of():
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt=Collapsing(weight=50.0), max_epochs=30, lr=0.01)
    with pytest.warns(UserWarning, match="looks like a collapse. Unless"):
        model.fit(X, y, X_target=T)
    assert model.adapt_report_.is_collapsed
    assert model.target_classes_[0] > 0.9


def test_a_discriminator_has_an_accuracy_in_the_history():
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt="dann").fit(X, y, X_target=T)
    assert all(0 <= entry["discriminator_accuracy"] <= 1 for entry in model.history_)


@pytest.mark.parametrize("freeze", [None, "all"])
def test_saved_and_pickled_networks_predict_the_same(tmp_path, freeze):
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt="dann", freeze=freeze).fit(X, y, X_target=T)
    loaded = FineTunedClassifier.load(model.save(tmp_path) and tmp_path, model=make_module())
    for other in (loaded, pickle.loads(pickle.dumps(model))):
        np.testing.assert_allclose(other.predict_proba(T), model.predict_proba(T), atol=1e-6)
        np.testing.assert_allclose(other.transform(T), model.transform(T), 1e-5, 1e-6)
        np.testing.assert_array_equal(other.target_classes_, model.target_classes_)
        assert other.adapt_report_ == model.adapt_report_


def test_a_bottleneck_gives_the_features_where_all_is_frozen():
    X, y, T, _ = draw_domains()
    model = make_classifier(freeze="all").fit(X, y, X_target=T)
    assert model.transform(T).shape == (50, 256)
    assert make_classifier(freeze="all", adapt=None).fit(X, y).transform(T).shape == (50, 8)


def test_a_search_over_adapt_keeps_the_target_whole():
    X, y, T, _ = draw_domains(60, 60)
    options = {"adapt": [None, "mcc", "coral"], "freeze": ["all"]}
    search = GridSearchCV(make_classifier(max_epochs=2), options, cv=2)
    search.fit(X, y, X_target=TargetDomain(T))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_weights_of_an_objective_are_searched():
    X, y, T, _ = draw_domains()
    search = GridSearchCV(make_classifier(adapt=MCC()), {"adapt__weight": [0.1, 1.0]}, cv=2)
    search.fit(X, y, X_target=TargetDomain(T))
    assert clone(search.best_estimator_).adapt.weight in (0.1, 1.0)


def test_a_pipeline_hands_the_target_on():
    X, y, T, _ = draw_domains()
    pipe = Pipeline([("scale", StandardScaler()), ("clf", make_classifier())])
    pipe.fit(X, y, clf__X_target=StandardScaler().fit(X).transform(T).astype(np.float32))
    assert pipe[-1].adapt_report_.n_target == 50


def test_adapting_to_turned_clusters_helps():
    X, y, T, u = draw_domains(200, 200, angle=0.9)
    options = {"max_epochs": 60, "lr": 3e-3}
    adapted = make_classifier(**options).fit(X, y, X_target=T)
    alone = make_classifier(adapt=None, **options).fit(X, y)
    assert adapted.score(T, u) > alone.score(T, u) + 0.03


def test_the_bottleneck_trains_after_the_first_head():
    X, y, T, _ = draw_domains()
    model = make_classifier(freeze="all", schedule="lp-ft").fit(X, y, X_target=T)
    assert [entry["phase"] for entry in model.history_] == ["probe"] + ["train"] * 4
    assert model.adapt_report_.n_steps == 4 * 2


def test_several_labels_of_the_target_are_0_or_1():
    X, _, T, _ = draw_domains()
    few = np.full(T.shape, np.nan)
    few[4, 0] = 7
    with pytest.raises(ValueError, match="y_target holds other entries: give 0, 1"):
        make_classifier(adapt="coral").fit(X, (X > 0).astype(int), X_target=T, y_target=few)


def test_objectives_warm_up_over_calls_of_partial_fit():
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt=Progress(), max_epochs=4)
    for _ in range(6):
        model.partial_fit(X, y, X_target=T)
    progress = model.net_.adaptation.progress
    np.testing.assert_allclose(progress, [*np.arange(8) / 8, *[0.75, 0.875] * 2])


def test_partial_fit_goes_on_with_another_objective():
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt=None).partial_fit(X, y, X_target=T)
    model.set_params(adapt="dann").partial_fit(X, y, X_target=T)
    groups = model.net_.optimizer_.param_groups
    trained = {id(p) for group in groups for p in group["params"]}
    assert {id(p) for p in model.net_.adaptation.discriminator_.parameters()} <= trained
    assert model.adapt_report_.n_steps == 2


def test_partial_fit_draws_other_target_rows_in_each_call(monkeypatch):
    drawn, take = [], TargetBatches.__next__

    def draw(batches):
        drawn.append(take(batches))
        return drawn[-1]

    monkeypatch.setattr(TargetBatches, "__next__", draw)
    X, y, T, _ = draw_domains(m=300)
    make_classifier().partial_fit(X, y, X_target=T).partial_fit(X, y, X_target=T)
    assert len(drawn) == 4
    assert not torch.equal(drawn[0]["input"], drawn[2]["input"])


class Hungry(AdaptationObjective):
    """Runs out of memory on target batches of more than five rows; keeps their sizes."""

    def compute(self, step):
        size = len(step.target_features)
        if size > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        self.sizes = {*getattr(self, "sizes", ()), size}
        return step.logits.new_zeros(())


def test_target_batches_are_halved_with_those_of_the_source():
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt=Hungry(), batch_size=10)
    with pytest.warns(UserWarning, match="batch_size is now 5"):
        model.fit(X, y, X_target=T)
    assert model.net_.adaptation.sizes == {5}


class Statistics(nn.Module):
    """Linear layer and batch normalization."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(2, 8), nn.BatchNorm1d(8)

    def forward(self, x):
        return self.norm(self.linear(x)).relu()


@pytest.mark.parametrize(("n_target", "batch_size"), [(1, 8), (9, 8), (5, 1)])
def test_statistics_of_normalization_outlive_single_target_rows(n_target, batch_size):
    X, y, T, _ = draw_domains(n=24, m=n_target)
    options = {"freeze_norm": False, "batch_size": batch_size, "adapt": "mmd"}
    model = make_classifier(**options).set_params(model=Statistics())
    model.fit(X, y, X_target=T)
    norm = model.net_.module_.body.norm
    assert norm.running_var.min() > 0.01
    assert torch.isfinite(norm.weight).all()


@pytest.mark.parametrize(("freeze_norm", "moves"), [("auto", False), (False, True)])
def test_target_rows_move_statistics_if_asked(freeze_norm, moves):
    X, y, T, _ = draw_domains()
    found = []
    for shift in (0, 50):
        model = make_classifier(freeze_norm=freeze_norm).set_params(model=Statistics())
        model.fit(X, y, X_target=T + shift)
        found.append(model.net_.module_.body.norm.running_mean)
    assert (not torch.equal(*found)) == moves


def test_an_interrupt_leaves_an_adapted_network():
    class Interrupting(MCC):
        def loss(self, step):
            if step.progress > 0.6:
                raise KeyboardInterrupt
            return super().loss(step)

    X, y, T, _ = draw_domains()
    with pytest.warns(UserWarning, match="interrupted in epoch 3 of 4"):
        model = make_classifier(adapt=Interrupting()).fit(X, y, X_target=T)
    assert 4 <= model.adapt_report_.n_steps < 8
    assert model.predict(T).shape == (50,)


def test_augmented_networks_see_views_of_the_target_too():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    seen = []

    def darken(image):
        seen.append(np.asarray(image).tobytes())
        return image

    model = FineTunedClassifier(
        small_networks.staged(), freeze="early", augment=darken, adapt="mcc", max_epochs=1
    )
    model.fit(images[:6], [0, 1] * 3, X_target=images[6:])
    assert {image.tobytes() for image in images} <= set(seen)


def test_partial_fit_heeds_parameters_of_an_objective_that_were_set():
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt=MCC(weight=1.0)).partial_fit(X, y, X_target=T)
    model.set_params(adapt__weight=9.0).partial_fit(X, y, X_target=T)
    assert model.net_.adaptation.weight == 9.0


def test_partial_fit_keeps_the_discriminator_while_nothing_was_set():
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt=DANN()).partial_fit(X, y, X_target=T)
    discriminator = model.net_.adaptation.discriminator_
    model.partial_fit(X, y, X_target=T)
    assert model.net_.adaptation.discriminator_ is discriminator


def test_the_net_of_a_pickle_draws_from_no_generator_of_the_process():
    X, y, T, _ = draw_domains()
    model = pickle.loads(pickle.dumps(make_classifier(adapt="dann").fit(X, y, X_target=T)))
    state = torch.random.get_rng_state()
    assert model.net_.adaptation.discriminator_ is not None
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_frozen_network_built_without_a_target_warns_that_features_stay():
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt=None, freeze="all").fit(X, y).set_params(adapt="coral")
    with pytest.warns(UserWarning, match="cannot change the features"):
        model.partial_fit(X, y, X_target=T)


def test_a_frozen_network_with_a_bottleneck_goes_on_without_a_warning():
    X, y, T, _ = draw_domains()
    model = make_classifier(freeze="all").partial_fit(X, y, X_target=T)
    before = model.transform(T)
    model.partial_fit(X, y, X_target=T)
    assert not np.allclose(model.transform(T), before)


def test_the_report_of_several_labels_counts_equal_entries():
    X, _, T, _ = draw_domains()
    model = make_classifier(adapt="coral").fit(X, (X > 0).astype(int), X_target=T)
    assert "of the predictions for the target differ" in model.adapt_report_.summary
    assert "Correlation" not in str(model.adapt_report_)


class Plain(Objective):
    """A term that is no estimator and has no text of its own."""

    def loss(self, step):
        return step.target_logits.square().mean()


def test_the_report_names_an_objective_by_its_class():
    X, y, T, _ = draw_domains()
    model = make_classifier(adapt=Plain(), max_epochs=1).fit(X, y, X_target=T)
    assert model.adapt_report_.objective == "Plain()"


def test_partial_fit_shows_other_views_of_the_target_in_each_call(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    model = FineTunedClassifier(
        small_networks.staged(), freeze="early", augment="flip", adapt="mcc", batch_size=1
    )
    drawn, take = [], TargetBatches.__next__

    def draw(batches):
        drawn.append(take(batches))
        return drawn[-1]

    monkeypatch.setattr(TargetBatches, "__next__", draw)
    for _ in range(6):
        model.partial_fit(images[:1], [0], classes=[0, 1], X_target=images[6:7])
    assert len({batch["pixels"].numpy().tobytes() for batch in drawn}) == 2


class Infinite(AdaptationObjective):
    """A term that is never finite."""

    def compute(self, step):
        return step.target_features.sum() * np.inf


def test_an_infinite_term_of_adaptation_is_told_from_the_loss():
    X, y, T, _ = draw_domains()
    with pytest.raises(FloatingPointError, match="finite without the term of adapt$"):
        make_classifier(adapt=Infinite()).fit(X, y, X_target=T)
