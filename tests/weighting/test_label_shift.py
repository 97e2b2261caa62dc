"""Compare class shares in the target with closed forms and other algorithms."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import norm
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from sklearn_transfer import LabelShiftWeights
from sklearn_transfer.weighting._label_shift import fit_calibration

pytestmark = pytest.mark.filterwarnings("ignore:The weights amount to")

METHODS = ["em", "bbse"]


def draw(rng, n, priors, gap=2.0):
    """Draw normal classes with unit standard deviation whose means differ by `gap`."""
    y = rng.choice(len(priors), n, p=priors)
    return rng.normal(gap * y[:, None], 1), y


@pytest.fixture
def domains():
    rng = np.random.default_rng(0)
    X, y = draw(rng, 1500, [0.5, 0.3, 0.2])
    return X, y, draw(rng, 1000, [0.2, 0.2, 0.6])[0]


def fitted(X, y, T, estimator=None, **options):
    return LabelShiftWeights(estimator, random_state=0, **options).fit(X, y, X_target=T)


def standard_error(share, m, method):
    """Return the standard error of a class share from Fisher's information or the binomial."""
    x = np.linspace(-8, 10, 20_001)
    first, second = norm.pdf(x), norm.pdf(x, 2)
    if method == "em":
        mixture = (1 - share) * first + share * second
        information = np.trapezoid((second - first) ** 2 / mixture, x)
        return 1 / np.sqrt(m * information)
    hit = norm.cdf(1)  # of the classifier whose threshold is half way
    predicted = share * hit + (1 - share) * (1 - hit)
    return np.sqrt(predicted * (1 - predicted) / m) / (2 * hit - 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_known_shares_are_found_within_sampling_error(method, share):
    """Errors are a few standard errors at most; many source rows make the classifier known."""
    scores = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X, y = draw(rng, 6000, [0.5, 0.5])
        T, _ = draw(rng, 600, [1 - share, share])
        found = fitted(X, y, T, method=method).target_priors_[1]
        scores.append((found - share) / standard_error(share, 600, method))
    assert np.abs(scores).max() < 4
    assert np.abs(np.mean(scores)) < 1.5
    assert np.std(scores) < 2


@pytest.mark.parametrize("method", METHODS)
def test_three_classes_are_found(method):
    """A share of 1000 rows has a standard error of 0.016 if no row is misclassified."""
    rng = np.random.default_rng(0)
    X, y = draw(rng, 1500, [0.5, 0.3, 0.2], gap=4)
    T, _ = draw(rng, 1000, [0.2, 0.2, 0.6], gap=4)
    found = fitted(X, y, T, method=method)
    np.testing.assert_allclose(found.target_priors_, [0.2, 0.2, 0.6], atol=0.05)
    np.testing.assert_allclose(
        found.class_weights_, found.target_priors_ / found.source_priors_
    )
    np.testing.assert_allclose(found.weights_, found.class_weights_[y])
    assert found.mean_weight_ == pytest.approx(1)


def test_likeliest_shares_are_those_of_the_em_algorithm(domains):
    X, y, T = domains
    found = fitted(X, y, T, calibrate=False, tol=1e-10)
    source = np.bincount(y) / len(y)
    p = found.estimator_.predict_proba(T)
    shares = source.copy()
    for _ in range(3000):  # Saerens et al., equation 2.3
        posterior = p * shares / source
        posterior /= posterior.sum(axis=1, keepdims=True)
        shares = posterior.mean(axis=0)
    np.testing.assert_allclose(found.target_priors_, shares, atol=1e-5)


def test_confusion_matrix_is_inverted(domains):
    X, y, T = domains
    found = fitted(X, y, T, method="bbse")
    predicted = np.bincount(found.estimator_.predict(T), minlength=3) / len(T)
    expected = np.linalg.solve(found.confusion_, predicted)
    np.testing.assert_allclose(found.target_priors_, expected, rtol=1e-8)
    np.testing.assert_allclose(found.confusion_.sum(axis=0), 1)


def test_confusion_matrix_is_that_of_rows_left_out(domains):
    """Classes without any difference are predicted at chance level, not memorized."""
    from sklearn.tree import DecisionTreeClassifier

    X, y, T = domains
    noise = np.random.default_rng(1).permutation(y)
    with pytest.warns(UserWarning, match="predicts some classes alike"):
        found = fitted(X, noise, T, DecisionTreeClassifier(random_state=0), method="bbse")
    assert np.ptp(found.confusion_, axis=1).max() < 0.15


def test_calibration_of_two_classes_is_a_logistic_regression():
    rng = np.random.default_rng(0)
    logits, codes = rng.normal(size=300), rng.integers(0, 2, 300)
    logits = 3 * logits + codes
    logs = log_softmax(np.column_stack([np.zeros(300), logits]), axis=1)
    slope, shift = fit_calibration(logs, codes)
    expected = LogisticRegression(C=1e10, tol=1e-10).fit(logits[:, None], codes)
    assert slope == pytest.approx(expected.coef_.item(), rel=1e-3)
    assert shift[1] - shift[0] == pytest.approx(expected.intercept_.item(), rel=1e-3)


def test_calibrated_probabilities_have_the_shares_of_the_source():
    """Therefore equal domains have equal shares."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 400)
    logs = log_softmax(rng.normal(size=(400, 3)) + 2 * np.eye(3)[codes], axis=1)
    slope, shift = fit_calibration(logs, codes)
    p = softmax(slope * logs + shift, axis=1)
    np.testing.assert_allclose(p.mean(axis=0), np.bincount(codes) / 400, atol=1e-5)


def test_calibration_repairs_a_classifier_that_is_too_sure():
    """Naive Bayes on ten copies of a feature counts it ten times."""
    rng = np.random.default_rng(0)
    X, y = draw(rng, 3000, [0.5, 0.5])
    T, _ = draw(rng, 3000, [0.9, 0.1])
    X, T = np.repeat(X, 10, axis=1), np.repeat(T, 10, axis=1)
    plain, calibrated = (
        abs(fitted(X, y, T, GaussianNB(), calibrate=c).target_priors_[1] - 0.1)
        for c in (False, True)
    )
    assert calibrated < 0.02 < plain


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("names", [["a", "b", "c"], [-1, 1, 7], [0, 20, 40], [0.0, 1.0, 5.0]])
def test_labels_may_be_anything(method, names, domains):
    X, y, T = domains
    named = np.array(names)[y]
    before = named.copy()
    found, expected = fitted(X, named, T, method=method), fitted(X, y, T, method=method)
    assert list(found.classes_) == names
    np.testing.assert_array_equal(found.weights_, expected.weights_)
    np.testing.assert_array_equal(named, before)
    assert fitted(X, named.astype(object), T, method=method).weights_ == pytest.approx(
        expected.weights_
    )


def test_labels_of_the_target_are_not_read(domains):
    X, y, T = domains
    stacked = np.concatenate([X, T])
    labels = np.concatenate([y.astype(float), np.full(len(T), np.nan)])
    found = LabelShiftWeights(random_state=0).fit(
        stacked, labels, sample_domain=np.repeat([1, -1], [len(X), len(T)])
    )
    np.testing.assert_array_equal(found.weights_, fitted(X, y, T).weights_)


def test_missing_labels_are_named():
    with pytest.raises(ValueError, match="LabelShiftWeights needs the labels of the source"):
        LabelShiftWeights().fit(np.ones((4, 1)), X_target=np.ones((3, 1)))


def test_continuous_labels_are_refused_by_name():
    y = np.array([0.1, 0.7, 1.5, 2.2])
    with pytest.raises(ValueError, match="y is continuous: LabelShiftWeights needs classes"):
        LabelShiftWeights().fit(np.ones((4, 1)), y, X_target=np.ones((3, 1)))


def test_labels_that_are_not_numbers_are_refused():
    y = np.array([0, 1, np.nan, 1])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        LabelShiftWeights().fit(np.ones((4, 1)), y, X_target=np.ones((3, 1)))


@pytest.mark.parametrize("method", METHODS)
def test_classifier_that_knows_nothing_leaves_weights_one(method, domains):
    X, y, T = domains
    with pytest.warns(UserWarning, match="predicts some classes alike"):
        found = fitted(X, y, T, DummyClassifier(), method=method)
    np.testing.assert_allclose(found.weights_, 1, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_noise_does_not_move_weights_far(method, domains):
    """Labels without any relation to the rows: the likelihood is nearly flat."""
    X, y, T = domains
    with pytest.warns(UserWarning, match="predicts some classes alike"):
        found = fitted(X, np.random.default_rng(1).permutation(y), T, method=method)
    np.testing.assert_allclose(found.weights_, 1, atol=0.5)


def test_classes_that_cannot_be_told_apart_keep_their_odds(domains):
    """Two classes are halves of one class, so only their sum can be determined."""
    X, y, T = domains
    halves = y + 3 * ((y == 0) & (np.arange(len(y)) % 2 == 0))
    with pytest.warns(UserWarning, match="predicts some classes alike"):
        found = fitted(X, halves, T, method="bbse")
    assert found.target_priors_[0] + found.target_priors_[3] == pytest.approx(0.2, abs=0.1)
    assert found.class_weights_[0] == pytest.approx(found.class_weights_[3], rel=0.5)


def test_one_class_has_weight_one():
    found = LabelShiftWeights().fit(np.ones((4, 1)), ["a"] * 4, X_target=np.ones((3, 1)))
    np.testing.assert_array_equal(found.weights_, 1)
    np.testing.assert_array_equal(found.target_priors_, [1])


@pytest.mark.parametrize("method", METHODS)
def test_a_class_of_one_row_is_no_error(method, domains):
    X, y, T = domains
    y = y.copy()
    y[0] = 3
    with pytest.warns(UserWarning, match="predicts some classes alike"):
        found = fitted(X, y, T, method=method)
    assert np.isfinite(found.weights_).all()


@pytest.mark.filterwarnings("ignore:The classifier predicts some classes alike")
@pytest.mark.parametrize("method", METHODS)
def test_two_rows_are_enough(method):
    found = LabelShiftWeights(method=method).fit([[0.0], [1.0]], [0, 1], X_target=[[1.0]])
    assert found.weights_.mean() == pytest.approx(1)


def test_classes_told_apart_without_error_are_counted():
    X, y = np.repeat([[0.0], [9.0]], 50, axis=0), np.repeat([0, 1], 50)
    T = np.repeat([[0.0], [9.0]], [10, 30], axis=0)
    for method in METHODS:
        found = fitted(X, y, T, method=method)
        np.testing.assert_allclose(found.target_priors_, [0.25, 0.75], atol=1e-3)


def test_too_few_rounds_are_told():
    from sklearn.exceptions import ConvergenceWarning

    rng = np.random.default_rng(0)
    X, y = draw(rng, 300, [0.4, 0.3, 0.3])
    T, _ = draw(rng, 200, [0.1, 0.1, 0.8])
    with pytest.warns(ConvergenceWarning, match="LabelShiftWeights stopped after 1 rounds"):
        fitted(X, y, T, max_iter=1, tol=1e-14)


def test_models_did_not_see_the_rows_they_predict(domains):
    class Recorder(GaussianNB):
        seen = []

        def fit(self, X, y):
            self.rows_ = {tuple(row) for row in X}
            return super().fit(X, y)

        def predict_proba(self, X):
            self.seen.append(len(self.rows_ & {tuple(row) for row in X}))
            return super().predict_proba(X)

    fitted(*domains, Recorder(), cv=4)
    assert Recorder.seen == [0] * 5
