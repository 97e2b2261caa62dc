"""The public contracts: who gets which checks, and what they find in users' estimators."""

import copy
import subprocess
import sys
from unittest import SkipTest

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LogisticRegression

from sklearn_transfer import (
    CORAL,
    KLIEP,
    KMM,
    AutoencoderFeatures,
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedFeatures,
    SubspaceAlignment,
)
from sklearn_transfer.testing import (
    check_estimator,
    estimator_checks_generator,
    parametrize_with_checks,
)
from tests import small_networks


class Averaged(TransformerMixin, BaseEstimator):
    """A user's own extractor, correct: a network on pixels, averaged over places."""

    def __init__(self, net=None):
        self.net = net

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        net = copy.deepcopy(self.net)
        self._prepare(net)
        with torch.no_grad():
            return net(self._read(X)).numpy()

    def _prepare(self, net):
        net.eval()

    def _read(self, X):
        return torch.from_numpy(np.stack(X)).permute(0, 3, 1, 2) / 255.0

    def get_feature_names_out(self, input_features=None):
        return np.array([f"averaged_{i}" for i in range(5)], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class LeftInTraining(Averaged):
    """Its network stays in training mode, with dropout."""

    def _prepare(self, net):
        net.train()


class CenteredByBatch(Averaged):
    """Its features depend on the samples beside a sample."""

    def _read(self, X):
        pixels = super()._read(X)
        return pixels - pixels.mean(0)


class UnitLength(PretrainedFeatures):
    """A user's own extractor on the base of ours, correct: features of length one."""

    def transform(self, X):
        features = np.asarray(super().transform(X))
        return features / np.linalg.norm(features, axis=1, keepdims=True)


class Forgetful(PretrainedFeatures):
    """Its own cache knows samples, and not the network."""

    rows = {}

    def transform(self, X):
        if self.cache is None:
            return super().transform(X)
        keys = [np.asarray(sample).tobytes() for sample in X]
        missing = [row for row, key in enumerate(keys) if key not in self.rows]
        if missing:
            features = np.asarray(super().transform([X[row] for row in missing]))
            self.rows.update(zip([keys[row] for row in missing], features, strict=True))
        return np.stack([self.rows[key] for key in keys])


class Careless(PretrainedFeatures):
    """It trains the statistics of the user's network."""

    def transform(self, X):
        self.model.train()
        return super().transform(X)


def run_failing(estimator, **options):
    """Names of the checks that fail."""
    results = check_estimator(estimator, on_fail=None, on_skip=None, **options)
    return {r["check_name"] for r in results if r["status"] == "failed"}


def name_checks(estimator):
    return [check.func.__name__ for _, check in estimator_checks_generator(estimator)]


def test_own_transformer_passes_and_skips_what_it_has_not():
    results = check_estimator(Averaged(small_networks.trained_net()), on_skip=None)
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert {"check_cache", "check_depths", "check_batch_size"} <= skipped
    assert {r["status"] for r in results} == {"passed", "skipped"}


def test_own_subclass_passes_in_full(crops):
    results = check_estimator(UnitLength(small_networks.trained_net()), crops)
    assert {r["status"] for r in results} == {"passed"}


def test_network_left_in_training_mode_is_found():
    estimator = LeftInTraining(small_networks.trained_net())
    with pytest.raises(AssertionError, match="check_samples_alone fails for LeftInTraining"):
        check_estimator(estimator, on_skip=None)
    assert "check_second_call" in run_failing(estimator)


def test_features_that_depend_on_the_batch_are_found():
    failing = run_failing(CenteredByBatch(small_networks.trained_net()))
    assert failing == {"check_samples_alone"}


def test_cache_that_does_not_know_the_network_is_found(crops):
    Forgetful.rows.clear()
    failing = run_failing(Forgetful(small_networks.trained_net()), samples=crops)
    assert "check_cache_of_another_network" in failing
    assert "check_output" not in failing


def test_network_of_the_user_that_changes_is_found(crops):
    failing = run_failing(Careless(small_networks.trained_net().eval()), samples=crops)
    assert failing == {"check_model_untouched"}


def test_error_names_the_check_and_has_the_cause(crops):
    Forgetful.rows.clear()
    with pytest.raises(AssertionError, match="check_cache_of_another_network") as caught:
        check_estimator(Forgetful(small_networks.trained_net()), crops)
    assert isinstance(caught.value.__cause__, AssertionError)


def test_fine_tuner_gets_targets_of_the_caller(crops):
    tuner = FineTunedClassifier(small_networks.staged(), max_epochs=1, engine="torch")
    (check,) = (
        check
        for _, check in estimator_checks_generator(tuner, crops, [0, 1, 2] * 3)
        if check.func.__name__ == "check_history"
    )
    assert set(check.keywords["y"]) == {0, 1, 2}
    check(tuner)


@pytest.mark.parametrize(
    ("estimator", "name", "others"),
    [
        (PretrainedFeatures(), "check_row_order", "check_refit"),
        (FineTunedClassifier(), "check_frozen_tensors", "check_row_order"),
        (FineTunedRegressor(), "check_frozen_tensors", "check_row_order"),
        (KMM(), "check_weights_lean_to_the_target", "check_predicting_refuses_other_features"),
        (KLIEP(), "check_predicting_refuses_other_features", "check_pickle_and_clone"),
        (SubspaceAlignment(), "check_pickle_and_clone", "check_columns_keep_their_names"),
        (CORAL(), "check_columns_keep_their_names", "check_refit"),
    ],
    ids=lambda value: str(value),
)
def test_checks_follow_what_an_estimator_can_do(estimator, name, others):
    names = name_checks(estimator)
    assert name in names
    assert others not in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), KMeans(), AutoencoderFeatures()], ids=str
)
def test_other_kinds_are_refused(estimator):
    with pytest.raises(TypeError, match="is of no kind .*expected an extractor .*aligner"):
        estimator_checks_generator(estimator)


