"""An archive of rated texts in the layout of the one that examples of texts download."""

import hashlib
import io
import tarfile

import numpy as np

ROOT = "vaderSentiment-3.3.2"
PATTERNS = [
    "the {thing} was {word}",
    "what a {word} {thing}",
    "I think that the {thing} is {word}",
    "not one {thing} has been more {word}",
]
WORDS = {
    True: ["great", "superb", "brilliant", "charming", "moving", "clever", "delightful"],
    False: ["poor", "awful", "terrible", "boring", "clumsy", "silly", "disappointing"],
}
THINGS = {
    "movieReviewSnippets_GroundTruth.txt": ["film", "plot", "actor", "scene", "ending"],
    "amazonReviewSnippets_GroundTruth.txt": ["camera", "battery", "screen", "phone", "lens"],
}


def write_archive(path, n_texts):
    """Write an archive with `n_texts` sentences per domain; returns its SHA-256."""
    files = {
        f"hutto_ICWSM_2014/{name}": make_lines(things, n_texts)
        for name, things in THINGS.items()
    }
    inner = pack(files)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack({f"{ROOT}/additional_resources/hutto_ICWSM_2014.tar.gz": inner}))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_lines(things, n_texts):
    """Lines of number, rating and text; half of the texts are positive."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(n_texts):
        is_positive = i % 2 == 0
        words = {"thing": rng.choice(things), "word": rng.choice(WORDS[is_positive])}
        text = f"{rng.choice(PATTERNS).format(**words)}, number {i}"
        lines.append(f"{i + 1}\t{2.5 if is_positive else -2.5}\t{text}")
    return "\n".join(lines).encode()


def pack(files):
    """Content of an archive of files, given by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
