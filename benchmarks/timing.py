"""Time functions in interleaved rounds, and format the table of results."""

import multiprocessing
import statistics
import time
from contextlib import suppress
from dataclasses import asdict, dataclass


@dataclass
class Row:
    """One row of the table: median, minimum and maximum of a ratio over rounds; its aim."""

    what: str
    against: str
    median: float
    low: float
    high: float
    aim: str = ""

    @classmethod
    def from_ratios(cls, what, against, ratios, aim=""):
        return cls(what, against, statistics.median(ratios), min(ratios), max(ratios), aim)

    def as_dict(self):
        return asdict(self)

    def format_cells(self):
        spread = _format_ratio(self.median)
        if self.low != self.high:
            spread += f" ({_format_ratio(self.low)} to {_format_ratio(self.high)})"
        return self.what, self.against, spread, self.aim


def _format_ratio(ratio):
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.1g}"


class SeparateProcess:
    """Function that is made by `make(*args)` and called in a separate process.

    There, it does not benefit from process-wide settings of this package, such as those of
    the allocator.
    """

    def __init__(self, make, *args):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, make, args), daemon=True).start()
        theirs.close()  # so that `recv` raises EOFError if the process fails
        self.pipe.recv()  # waits, so that what is made takes no time from other functions

    def __call__(self):
        self.pipe.send("go")
        return self.pipe.recv()


def _serve(pipe, make, args):
    function = make(*args)
    pipe.send("made")
    with suppress(EOFError):  # raised when the main program ends
        while pipe.recv():
            pipe.send(function())


def measure_seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def time_interleaved(functions, rounds):
    """Return the seconds of each function in each round as {name: [...]}, after a warm-up.

    Each round calls all functions once, so that other programs on the machine affect all of
    them alike.
    """
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(measure_seconds(function))
    return times


def divide(numerator, denominator):
    return [a / b for a, b in zip(numerator, denominator, strict=True)]


def format_table(rows):
    lines = [
        "| what | against | ratio (smallest to largest) | aim |",
        "| --- | --- | --- | --- |",
    ]
    lines += ["| " + " | ".join(row.format_cells()) + " |" for row in rows]
    return "\n".join(lines)
