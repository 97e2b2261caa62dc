"""Objectives: what a step tells them, and that a new one trains by a few lines."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_transfer import FineTunedClassifier, TargetDomain
from sklearn_transfer.finetuning.objectives.base import Objective
from tests import small_networks

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(40, 5))
CODES = np.arange(40) % 3


class Entropy(Objective):
    """Mean entropy of the predictions, which makes them surer."""

    def loss(self, step):
        shares = step.logits.softmax(dim=1)
        return -(shares * step.logits.log_softmax(dim=1)).sum(dim=1).mean()


class CenterLoss(Objective):
    """Squared distance of features from a trained center of their class [Wen 2016]."""

    def parameters(self, network):
        self.centers = nn.Parameter(torch.ones(network.n_outputs, network.feature_width))
        return [self.centers]

    def loss(self, step):
        return ((step.features - self.centers[step.encoded[0]]) ** 2).mean()


class Constant(Objective):
    """Keeps the steps."""

    def __init__(self):
        self.steps = []

    def loss(self, step):
        self.steps.append(step)
        return step.logits.new_tensor(5.0)


class MeanDistance(Objective):
    """Squared distance of the mean features of source and target."""

    def __init__(self):
        self.sizes = []

    def loss(self, step):
        self.sizes.append((len(step.features), len(step.target_features)))
        return (step.features.mean(0) - step.target_features.mean(0)).square().sum()


class Tuner(FineTunedClassifier):
    """Classifier with objectives of its own."""

    objectives, adaptation = (), None

    def _make_objectives(self):
        return self.objectives

    def _make_adaptation(self):
        return self.adaptation


def tabular(*objectives, **options):
    defaults = {"preprocess": None, "freeze": None, "lr": 1e-2, "max_epochs": 6}
    model = Tuner(small_networks.mlp, **{**defaults, "batch_size": 10, **options})
    model.objectives = objectives
    return model


def visual(*objectives, **options):
    defaults = {"freeze": "early", "max_epochs": 2, "batch_size": 8, "engine": "torch"}
    model = Tuner(small_networks.staged(), **{**defaults, **options})
    model.objectives = objectives
    return model


def entropy_of(model):
    proba = model.predict_proba(TABLE)
    return -(proba * np.log(proba)).sum(axis=1).mean()


def test_a_new_objective_trains():
    options = {"lr": 0.05, "max_epochs": 20}
    plain = tabular(**options).fit(TABLE, CODES)
    surer = tabular(Entropy(), **options).fit(TABLE, CODES)
    assert entropy_of(surer) < 0.8 * entropy_of(plain)


def test_parameters_of_an_objective_train_too():
    objective = CenterLoss()
    fitted = tabular(objective).fit(TABLE, CODES)
    assert not torch.allclose(objective.centers, torch.ones(3, 5), atol=1e-3)
    held = {id(p) for group in fitted.net_.optimizer_.param_groups for p in group["params"]}
    assert id(objective.centers) in held


def test_parameters_of_an_objective_go_on_with_the_network():
    objective = CenterLoss()
    model = tabular(objective).partial_fit(TABLE, CODES)
    centers, before = objective.centers, objective.centers.detach().clone()
    model.set_params(lr=0.1).partial_fit(TABLE, CODES)
    assert objective.centers is centers
    assert not torch.equal(centers, before)


def test_the_history_has_the_supervised_loss_alone():
    alone, both = tabular().fit(TABLE, CODES), tabular(Constant()).fit(TABLE, CODES)
    losses = [[row["train_loss"] for row in model.history_] for model in (alone, both)]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(alone.predict_proba(TABLE), both.predict_proba(TABLE))


def test_objectives_add_up_with_l2_sp():
    objective = Constant()
    fitted = tabular(objective, l2_sp=0.3).fit(TABLE, CODES)
    expected = tabular(l2_sp=0.3).fit(TABLE, CODES)
    np.testing.assert_array_equal(fitted.predict_proba(TABLE), expected.predict_proba(TABLE))
    assert len(objective.steps) == 6 * 4


@pytest.mark.parametrize("options", [{}, {"cache": None}, {"freeze": "all"}])
def test_a_step_holds_features_and_what_the_head_makes_of_them(options, images, labels):
    objective = Constant()
    fitted = visual(objective, **options).fit(images, labels)
    step, head = objective.steps[-1], fitted._network.head
    assert step.features.shape == (len(step.weights), fitted._network.feature_width)
    # The last step moved the head, at a rate that is nearly zero.
    torch.testing.assert_close(head(step.features), step.logits, rtol=1e-2, atol=1e-2)
    assert step.encoded[0].dtype == torch.int64
    assert step.target_features is step.target_logits is None


@pytest.mark.parametrize("schedule", ["constant", "gradual"])
def test_progress_rises_from_0_to_1(schedule, images, labels):
    objective = Constant()
    options = {"schedule": schedule, "freeze": None, "max_epochs": 6}
    visual(objective, **options).fit(images, labels)
    progress = [step.progress for step in objective.steps]
    np.testing.assert_allclose(progress, np.arange(18) / 18, atol=1e-12)


def test_mixed_rows_say_how_they_were_mixed():
    objective = Constant()
    tabular(objective, mixup=0.4).fit(TABLE, CODES)
    mixtures = [step.mixture for step in objective.steps]
    assert all(0 <= mixture.share <= 1 for mixture in mixtures)
    assert all(sorted(mixture.partner.tolist()) == list(range(10)) for mixture in mixtures)


@pytest.mark.parametrize(("n_target", "n_drawn"), [(3, {10}), (10, {10}), (25, {8, 9})])
def test_target_rows_are_drawn_apart_and_none_is_dropped(n_target, n_drawn):
    target, objective = RNG.normal(2, 1, size=(n_target, 5)), MeanDistance()
    model = tabular()
    model.adaptation = objective
    model.fit(TABLE, CODES, X_target=TargetDomain(target))
    assert {source for source, _ in objective.sizes} == {10}
    assert {drawn for _, drawn in objective.sizes} == n_drawn


@pytest.mark.parametrize("freeze", ["early", None])
def test_target_features_train_from_a_frozen_prefix_too(freeze, images, labels):
    def distance(objective=None):
        model = visual(freeze=freeze, max_epochs=8, lr=1e-2)
        model.adaptation = objective
        model.fit(images, labels, X_target=255 - images)
        source, target = model.transform(images), model.transform(255 - images)
        return np.linalg.norm(source.mean(0) - target.mean(0))

    assert distance(MeanDistance()) < 0.8 * distance()


def test_a_target_sample_that_cannot_be_read_says_so(images, labels):
    model = visual()
    model.adaptation = MeanDistance()
    with pytest.raises(ValueError, match=r"^X_target, row 1 "):
        model.fit(images, labels, X_target=[images[0], b"no image"])
