import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from sklearn_transfer import _versions, show_versions


def print_rows(capsys):
    show_versions()
    lines = capsys.readouterr().out.splitlines()
    return dict(line.strip().split(": ", 1) for line in lines if ": " in line)


def test_versions_are_those_of_the_installed_packages(capsys):
    rows = print_rows(capsys)
    assert rows["python"] == platform.python_version()
    for name in ("torch", "scikit-learn", "timm", "openvino", "transformers"):
        assert rows[name] == metadata.version(name)
    assert "pytest" not in rows
    assert "sphinx" not in rows


def test_what_is_not_installed_is_told(capsys, monkeypatch):
    monkeypatch.setattr(_versions, "_FURTHER", ("no-such-package",))
    assert print_rows(capsys)["no-such-package"] == "not installed"


def test_settings_are_told_without_names_of_folders(capsys, monkeypatch):
    monkeypatch.setenv("SKLEARN_TRANSFER_HOME", "/home/somebody/cache")
    monkeypatch.setenv("SKLEARN_TRANSFER_CACHE_BYTES", "1000")
    rows = print_rows(capsys)
    assert rows["SKLEARN_TRANSFER_HOME"] == "set"
    assert rows["SKLEARN_TRANSFER_CACHE_BYTES"] == "1000"


def test_a_broken_torch_is_reported(capsys, monkeypatch):
    def fail(device):
        raise OSError("libtorch.so: cannot open")

    monkeypatch.setattr("sklearn_transfer._networks.devices.find_device", fail)
    assert "libtorch.so" in print_rows(capsys)["device"]


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="torch is asked about the GPU")
def test_no_network_library_is_loaded():
    code = (
        "import sys, sklearn_transfer; sklearn_transfer.show_versions()\n"
        "assert not {'torch', 'timm', 'openvino', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
