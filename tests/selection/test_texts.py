"""Selection, heads and weights on texts, with a small network."""

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import (
    KMM,
    AutoencoderFeatures,
    ImportanceWeighted,
    PretrainedFeatures,
    PretrainedTextFeatures,
    negative_transfer_test,
    rank_adaptations,
    rank_backbones,
    shift_report,
)
from sklearn_transfer.selection import logme
from sklearn_transfer.selection._baselines import replace_pretrained, replace_texts
from sklearn_transfer.selection._tfidf import TfidfFeatures
from tests import small_networks, small_texts

FOLDS = KFold(3, shuffle=True, random_state=0)
ANIMALS, COLORS = ["cat", "dog", "fish"], ["red", "green", "blue"]
RNG = np.random.default_rng(0)
X = [
    f"{COLORS[RNG.integers(3)]} {ANIMALS[i % 3]} is {COLORS[RNG.integers(3)]}"
    for i in range(30)
]
Y = np.array(["furry", "furry", "wet"] * 10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(small_texts.write_bert(tmp_path_factory.mktemp("texts") / "net"))


@pytest.fixture
def features(folder):
    return PretrainedTextFeatures(folder, engine="torch")


# Ranking


def test_networks_of_texts_are_ranked_beside_words(folder, features):
    ranking = rank_backbones([folder, "tfidf"], X, Y, layers=[None, "shallow"])
    found = {(row.name, row.layer): row.score for row in ranking.candidates}
    assert len(found) == 3
    words = TfidfVectorizer().fit_transform(X).toarray()
    assert found["tfidf", "embedding"] == pytest.approx(logme(words, Y), abs=1e-6)
    expected = logme(features.fit_transform(X), Y)
    assert found[folder, "embedding"] == pytest.approx(expected, abs=1e-6)


def test_ranked_candidates_take_texts(folder):
    ranking = rank_backbones({"net": folder, "words": "tfidf"}, X, Y)
    kinds = {row.name: type(row.features) for row in ranking.candidates}
    assert kinds == {"net": PretrainedTextFeatures, "words": TfidfFeatures}
    for row in ranking.candidates:
        assert make_pipeline(row.features, LogisticRegression()).fit(X, Y).score(X, Y) > 0.6


def test_parameters_of_texts_reach_ranked_networks(folder):
    params = {"max_length": 4, "long_text": "windows"}
    ranking = rank_backbones([folder], X, Y, features_params=params)
    assert ranking.best.features.max_length == 4


def test_parameters_of_images_are_refused_for_texts(folder):
    with pytest.raises(ValueError, match="input_size is no parameter of PretrainedTextFeat"):
        rank_backbones([folder], X, Y, features_params={"input_size": 32})


def test_words_have_no_classifier():
    with pytest.raises(ValueError, match="counts of words come with no classifier"):
        rank_backbones(["tfidf"], X, Y, score="leep")


# Baselines


def test_words_take_the_place_of_the_network(features):
    model = make_pipeline(features, LogisticRegression())
    result = negative_transfer_test(model, "tfidf", X, Y, cv=FOLDS)
    expected = cross_val_score(
        make_pipeline(TfidfVectorizer(), LogisticRegression()), X, Y, cv=FOLDS
    )
    assert result.baseline == "tfidf"
    np.testing.assert_array_equal(result.scores_baseline, expected)


def test_random_weights_are_a_baseline_for_texts(features):
    model = make_pipeline(features, LogisticRegression())
    assert replace_pretrained(model)[0].weights is None
    result = negative_transfer_test(model, "scratch", X, Y, cv=FOLDS)
    other = PretrainedTextFeatures(features.model, weights=None, engine="torch")
    expected = cross_val_score(make_pipeline(other, LogisticRegression()), X, Y, cv=FOLDS)
    np.testing.assert_array_equal(result.scores_baseline, expected)


def test_searches_over_the_network_run_on_words(features):
    grid = {"pretrainedtextfeatures__layers": [None, "shallow"]}
    model = make_pipeline(features, StandardScaler(), LogisticRegression())
    found = replace_texts(GridSearchCV(model, grid, cv=2))
    assert type(found.estimator[0]) is TfidfFeatures
    assert found.fit(X, Y).score(X, Y) > 0.6


def test_pixels_of_texts_are_refused(features):
    model = make_pipeline(features, LogisticRegression())
    with pytest.raises(ValueError, match="Give an estimator as baseline, or 'tfidf'"):
        negative_transfer_test(model, "raw", X, Y)


def test_words_of_images_are_refused():
    model = make_pipeline(
        PretrainedFeatures(small_networks.trained_net()), LogisticRegression()
    )
    with pytest.raises(ValueError, match="baseline='tfidf' looked in Pipeline for Pretrained"):
        negative_transfer_test(model, "tfidf", X, Y)


@pytest.mark.parametrize(
    "container", [list, np.array, pd.Series, lambda X: pd.DataFrame({"text": X})],
    ids=["list", "array", "series", "frame"],
)  # fmt: skip
def test_words_come_from_any_container(container):
    found = TfidfFeatures().fit(container(X)).transform(container(X))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, TfidfVectorizer().fit_transform(X).toarray(), atol=1e-6)


def test_words_are_named():
    names = TfidfFeatures().fit(["red cat", "blue"]).get_feature_names_out()
    assert names.tolist() == ["tfidf_blue", "tfidf_cat", "tfidf_red"]


def test_words_of_a_missing_text_are_refused_by_row():
    with pytest.raises(ValueError, match="row 1 .NoneType.: expected a string"):
        TfidfFeatures().fit(["red", None])


def test_words_of_a_missing_text_are_nan_if_asked():
    model = TfidfFeatures(on_error="nan").fit(["red", None])
    with pytest.warns(UserWarning, match="1 of 2 rows are no texts"):
        found = model.transform(["red", None])
    np.testing.assert_array_equal(found, [[1], [np.nan]])


# Shift


def test_report_of_texts_is_that_of_their_features(features):
    target = ["fish is blue fish"] * 10 + X[:10]
    found = shift_report(X, target, Y, representation=features, random_state=0)
    tables = features.fit_transform(X), features.transform(target)
    expected = shift_report(*tables, Y, random_state=0)
    assert found.to_dict() == expected.to_dict()
    assert found.n_features == 16


def test_report_of_texts_asks_for_a_representation():
    with pytest.raises(ValueError, match=r"pass representation=PretrainedTextFeatures\(\)"):
        shift_report(X, X)


def test_weights_of_texts_are_those_of_their_features(features):
    target = [text for text in X if "red" in text]
    model = make_pipeline(features, LogisticRegression())
    found = ImportanceWeighted(model, KMM(), representation=features)
    found.fit(X, Y, X_target=target)
    weights = (
        KMM().fit(features.fit_transform(X), X_target=features.transform(target)).weights_
    )
    np.testing.assert_allclose(found.weighter_.weights_, weights)
    assert found.predict(X).shape == (30,)


def test_ways_to_adapt_texts_predict_texts(features):
    ranking = rank_adaptations(["mean"], X, Y, X[:15], representation=features, cv=None)
    for row in ranking.candidates:
        assert row.estimator.predict(X).shape == (30,)


# Autoencoders


@pytest.mark.parametrize("container", [list, np.array, pd.Series])
def test_autoencoders_refuse_texts(container):
    with pytest.raises(
        ValueError, match="takes images or tables of numbers, and X holds texts"
    ):
        AutoencoderFeatures().fit(container(X))


def test_autoencoders_name_a_file_that_is_missing(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        AutoencoderFeatures().fit([str(tmp_path / "a photo.png")])
