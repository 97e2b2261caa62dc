"""Files of sounds that were cut short, in a copy that broke off for instance."""

import struct

import numpy as np
import pytest

from sklearn_transfer._modalities.audio import contents, tracks
from sklearn_transfer._modalities.audio.endings import check_pages
from sklearn_transfer._modalities.contents import BadSampleError
from tests.small_sounds import encode, make_noise

NOISE = make_noise(40000)
FORMATS = ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "FLAC", "CAF", "MP3", "OGG", "OPUS"]


def write(format):
    return (
        encode(NOISE, format="OGG", subtype="OPUS")
        if format == "OPUS"
        else encode(NOISE, format=format)
    )


def read(content):
    return np.concatenate(list(tracks.read_blocks(content)[1]), axis=1)


@pytest.mark.parametrize("format", FORMATS)
def test_whole_files_are_read(format):
    assert read(write(format)).shape[1] >= len(NOISE)


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("format", FORMATS)
def test_files_that_were_cut_short_are_refused(format, share):
    content = write(format)
    with pytest.raises(BadSampleError, match="was cut short|is a damaged"):
        read(content[: int(len(content) * share)])


@pytest.mark.parametrize("format", ["WAV", "OGG", "MP3"])
def test_large_files_that_were_cut_short_are_refused(format, tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_transfer._modalities.audio.contents._LARGE", 1000)
    path, content = tmp_path / "sound", write(format)
    path.write_bytes(content)
    assert read(contents.read_sample(path, None)[1]).shape[1] >= len(NOISE)
    path.write_bytes(content[: int(len(content) * 0.9)])
    with pytest.raises(BadSampleError, match="was cut short: .*copy it again"):
        read(contents.read_sample(path, None)[1])


@pytest.mark.parametrize("stated", [0xFFFFFFFF, 0x7FFFFFFF, 80000, 80040])
def test_lengths_that_a_pipe_did_not_know_are_no_cuts(stated):
    content = bytearray(encode(NOISE, subtype="PCM_16"))
    place = content.find(b"data") + 4
    content[place : place + 4] = struct.pack("<I", stated)
    assert read(bytes(content)).shape == (1, len(NOISE))


def test_ogg_files_without_the_flag_of_a_last_page_are_whole():
    content = bytearray(write("OGG"))
    content[content.rfind(b"OggS") + 5] = 0
    check_pages(bytes(content))
    with pytest.raises(BadSampleError, match="was cut short"):
        check_pages(bytes(content[:-1]))