@pytest.mark.parametrize("estimator", [KMM, "KMM"])
def test_what_is_no_instance_is_refused(estimator):
    with pytest.raises(TypeError, match="expected an estimator: give an instance"):
        check_estimator(estimator)


def test_too_few_samples_are_refused(crops):
    with pytest.raises(ValueError, match="samples has 3 samples: give at least 6"):
        check_estimator(FineTunedClassifier(), crops[:3])


def test_skipped_checks_are_warned_of():
    estimator = Averaged(small_networks.trained_net())
    with pytest.warns(SkipTestWarning, match="check_.* was skipped: Averaged has no"):
        check_estimator(estimator)


def test_expected_failures_are_told_apart():
    expected = {"check_samples_alone": "features are centered by batch"}
    estimator = CenteredByBatch(small_networks.trained_net())
    results = check_estimator(estimator, expected_failed_checks=expected, on_skip=None)
    (result,) = (r for r in results if r["status"] == "xfail")
    assert result["check_name"] == "check_samples_alone"
    assert result["expected_to_fail_reason"] == "features are centered by batch"


def test_expected_failures_are_strict():
    expected = {"check_output": "none"}
    with pytest.raises(AssertionError, match="check_output fails.*passes, though it is exp"):
        check_estimator(
            Averaged(small_networks.trained_net()), expected_failed_checks=expected
        )


def test_unknown_expected_failures_are_refused():
    with pytest.raises(ValueError, match="no check of KMM. Did you mean 'check_copies_and"):
        check_estimator(KMM(), expected_failed_checks={"check_copies_and_parameter": ""})


def test_parametrized_tests_are_named_and_marked():
    mark = parametrize_with_checks(
        [CORAL(), KMM(B=5)],
        expected_failed_checks=lambda estimator: (
            {"check_pickle_and_clone": "why"} if isinstance(estimator, CORAL) else {}
        ),
    ).mark
    names, tests = mark.args
    ids = [test.id for test in tests]
    assert names == ("estimator", "check")
    assert "CORAL()-check_pickle_and_clone" in ids
    assert "KMM(B=5)-check_copies_and_parameters" in ids
    (marked,) = (test for test in tests if test.marks)
    assert marked.marks[0].kwargs == {"reason": "why", "strict": True}


def test_checks_that_do_not_apply_skip():
    pairs = estimator_checks_generator(Averaged(small_networks.trained_net()))
    checks = {check.func.__name__: check for _, check in pairs}
    with pytest.raises(SkipTest, match="Averaged has no parameter 'layers'"):
        checks["check_depths"](Averaged(small_networks.trained_net()))


def test_python_without_assertions_is_refused():
    code = (
        "from sklearn_transfer import KMM\n"
        "from sklearn_transfer.testing import check_estimator\n"
        "check_estimator(KMM())"
    )
    command = [sys.executable, "-O", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "Python was started with -O" in run.stderr
