"""The service of the examples answers clients, and opens nothing that they name."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_transfer import PretrainedFeatures

sio = pytest.importorskip("skops.io")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

ROOT = Path(__file__).parents[2]


def encode(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


FILES = [
    encode(p) for p in np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), np.uint8)
]
URIS = [f"data:image/png;base64,{base64.b64encode(file).decode()}" for file in FILES]


@pytest.fixture(scope="module")
def model():
    features = PretrainedFeatures("test_resnet", weights=None, input_size=32, engine="torch")
    return make_pipeline(features, LogisticRegression()).fit(FILES, ["a", "b"] * 3)


@pytest.fixture(scope="module")
def address(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "model.skops"
    sio.dump(model, path)
    program = ROOT / "examples" / "serving" / "serve.py"
    command = [sys.executable, str(program), str(path), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            lines = []
            for line in server.stderr:
                lines.append(line)
                found = re.search(r"running on (http://[\d.]+:\d+)", line)
                if found:
                    break
            else:
                pytest.fail("".join(lines))
            yield found[1]
        finally:
            server.terminate()


def send(address, body, media="application/json"):
    """Status and answer of a request."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/predict", body, {"Content-Type": media})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_one_file_and_a_batch_are_answered(address, model):
    expected = model.predict_proba(FILES)
    status, one = send(address, FILES[0], "image/png")
    assert status == 200
    assert one["classes"] == ["a", "b"]
    np.testing.assert_allclose(one["probabilities"], expected[:1], rtol=1e-4)
    status, many = send(address, {"samples": URIS})
    np.testing.assert_allclose(many["probabilities"], expected, rtol=1e-4)


def test_the_service_reports_that_it_is_ready(address):
    with urllib.request.urlopen(f"{address}/health", timeout=60) as answer:
        assert json.load(answer) == {"status": "ready"}


ATTACKS = {
    "path": {"samples": ["/etc/hostname"]},
    "address of a file": {"samples": ["file:///etc/hostname"]},
    "nested": {"samples": [["/etc/hostname"]]},
    "mapping": {"samples": [{"path": "/etc/hostname", "bytes": None}]},
    "one string": {"samples": "/etc/hostname"},
    "no samples": {"paths": ["/etc/hostname"]},
    "a list": ["/etc/hostname"],
    "empty": {"samples": []},
    "page": {"samples": ["data:text/html,<b>"]},
    "too many": {"samples": URIS[:1] * 65},
    "no JSON": b"{",
    "deep JSON": b"[" * 100_000,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_answered_by_an_error_of_the_client(attack, address):
    status, text = send(address, ATTACKS[attack])
    assert status == 400
    assert len(text) < 400


@pytest.mark.parametrize("media", ["image/png", "text/plain", "application/octet-stream"])
@pytest.mark.parametrize("body", [b"/etc/hostname", b"\x80\x04\x95", FILES[0][:60], b""])
def test_other_files_are_refused(media, body, address):
    assert send(address, body, media)[0] == 400


def test_long_bodies_are_refused(address):
    assert send(address, bytes(20_000_001), "image/png")[0] == 413
