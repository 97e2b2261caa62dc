"""Pickles that depend on content alone: equal estimators give equal bytes.

Pickles of torch name storages by their addresses, and those of Python tell whether two equal
strings are one object and in which order a set happens to be. All of this differs between
estimators that are equal, and between an estimator and what is read from its pickle.
"""

import io
import pickle
import sys
from contextvars import ContextVar
from copyreg import dispatch_table
from types import BuiltinFunctionType, FunctionType, ModuleType

import numpy as np

from sklearn_transfer._callbacks import remove_callbacks

# Equal in all versions of Python, so that those of a newer one can be read by an older one.
_PROTOCOL = 5
# Arrays of these kinds are bytes and a name of their type.
_PLAIN_KINDS = "biufcSUmM"
_ARRAY, _STORAGE, _GIVEN, _OWNER = "array", "storage", "given", "owner"
# The estimator whose state is asked for by a pickle.
_PICKLED = ContextVar("_PICKLED", default=None)


def dismantle(value, owner=None):
    """Value as bytes, arrays of bytes, and what another pickler has to name.

    `owner` is an object that the value may refer to, and that is not taken apart.

    Memory of tensors and arrays is not copied, unless it is that of an accelerator. Classes
    and functions are left to the pickler around, which may be one that pickles them by value,
    as cloudpickle does.
    """
    file = io.BytesIO()
    pickler = _Dismantler(file, owner)
    pickler.dump(value)
    return file.getvalue(), pickler.arrays, pickler.given


def assemble(content, arrays, given, owner=None):
    """The value that `dismantle` took apart; its tensors have memory of their own."""
    return _Assembler(content, arrays, given, owner).load()


class _Reference:
    """Stands for an array or an object outside the bytes."""

    def __init__(self, kind, index):
        self.pid = (kind, index)


# The pickler that is written in Python, since that in C calls nothing for strings and sets.
class _Dismantler(pickle._Pickler):
    def __init__(self, file, owner):
        super().__init__(file, _PROTOCOL)
        self.arrays, self.given, self._owner = [], [], owner
        self._strings, self._indices, self._alive = {}, {}, []

    def persistent_id(self, obj):
        if isinstance(obj, _Reference):
            return obj.pid
        if obj is self._owner and obj is not None:
            return (_OWNER, 0)
        if isinstance(obj, (type, FunctionType, BuiltinFunctionType, ModuleType)):
            return self._give(obj).pid
        return None

    def _give(self, obj):
        key = (_GIVEN, id(obj))
        if key not in self._indices:
            self._indices[key] = len(self.given)
            self.given.append(obj)  # which keeps it alive, so that its id stays its own
        return _Reference(_GIVEN, self._indices[key])

    def reducer_override(self, obj):
        kind = type(obj)
        if kind in self.dispatch:
            return NotImplemented
        if kind is np.ndarray and obj.dtype.kind in _PLAIN_KINDS and obj.itemsize:
            return self._reduce_array(obj)
        if isinstance(obj, np.dtype) and obj.kind in _PLAIN_KINDS:
            return np.dtype, (obj.str,)
        torch = sys.modules.get("torch")
        if torch is not None and _is_plain_tensor(obj, torch):
            return self._reduce_tensor(obj, torch)
        try:
            reduce = dispatch_table.get(kind)
            found = obj.__reduce_ex__(_PROTOCOL) if reduce is None else reduce(obj)
        except Exception:
            found = ""
        # A string is the name of a global; what cannot be reduced, another pickler may know.
        return (_return_same, (self._give(obj),)) if isinstance(found, str) else found

    def _reduce_array(self, array):
        is_transposed = array.flags.f_contiguous and not array.flags.c_contiguous
        order = "F" if is_transposed else "C"
        flat = array.ravel(order)
        self._alive.append(array)
        self.arrays.append(flat.view(np.uint8) if flat.size else np.empty(0, np.uint8))
        reference = _Reference(_ARRAY, len(self.arrays) - 1)
        return _make_array, (reference, array.dtype.str, array.shape, order)

    def _reduce_tensor(self, tensor, torch):
        storage = tensor.untyped_storage()
        key = (_STORAGE, storage.data_ptr(), storage.nbytes())
        if key not in self._indices or not storage.nbytes():
            self._indices[key] = len(self.arrays)
            with torch.inference_mode(False), torch.no_grad():
                flat = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
                self.arrays.append(flat.cpu().numpy())
            self._alive.append(tensor)
        return _make_tensor, (
            _Reference(_STORAGE, self._indices[key]),
            str(tensor.dtype).removeprefix("torch."),
            tensor.storage_offset(),
            tuple(tensor.shape),
            tensor.stride(),
            tensor.requires_grad,
            type(tensor) is torch.nn.Parameter,
            vars(tensor),
        )

    dispatch = pickle._Pickler.dispatch.copy()

    def save_str(self, obj):
        """Equal strings are one, whether or not they are one object."""
        obj = self._strings.setdefault(obj, obj)
        known = self.memo.get(id(obj))
        if known is None:
            pickle._Pickler.save_str(self, obj)
        else:
            self.write(self.get(known[0]))

    dispatch[str] = save_str

    def save_set(self, obj):
        self.save_reduce(set, (_sort_members(obj),), obj=obj)

    dispatch[set] = save_set

    def save_frozenset(self, obj):
        self.save_reduce(frozenset, (_sort_members(obj),), obj=obj)

    dispatch[frozenset] = save_frozenset


