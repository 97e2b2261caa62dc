"""Accuracies on recorded sounds; `python -m benchmarks.sounds KLETTRES SONIC_PI`.

The sounds are those of Debian's packages `klettres-data` (spoken letters and syllables) and
`sonic-pi-samples` (recordings of instruments and noises), whose folders are the arguments.

- Letters: 26 letters of the voice "en", one example each, then the same letters of "en_GB". A
  prototype classifier.
- Kinds: seven kinds of sounds by the first part of the name of a file, 121 files. Logistic
  regression on standardized features, in 5 folds.

The layers were fixed before either was measured, on sounds that are in neither: the 16
syllables that both voices have, for what is said, and the six other kinds with four files or
more. The embedding did best on the syllables, and "shallow" on the kinds.
"""

LETTERS_LAYER = None
KINDS_LAYER = "shallow"
KINDS = ("ambi", "bass", "bd", "drum", "elec", "loop", "tabla")
OTHER_KINDS = ("glitch", "guit", "mehackit", "perc", "sn", "vinyl")
