"""Digests of samples, callables and modules: what the cache takes for "the same"."""

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

# Versioned libraries: their classes count by name, others by methods and constants.
_LIBRARIES = {"builtins", "abc", "torch", "torchvision", "timm", "PIL", "numpy"}
_METHODS = types.FunctionType | staticmethod | classmethod | property
_METHODS |= functools.cached_property | functools.partialmethod
_CONSTANTS = int | float | complex | str | bytes | tuple | list | dict | set | frozenset
_CONSTANTS |= np.ndarray | None

_PLACES = ("stdlib", "platstdlib", "purelib", "platlib")
_INSTALLED = (*map(sysconfig.get_path, _PLACES), "<frozen")

_anonymous = weakref.WeakKeyDictionary()
_types = weakref.WeakKeyDictionary()
_types_lock = RLock()


def digest(*parts):
    """128-bit digest of nested plain values, arrays, callables, modules and objects.

    Equal for equal content, also after a copy or in another process, and different
    once the code of a function or method differs. An object that can be neither
    looked into nor pickled is equal to itself alone.
    """
    return _Digester().of(parts)


def array_digest(array):
    """128-bit digest of the dtype, shape and content of an array or a bytes object."""
    if isinstance(array, bytes):
        return xxhash.xxh3_128_digest(array)
    array = np.asarray(array, order="C")
    hasher = xxhash.xxh3_128(f"array {array.dtype.str} {array.shape} ".encode())
    hasher.update(array.reshape(-1).view(np.uint8).data)
    return hasher.digest()


