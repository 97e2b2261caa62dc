import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import CORAL, DomainDisplay, TargetDomain


def test_points_are_the_principal_components(domains):
    display = DomainDisplay.from_data(*domains)
    expected = PCA(2).fit_transform(np.concatenate(domains))
    found = np.concatenate([points.get_offsets() for points in display.points_])
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-10)
    assert [len(points.get_offsets()) for points in display.points_] == [60, 40]
    assert display.ax_.get_xlabel() == "Principal component 1"
    assert display.ax_.get_title() == "60 source and 40 target samples"


def entries(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def color(points):
    return tuple(points.get_facecolor()[0][:3])


def test_domains_have_colors_of_their_own(domains):
    display = DomainDisplay.from_data(*domains)
    assert entries(display) == ["source", "target"]
    assert color(display.points_[0]) != color(display.points_[1])


def test_classes_have_one_color_in_both_domains(domains):
    y, y_target = np.array(["b", "a", "c"])[np.arange(60) % 3], np.array(["a", "c"] * 20)
    display = DomainDisplay.from_data(*domains, y, y_target)
    labels = ["source, a", "source, b", "source, c", "target, a", "target, c"]
    assert entries(display) == labels
    colors = dict(zip(labels, map(color, display.points_), strict=True))
    assert colors["source, a"] == colors["target, a"]
    assert len(set(colors.values())) == 3
    np.testing.assert_array_equal(display.points_[1].get_offsets(), display.source[y == "b"])


def test_target_without_classes_is_gray(domains):
    display = DomainDisplay.from_data(*domains, np.arange(60) % 2)
    assert entries(display) == ["source, 0", "source, 1", "target"]
    assert len(set(color(display.points_[2]))) == 1


def test_long_legend_stands_beside_the_axes(domains):
    display = DomainDisplay.from_data(*domains, np.arange(60) % 15, np.arange(40) % 15)
    display.figure_.draw_without_rendering()
    axes, legend = display.ax_.get_window_extent(), display.legend_.get_window_extent()
    assert legend.x0 >= axes.x1
    assert legend.x1 <= display.figure_.bbox.x1
    assert legend.y0 >= display.figure_.bbox.y0
    assert len({color(points) for points in display.points_}) == 15


def test_many_rows_are_thinned_with_their_classes(domains):
    X, T = domains
    y = np.arange(60)
    display = DomainDisplay.from_data(X, T, y, max_samples=10, method="pca")
    assert (len(display.source), len(display.target)) == (10, 10)
    kept = np.concatenate([X[display.y_source], T])
    assert len(set(display.y_source)) == 10
    # Distances in the plane are at most those of the rows.
    gaps = np.linalg.norm(kept[:10, None] - kept[None, :10], axis=2)
    shown = np.linalg.norm(display.source[:, None] - display.source[None], axis=2)
    assert (shown <= gaps + 1e-9).all()
    assert np.corrcoef(shown.ravel(), gaps.ravel())[0, 1] > 0.5


def test_same_seed_same_picture(domains):
    first, second = (
        DomainDisplay.from_data(*domains, method="tsne", max_samples=20) for _ in range(2)
    )
    np.testing.assert_array_equal(first.source, second.source)
    assert first.ax_.get_xlabel() == "t-SNE 1"


def test_estimator_transforms_both_domains(domains):
    X, T = domains
    scaler = StandardScaler().fit(X)
    display = DomainDisplay.from_estimator(scaler, X, T)
    expected = DomainDisplay.from_data(scaler.transform(X), scaler.transform(T))
    np.testing.assert_array_equal(display.target, expected.target)


def test_one_feature_and_one_row_are_drawn():
    display = DomainDisplay.from_data([[1.0]], TargetDomain([[2.0]]))
    assert display.source.shape == (1, 2)
    assert abs(display.source[0, 0] - display.target[0, 0]) == pytest.approx(1)


def test_unknown_method_is_refused(domains):
    with pytest.raises(ValueError, match="method='lda' is unknown; expected one of"):
        DomainDisplay.from_data(*domains, method="lda")


def test_classes_of_another_length_are_refused(domains):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        DomainDisplay.from_data(*domains, [0, 1])


def test_umap_projects_where_it_is_installed(domains, monkeypatch):
    class UMAP:
        def __init__(self, random_state):
            self.seed = random_state

        def fit_transform(self, X):
            return X[:, :2] * 2

    monkeypatch.setitem(sys.modules, "umap", type(sys)("umap"))
    sys.modules["umap"].UMAP = UMAP
    display = DomainDisplay.from_data(*domains, method="umap")
    np.testing.assert_array_equal(display.source, domains[0][:, :2] * 2)


def test_missing_umap_names_what_brings_it(domains, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match="umap-learn"):
        DomainDisplay.from_data(*domains, method="umap")


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_equal_rows_are_one_point(method):
    display = DomainDisplay.from_data(np.ones((5, 2)), np.ones((4, 2)), method=method)
    assert not display.source.any()
    assert not display.target.any()


def test_estimator_maps_the_rows_of_a_target_domain():
    X = np.random.default_rng(0).normal(size=(20, 3))
    scaler = StandardScaler().fit(X)
    held = DomainDisplay.from_estimator(scaler, X, TargetDomain(X + 1))
    plain = DomainDisplay.from_estimator(scaler, X, X + 1)
    np.testing.assert_array_equal(held.target, plain.target)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_row_without_a_class_is_named(missing):
    X = np.random.default_rng(0).normal(size=(4, 3))
    y = np.array(["a", "b", missing, "a"], dtype=object)
    with pytest.raises(ValueError, match="y_target has no class in row 2.*leave y_target out"):
        DomainDisplay.from_data(X, X + 1, y_target=y)


def test_classes_of_two_kinds_are_refused():
    X = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(ValueError, match="y holds numbers and y_target text"):
        DomainDisplay.from_data(X, X, [0, 1, 0, 1], ["0", "1", "0", "1"])


@pytest.mark.parametrize("max_samples", [0, -1, 2.5])
def test_a_bound_that_shows_nothing_is_refused(max_samples):
    X = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(ValueError, match="max_samples=.*expected an integer above 0"):
        DomainDisplay.from_data(X, X, max_samples=max_samples)


def test_an_aligner_maps_the_source_as_the_source():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(50, 3)), rng.normal(5, 1, size=(40, 3))
    display = DomainDisplay.from_estimator(CORAL().fit(X, X_target=T), X, T)
    np.testing.assert_allclose(
        display.source.mean(axis=0), display.target.mean(axis=0), atol=1e-8
    )
