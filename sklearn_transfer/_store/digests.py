"""Digests of samples, callables and networks: what a store takes for "the same".

A vector may be used again only if nothing has changed that it depends on, and that includes
code of the user: a preprocessing function that was edited between two runs, or typed anew in
a notebook, must not find what it computed before. So functions are digested by what they do,
as far as that can be seen without running them.

What is noticed
    Of a function: its compiled code and constants, that of functions inside it, its defaults,
    what its closure holds, and what it looks up by a global name, be it a constant, an object
    or another function, which is followed in turn. Of an object: its class and its attributes,
    also when these are changed in place. Of a class: the code of its methods, which is looked
    at each time, and its constants and what its methods look up, as they were when it was
    first seen. Of a network: tensors, modules, their settings and hooks, and the code of
    classes that are not torch's own.

What is not noticed
    Names that are only known while the function runs (`getattr`, `globals()`); functions that
    are reached through a module (`helpers.scale(x)`; after `from helpers import scale` they
    are followed); code of installed packages; constants of a class that are changed after it
    was first seen, so that a counter on it does not count; anything outside the process, such
    as a file that a function reads.

What is noticed needlessly
    Digests of code differ between versions of Python. A name that a function uses for an
    attribute alone is taken for a global of that name too, where there is one. An object that
    can be neither looked into nor pickled is equal to itself alone. All of that costs time, as
    what is known is computed once more, but never gives a wrong vector.
"""

import enum
import functools
import itertools
import sys
import sysconfig
import types
import uuid
import weakref

import joblib
import numpy as np
import xxhash

from sklearn_transfer._process.locks import RLock

# Grows whenever the meaning of a cached vector changes.
KEY_VERSION = 3

# Libraries with versions: their classes are digested by name, others by their members.
_LIBRARIES = {"builtins", "abc", "torch", "torchvision", "timm", "PIL", "numpy"}
_LIBRARIES |= {"transformers", "sentence_transformers", "tokenizers"}
_METHODS = types.FunctionType | staticmethod | classmethod | property
_METHODS |= functools.cached_property | functools.partialmethod
_CONSTANTS = int | float | complex | str | bytes | tuple | list | dict | set | frozenset
_CONSTANTS |= np.ndarray | None

# Where functions that were installed have their code; the last is of Python's own.
_PLACES = ("stdlib", "platstdlib", "purelib", "platlib")
_INSTALLED = (*map(sysconfig.get_path, _PLACES), "<frozen")

# Names of objects of which nothing is known, and what was first seen of classes; both weak, so
# that what they are about can be freed.
_anonymous = weakref.WeakKeyDictionary()
_types = weakref.WeakKeyDictionary()
_types_lock = RLock()


def digest(*parts):
    """Return a 128-bit digest of nested plain values, arrays, callables and objects.

    It is equal for equal content, also after a copy or in another process; the docstring of
    this module says what counts as content.
    """
    return _Digester().digest(parts)


def digest_structure(module):
    """Return a 128-bit digest of a network without the tensors of its state dict.

    It says what the network does with these tensors: its modules, their settings and hooks,
    and the buffers that are saved nowhere.
    """
    tensors, children = _split_module(module)
    saved = module.state_dict().keys()
    return digest({k: tensor for k, tensor in tensors.items() if k not in saved}, children)


def digest_array(array):
    """Return a 128-bit digest of an array (dtype, shape and content) or a bytes object."""
    if isinstance(array, bytes):
        return xxhash.xxh3_128_digest(array)
    array = np.asarray(array, order="C")
    hasher = xxhash.xxh3_128(f"array {array.dtype.str} {array.shape} ".encode())
    hasher.update(array.reshape(-1).view(np.uint8).data)
    return hasher.digest()


