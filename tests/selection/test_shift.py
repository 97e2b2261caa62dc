import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from sklearn_transfer import TargetDomain, shift_report
from sklearn_transfer.alignment._coral import match_moments
from sklearn_transfer.selection import _overlap, _shift
from sklearn_transfer.selection._report import ShiftReport
from sklearn_transfer.weighting._domain_ratio import estimate_domain_ratio
from tests.levels import assert_level_is_kept, most_alarms, power


def report(X, T, y=None, seed=0):
    return shift_report(X, T, y, n_permutations=199, random_state=seed)


def normal(seed, n, d, first=0.0, spread=1.0):
    rows = spread * np.random.default_rng(seed).normal(size=(n, d))
    rows[:, 0] += first
    return rows


def actions(n_draws, draw):
    return [report(*draw(seed), seed=seed).action for seed in range(n_draws)]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("d", [1, 10])
def test_no_shift_means_nothing_in_most_draws(d):
    found = []
    for seed in range(100):
        y = np.random.default_rng(seed).random(80) < 0.5
        found.append(report(normal(seed, 80, d), normal(1000 + seed, 90, d), y, seed))
    alarms = [one.action != "nothing" for one in found]
    assert sum(alarms) <= most_alarms(100, 0.05)
    # The level holds for three tests together; it would be noticed if each test had it.
    least = [min(one.mmd_p_value, one.auc_p_value, one.label_p_value) for one in found]
    assert_level_is_kept(3 * np.array(least))
    assert power(100, 0.5, 1 - 0.5**3) > 0.99


def test_no_shift_means_nothing():
    found = actions(10, lambda seed: (normal(seed, 100, 3), normal(100 + seed, 100, 3)))
    assert found.count("nothing") >= 9


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("d", [1, 2, 50])
def test_domains_apart_must_not_be_reweighted(d, scale):
    for first in (8, 100):
        found = report(scale * normal(0, 100, d), scale * normal(1, 120, d, first))
        assert found.action == "collect"
        assert "Do not reweight" in found.advice
        assert found.auc > 0.99
        assert found.ess_share < 0.1


def test_target_that_is_tighter_and_apart_must_not_be_reweighted():
    found = report(normal(0, 100, 2), normal(1, 100, 2, first=20, spread=0.01))
    assert found.action == "collect"


def test_target_around_the_source_must_not_be_reweighted():
    """No line separates these domains, so distances must."""
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 200)
    ring = 20 * np.column_stack([np.cos(angle), np.sin(angle)])
    found = report(normal(0, 200, 2), ring + normal(1, 200, 2))
    assert found.outside_share > 0.9
    assert found.action == "collect"


def test_features_that_differ_in_a_constant_must_not_be_reweighted():
    X, T = normal(0, 60, 2), normal(1, 60, 2)
    columns = [np.column_stack([rows, np.full(60, value)]) for rows, value in ((X, 0), (T, 1))]
    assert report(*columns).action == "collect"


def test_one_feature_of_many_that_keeps_domains_apart_must_not_be_reweighted():
    """A classifier with 500 features and 120 rows does not detect the shift."""
    rng = np.random.default_rng(0)
    X, T = rng.uniform(size=(2, 120, 500))
    T[:, 7] -= 3
    found = report(X, T)
    assert found.auc < 0.99
    assert found.outside_share < 0.5
    assert found.feature_auc == 1
    assert found.action == "collect"
    assert "as one feature alone tells them apart" in found.advice


def test_best_feature_is_judged_on_rows_that_did_not_choose_it():
    X, T = np.random.default_rng(0).normal(size=(2, 40, 2000))
    assert report(X, T).feature_auc < 0.8


def test_advice_names_the_rule_that_spoke():
    line = report(normal(0, 100, 50), normal(1, 100, 50, first=8))
    assert line.outside_share < 0.5
    assert "a classifier tells their rows apart" in line.advice
    assert "outside of the source" not in line.advice
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 200)
    ring = 20 * np.column_stack([np.cos(angle), np.sin(angle)])
    advice = report(normal(0, 200, 2), ring).advice
    assert "as 100% of the target lies outside of the source;" in advice
    assert "tells" not in advice


def test_copies_of_source_rows_leave_the_target_inside():
    X, T = np.repeat(normal(0, 100, 2), 8, axis=0), normal(1, 300, 2, first=0.7)
    found = report(X, T)
    assert found.outside_share == pytest.approx(report(X[::8], T).outside_share, abs=0.05)
    assert found.action != "collect"


def test_source_of_one_row_many_times():
    X = np.ones((10, 2))
    assert _overlap.compute_outside_share(X, np.array([[1.0, 1], [1, 2]])) == 0.5


def test_too_few_permutations_to_find_anything_raise():
    X, T = normal(0, 50, 1), normal(1, 50, 1, first=100)
    assert shift_report(X, T, n_permutations=39, random_state=0).action == "collect"
    with pytest.raises(ValueError, match="give at least 39"):
        shift_report(X, T, n_permutations=38)
    with pytest.raises(ValueError, match="give at least 59"):
        shift_report(X, T, X[:, 0] > 0, n_permutations=39)


