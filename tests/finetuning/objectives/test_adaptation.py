"""Rules that all objectives of adaptation keep, and the words that name them."""

import copy
import inspect
import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from sklearn.base import clone
from torch import nn

from sklearn_transfer.finetuning import objectives
from sklearn_transfer.finetuning.objectives import (
    BNM,
    CDAN,
    DANN,
    MCC,
    MMD,
    AdaptationObjective,
    DeepCORAL,
    DeepJDOT,
    InfoMax,
    Mixture,
    Objective,
    resolve_adapt,
)
from sklearn_transfer.finetuning.targets.targets import Targets
from tests.objective_steps import NAMES, make_step
from tests.test_rules import faults_of_public, public_members

WORDS = ["bnm", "cdan", "coral", "dann", "infomax", "jdot", "mcc", "mmd"]
ADVERSARIAL = ["cdan", "dann"]
LABELS = Targets.from_labels(["a", "b", "c"])
NUMBERS = Targets.from_numbers([1.0, 2.0, 4.0])
MARKS = Targets.from_labels([[0, 1], [1, 0], [1, 1]])
TWO_TASKS = Targets.from_labels([["a", "x"], ["b", "y"]])


class Body(nn.Module):
    """What an objective may ask of a network."""

    feature_width, n_outputs = 4, 3

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)


class MeanDistance(AdaptationObjective):
    """Squared distance of mean features, as a user would write it."""

    def compute(self, step):
        """Squared distance of the means."""
        self.dtype_ = step.features.dtype
        gap = step.features.mean(0) - step.target_features.mean(0)
        return gap.square().sum()


def prepare(word, dtype=torch.float64):
    objective = resolve_adapt(word)
    torch.manual_seed(0)
    objective.parameters(Body())
    if word in ADVERSARIAL:
        objective.discriminator_.to(dtype)
    return objective


def change(step, function):
    """The step with a function of each of its tensors, as new leaves."""
    names = (*NAMES, "weights")
    tensors = {name: function(getattr(step, name)).detach() for name in names}
    for name in NAMES:
        tensors[name].requires_grad_()
    return replace(step, **tensors)


def differentiate(value, step):
    tensors = [getattr(step, name) for name in NAMES]
    found = torch.autograd.grad(value, tensors, allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("n", "m"), [(7, 1), (1, 7), (1, 1), (2, 9)])
def test_batches_of_any_size_have_finite_gradients(word, n, m):
    step = make_step(n, m)
    value = prepare(word).loss(step)
    assert value.isfinite()
    if value.requires_grad:
        assert all(gradient.isfinite().all() for gradient in differentiate(value, step))


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("fill", [0.0, 1e-30, 3.0, 1e4])
def test_constant_rows_have_finite_gradients(word, fill):
    step = change(make_step(7, 5), lambda tensor: torch.full_like(tensor, fill).float())
    step = replace(step, weights=torch.ones(7))
    value = prepare(word, torch.float32).loss(step)
    assert value.isfinite()
    if value.requires_grad:
        assert all(gradient.isfinite().all() for gradient in differentiate(value, step))


@pytest.mark.parametrize("word", WORDS)
def test_extreme_logits_have_finite_gradients(word):
    step = change(make_step(7, 5), lambda tensor: tensor.float())
    step = replace(step, target_logits=(step.target_logits * 1e5).detach().requires_grad_())
    value = prepare(word, torch.float32).loss(step)
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in differentiate(value, step))


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(word, dtype):
    half = change(make_step(), lambda tensor: tensor.to(dtype))
    single = change(half, lambda tensor: tensor.float())
    objective = prepare(word, torch.float32)
    with torch.autocast("cpu", dtype):
        found = objective.loss(half)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(objective.loss(single).item(), rel=1e-6)
    gradients = zip(
        differentiate(found, half),
        differentiate(objective.loss(single), single),
        strict=True,
    )
    for gradient, expected in gradients:
        torch.testing.assert_close(gradient, expected.to(dtype))


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("is_mixed", [False, True])
def test_a_row_of_weight_0_counts_as_absent(word, is_mixed):
    step = make_step(7, 5)
    weights = step.weights.clone()
    weights[5:] = 0
    step = replace(step, weights=weights)
    fewer = {name: getattr(step, name)[:5] for name in ("features", "logits", "weights")}
    alone = replace(step, encoded=(step.encoded[0][:5],), **fewer)
    if is_mixed:
        step = replace(step, mixture=Mixture(torch.tensor([1, 0, 4, 2, 3, 6, 5]), 0.3))
        alone = replace(alone, mixture=Mixture(torch.tensor([1, 0, 4, 2, 3]), 0.3))
    objective = prepare(word)
    assert objective.loss(step).item() == pytest.approx(objective.loss(alone).item())


