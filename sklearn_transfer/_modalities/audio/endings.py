"""Checks that files of sounds are whole; libsndfile reads many of those cut short in silence.

FLAC and CAF are left out, of which it refuses such files itself.
"""

import re

from sklearn_transfer._modalities.contents import BadSampleError

# Bytes at the end of a file in which its last page begins, if it is Ogg.
TAIL = 1 << 16
# Where libsndfile logs that a file has fewer bytes than its header states: of the samples, or
# in formats that are named by "riff", of the whole file.
_LOGGED = re.compile(
    r"^ *(?:data|SSND|riff|Riff size|Data Size) *: *(\d+) \(should be (\d+)\)", re.M
)
# Sizes from here on are written where the length was not known, as by pipes and recorders.
_UNKNOWN = 0x7FFF0000
# Fewer bytes than that are missing where a header counts what is no sample.
_MOST_MISSING = 64
# Samples of a frame of MP3; a decoder may drop the first and the last one.
_MP3_FRAME = 1152


def check_log(log):
    """Raise BadSampleError if the log of an open file says that its end is missing."""
    for stated, found in _LOGGED.findall(log):
        stated, found = int(stated), int(found)
        if found + _MOST_MISSING < stated < _UNKNOWN:
            _refuse(f"{found} of {stated} bytes are there")


def check_count(n_read, n_stated):
    """Raise BadSampleError if far fewer samples were read than a file states."""
    if n_read + 2 * _MP3_FRAME < n_stated:
        _refuse(f"{n_read} of {n_stated} samples are there")


def check_pages(tail):
    """Raise BadSampleError if the last page of an Ogg file is not whole.

    `tail` is its last `TAIL` bytes. A page begins with a header of 27 bytes, of which the last
    one is the number of lengths that follow. A cut between pages cannot be told: the flag of
    the last page is missing in many files that are whole.
    """
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    if not page.startswith(b"OggS"):
        return
    n_lengths = page[26] if len(page) > 26 else 0
    if len(page) < 27 + n_lengths + sum(page[27 : 27 + n_lengths]):
        _refuse("its last page is not whole")


def _refuse(reason):
    raise BadSampleError(
        f"was cut short: {reason}; copy it again, or keep what is there by"
        " soundfile.write(path, *soundfile.read(path))"
    )
