"""Tables with images, texts and numbers as features, by any library of tables."""

import io
import pickle
import re
import wave

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.preprocessing import OrdinalEncoder, StandardScaler, TargetEncoder

from sklearn_transfer import (
    FineTunedClassifier,
    FineTunedFeatures,
    MultimodalVectorizer,
    PretrainedAudioFeatures,
    PretrainedFeatures,
    PretrainedTextFeatures,
    make_multimodal_pipeline,
)
from tests import small_networks, small_texts

N = 24
COLORS = [["red", "green", "blue"][k % 3] for k in range(N)]
Y = np.arange(N) % 2


def small(**options):
    """Return a vectorizer with networks that are quick and know nothing."""
    small_parts = {
        "image": PretrainedFeatures(
            small_networks.counting_net, engine="torch", on_error="nan", input_size=16
        ),
        "text": PretrainedTextFeatures(
            small_texts.TokenTable(), engine="torch", on_error="nan"
        ),
    }
    return MultimodalVectorizer(**{**small_parts, **options})


@pytest.fixture
def paths(tmp_path):
    paths = []
    for k in range(N):
        paths.append(str(tmp_path / f"photo {k}.png"))
        pixels = np.random.default_rng(k).integers(0, 100, (12, 12, 3))
        Image.fromarray((pixels + 100 * (k % 2)).astype(np.uint8)).save(paths[-1])
    return paths


@pytest.fixture
def table(paths):
    words = np.array(["red", "green", "blue", "cat", "dog", "fish"])
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "photo": paths,
            "caption": [" ".join(rng.choice(words, 4)) + f" {k}" for k in range(N)],
            "iso": rng.normal(size=N),
            "color": COLORS,
            "taken": pd.date_range("2024-01-31", periods=N, freq="D").strftime("%Y-%m-%d"),
        }
    )


def test_a_table_is_decided_and_vectorized(table):
    vectorizer = small()
    features = vectorizer.fit_transform(table, Y)
    kinds = {column.name: column.kind for column in vectorizer.columns_}
    assert kinds == {
        "photo": "image",
        "caption": "text",
        "iso": "numeric",
        "color": "categorical",
        "taken": "datetime",
    }
    assert features.shape == (N, len(vectorizer.get_feature_names_out()))
    assert isinstance(vectorizer.transformer_, ColumnTransformer)
    np.testing.assert_allclose(vectorizer.transform(table), features, atol=1e-6)
    assert "photo: image (20 of 20 sampled" in str(vectorizer.columns_[0])
    assert list(pd.DataFrame(vectorizer.columns_).columns) == ["name", "kind", "reason"]


def test_names_say_the_column_and_the_part(table):
    names = small().fit(table).get_feature_names_out().tolist()
    assert names[:5] == [f"photo_{k}" for k in range(5)]
    assert {"caption_0", "iso", "color_red", "taken_month", "taken_total_seconds"} <= set(
        names
    )


def test_names_that_would_be_equal_keep_their_kind():
    table = pd.DataFrame({"color": ["red", "blue"] * 3, "color_red": [1.0, 2, 3, 4, 5, 7]})
    names = MultimodalVectorizer().fit(table).get_feature_names_out().tolist()
    assert names == ["numeric__color_red", "color_blue", "categorical__color_red"]


def test_libraries_of_tables_give_the_same_features(table):
    vectorizer = small().fit(table)
    expected = vectorizer.transform(table)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    for other in (pl.from_pandas(table), arrow, table.to_numpy(), table.convert_dtypes()):
        again = small().fit(other)
        np.testing.assert_allclose(again.transform(other), expected, atol=1e-6)
    np.testing.assert_allclose(vectorizer.transform(pl.from_pandas(table)), expected)


