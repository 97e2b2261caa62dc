import pickle
import warnings
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_transfer import PretrainedFeatures, rank_backbones
from sklearn_transfer.selection import gbc, h_score, leep, logme, nce
from tests.small_networks import CountingNet, counting_net, mlp, trained_net

mpl.use("Agg")
LAYERS = ["stem", "body", ["stem", "body"], None]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def task():
    """Return thirty tiny images of three classes of different brightness, and labels."""
    rng = np.random.default_rng(0)
    y = np.array(["dark", "gray", "light"] * 10)
    level = {"dark": 60, "gray": 110, "light": 160}
    images = [
        rng.integers(0, 90, (20, 20, 3)).astype(np.uint8) + np.uint8(level[c]) for c in y
    ]
    return images, y


@pytest.fixture
def net():
    return trained_net()


def features_of(model, X, layer, **params):
    return PretrainedFeatures(model, layers=layer, **params).fit_transform(X)


def rank(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rank_backbones(*args, **options)


def dead_net(n_features_in):
    """Return features that are all equal."""
    net = CountingNet(n_features_in)
    nn.init.zeros_(net.head.weight)
    return net


def bare_mlp(n_features_in):
    return nn.Sequential(nn.Linear(n_features_in, 4), nn.Tanh())


def failing_net(n_features_in):
    class Failing(CountingNet):
        def forward(self, x):
            raise RuntimeError("no kernel for that")

    return Failing(n_features_in)


def absent_net(n_features_in):
    raise OSError("no weights in a train")


def test_scores_are_those_of_the_features(task, net):
    X, y = task
    scores = {"logme": logme, "h_score": h_score, "gbc": gbc}
    for name, score in scores.items():
        ranking = rank_backbones([net, counting_net], X, y, layers=LAYERS, score=name)
        assert len(ranking.candidates) == 8
        for row in ranking.candidates:
            expected = score(row.features.fit_transform(X), y)
            assert row.score == pytest.approx(expected, abs=1e-12)
            assert ranking.score_name == name


def test_best_comes_first_and_failures_last(task, net):
    ranking = rank([absent_net, net, counting_net], *task, layers=LAYERS)
    scores = [row.score for row in ranking.candidates]
    assert scores[8:] == [None] * 4
    assert scores[:8] == sorted(scores[:8], reverse=True)
    assert ranking.best is ranking.candidates[0]


def test_equal_scores_keep_the_order_given(task, net):
    ranking = rank_backbones([counting_net, net], *task, layers=LAYERS, score=lambda F, y: 1)
    names = [row.name for row in ranking.candidates]
    assert names == ["counting_net"] * 4 + ["CountingNet"] * 4
    layers = [row.layer for row in ranking.candidates[:4]]
    assert layers == ["stem", "body", "stem + body", "embedding"]


def test_each_image_passes_each_network_once_and_never_again(task, net):
    X, y = task
    CountingNet.reset()
    first = rank_backbones([net, counting_net], X, y, layers=LAYERS, cv=3)
    assert CountingNet.images_seen == 2 * len(X)
    second = rank_backbones([net, counting_net], X, y, layers=LAYERS, cv=3)
    assert CountingNet.images_seen == 2 * len(X)
    for before, after in zip(first.candidates, second.candidates, strict=True):
        assert before.seconds > 0
        assert after.seconds is None
        assert (before.score, before.cv_mean) == (after.score, after.cv_mean)


def test_the_candidate_finds_its_features_in_the_cache(task, net):
    X, y = task
    best = rank_backbones([net], X, y, layers=["stem", None]).best
    CountingNet.reset()
    make_pipeline(best.features, KNeighborsClassifier()).fit(X, y)
    assert CountingNet.images_seen == 0


def test_without_a_cache_one_pass_does_for_all_layers(task, net):
    X, y = task
    params = {"cache": None}
    CountingNet.reset()
    ranking = rank_backbones([net], X, y, layers=LAYERS, features_params=params)
    assert CountingNet.images_seen == len(X)
    assert ranking.best.features.cache is None


def test_costs_are_those_of_the_network(task, net):
    row = rank_backbones([net], *task, layers=["body"]).best
    assert row.n_parameters == sum(p.numel() for p in net.parameters())
    assert row.n_features == 6


def test_cross_validation_is_that_of_scikit_learn(task, net):
    X, y = task
    ranking = rank_backbones([net, counting_net], X, y, cv=4)
    for row in ranking.candidates:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        expected = cross_val_score(
            model, row.features.fit_transform(X), y, cv=StratifiedKFold(4)
        )
        assert row.cv_mean == pytest.approx(expected.mean(), abs=1e-12)
        assert row.cv_std == pytest.approx(expected.std(), abs=1e-12)


def test_all_candidates_are_validated_on_the_same_folds(task, net):
    # With random labels, scores differ between folds.
    X, y = task[0], np.random.default_rng(0).permutation(task[1])
    copies = {"one": net, "other": net}
    random_folds = StratifiedKFold(3, shuffle=True)
    options = {"cv": random_folds, "estimator": KNeighborsClassifier(1)}
    one, other = rank_backbones(copies, X, y, layers=["stem"], **options).candidates
    assert (one.cv_mean, one.cv_std) == (other.cv_mean, other.cv_std)
    generator = KFold(3).split(X)
    one, other = rank_backbones(copies, X, y, layers=["stem"], cv=generator).candidates
    assert one.cv_mean == other.cv_mean


def test_numbers_are_ranked_by_logme_and_ridge(task, net):
    X, _ = task
    y = np.array([image.mean() for image in X]) + 0.5
    row = rank_backbones([net], X, y, layers=["stem"], cv=3).best
    features = features_of(net, X, "stem")
    assert row.score == pytest.approx(logme(features, y), abs=1e-12)
    expected = cross_val_score(make_pipeline(StandardScaler(), Ridge()), features, y, cv=3)
    assert row.cv_mean == pytest.approx(expected.mean(), abs=1e-12)
    both = np.column_stack([y, y**2])
    row = rank_backbones([net], X, both, layers=["stem"], cv=3).best
    assert row.score == pytest.approx(logme(features, both), abs=1e-12)


def softmax(logits):
    e = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_leep_and_nce_rate_the_classifier_of_the_network(task, net):
    X, y = task
    logits = features_of(net, X, "logits")
    expected = {"leep": leep(softmax(logits), y), "nce": nce(logits.argmax(axis=1), y)}
    for name, value in expected.items():
        CountingNet.reset()
        params = {"cache": None}
        found = rank_backbones(
            net, X, y, layers=["stem", "body"], score=name, cv=3, features_params=params
        )
        assert CountingNet.images_seen == len(X)
        for row in found.candidates:
            assert row.score == pytest.approx(value, abs=1e-12)
            expected_cv = rank_backbones(net, X, y, layers=[row.layer], cv=3).best.cv_mean
            assert row.cv_mean == expected_cv


def test_leep_says_which_network_has_no_classifier(task):
    X, y = task
    without = PretrainedFeatures("test_vit", weights=None)
    with_one = PretrainedFeatures(counting_net)
    net = without._load_backbone()
    described = net.description
    net.description = replace(
        described, layout=replace(described.layout, has_classifier=False)
    )
    try:
        with pytest.warns(UserWarning, match="has no classifier") as caught:
            ranking = rank_backbones({"a": without, "b": with_one}, X, y, score="leep")
    finally:
        net.description = described
    assert len(caught) == 1
    assert [row.name for row in ranking.candidates] == ["b", "a"]
    assert "has no classifier" in ranking.candidates[1].problem


def test_a_function_is_a_score(task, net):
    def brightness(features, y):
        return features[y == "light"].mean()

    X, y = task
    ranking = rank_backbones([net], X, y, score=brightness)
    assert ranking.score_name == "brightness"
    expected = features_of(net, X, None)[y == "light"].mean()
    assert ranking.best.score == pytest.approx(float(expected))


def test_a_score_that_is_no_number_is_a_problem(task, net):
    def broken(features, y):
        return np.nan if features.shape[1] == 6 else 1.0

    with pytest.warns(UserWarning, match=r"CountingNet \(body\): broken gives nan"):
        ranking = rank_backbones([net], *task, layers=["body", "stem"], score=broken)
    assert [row.score for row in ranking.candidates] == [1.0, None]


@pytest.mark.parametrize(
    ("bad", "reason"), [(absent_net, "no weights in a train"), (failing_net, "no kernel")]
)
def test_a_network_that_cannot_be_had_does_not_lose_the_others(task, net, bad, reason):
    with pytest.warns(
        UserWarning, match=f"2 of 4 candidates could not be rated.*\n.*{reason}"
    ):
        ranking = rank_backbones([bad, net], *task, layers=["stem", None])
    rated = [row.name for row in ranking.candidates if row.score is not None]
    assert rated == ["CountingNet", "CountingNet"]
    assert reason in ranking.candidates[-1].problem
    assert reason in str(ranking)
    assert reason in ranking._repr_html_()


@pytest.mark.usefixtures("offline")
def test_offline_the_row_says_what_to_bring(task, net):
    with pytest.warns(UserWarning, match="resnet10t.* in no installed package") as caught:
        ranking = rank_backbones(["resnet10t", net], *task)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "Bring model.safetensors" in ranking.candidates[1].problem


def test_a_layer_that_a_network_has_not_is_a_problem_of_its_row(task, net):
    with pytest.warns(UserWarning, match="1 of 2 .*\n.*names no layer of CountingNet"):
        ranking = rank_backbones([net], *task, layers=["steem", "stem"])
    assert [row.problem is None for row in ranking.candidates] == [True, False]


def test_without_any_candidate_the_reasons_are_raised(task):
    with pytest.raises(ValueError, match="No candidate could be rated:\n- absent_net.*train"):
        rank_backbones([absent_net], *task)


def test_a_sample_that_cannot_be_read_is_raised(task, net):
    X, y = task
    X = [*X[:-1], "missing.jpg"]
    with pytest.raises(ValueError, match="^row 29 .*missing.jpg"):
        rank_backbones([net, counting_net], X, y)


def test_rows_without_features_are_left_out(task, net):
    X, y = task
    X = [*X[:-1], "missing.jpg"]
    with pytest.warns(UserWarning, match="1 of 30 samples cannot be used"):
        ranking = rank_backbones([net], X, y, features_params={"on_error": "nan"}, cv=3)
    expected = logme(features_of(net, X[:-1], None), y[:-1])
    assert ranking.best.score == pytest.approx(expected, abs=1e-12)
    assert np.isfinite(ranking.best.cv_mean)


def test_labels_are_refused_before_a_network_runs(task, net):
    X, y = task
    CountingNet.reset()
    for score in ("logme", "h_score", "gbc", "leep", "nce"):
        with pytest.raises(ValueError, match="one class only"):
            rank_backbones([net], X, np.zeros(30), score=score)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        rank_backbones([net], X, np.linspace(0, 1, 30), score="h_score")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        rank_backbones([net], X, y[:-1])
    assert CountingNet.images_seen == 0


def test_parameters_are_checked_before_a_network_runs(task, net):
    X, y = task
    CountingNet.reset()
    with pytest.raises(ValueError, match="'score' parameter of rank_backbones must be"):
        rank_backbones([net], X, y, score="logmee")
    with pytest.raises(ValueError, match="holds 'cash'.* Did you mean 'cache'"):
        rank_backbones([net], X, y, features_params={"cash": None})
    with pytest.raises(ValueError, match="features_params holds 'layers'"):
        rank_backbones([net], X, y, features_params={"layers": None})
    with pytest.raises(TypeError, match="models holds a KNeighborsClassifier"):
        rank_backbones([net, KNeighborsClassifier()], X, y)
    with pytest.raises(ValueError, match="'pooling' parameter of .* must be"):
        rank_backbones([net, PretrainedFeatures(pooling=3)], X, y)
    with pytest.raises(ValueError, match="models is empty"):
        rank_backbones([], X, y)
    with pytest.raises(ValueError, match="names no layer"):
        rank_backbones([net], X, y, layers=[])
    assert CountingNet.images_seen == 0


def test_a_warning_of_a_score_comes_once_and_names_the_candidates(task, net):
    def doubtful(features, y):
        warnings.warn("too few", RuntimeWarning, stacklevel=1)
        return 0.0

    both = "CountingNet, stem; CountingNet, body: too few"
    with pytest.warns(RuntimeWarning, match=both) as caught:
        rank_backbones([net], *task, layers=["stem", "body"], score=doubtful)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_networks_have_names_that_tell_them_apart(task, tmp_path):
    import torch

    X, y = task
    torch.save(trained_net().state_dict(), tmp_path / "mine.pt")
    models = [
        counting_net,
        PretrainedFeatures("test_vit", weights=None),
        PretrainedFeatures("test_vit", weights=None, random_state=1),
        PretrainedFeatures(counting_net, weights=str(tmp_path / "mine.pt")),
        PretrainedFeatures(counting_net, weights=trained_net().state_dict()),
        PretrainedFeatures(counting_net, pooling="max"),
    ]
    ranking = rank_backbones(models, X, y, score=lambda F, y: 0)
    assert [row.name for row in ranking.candidates] == [
        "counting_net #1",
        "test_vit, random weights (seed 0)",
        "test_vit, random weights (seed 1)",
        "counting_net, mine.pt",
        "counting_net, weights from a mapping",
        "counting_net #2",
    ]


def test_what_is_given_stays_as_it_is(task, net):
    X, y = task
    images, y = np.array(X), y.copy()
    images.flags.writeable = y.flags.writeable = False
    extractor = PretrainedFeatures(net, layers="stem")
    before = vars(extractor).copy()
    ranking = rank_backbones([extractor], images, y, layers=["body"], verbose=True)
    assert vars(extractor) == before
    assert ranking.best.features.layers == "body"
    assert ranking.best.features.model is net


def test_kinds_of_input_do_not_matter(task, net):
    X, y = task
    expected = rank_backbones([net], X, y).best.score
    codes = np.unique(y, return_inverse=True)[1]
    kinds = [
        (np.array(X), y.tolist()),
        (pd.Series(X), pd.Series(y)),
        (tuple(X), pl.Series(y.tolist())),
        (X, 7 * codes - 7),
    ]
    for images, labels in kinds:
        score = rank_backbones([net], images, labels).best.score
        assert score == pytest.approx(expected, abs=1e-12)


def test_tables_are_samples_too(task):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(30, 4)), columns=list("abcd"))
    y = (X["a"] > 0).astype(int)
    params = {"preprocess": None}
    ranking = rank_backbones([mlp, bare_mlp], X, y, features_params=params)
    assert {row.n_features for row in ranking.candidates} == {4, 5}