def test_numbers_of_a_regression_are_no_classes():
    X, T = normal(0, 50, 1), normal(1, 50, 1)
    assert report(X, T, np.arange(50)).classes is None


@pytest.mark.parametrize("d", [1, 3, 10])
def test_moderate_shift_is_reweighted(d):
    found = actions(3, lambda seed: (normal(seed, 200, d), normal(100 + seed, 200, d, 1)))
    assert found == ["reweight"] * 3


def test_narrower_target_is_reweighted():
    assert report(normal(0, 300, 2), normal(1, 300, 2, spread=0.5)).action == "reweight"


@pytest.mark.parametrize("names", [["cat", "dog"], [-1, 1]])
def test_other_shares_of_classes_are_label_shift(names):
    rng = np.random.default_rng(0)
    y, y_target = rng.random(300) < 0.5, rng.random(300) < 0.85
    X, T = normal(0, 300, 2), normal(1, 300, 2)
    X[:, 0], T[:, 0] = X[:, 0] + 3 * y, T[:, 0] + 3 * y_target
    found = report(X, T, np.array(names)[y.astype(int)])
    assert found.action == "reweight classes"
    assert found.classes == names
    assert found.target_priors[1] == pytest.approx(0.85, abs=0.08)


def test_shift_of_inputs_that_moves_labels_is_no_label_shift():
    X = normal(0, 300, 1)
    found = report(X, normal(1, 300, 1, 1), X[:, 0] > 0)
    assert found.label_p_value < 0.01
    assert found.action == "reweight"


def test_shift_with_little_overlap_is_aligned():
    found = report(normal(0, 300, 10), normal(1, 300, 10, 2.2))
    assert found.action == "align"
    assert "weights cannot help, as they would rest on" in found.advice


def test_shift_that_no_moments_explain_is_fine_tuned():
    """Two clusters, and between them a third of the target."""
    rng = np.random.default_rng(0)
    X, T = 0.05 * rng.normal(size=(2, 400, 1))
    X[:, 0] += rng.choice([-1, 1], 400)
    T[:, 0] += rng.choice([-1, 0, 1], 400)
    found = report(X, T)
    assert 0.2 < found.outside_share < 0.5
    assert found.action == "fine-tune"
    assert re.search(r"weights cannot help, as \d+% of the target lies outside", found.advice)


def test_tests_share_the_level():
    found = {"mmd_p_value": 0.02, "auc_p_value": 0.5, "label_p_value": 0.5}
    assert _shift._choose_action(None, None, None, None, found, 0.05, None) == "nothing"


def test_constant_columns_change_no_answer():
    X, T = normal(0, 60, 2), normal(1, 60, 2, 1)
    wider = [np.column_stack([rows, np.ones(60)]) for rows in (X, T)]
    found, expected = report(*wider), report(X, T)
    assert found.action == expected.action
    assert found.mmd == pytest.approx(expected.mmd)


def test_small_shift_of_many_rows_asks_for_nothing():
    found = report(normal(0, 2000, 2), normal(1, 2000, 2, 0.12))
    assert found.mmd_p_value < 0.02
    assert found.action == "nothing"
    assert "nearly equal" in found.advice


def test_unit_of_the_features_does_not_matter():
    X, T = normal(0, 60, 3), normal(1, 60, 3, 1)
    expected = report(X, T).to_dict()
    for scale in ([1e-6, 1, 1e6], [1e6] * 3, [1e-6] * 3):
        found = report(X * scale, T * scale).to_dict()
        assert found.pop("ess") == pytest.approx(expected["ess"], rel=1e-3)
        assert found["action"] == expected["action"]
        assert found["mmd"] == pytest.approx(expected["mmd"], rel=1e-6)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_rows_say_nothing(n):
    assert report(normal(0, n, 2), normal(1, 2, 2), np.arange(n) % 2).action == "nothing"


def test_more_features_than_rows():
    found = report(normal(0, 30, 200), normal(1, 20, 200))
    assert 0 < found.ess_share <= 1


def test_constant_data_say_nothing():
    assert report(np.full((6, 2), 0.3), np.full((5, 2), 0.3)).action == "nothing"


def test_one_row_is_refused():
    with pytest.raises(ValueError, match="X_target has 1 row; at least 2"):
        shift_report([[0.0], [1.0]], [[1.0]])


@pytest.mark.parametrize("y", [np.linspace(0, 1, 40) + 0.05, np.zeros(40)])
def test_labels_that_are_no_classes_are_not_tested(y):
    found = report(normal(0, 40, 1), normal(1, 40, 1), y)
    assert found.label_p_value is None
    assert "not tested" in str(found)


def test_many_rows_are_thinned():
    X, y = normal(0, 300, 1), np.arange(300) % 2
    found = shift_report(X, X[:250], y, max_samples=100, n_permutations=59, random_state=0)
    assert (found.n_source, found.n_target) == (100, 100)


def test_same_seed_same_report():
    X, T = normal(0, 50, 2), normal(1, 50, 2, 0.5)
    assert report(X, T) == report(X, T)