class _Assembler(pickle.Unpickler):
    def __init__(self, content, arrays, given, owner):
        super().__init__(io.BytesIO(content))
        self._arrays, self._given, self._owner = arrays, given, owner
        self._storages = {}

    def persistent_load(self, pid):
        kind, index = pid
        if kind == _OWNER:
            return self._owner
        if kind == _GIVEN:
            return self._given[index]
        if kind == _ARRAY:
            return self._arrays[index]
        if index not in self._storages:
            self._storages[index] = _make_storage(self._arrays[index])
        return self._storages[index]


def _is_plain_tensor(obj, torch):
    """Whether an object is a tensor, or a parameter, that memory and strides describe."""
    return (
        type(obj) in (torch.Tensor, torch.nn.Parameter)
        and obj.layout is torch.strided
        and obj.device.type != "meta"
        and not (obj.is_quantized or obj.is_conj() or obj.is_neg())
    )


def _sort_members(members):
    """Members of a set in an order that does not depend on the process."""
    # Some sets are neither smaller nor larger than others, which `sorted` does not see.
    if not any(isinstance(member, tuple | frozenset) for member in members):
        try:
            return sorted(members)
        except TypeError:
            pass
    return sorted(members, key=_describe_member)


def _describe_member(member):
    """Text by which members of a set are sorted that have no order, or only some."""
    if isinstance(member, tuple | frozenset):
        inner = [_describe_member(value) for value in member]
        text = ", ".join(inner if isinstance(member, tuple) else sorted(inner))
    else:
        text = getattr(member, "__qualname__", None) or repr(member)
    return f"{type(member).__name__}({text})"


def _return_same(obj):
    return obj


def _make_array(flat, dtype, shape, order):
    # A copy, since what comes from a file may be read-only, or not aligned.
    return np.array(flat, copy=True).view(dtype).reshape(shape, order=order)


def _make_storage(flat):
    import torch

    with torch.inference_mode(False):
        memory = torch.empty(len(flat), dtype=torch.uint8)
        memory.numpy()[:] = flat
        return memory.untyped_storage()


def _make_tensor(
    storage, dtype, offset, shape, stride, requires_grad, is_parameter, attributes
):
    import torch

    with torch.inference_mode(False), torch.no_grad():
        tensor = torch.empty(0, dtype=getattr(torch, dtype))
        tensor.set_(storage, offset, shape, stride)
        if is_parameter:
            tensor = torch.nn.Parameter(tensor, requires_grad)
        else:
            tensor.requires_grad_(requires_grad)
    vars(tensor).update(attributes)
    return tensor


def is_pickled(estimator):
    """Whether its state is asked for by a pickle or copy, and not by skops."""
    return _PICKLED.get() is estimator


class Pickled:
    """Mixin of estimators whose pickles depend on content alone.

    `__getstate__` and `__setstate__` are left to a state of arrays and builtins, as skops
    writes it; pickles, copies, `joblib.hash` and tokens of dask go by `_get_pickled_state`.
    """

    def _get_pickled_state(self):
        """Attributes that a pickle holds."""
        return dict(remove_callbacks(vars(self)))

    def __getstate__(self):
        return self._get_pickled_state() if is_pickled(self) else super().__getstate__()

    def __reduce_ex__(self, protocol):
        token = _PICKLED.set(self)
        try:
            state = self.__getstate__()  # which a subclass of a user's may change
        finally:
            _PICKLED.reset(token)
        state = {name: state[name] for name in sorted(state)}
        return _rebuild, (type(self), *dismantle(state, self))

    def __deepcopy__(self, memo):
        # Memory is copied once, by `assemble`.
        rebuild, args = self.__reduce_ex__(_PROTOCOL)
        memo[id(self)] = copied = rebuild(*args)
        return copied


def _rebuild(kind, content, arrays, given):
    estimator = kind.__new__(kind)
    estimator.__setstate__(assemble(content, arrays, given, estimator))
    return estimator