@pytest.mark.parametrize("word", WORDS)
def test_the_scale_of_weights_does_not_matter(word):
    step, objective = make_step(), prepare(word)
    other = replace(step, weights=1000 * step.weights)
    assert objective.loss(other).item() == pytest.approx(objective.loss(step).item())


@pytest.mark.parametrize("word", WORDS)
def test_no_target_and_no_weight_add_nothing(word):
    step, objective = make_step(), prepare(word)
    for other in (
        replace(step, target_features=None, target_logits=None),
        replace(step, weights=torch.zeros(7)),
    ):
        assert objective.loss(other).item() == 0


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", ["features", "target_logits"])
def test_numbers_that_are_not_finite_give_nan(word, name):
    step = make_step()
    with torch.no_grad():
        getattr(step, name)[1, 1] = torch.inf
    assert math.isnan(prepare(word).loss(step).item())


@pytest.mark.parametrize("word", [word for word in WORDS if word not in ADVERSARIAL])
def test_the_loss_is_weight_times_warm_up_times_value(word):
    step = make_step(progress=0.2)
    objective = prepare(word).set_params(weight=3.0)
    expected = 3 * (2 / (1 + math.exp(-2)) - 1) * objective.compute(step).item()
    assert objective.loss(step).item() == pytest.approx(expected)


@pytest.mark.parametrize("word", WORDS)
def test_random_numbers_are_drawn_by_the_preparation_alone(word):
    objective, state = prepare(word), torch.get_rng_state()
    objective.loss(make_step())
    assert torch.equal(torch.get_rng_state(), state)


# Objectives of users


def test_an_objective_of_a_user_is_weighted_and_warmed_up():
    step = make_step(progress=0.2)
    objective = MeanDistance(weight=0.5)
    value = objective.compute(step).item()
    expected = 0.5 * (2 / (1 + math.exp(-2)) - 1) * value
    assert objective.loss(step).item() == pytest.approx(expected)
    objective.loss(change(step, lambda tensor: tensor.half()))
    assert objective.dtype_ == torch.float32


def test_an_objective_of_a_user_suits_all_tasks_and_measures_nothing():
    for targets in (LABELS, NUMBERS, MARKS, TWO_TASKS):
        MeanDistance().check(targets)
    assert MeanDistance().measures == {}
    assert list(MeanDistance().parameters(Body())) == []


# Words


@pytest.mark.parametrize(
    ("word", "kind"),
    [*zip(WORDS, [BNM, CDAN, DeepCORAL, DANN, InfoMax, DeepJDOT, MCC, MMD], strict=True)],
)
def test_a_word_is_a_class_with_its_defaults(word, kind):
    found = resolve_adapt(word)
    assert type(found) is kind
    assert found.get_params() == kind().get_params()
    assert resolve_adapt(word) is not found


def test_an_objective_is_cloned_without_its_state():
    given = DANN(weight=0.3)
    given.parameters(Body())
    found = resolve_adapt(given)
    assert found is not given
    assert found.weight == 0.3
    assert not hasattr(found, "discriminator_")


def test_an_objective_that_is_no_estimator_is_copied():
    class Constant(Objective):
        values = ()

        def loss(self, step):
            return step.logits.new_tensor(5.0)

    given = Constant()
    given.values = [1]
    found = resolve_adapt(given)
    assert found is not given
    assert found.values == [1]
    assert found.values is not given.values


def test_none_is_none():
    assert resolve_adapt(None) is None