def test_same_features_give_a_number(task):
    ranking = rank_backbones([dead_net, counting_net], *task, cv=3)
    assert np.isfinite([row.score for row in ranking.candidates]).all()


def test_text_and_html_show_each_candidate(task, net):
    ranking = rank_backbones({"<net>": net, "other": counting_net}, *task, cv=3)
    lines = str(ranking).splitlines()
    assert len(lines) == 3
    assert lines[0].split()[:4] == ["network", "layer", "logme", "cross-validated"]
    for line, row in zip(lines[1:], ranking.candidates, strict=True):
        assert line.split()[:4] == [
            row.name,
            "embedding",
            f"{row.score:.4g}",
            f"{row.cv_mean:.3f}",
        ]
    assert repr(ranking) == str(ranking)
    page = ranking._repr_html_()
    assert "&lt;net&gt;" in page
    assert page.count("<tr>") == 3


def test_frame_holds_what_the_candidates_hold(task, net):
    ranking = rank([net, absent_net], *task, layers=["stem", None])
    frame = ranking.to_frame()
    assert len(frame) == 4
    assert frame["score"].iloc[0] == ranking.best.score
    assert "features" not in frame
    assert frame["problem"].notna().sum() == 2


def test_ranking_can_be_pickled(task):
    ranking = rank_backbones([counting_net], *task)
    assert str(pickle.loads(pickle.dumps(ranking))) == str(ranking)


