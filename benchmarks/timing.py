"""Interleaved rounds, and rows of the table."""

import multiprocessing
import statistics
import time
from contextlib import suppress
from dataclasses import asdict, dataclass


@dataclass
class Row:
    """One ratio: its median, smallest and largest over the rounds, and what is aimed at."""

    what: str
    against: str
    median: float
    low: float
    high: float
    aim: str = ""

    @classmethod
    def of(cls, what, against, ratios, aim=""):
        return cls(what, against, statistics.median(ratios), min(ratios), max(ratios), aim)

    def as_dict(self):
        return asdict(self)

    def cells(self):
        spread = _written(self.median)
        if self.low != self.high:
            spread += f" ({_written(self.low)} to {_written(self.high)})"
        return self.what, self.against, spread, self.aim


def _written(ratio):
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.1g}"


class Apart:
    """Function made by `make(*args)` and called in a process of its own.

    There it does not profit from what this package sets for a process, as the allocator.
    """

    def __init__(self, make, *args):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, make, args), daemon=True).start()
        theirs.close()  # else nobody would hear that the process has failed

    def __call__(self):
        self.pipe.send("go")
        return self.pipe.recv()


def _serve(pipe, make, args):
    function = make(*args)
    with suppress(EOFError):  # at the end of the program
        while pipe.recv():
            pipe.send(function())


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def interleaved(functions, rounds):
    """Seconds of each function in each round: {name: [...]}, after one warm-up each.

    All functions run once a round, so that another program disturbs all of them.
    """
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return times


def quotients(numerator, denominator):
    return [a / b for a, b in zip(numerator, denominator, strict=True)]


def markdown(rows):
    lines = [
        "| what | against | ratio (smallest to largest) | aim |",
        "| --- | --- | --- | --- |",
    ]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join(lines)
