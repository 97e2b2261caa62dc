"""What features depend on beside the names of the precision and of the engine."""

import numpy as np
import pytest

from sklearn_transfer import PretrainedFeatures
from sklearn_transfer._networks import arithmetic
from sklearn_transfer._networks.arithmetic import (
    describe_arithmetic,
    find_bfloat16_instructions,
)


def test_float32_does_not_depend_on_the_cpu():
    assert describe_arithmetic("float32", "cpu") == ()


def test_bfloat16_depends_on_the_device():
    assert describe_arithmetic("bfloat16", "cuda:1")[0] == "cuda"
    assert describe_arithmetic("bfloat16", "cpu")[0] == "cpu"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n", "amx_bf16"),
        ("flags\t\t: fpu avx2 avx512_bf16\n", "avx512_bf16"),
        ("flags\t\t: fpu avx2 avx512f\n", "none"),
        ("Features\t: fp asimd bf16\n", "bf16"),
    ],
)
def test_instructions_are_those_that_the_system_lists(text, expected, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{text}\n")
    assert find_bfloat16_instructions(path) == expected


def test_system_that_lists_no_instructions_gives_the_name_of_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr("platform.processor", lambda: "arm")
    assert find_bfloat16_instructions(tmp_path / "missing") == "arm"


@pytest.mark.parametrize(("precision", "n_misses"), [("float32", 1), ("bfloat16", 2)])
def test_rows_of_another_cpu_answer_in_float32_alone(precision, n_misses, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), dtype=np.uint8)
    features = PretrainedFeatures(
        "resnet18", weights=None, input_size=32, engine="torch", precision=precision
    ).clear_cache()
    before = features.cache_info().misses
    for name in ("amx_bf16", "avx512_bf16", "amx_bf16"):
        monkeypatch.setattr(arithmetic, "find_bfloat16_instructions", lambda name=name: name)
        features.fit_transform(image)
    assert features.cache_info().misses - before == n_misses