def test_rows_are_found_by_position_and_not_by_index(table):
    expected = small().fit_transform(table)
    shuffled = table.set_axis(np.random.default_rng(0).permutation(N) // 2 + 100)
    np.testing.assert_array_equal(small().fit_transform(shuffled), expected)
    frame = small().set_output(transform="pandas").fit_transform(shuffled)
    assert frame.index.equals(shuffled.index)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_output_is_a_frame_on_request(library, table):
    vectorizer = small().set_output(transform=library)
    frame = vectorizer.fit_transform(table)
    assert list(frame.columns) == vectorizer.get_feature_names_out().tolist()
    assert type(frame).__module__.startswith(library)


def test_columns_of_one_name_are_kept_apart(table):
    twice = pd.concat([table[["iso", "color"]], -table[["iso"]], table[["photo"]]], axis=1)
    vectorizer = small().fit(twice)
    kinds = [column.kind for column in vectorizer.columns_]
    assert kinds == ["numeric", "categorical", "numeric", "image"]
    frame = pd.DataFrame(
        vectorizer.transform(twice), columns=vectorizer.get_feature_names_out()
    )
    np.testing.assert_allclose(frame["iso"], -frame["iso_2"], atol=1e-12)
    dropped = small(specific_transformers=[("drop", ["iso"])]).fit(twice)
    assert [column.kind for column in dropped.columns_][::2] == ["drop", "drop"]


def test_names_that_are_numbers_are_kept():
    table = pd.DataFrame({0: [1.0, 2.0, 4.0], 1: ["a", "b", "a"]})
    vectorizer = MultimodalVectorizer().fit(table)
    assert [column.name for column in vectorizer.columns_] == [0, 1]
    assert vectorizer.get_feature_names_out().tolist() == ["0", "1_a", "1_b"]


def test_bad_images_cost_their_rows_alone(table, paths):
    """A column of paths is not taken for text, and bad images do not end the run."""
    with open(paths[3], "wb") as file:
        file.write(b"\xff\xd8\xff broken")
    table.loc[5, "photo"] = "/no/such/file.jpg"
    table.loc[7, "photo"] = None
    vectorizer = small()
    with pytest.warns(UserWarning, match="2 of 23.*the first is row 3 of column 'photo'"):
        features = vectorizer.fit_transform(table)
    assert vectorizer.columns_[0].kind == "image"
    frame = pd.DataFrame(features, columns=vectorizer.get_feature_names_out())
    assert np.flatnonzero(frame["photo_missing"]).tolist() == [3, 5, 7]
    assert (frame.filter(regex=r"photo_\d").loc[[3, 5, 7]] == 0).all(axis=None)
    assert np.isfinite(features).all()
    model = make_multimodal_pipeline(LogisticRegression(), vectorizer=small())
    with pytest.warns(UserWarning, match="cannot be used"):
        assert model.fit(table, Y).predict(table).shape == (N,)


def test_errors_of_an_extractor_name_row_and_column(table, paths):
    table.loc[2, "photo"] = None
    table.loc[5, "photo"] = "/no/such/file.jpg"
    extractor = PretrainedFeatures(small_networks.counting_net, engine="torch")
    with pytest.raises(ValueError, match="ow 5 of column 'photo' .*no such file"):
        small(image=extractor).fit(table)


def test_missing_entries_are_no_samples(table):
    table.loc[[1, 4], "photo"] = [None, ""]
    table.loc[[2, 3], "caption"] = [np.nan, "N/A"]
    vectorizer = small().fit(table)  # a warning would be an error
    frame = pd.DataFrame(
        vectorizer.transform(table), columns=vectorizer.get_feature_names_out()
    )
    assert np.flatnonzero(frame["photo_missing"]).tolist() == [1, 4]
    assert np.flatnonzero(frame["caption_missing"]).tolist() == [2, 3]


def test_kinds_and_widths_stay_after_fit(table):
    vectorizer = small().fit(table)
    width = len(vectorizer.get_feature_names_out())
    other = table.iloc[:2].assign(
        photo=[None, None],
        caption=["1", "2"],
        color=["violet", None],
        iso=[None, 1],
        taken=None,
    )
    features = vectorizer.transform(other)
    assert features.shape == (2, width)
    frame = pd.DataFrame(features, columns=vectorizer.get_feature_names_out())
    assert (frame.filter(regex="photo|color|taken") == 0).all(axis=None)
    with pytest.warns(UserWarning, match="In column 'iso', 2 of 2 entries are no numbers"):
        assert vectorizer.transform(other.assign(iso=["a", "b"])).shape == (2, width)


def test_columns_are_checked_by_name(table):
    vectorizer = small().fit(table)
    with pytest.raises(ValueError, match="feature names should match"):
        vectorizer.transform(table.rename(columns={"iso": "f_number"}))
    with pytest.raises(ValueError, match="same order"):
        vectorizer.transform(table[table.columns[::-1]])


def test_columns_whose_names_are_numbers_are_checked():
    table = pd.DataFrame({7: [1.0, 2.0, 4.0], 8: [5.0, 6.0, 9.0]})
    vectorizer = MultimodalVectorizer().fit(table)
    with pytest.raises(ValueError, match="column '8' at position 0, where fit had '7'"):
        vectorizer.transform(table[[8, 7]])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_names_of_features_are_never_equal(library):
    table = pd.DataFrame({"a": [1.0, None], "a_missing": [2.0, 3.0], "b": ["x", "y"]})
    frame = MultimodalVectorizer().set_output(transform=library).fit_transform(table)
    assert len(set(frame.columns)) == 5


def test_numbers_of_many_categories_are_known_as_integers_and_floats():
    table = pd.DataFrame({"shop": np.arange(1000, 1100).repeat(2)})
    specific = [("categorical", ["shop"])]
    vectorizer = MultimodalVectorizer(specific_transformers=specific)
    features = vectorizer.fit_transform(table)
    assert features.shape == (200, 30)
    np.testing.assert_array_equal(vectorizer.transform(table.astype(float)), features)


def test_lists_of_texts_go_to_a_transformer_of_a_column(table):
    specific = [(TfidfVectorizer(), ["caption"])]
    vectorizer = small(specific_transformers=specific).fit(table)
    own = small(text=TfidfVectorizer()).fit(table)
    np.testing.assert_array_equal(
        np.sort(vectorizer.transform(table)), np.sort(own.transform(table))
    )
    assert vectorizer.columns_[1].kind == "specific"


def test_unclear_columns_are_named_with_what_to_pass(table):
    table["code"] = [f"X-{k * 7919}" for k in range(N)]
    table["number"] = range(N)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - both columns are checked
        small().fit(table)
    message = str(caught.value)
    assert "2 of the columns can be taken in several ways" in message
    assert "('drop', ['code']) or ('categorical', ['code'])" in message
    pairs = re.findall(r"\('(\w+)', \['(\w+)'\]\)", message)
    specific = [(kind, [name]) for kind, name in pairs if kind != "drop"]
    vectorizer = small(specific_transformers=specific).fit(table)
    assert [c.kind for c in vectorizer.columns_][-2:] == ["categorical", "numeric"]
    assert vectorizer.columns_[-1].reason == "as specific_transformers says"


def test_messages_about_many_columns_are_short():
    codes = [f"X-{k * 7919}" for k in range(N)]
    wide = pd.DataFrame({f"{'x' * 300}{j}": codes for j in range(50)})
    with pytest.raises(ValueError, match="50 of the columns .*and 42 more") as caught:
        small().fit(wide)
    assert len(str(caught.value)) < 5000
    empty = pd.DataFrame({f"{'x' * 300}{j}": [None] * N for j in range(50)})
    with pytest.raises(ValueError, match="No column of X is left .*and 42 more") as caught:
        small().fit(empty)
    assert len(str(caught.value)) < 2000


def test_unclear_columns_raise_before_anything_is_computed(table):
    table["code"] = [f"X-{k * 7919}" for k in range(N)]
    small_networks.CountingNet.reset()
    with pytest.raises(ValueError, match="column 'code' holds codes"):
        small().fit(table)
    assert small_networks.CountingNet.images_seen == 0


@pytest.mark.parametrize(
    ("specific", "message"),
    [
        ([("drop", "iso")], "at index 0, expected a pair of a transformer"),
        (["drop"], "at index 0, expected a pair"),
        ([("drop", ["isso"])], "names column 'isso'.*Did you mean 'iso'"),
        ([("txt", ["iso"])], "has 'txt', expected a transformer.*Did you mean 'text'"),
        ([("drop", ["iso"]), ("text", ["iso"])], "'iso' at the indices 0 and 1; name it once"),
        ([("drop", ["photo", "caption", "iso", "color", "taken"])], "No column of X is left"),
    ],
)
def test_wrong_overrides_are_explained(specific, message, table):
    with pytest.raises(ValueError, match=message):
        small(specific_transformers=specific).fit(table)


def test_specific_transformers_are_applied_as_given(table):
    specific = [(OrdinalEncoder(), ["color", "taken"]), ("passthrough", ["iso"])]
    vectorizer = small(specific_transformers=specific).fit(table)
    frame = pd.DataFrame(
        vectorizer.transform(table), columns=vectorizer.get_feature_names_out()
    )
    np.testing.assert_array_equal(frame["iso"], table["iso"])
    np.testing.assert_array_equal(frame["taken"], np.arange(N))
    assert [column.kind for column in vectorizer.columns_][2:] == ["specific"] * 3


def test_columns_of_skrub_are_applied_one_by_one(table):
    skrub = pytest.importorskip("skrub")
    table["taken"] = pd.to_datetime(table["taken"])
    table["maker"] = [f"maker {chr(97 + k)}" for k in range(N)]
    vectorizer = small(
        categorical=skrub.StringEncoder(n_components=2),
        specific_transformers=[(skrub.DatetimeEncoder(), ["taken"])],
    ).fit(table)
    names = vectorizer.get_feature_names_out().tolist()
    assert {"color_0", "maker_1", "taken_year"} <= set(names)
    assert vectorizer.transform(table).shape == (N, len(names))


def test_transformers_by_kind_can_be_exchanged(table):
    vectorizer = small(
        image="drop",
        text=TfidfVectorizer(),
        numeric=StandardScaler(with_std=False),
        categorical=TargetEncoder(),
    )
    names = vectorizer.fit(table, Y).get_feature_names_out().tolist()
    assert "color" in names
    assert not any(name.startswith("photo") for name in names)
    centered = vectorizer.transform(table)[:, names.index("iso")]
    np.testing.assert_allclose(centered, table["iso"] - table["iso"].mean(), atol=1e-12)


def test_images_of_several_columns_have_blocks_of_their_own(table):
    table["second"] = table["photo"].iloc[::-1].to_numpy()
    vectorizer = small(specific_transformers=[("drop", ["caption"])]).fit(table)
    steps = [name for name, _, _ in vectorizer.transformer_.transformers_]
    assert steps[:2] == ["image", "image_2"]
    names = vectorizer.get_feature_names_out().tolist()
    first = vectorizer.transform(table)[:, names.index("photo_0")]
    second = vectorizer.transform(table)[:, names.index("second_0")]
    np.testing.assert_allclose(np.abs(first), np.abs(second[::-1]), atol=1e-5)


def test_parameters_of_default_extractors_can_be_set():
    vectorizer = MultimodalVectorizer()
    assert vectorizer.get_params()["image__layers"] is None
    assert vectorizer.get_params()["text__max_length"] is None
    vectorizer.set_params(image__layers="deep", n_components=5)
    assert isinstance(vectorizer.image, PretrainedFeatures)
    assert vectorizer.image.layers == "deep"
    assert vectorizer.image.on_error == "nan"
    assert vectorizer.text is None
    assert MultimodalVectorizer().image is None
    assert clone(vectorizer).get_params()["image__layers"] == "deep"
    plain = MultimodalVectorizer()
    plain.set_params(**plain.get_params())
    assert plain.image is None
    with pytest.raises(ValueError, match="Invalid parameter 'lyers'"):
        plain.set_params(image__lyers="deep")
    vectorizer.set_params(image=None, image__layers="middle")
    assert vectorizer.image.layers == "middle"
    vectorizer.set_params(text=TfidfVectorizer(), text__min_df=2)
    assert vectorizer.text.min_df == 2


def test_copies_give_the_same_features(table):
    vectorizer = small().fit(table)
    expected = vectorizer.transform(table)
    for copy in (pickle.loads(pickle.dumps(vectorizer)), clone(vectorizer).fit(table)):
        np.testing.assert_array_equal(copy.transform(table), expected)


def test_a_search_sends_each_image_through_the_network_once(table, fresh):
    small_networks.CountingNet.reset()
    model = make_multimodal_pipeline(LogisticRegression(), vectorizer=small())
    grid = {
        "multimodalvectorizer__n_components": [2, 5],
        "multimodalvectorizer__text__pooling": ["avg", "max"],
        "logisticregression__C": [0.1, 1.0],
    }
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(table, Y)
    assert search.best_score_ > 0.9
    seen = small_networks.CountingNet.images_seen
    assert N <= seen <= N + 2  # and one to find the width of features
    assert cross_val_predict(search.best_estimator_, table, Y, cv=3).shape == (N,)
    assert small_networks.CountingNet.images_seen == seen


def test_the_diagram_says_what_is_done_with_which_column(table):
    before = small()._repr_html_()
    assert "counting_net" in before
    table["nothing"] = None
    after = small().fit(table)._repr_html_()
    for words in ("photo: image", "sampled entries are images", "nothing: drop", "color"):
        assert words in after


def test_columns_of_a_given_kind_may_hold_nothing_of_it():
    table = pd.DataFrame({"a": [np.nan] * 3, "b": ["x", "y", "z"], "c": [1.0, 2.0, 4.0]})
    specific = [("numeric", ["a"]), ("datetime", ["b"])]
    with pytest.warns(UserWarning, match="In column 'b', 3 of 3 entries are no dates"):
        features = MultimodalVectorizer(specific_transformers=specific).fit_transform(table)
    assert np.isfinite(features).all()


def test_fine_tuned_features_get_the_targets_of_rows_that_are_present(table):
    table = table[["photo", "iso"]].copy()
    table.loc[4, "photo"] = None
    tuner = FineTunedClassifier(
        small_networks.staged(), freeze="all", max_epochs=2, engine="torch"
    )
    vectorizer = small(image=FineTunedFeatures(tuner, cv=2), n_components=3)
    features = vectorizer.fit_transform(table, Y)
    assert vectorizer.get_feature_names_out()[:4].tolist() == [
        "photo_0",
        "photo_1",
        "photo_2",
        "photo_missing",
    ]
    model = LogisticRegression().fit(features, Y)
    assert model.score(vectorizer.transform(table), Y) > 0.9


def test_output_set_for_all_of_scikit_learn_is_a_frame():
    table = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": ["x", "y", "x"], "c": ["xy z w"] * 3})
    with sklearn.config_context(transform_output="pandas"):
        frame = small(specific_transformers=[("text", ["c"])]).fit_transform(table)
    assert list(frame.columns) == ["a", "b_x", "b_y"]


def test_numbers_beyond_all_floats_are_missing():
    table = pd.DataFrame({"a": [10**400, 1, 3]})
    with pytest.warns(UserWarning, match="1 of 3 entries are no numbers"):
        assert np.isfinite(MultimodalVectorizer().fit_transform(table)).all()


def test_lists_of_rows_are_tables():
    rows = [[1.0, "red"], [2.0, "blue"], [None, "red"]]
    assert MultimodalVectorizer().fit_transform(rows).shape == (3, 4)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"a": []}), "0 sample"),
        (pd.DataFrame(index=[0, 1]), "0 feature"),
        (pl.LazyFrame({"a": [1]}), "pass X.collect()"),
        (pd.DataFrame({"a": [None, None]}), "No column of X is left.*all entries are missing"),
        (np.zeros(3), "Expected 2D array"),
        (np.zeros((2, 2, 2)), "dim 3"),
        (pd.DataFrame({"a": [1.0, np.inf]}), "infinity"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        MultimodalVectorizer().fit(X)


def encode_tone(frequency):
    """Return a quarter of a second as bytes of a WAV file."""
    wave_form = np.sin(2 * np.pi * frequency * np.arange(4000) / 16000) * 20000
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(wave_form.astype("<i2").tobytes())
    return content.getvalue()


def test_sounds_are_found_and_a_broken_one_costs_its_row_alone(tmp_path):
    paths = [str(tmp_path / f"tone {k}.wav") for k in range(9)]
    for k, path in enumerate(paths):
        with open(path, "wb") as file:
            file.write(encode_tone(200 + 100 * k) if k != 4 else b"RIFF....WAVE broken")
    paths[2] = None
    table = pd.DataFrame({"sound": paths, "loud": [1.0, 2.0, 4.0] * 3})
    audio = PretrainedAudioFeatures(
        small_networks.trained_net(), engine="torch", on_error="nan"
    )
    vectorizer = small(audio=audio)
    with pytest.warns(UserWarning, match="1 of 8 .*row 4 of column 'sound'"):
        features = vectorizer.fit_transform(table)
    assert vectorizer.columns_[0] == ("sound", "audio", "8 of 8 sampled entries are sounds")
    frame = pd.DataFrame(features, columns=vectorizer.get_feature_names_out())
    assert np.flatnonzero(frame["sound_missing"]).tolist() == [2, 4]


def test_waveforms_with_their_rate_are_sounds():
    pairs = [(np.sin(np.arange(2000) * k / 9).astype(np.float32), 16000) for k in range(1, 7)]
    rows = [{"array": waveform, "sampling_rate": rate} for waveform, rate in pairs]
    audio = PretrainedAudioFeatures(small_networks.trained_net(), engine="torch")
    found = [
        small(audio=audio).fit_transform(pd.DataFrame({"sound": samples}))
        for samples in (pairs, rows)
    ]
    np.testing.assert_allclose(*found, atol=1e-6)
    assert found[0].shape[0] == 6
