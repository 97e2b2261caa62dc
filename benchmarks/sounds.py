"""Accuracies on recorded sounds; `python -m benchmarks.sounds KLETTRES SAMPLES`.

The sounds are those of Debian's packages `klettres-data` (spoken letters and syllables) and
`sonic-pi-samples` (instruments and noises). The arguments are their folders, which packages
put into /usr/share/klettres and /usr/share/sonic-pi/samples.

- Letters: the 26 letters of the voice "en", one example each, then the same letters of
  "en_GB", by a prototype classifier. Features of Whisper over all frames of 30 s, of which
  most are silence, are the row that shows why these are left out.
- Kinds: seven kinds of sounds by the first part of the name of a file, 121 files, by logistic
  regression on standardized features in 5 folds.

The layers were fixed before either was measured, on sounds that are in neither: the 16
syllables that both voices have, for what is said, and the six other kinds with four files or
more. `--development` prints these: the embedding was best on the syllables (0.94, the layers
from the shallowest on 0.31, 0.50, 0.81 and 0.88), and "shallow" on the kinds (0.51, the
following ones 0.49, 0.39 and 0.43, the embedding 0.41).
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_transfer import PretrainedAudioFeatures, PrototypeClassifier

LETTERS_LAYER = None
KINDS_LAYER = "shallow"
KINDS = ("ambi", "bass", "bd", "drum", "elec", "loop", "tabla")
OTHER_KINDS = ("glitch", "guit", "mehackit", "perc", "sn", "vinyl")
FOLDERS = ("/usr/share/klettres", "/usr/share/sonic-pi/samples")
BASELINE = "tf_efficientnet_lite0"


def load_letters(folder, voice, kind="alpha"):
    """Return the files of a voice and what is said in each, in lower case."""
    files = sorted(Path(folder, voice, kind).glob("*.ogg"), key=lambda path: path.stem.lower())
    return [str(path) for path in files], [path.stem.lower() for path in files]


def load_kinds(folder, kinds=KINDS):
    """Return the files of some kinds of sounds, and the kind of each."""
    files = sorted(Path(folder).glob("*.flac"))
    found = [(str(path), path.stem.partition("_")[0]) for path in files]
    found = [pair for pair in found if pair[1] in kinds]
    return [path for path, _ in found], [kind for _, kind in found]


def score_letters(features, folder, kind="alpha"):
    """Return the accuracy on one voice with one example each of another."""
    X, y = load_letters(folder, "en", kind)
    X_new, y_new = load_letters(folder, "en_GB", kind)
    both = set(y) & set(y_new)
    train = [(path, said) for path, said in zip(X, y, strict=True) if said in both]
    test = [(path, said) for path, said in zip(X_new, y_new, strict=True) if said in both]
    X, y = zip(*train, strict=True)
    X_new, y_new = zip(*test, strict=True)
    model = make_pipeline(features, PrototypeClassifier()).fit(list(X), y)
    return model.score(list(X_new), y_new)


def score_kinds(features, folder, kinds=KINDS, n_splits=5):
    """Return the mean accuracy of logistic regression over folds."""
    X, y = load_kinds(folder, kinds)
    matrix = features.fit_transform(X)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=0)
    return cross_val_score(model, matrix, y, cv=folds).mean()


class AllFrames(PretrainedAudioFeatures):
    """Features over all frames of clips that silence fills up to 30 s."""

    def _check_samples(self, X, reset):
        samples = super()._check_samples(X, reset)
        return [_fill_up(path) for path in samples]


def _fill_up(path):
    import soundfile

    waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
    padded = np.zeros(30 * rate, dtype=np.float32)
    padded[: len(waveform)] = waveform.mean(axis=1)
    return padded, rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(";")[0])
    parser.add_argument("folders", nargs="*", default=FOLDERS, help="klettres, samples")
    parser.add_argument(
        "--development", action="store_true", help="the other sounds, by layer"
    )
    options = parser.parse_args()
    klettres, samples = options.folders
    warnings.simplefilter("ignore")
    if options.development:
        for layers in ("shallow", "middle", 2, "deep", None):
            features = PretrainedAudioFeatures(layers=layers)
            said = score_letters(features, klettres, "syllab")
            kind = score_kinds(features, samples, OTHER_KINDS, n_splits=4)
            print(f"layers={layers!r}: syllables {said:.2f}, other kinds {kind:.2f}")
        return
    begun = time.perf_counter()
    rows = {
        "letters": score_letters(PretrainedAudioFeatures(layers=LETTERS_LAYER), klettres),
        "letters, all frames of 30 s": score_letters(AllFrames(), klettres),
        "letters, network of images": score_letters(
            PretrainedAudioFeatures(BASELINE), klettres
        ),
        "kinds": score_kinds(PretrainedAudioFeatures(layers=KINDS_LAYER), samples),
        "kinds, network of images": score_kinds(PretrainedAudioFeatures(BASELINE), samples),
    }
    for name, accuracy in rows.items():
        print(f"{name}: {accuracy:.3f}")
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
