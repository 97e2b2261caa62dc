"""Files of weights in the format of CTranslate2, read as plain numbers.

A file is a version, the name and the revision of a specification, and a list of variables,
each with name, shape, type and values. Nothing in it is executed.
"""

import struct

import numpy as np

_VERSIONS = (5, 6)
# Types of values by their numbers; those that NumPy lacks or that are scaled are left out.
_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def read_ctranslate2(content, origin):
    """Return the arrays of a file by name, as views of its bytes.

    Parameters
    ----------
    content : bytes
        The whole file.
    origin : str
        What messages call it.

    Raises
    ------
    ValueError
        If it is no such file, is cut short, or has values of another type.
    """
    reader = _Bytes(content)
    try:
        version = reader.read_number("<I")
        if version not in _VERSIONS:
            raise ValueError(
                f"{origin} begins with version {version} of a format, expected a file of"
                f" CTranslate2 in version {' or '.join(map(str, _VERSIONS))}"
            )
        reader.read_text()  # name of the specification
        reader.read_number("<I")  # and its revision
        arrays = {}
        for _ in range(reader.read_number("<I")):
            name = reader.read_text()
            shape = [reader.read_number("<I") for _ in range(reader.read_number("<B"))]
            kind, n_bytes = reader.read_number("<B"), reader.read_number("<I")
            if kind not in _TYPES:
                raise ValueError(
                    f"{origin} holds {name!r} in type {kind} of CTranslate2, expected one of"
                    f" {', '.join(map(str, _TYPES))}; convert it without bfloat16"
                )
            values = np.frombuffer(reader.read_bytes(n_bytes), _TYPES[kind])
            arrays[name] = values.reshape(shape)
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{origin} is no whole file of CTranslate2 ({error}); copy it again"
        ) from error
    return arrays


class _Bytes:
    """Bytes that are read from the beginning on."""

    def __init__(self, content):
        self.content, self.position = memoryview(content), 0

    def read_bytes(self, count):
        end = self.position + count
        if end > len(self.content):
            raise struct.error(f"{end} bytes are needed, and it has {len(self.content)}")
        part, self.position = self.content[self.position : end], end
        return part

    def read_number(self, kind):
        return struct.unpack(kind, self.read_bytes(struct.calcsize(kind)))[0]

    def read_text(self):
        """Read a text, whose length is stated and counts the zero at its end."""
        return bytes(self.read_bytes(self.read_number("<H"))).rstrip(b"\0").decode()