@pytest.mark.parametrize(
    ("adapt", "text"),
    [
        ("mc", r"adapt is 'mc', expected one of \['bnm', .*Did you mean 'mcc'\?"),
        (MCC, r"expected .*Pass an instance, MCC\(\), in place of the class"),
        (3, "adapt is 3, expected one of"),
    ],
)
def test_anything_else_is_an_error(adapt, text):
    with pytest.raises(ValueError, match=text):
        resolve_adapt(adapt)


# Tasks and parameters


@pytest.mark.parametrize("word", WORDS)
def test_one_class_per_row_suits_all(word):
    assert resolve_adapt(word).check(LABELS) is None


@pytest.mark.parametrize("word", ["coral", "dann", "mmd"])
@pytest.mark.parametrize("targets", [NUMBERS, MARKS, TWO_TASKS])
def test_features_suit_all_tasks(word, targets):
    assert resolve_adapt(word).check(targets) is None


@pytest.mark.parametrize("word", ["bnm", "cdan", "infomax", "mcc"])
def test_classes_are_none_in_a_regression(word):
    name = type(resolve_adapt(word)).__name__
    text = (
        f"{name} needs one class per row, but y is a regression task: use adapt='jdot',"
        " 'coral', 'mmd' or 'dann'"
    )
    with pytest.raises(ValueError, match=text):
        resolve_adapt(word).check(NUMBERS)


def test_jdot_takes_numbers():
    assert resolve_adapt("jdot").check(NUMBERS) is None


@pytest.mark.parametrize("word", ["bnm", "cdan", "infomax", "jdot", "mcc"])
@pytest.mark.parametrize(
    ("targets", "what"), [(MARKS, "is a multilabel task"), (TWO_TASKS, "has 2 tasks")]
)
def test_other_tasks_are_an_error_that_says_what_to_use(word, targets, what):
    text = f"y {what}: use adapt='coral', 'mmd' or 'dann', or adapt=None"
    with pytest.raises(ValueError, match=text):
        resolve_adapt(word).check(targets)


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        (MCC(weight=-1), "weight"),
        (MCC(temperature=0), "temperature"),
        (InfoMax(diversity=-1), "diversity"),
        (DeepJDOT(alpha=-1), "alpha"),
        (DeepJDOT(lambda_t="x"), "lambda_t"),
        (DANN(n_hidden=0), "n_hidden"),
        (CDAN(entropy="no"), "entropy"),
        (CDAN(n_random=0), "n_random"),
        (MMD(bandwidths=()), "bandwidths"),
        (MMD(bandwidths=(1.0, 0.0)), "bandwidths"),
        (MMD(bandwidths=2.0), "bandwidths"),
        (MeanDistance(weight="x"), "weight"),
    ],
    ids=lambda value: repr(value) if isinstance(value, Objective) else "",
)
def test_invalid_parameters_are_named(objective, name):
    with pytest.raises(ValueError, match=name):
        objective.check(LABELS)


@pytest.mark.parametrize("word", WORDS)
def test_objectives_are_estimators_of_scikit_learn(word):
    objective = resolve_adapt(word).set_params(weight=0.25)
    assert clone(objective).get_params() == objective.get_params()
    parameters = list(inspect.signature(type(objective)).parameters)
    assert parameters[0] == "weight"


@pytest.mark.parametrize("word", WORDS)
def test_a_trained_objective_can_be_copied(word):
    objective, step = prepare(word), make_step()
    expected = objective.loss(step).item()
    assert copy.deepcopy(objective).loss(step).item() == expected


# The package


def test_names_are_in_order():
    assert objectives.__all__ == sorted(objectives.__all__)


@pytest.mark.parametrize("name", objectives.__all__)
def test_docstrings_are_complete(name):
    thing = getattr(objectives, name)
    faults = list(faults_of_public(thing))
    if inspect.isclass(thing):
        for member, function, _ in public_members(thing):
            faults += [] if inspect.getdoc(function) else [member]
        # Not all objectives keep state, and attributes are those that they set.
        faults = [fault for fault in faults if fault != "has no section Attributes"]
    assert faults == []


def test_naming_objectives_loads_no_network_library():
    code = (
        "import sys\n"
        "from sklearn_transfer.finetuning.objectives import *\n"
        "repr(resolve_adapt('cdan')), repr(resolve_adapt(DeepJDOT(alpha=1.0)))\n"
        "assert not {'torch', 'skorch', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