def test_containers_do_not_matter():
    X, T = normal(0, 50, 2), normal(1, 50, 2, 0.5)
    for rows in (X, T):
        rows.setflags(write=False)
    expected = report(X, T)
    frames = [pd.DataFrame(rows, columns=["a", "b"]) for rows in (X, T)]
    assert report(*frames) == expected
    assert report(X, TargetDomain(T)) == expected


def test_dictionary_holds_plain_types():
    X = normal(0, 60, 1)
    found = report(X, normal(1, 60, 1, 1), np.where(X[:, 0] > 0, 5, 2)).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["classes"] == [2, 5]


def test_text_names_every_test_and_the_advice():
    found = report(normal(0, 60, 1), normal(1, 60, 1, 1))
    for words in ("Squared MMD", "Classifier", "Label shift", "Effective", found.advice):
        assert words in str(found)


def test_text_has_the_shares_of_the_classes():
    X = normal(0, 60, 1)
    found = report(X, normal(1, 60, 1, 1), np.where(X[:, 0] > 0, "day", "night"))
    source, target = found.source_priors[0], found.target_priors[0]
    line = f"Share of day                    {source:.0%} in the source, about {target:.0%} in"
    assert line in str(found)


@pytest.mark.parametrize("show", [str, ShiftReport._repr_html_])
def test_of_many_classes_the_shares_that_differ_most_are_shown(show):
    shares = [0.5 / 999] * 999 + [0.5]
    found = ShiftReport(
        *(10, 10, 1, 0.1, 0.001, 0.9, 0.001, 5.0, 0.5, 0.0, 0.9, "reweight classes", 0.05),
        label_p_value=0.001,
        classes=list(range(1000)),
        source_priors=shares,
        target_priors=[0.6, *shares[1:-1], 0.0],
    )
    assert "Share of 999" in show(found)
    assert show(found).count("Share of") == 20
    assert "980, which differ less" in show(found)


class Collector(HTMLParser):
    """Parser that records which tags are open and which have occurred."""

    def __init__(self):
        super().__init__()
        self.open, self.met = [], set()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.met.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onclick"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_escaped_and_holds_no_script():
    X = normal(0, 60, 1)
    labels = np.where(X[:, 0] > 0, "<script>alert(1)</script>", "b & c")
    text = report(X, normal(1, 60, 1, 1), labels)._repr_html_()
    parser = Collector()
    parser.feed(text)
    assert parser.open == []
    assert "script" not in parser.met
    assert "b &amp; c" in text
    assert re.search(r"<strong>.*</strong>", text)


@pytest.mark.parametrize(("d", "shift"), [(1, 0.0), (1, 1.0), (10, 1.0)])
def test_effective_share_is_near_that_between_gaussians(d, shift):
    X, T = normal(0, 2000, d), normal(1, 2000, d, shift)
    weights = estimate_domain_ratio(X, T, np.random.RandomState(0))
    found = _overlap.compute_covered_size(weights) / 2000
    assert found == pytest.approx(np.exp(-(shift**2)), abs=0.08)


def test_density_ratio_is_near_that_of_gaussians():
    X, T = normal(0, 2000, 1), normal(1, 1000, 1, 1)
    weights = estimate_domain_ratio(X, T, np.random.RandomState(0))
    expected = X[:, 0] - 0.5  # the logarithm of the ratio
    inner = np.abs(X[:, 0]) < 1.5
    error = np.log(weights[inner]) - expected[inner]
    assert np.abs(error).mean() < 0.2


def test_effective_size_follows_its_formula():
    w = np.array([0.5, 1.0, 3.0])
    assert _overlap.compute_covered_size(w) == pytest.approx(w.sum() ** 2 / (w @ w))
    assert _overlap.compute_covered_size(1e-200 * w) == pytest.approx(0, abs=1e-12)
    assert _overlap.compute_covered_size(np.full(4, 0.01)) == pytest.approx(0.04)


def test_share_outside_is_that_of_distances():
    X, T = normal(0, 40, 2), normal(1, 30, 2, 1)

    def fifth(rows, skip):
        return [np.sort(np.linalg.norm(X - row, axis=1))[4 + skip] for row in rows]

    limit = np.quantile(fifth(X, 1), 0.99)
    expected = np.mean(np.array(fifth(T, 0)) > limit)
    assert 0 < expected < 1
    assert _overlap.compute_outside_share(X, T) == pytest.approx(expected)


def test_moved_rows_have_the_moments_of_the_target():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 3)) @ rng.normal(size=(3, 3))
    T = rng.normal(size=(5000, 3)) @ rng.normal(size=(3, 3)) + 5
    moved = match_moments(X, T, reg="auto").apply(X)
    np.testing.assert_allclose(moved.mean(axis=0), T.mean(axis=0), rtol=1e-6)
    found, expected = np.cov(moved.T), np.cov(T.T)
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("n_features", [10, 50])
def test_shells_around_each_other_are_not_reweighted(n_features):
    """Draw supports that no line separates."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(2, 150, n_features))
    outer, inner = directions / np.linalg.norm(directions, axis=2, keepdims=True)
    found = shift_report(4 * outer, inner, random_state=0)
    assert "Do not reweight" in found.advice
