"""Print one table of ratios, which are medians of interleaved rounds on this machine.

python -m benchmarks [--cases NAME ...] [--rounds N] [--images N] [--json FILE] [--before FILE]
"""

import argparse
import importlib.metadata
import json
import platform
import tempfile
import warnings
from pathlib import Path

import torch

from benchmarks.cases import CASES, make_data
from benchmarks.timing import Row, format_table

LIBRARIES = (
    "torch",
    "timm",
    "scikit-learn",
    "openvino",
    "onnxruntime",
    "pillow",
    "embetter",
    "skada",
    "skorch",
    "sentence-transformers",
)


def describe_machine():
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _find_processor(),
        "cores": torch.get_num_threads(),
        "python": platform.python_version(),
        **versions,
    }


def _find_processor():
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()} ({platform.machine()})"


def compare_with_earlier(rows, file):
    """Return a table of the medians of an earlier run and of this one."""
    earlier = {
        (r["what"], r["against"]): r["median"] for r in json.loads(file.read_text())["rows"]
    }
    lines = ["| what | against | before | now |", "| --- | --- | --- | --- |"]
    for row in rows:
        before = earlier.get((row.what, row.against))
        before = "" if before is None else f"{before:.2f}"
        lines.append(f"| {row.what} | {row.against} | {before} | {row.median:.2f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=500, help="at least 75")
    parser.add_argument("--json", type=Path, help="file to which the table is written")
    parser.add_argument(
        "--before", type=Path, help="file written by --json in an earlier run, to compare with"
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(folder, args.images, args.rounds)
        for name in args.cases:
            rows += CASES[name](data)
            print(f"{name}: done", flush=True)
    facts = describe_machine()
    print(format_table(rows))
    words = ", ".join(f"{key} {value}" for key, value in facts.items())
    print(f"\nMedians of {args.rounds} interleaved rounds, {args.images} images; {words}.")
    if args.json:
        record = {"machine": facts, "images": args.images, "rounds": args.rounds}
        record["rows"] = [Row.as_dict(row) for row in rows]
        args.json.write_text(json.dumps(record, indent=1) + "\n")
    if args.before:
        print(f"\n{compare_with_earlier(rows, args.before)}")


if __name__ == "__main__":
    main()
