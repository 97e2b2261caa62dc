"""How many texts pass the network in searches, and in a second program."""

import subprocess
import sys
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_transfer import PretrainedTextFeatures
from tests import small_texts

ROOT = Path(__file__).parents[2]
N = 500
# As many texts, all different; the classes are those of the first words.
X = [" ".join(words) for words in islice(product(small_texts.WORDS[4:], repeat=4), 0, 2000, 4)]
Y = np.array([text < "dog" for text in X])
OF_SMALL = "small_texts.CountingTable()"
OF_DEFAULT = "'all-MiniLM-L6-v2'"
PROGRAM = """
import sys
from sklearn_transfer import PretrainedTextFeatures
from tests import small_texts
from tests.extraction.test_text_searches import search

features = PretrainedTextFeatures({model}, cache=sys.argv[1])
scores = search(features).cv_results_["mean_test_score"]
print(features.cache_info().misses, small_texts.CountingTable.n_passed, *scores)
"""


def search(features):
    """Fit a search of 4 candidates on 5 folds, and again on all texts."""
    pipe = Pipeline([("features", features), ("clf", LogisticRegression())])
    return GridSearchCV(pipe, {"clf__C": [0.01, 0.1, 1, 10]}, cv=5).fit(X, Y)


def run_program(model, folder):
    """Texts that passed the network in a new process, as told and as counted, and scores."""
    command = [sys.executable, "-c", PROGRAM.format(model=model), str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    told, counted, *scores = run.stdout.split()
    return int(told), int(counted), scores


@pytest.fixture
def counter(monkeypatch):
    monkeypatch.setattr(small_texts.CountingTable, "n_passed", 0)
    return small_texts.CountingTable


def test_texts_of_a_search_are_different():
    assert len(set(X)) == len(X) == N


def test_each_text_of_a_search_passes_once(counter):
    features = PretrainedTextFeatures(counter(), engine="torch").clear_cache()
    search(features)
    assert counter.n_passed == features.cache_info().misses == N


def test_without_a_cache_texts_pass_in_every_fold(counter):
    search(PretrainedTextFeatures(counter(), engine="torch", cache=None))
    assert counter.n_passed == 4 * 5 * N + N  # train and test of each fold, and the refit


def test_no_text_passes_in_a_second_program(tmp_path, counter):
    features = PretrainedTextFeatures(counter(), cache=tmp_path)
    scores = search(features).cv_results_["mean_test_score"]
    assert features.cache_info().misses == counter.n_passed == N
    assert run_program(OF_SMALL, tmp_path) == (0, 0, [str(score) for score in scores])


@pytest.mark.slow
def test_no_text_passes_the_default_network_in_a_second_program(tmp_path):
    first, second = (run_program(OF_DEFAULT, tmp_path) for _ in range(2))
    assert [first[0], second[0]] == [N, 0]
    assert first[2] == second[2]