def read_bytes(tensor):
    """Return the content of a tensor as a flat uint8 array, whatever its dtype and device."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()


class _Digester:
    """A walk over an object graph, which remembers what it has seen, so that cycles end."""

    def __init__(self):
        self.known = {}
        self.alive = []  # else something new could get the id of what was freed meanwhile

    def digest(self, value):
        hasher = xxhash.xxh3_128()
        self.feed(hasher, value)
        return hasher.digest()

    def feed(self, hasher, value):
        """Add one value, marked by type and length so that no two run together."""
        if value is None or isinstance(value, (bool, int, float, complex, str)):
            text = f"{type(value).__name__}:{value!r};"
            hasher.update(text.encode("utf-8", "surrogatepass"))
        elif isinstance(value, (bytes, bytearray, memoryview)):
            hasher.update(f"bytes:{len(value)};".encode())
            hasher.update(value)
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            hasher.update(digest_array(value))
        elif isinstance(value, type):
            hasher.update(_digest_type(value))
        else:
            if id(value) not in self.known:
                self.known[id(value)] = b"cycle"
                self.alive.append(value)
                self.known[id(value)] = self.digest_parts(*_split(value))
            hasher.update(self.known[id(value)])

    def digest_parts(self, kind, parts):
        if kind in ("set", "frozenset"):  # their order differs between processes
            parts = sorted(map(self.digest, parts))
        hasher = xxhash.xxh3_128(f"{kind}:{len(parts)};".encode())
        for part in parts:
            self.feed(hasher, part)
        return hasher.digest()


def _digest_type(cls):
    """Return the digest of a class by the code that its methods have now.

    Its constants, and what its methods look up, count as first seen.
    """
    name = (cls.__module__, cls.__qualname__)
    # One thread at a time: another one would take the name, which stands in, for the digest.
    with _types_lock:
        if cls not in _types:
            _types[cls] = digest(*name)  # where the class refers to itself
            _types[cls] = digest("type", *name, _list_members(cls))
        members = (
            (key, getattr(member, "__code__", None)) for key, member in _list_members(cls)
        )
        return digest(_types[cls], [pair for pair in members if pair[1] is not None])


def _split(value):
    """Return the kind of an object and the parts that make up its content."""
    if isinstance(value, (tuple, list, set, frozenset)):
        methods = _list_members(type(value))
        return type(value).__name__, [methods, *value] if methods else value
    if isinstance(value, dict):
        return "dict", [item for pair in value.items() for item in pair]
    if isinstance(value, enum.Enum):
        return "enum", (type(value).__qualname__, value.name, value.value)
    if isinstance(value, types.ModuleType):
        return "import", (value.__name__,)
    if isinstance(value, types.FunctionType):
        closure = [_open_cell(cell) for cell in value.__closure__ or ()]
        defaults = (value.__defaults__, value.__kwdefaults__)
        name = (value.__module__, value.__qualname__)
        return "function", (*name, value.__code__, *defaults, closure, _find_globals(value))
    if isinstance(value, types.CodeType):
        jumps = value.co_exceptiontable
        return "code", (value.co_code, jumps, value.co_consts, value.co_names)
    if isinstance(value, types.MethodType):
        return "method", (value.__func__, value.__self__)
    if isinstance(value, functools.partial):
        return "partial", (value.func, value.args, value.keywords)
    if hasattr(value, "named_modules") and hasattr(value, "state_dict"):
        return "module", _split_module(value)
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        return "tensor", (str(value.dtype), tuple(value.shape), read_bytes(value))
    if isinstance(value, weakref.ref):
        return "reference", (value(),)
    if _is_plain(value):
        return "object", (type(value), vars(value))
    if hasattr(value, "__wrapped__"):  # functools.cache
        return "wrapper", (type(value), value.__wrapped__)
    return "pickle", (type(value), _digest_by_pickle(value))


def _split_module(module):
    """Return what the output of a module depends on, apart from its mode and device."""
    everything = {"remove_duplicate": False}  # one layer run twice is not one run once
    tensors = itertools.chain(
        module.named_parameters(**everything), module.named_buffers(**everything)
    )
    children = [
        (name, type(child), _read_settings(child))
        for name, child in module.named_modules(**everything)
    ]
    return [dict(tensors), children]


def _read_settings(module):
    """Return what a module keeps beside tensors and children.

    That includes hooks, which change what it returns.
    """
    import torch

    hooks = {"_forward_hooks", "_forward_pre_hooks"}
    # The graph of torch.fx is in its `_code`, and no copy of it looks the same.
    ignored = {*vars(torch.nn.Module()), "_graph"} - hooks
    return [
        (key, list(value.values()) if key in hooks else value)
        for key, value in sorted(vars(module).items())
        if key not in ignored
    ]


def _list_members(cls):
    """List the methods and constants of a class and its bases, those of libraries aside."""
    return [
        (name, _unwrap(member))
        for base in cls.__mro__
        if base.__module__.partition(".")[0] not in _LIBRARIES
        for name, member in sorted(vars(base).items())
        if isinstance(member, _METHODS)
        or (isinstance(member, _CONSTANTS) and not name.startswith("__"))
    ]


def _unwrap(member):
    if not isinstance(member, _METHODS):
        return member
    inner = (getattr(member, name, None) for name in ("fget", "func", "__func__"))
    return next(filter(None, inner), member)


def _find_globals(function):
    """Find what a function looks up by name: a helper defined anew makes it another function.

    Modules and what is installed are left out: the code that names them says enough.
    """
    names = _collect_names(function.__code__) & function.__globals__.keys()
    found = ((name, function.__globals__[name]) for name in sorted(names))
    return [pair for pair in found if not _is_foreign(pair[1])]


def _collect_names(code):
    nested = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return set(code.co_names).union(*map(_collect_names, nested))


def _is_foreign(value):
    if isinstance(value, types.ModuleType | types.BuiltinFunctionType):
        return True
    if isinstance(value, type):
        return value.__module__.partition(".")[0] in sys.stdlib_module_names | _LIBRARIES
    return isinstance(value, types.FunctionType) and value.__code__.co_filename.startswith(
        _INSTALLED
    )


def _open_cell(cell):
    try:
        return cell.cell_contents
    except ValueError:  # the name is not bound yet
        return "unbound"


def _is_plain(value):
    """Return whether an object is its `__dict__`, with no pickling of its own."""
    own = ("__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__", "__slots__")
    cls = type(value)
    return hasattr(value, "__dict__") and all(
        getattr(cls, name, None) is getattr(object, name, None) for name in own
    )


def _digest_by_pickle(value):
    try:
        return joblib.hash(value, hash_name="sha1")
    except Exception:  # whatever an object's own __reduce__ raises
        pass
    name = f"anonymous {uuid.uuid4()}"
    try:
        return _anonymous.setdefault(value, name)
    except TypeError:  # neither hashable nor weakly referable: never the same twice
        return name
