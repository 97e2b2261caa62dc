"""What the docstrings of the two fine-tuners share is the same in both."""

import re

import pytest

from sklearn_transfer import FineTunedClassifier, FineTunedRegressor

# Parameters that mean something else for labels than for numbers.
DIFFERENT = {
    "loss": "the default is another loss",
    "adapt": "most objectives need classes",
    "validation_fraction": "only classes can be kept in proportion",
}


def texts_of(kind, section):
    """Name to whole entry of a section of a docstring."""
    found = re.search(rf"    {section}\n    -+\n(.*?)\n\n    \S", kind.__doc__, re.S)[1]
    entries = re.split(r"\n(?=    \w)", found)
    return {entry.split(" : ")[0].strip(): entry for entry in entries}


CLASSIFIER, REGRESSOR = (
    texts_of(kind, "Parameters") for kind in (FineTunedClassifier, FineTunedRegressor)
)


def test_all_parameters_were_found():
    assert set(CLASSIFIER) == set(FineTunedClassifier().get_params(deep=False))
    assert set(REGRESSOR) == set(FineTunedRegressor().get_params(deep=False))


@pytest.mark.parametrize("name", REGRESSOR)
def test_shared_parameters_have_the_same_text(name):
    same = CLASSIFIER[name] == REGRESSOR[name]
    assert same != (name in DIFFERENT)


def test_shared_attributes_have_the_same_text():
    ours = texts_of(FineTunedClassifier, "Attributes")
    for name, text in texts_of(FineTunedRegressor, "Attributes").items():
        assert ours[name] == text, name


def test_notes_differ_in_what_y_is_alone():
    notes = [
        re.search(r"    Notes\n    -+\n(.*?)\n    References", kind.__doc__, re.S)[1]
        for kind in (FineTunedClassifier, FineTunedRegressor)
    ]
    first, *rest = zip(*(text.split("\n\n") for text in notes), strict=True)
    assert first[0] != first[1]
    assert all(ours == theirs for ours, theirs in rest)
