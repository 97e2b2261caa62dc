"""What kind of CPU this process runs on."""

import functools
import platform
import re
from contextlib import suppress
from pathlib import Path


@functools.cache
def describe_cpu():
    """Return a text that differs between CPUs with different instructions."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
        if found:
            return f"{platform.machine()} {' '.join(sorted(found[1].split()))}"
    return f"{platform.machine()} {platform.processor()}"