def points(display):
    return np.concatenate([p.get_offsets() for p in display.points_])


def test_plot_shows_score_against_cost(task, net):
    ranking = rank([net, absent_net, counting_net], *task, layers=["stem", None], cv=3)
    rated = [row for row in ranking.candidates if row.score is not None]
    display = ranking.plot()
    expected = [(1000 * row.seconds, row.score) for row in rated]
    np.testing.assert_allclose(points(display), expected)
    assert [label.get_text() for label in display.labels_] == ["1", "2", "3", "4"]
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == [f"{i}  {row.title}" for i, row in enumerate(rated, 1)]
    assert display.ax_.get_ylabel() == "logme"
    for against in ("cv_mean", "n_features"):
        shown = points(ranking.plot(display.ax_, against=against))
        np.testing.assert_allclose(shown[:, 0], [getattr(row, against) for row in rated])


def test_plot_of_cached_features_shows_parameters(task, net):
    rank_backbones([net], *task)
    ranking = rank_backbones([net], *task)
    display = ranking.plot(scatter_kwargs={"s": 5})
    np.testing.assert_allclose(points(display)[0, 0], ranking.best.n_parameters / 1e6)
    assert display.points_[0].get_sizes() == [5]
    with pytest.raises(ValueError, match="'seconds' is not known .* came from the cache"):
        ranking.plot(against="seconds")
    with pytest.raises(ValueError, match="'cv_mean' is not known .* with cv"):
        ranking.plot(against="cv_mean")
    with pytest.raises(ValueError, match="against='time' is unknown"):
        ranking.plot(against="time")


def test_numbers_of_near_points_do_not_cover_each_other(task, net):
    ranking = rank_backbones({str(i): net for i in range(5)}, *task)
    display = ranking.plot(against="n_parameters")
    display.figure_.draw_without_rendering()
    boxes = [mpl.text.Text.get_window_extent(label) for label in display.labels_]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