def tensor_array(tensor):
    """Content of a tensor as a flat uint8 array, whatever its dtype and device."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()


class _Digester:
    """One walk over an object graph; remembers what it has seen, so cycles end."""

    def __init__(self):
        self.known = {}
        self.alive = []

    def of(self, value):
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
            hasher.update(array_digest(value))
        elif isinstance(value, type):
            hasher.update(_type_digest(value))
        else:
            if id(value) not in self.known:
                self.known[id(value)] = b"cycle"
                self.alive.append(value)
                self.known[id(value)] = self.of_parts(*_parts(value))
            hasher.update(self.known[id(value)])

    def of_parts(self, kind, parts):
        if kind in ("set", "frozenset"):  # their order differs between processes
            parts = sorted(map(self.of, parts))
        hasher = xxhash.xxh3_128(f"{kind}:{len(parts)};".encode())
        for part in parts:
            self.feed(hasher, part)
        return hasher.digest()


def _type_digest(cls):
    """Digest of a class by the code that its methods have now.

    Its constants, and what its methods use, count as first seen: a counter does not.
    """
    name = (cls.__module__, cls.__qualname__)
    with _types_lock:
        if cls not in _types:
            _types[cls] = digest(*name)  # stands for the class where it refers to itself
            _types[cls] = digest("type", *name, _methods(cls))
        members = ((key, getattr(member, "__code__", None)) for key, member in _methods(cls))
        return digest(_types[cls], [pair for pair in members if pair[1] is not None])


def _parts(value):
    """Kind of an object and the parts that make up its content."""
    if isinstance(value, (tuple, list, set, frozenset)):
        methods = _methods(type(value))
        return type(value).__name__, [methods, *value] if methods else value
    if isinstance(value, dict):
        return "dict", [item for pair in value.items() for item in pair]
    if isinstance(value, enum.Enum):
        return "enum", (type(value).__qualname__, value.name, value.value)
    if isinstance(value, types.ModuleType):
        return "import", (value.__name__,)
    if isinstance(value, types.FunctionType):
        closure = [_cell_contents(cell) for cell in value.__closure__ or ()]
        defaults = (value.__defaults__, value.__kwdefaults__)
        name = (value.__module__, value.__qualname__)
        return "function", (*name, value.__code__, *defaults, closure, _globals_of(value))
    if isinstance(value, types.CodeType):
        jumps = value.co_exceptiontable
        return "code", (value.co_code, jumps, value.co_consts, value.co_names)
    if isinstance(value, types.MethodType):
        return "method", (value.__func__, value.__self__)
    if isinstance(value, functools.partial):
        return "partial", (value.func, value.args, value.keywords)
    if hasattr(value, "named_modules") and hasattr(value, "state_dict"):
        return "module", _module_parts(value)
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        return "tensor", (str(value.dtype), tuple(value.shape), tensor_array(value))
    if isinstance(value, weakref.ref):
        return "reference", (value(),)
    if _is_plain(value):
        return "object", (type(value), vars(value))
    if hasattr(value, "__wrapped__"):  # functools.cache
        return "wrapper", (type(value), value.__wrapped__)
    return "pickle", (type(value), _pickle_digest(value))


def _module_parts(module):
    """What the output of a torch module depends on, its mode and device aside."""
    everything = {"remove_duplicate": False}  # one layer run twice is not one run once
    tensors = itertools.chain(
        module.named_parameters(**everything), module.named_buffers(**everything)
    )
    children = [
        (name, type(child), _settings(child))
        for name, child in module.named_modules(**everything)
    ]
    return [dict(tensors), children]


def _settings(module):
    """What a module keeps beside tensors and children; hooks change what it returns."""
    import torch

    hooks = {"_forward_hooks", "_forward_pre_hooks"}
    # The graph of torch.fx is in its `_code`, and no copy of it looks the same.
    ignored = {*vars(torch.nn.Module()), "_graph"} - hooks
    return [
        (key, list(value.values()) if key in hooks else value)
        for key, value in sorted(vars(module).items())
        if key not in ignored
    ]


def _methods(cls):
    """Methods and constants of a class and its bases, versioned libraries aside."""
    return [
        (name, _function_of(member))
        for base in cls.__mro__
        if base.__module__.partition(".")[0] not in _LIBRARIES
        for name, member in sorted(vars(base).items())
        if isinstance(member, _METHODS)
        or (isinstance(member, _CONSTANTS) and not name.startswith("__"))
    ]


def _function_of(member):
    if not isinstance(member, _METHODS):
        return member
    inner = (getattr(member, name, None) for name in ("fget", "func", "__func__"))
    return next(filter(None, inner), member)


def _globals_of(function):
    """What a function looks up by name: a helper defined anew makes it another function.

    Modules, and functions of installed libraries, count by the code that names them.
    """
    names = _names_in(function.__code__) & function.__globals__.keys()
    found = ((name, function.__globals__[name]) for name in sorted(names))
    return [pair for pair in found if not _is_foreign(pair[1])]


def _names_in(code):
    nested = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return set(code.co_names).union(*map(_names_in, nested))


def _is_foreign(value):
    if isinstance(value, types.ModuleType | types.BuiltinFunctionType):
        return True
    if isinstance(value, type):
        return value.__module__.partition(".")[0] in sys.stdlib_module_names | _LIBRARIES
    return isinstance(value, types.FunctionType) and value.__code__.co_filename.startswith(
        _INSTALLED
    )


def _cell_contents(cell):
    try:
        return cell.cell_contents
    except ValueError:  # the name is not bound yet
        return "unbound"


def _is_plain(value):
    """Whether an object is its `__dict__`: nothing of its own about pickling."""
    own = ("__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__", "__slots__")
    cls = type(value)
    return hasattr(value, "__dict__") and all(
        getattr(cls, name, None) is getattr(object, name, None) for name in own
    )


def _pickle_digest(value):
    try:
        return joblib.hash(value, hash_name="sha1")
    except Exception:  # whatever an object's own __reduce__ raises
        pass
    name = f"anonymous {uuid.uuid4()}"
    try:
        return _anonymous.setdefault(value, name)
    except TypeError:  # neither hashable nor weakly referable: never the same twice
        return name
