"""Start, memory and latency of the service in `examples/serving`, on JPEG files.

python -m benchmarks.serving [--rounds N]
"""

import argparse
import base64
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import joblib
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.startup import write_files
from benchmarks.timing import Row, divide, format_table
from sklearn_transfer import PretrainedFeatures

ROOT = Path(__file__).parents[1]
N_FILES, BATCH = 64, 32


@contextmanager
def serve(path):
    """Context with the address of a running service, seconds of its start, and its process."""
    program = ROOT / "examples" / "serving" / "serve.py"
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(program), str(path), "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as server:
        try:
            found = None
            while found is None:
                found = re.search(r"running on (http://[\d.]+:\d+)", server.stderr.readline())
                if server.poll() is not None:
                    raise RuntimeError("The service ended before it was ready")
            yield found[1], time.perf_counter() - start, server
        finally:
            server.terminate()


def time_request(address, body, media):
    request = urllib.request.Request(f"{address}/predict", body, {"Content-Type": media})
    start = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        json.load(answer)
    return time.perf_counter() - start


def time_prediction(model, samples):
    start = time.perf_counter()
    model.predict_proba(samples)
    return time.perf_counter() - start


def read_memory(process):
    """Resident and greatest resident megabytes of a process."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return [
        int(re.search(rf"{name}:\s*(\d+)", status)[1]) / 1024 for name in ("VmRSS", "VmHWM")
    ]


def read_processor_seconds(process):
    """Seconds that a process has computed, which other programs change little."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_once(path, model, files, batch):
    """Figures of one start of a service, by name."""
    with serve(path) as (address, seconds, server):
        found = {"start": seconds, "computed": read_processor_seconds(server)}
        found["ready"] = read_memory(server)[0]
        latencies, alone = [], []
        for file in files:
            latencies.append(time_request(address, file, "image/jpeg"))
            alone.append(time_prediction(model, [file]))
        found["one"], found["alone"] = statistics.median(latencies), statistics.median(alone)
        found["many"] = time_request(address, batch, "application/json")
        found["together"] = time_prediction(model, files[:BATCH])
        found["peak"] = read_memory(server)[1]
    return found


def measure_serving(data):
    """Measure a service with the default network, and the same predictions without HTTP."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(folder, N_FILES)
        files = [Path(folder, f"{number}.jpg").read_bytes() for number in range(N_FILES)]
        features = PretrainedFeatures(cache=None)
        model = make_pipeline(features, StandardScaler(), LogisticRegression())
        model.fit(files, [0, 1] * (N_FILES // 2))
        joblib.dump(model, f"{folder}/model.joblib")
        skops.io.dump(model, f"{folder}/model.skops")
        uris = [f"data:image/jpeg;base64,{base64.b64encode(f).decode()}" for f in files]
        batch = json.dumps({"samples": uris[:BATCH]}).encode()
        found = {"joblib": [], "skops": []}
        for _ in range(data.rounds):
            for ending, rounds in found.items():
                rounds.append(measure_once(f"{folder}/model.{ending}", model, files, batch))
    lists = {
        ending: {name: [figures[name] for figures in rounds] for name in rounds[0]}
        for ending, rounds in found.items()
    }
    own, skops_ = lists["joblib"], lists["skops"]
    title = "a service, model loaded by joblib"
    return [
        Row.from_ratios(f"seconds until {title}, is ready", "", own["start"]),
        Row.from_ratios("processor time until the same", "seconds", own["computed"]),
        Row.from_ratios(
            "processor time until a service is ready, model loaded by skops",
            "joblib",
            divide(skops_["computed"], own["computed"]),
        ),
        Row.from_ratios(f"resident MB of {title}, when ready", "", own["ready"]),
        Row.from_ratios("the greatest resident MB of the same", "", own["peak"]),
        Row.from_ratios("resident MB, model loaded by skops, when ready", "", skops_["ready"]),
        Row.from_ratios("seconds of a request of one JPEG file", "", own["one"]),
        Row.from_ratios(
            "time of a request of one JPEG file, 500 x 375",
            "its prediction without HTTP",
            divide(own["one"], own["alone"]),
        ),
        Row.from_ratios(
            "time of a request of 32 JPEG files in JSON",
            "their prediction without HTTP",
            divide(own["many"], own["together"]),
        ),
        Row.from_ratios(
            "images/s of requests of 32 JPEG files",
            "requests of one",
            [BATCH * a / b for a, b in zip(own["one"], own["many"], strict=True)],
        ),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    print(format_table(measure_serving(parser.parse_args())))


if __name__ == "__main__":
    main()
