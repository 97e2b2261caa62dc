"""Files that do not keep a rule of tests/test_rules.py yet. These lists must only shrink.

A file that keeps the rule has to leave its list, which the rules' own tests demand, and none
may enter: write new code so that it passes.
"""

MESSAGES = set()
DOCSTRINGS = set()
WORDS = {
    "finetuning/_autoencoder.py",
    "finetuning/_self_taught.py",
}
VERBS = set()
CLASSES = set()
