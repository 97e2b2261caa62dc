"""Digests depend on the code of functions, methods and classes, even if defined again."""

import enum
import functools
import textwrap
import threading

import numpy as np
import pytest
from torch import nn
from torchvision import transforms

from sklearn_transfer._store.digests import digest


def define(name, code):
    """Return the value of `name` after running `code` as in a notebook."""
    namespace = {"__name__": "notebook", "functools": functools, "nn": nn}
    exec(textwrap.dedent(code), namespace)
    return eval(name, namespace)


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, image):
        return np.asarray(image) * self.factor


def add(number):
    return lambda image: np.asarray(image) + number


REDEFINED = {
    "forward of a module": (
        "Net()",
        "class Net(nn.Module):\n  def forward(self, x): return x * {}",
    ),
    "inherited forward": (
        "Net()",
        """
        class Base(nn.Module):
            def forward(self, x):
                return x * {}
        class Net(Base): ...
        """,
    ),
    "lambda": ("f", "f = lambda x: x + {}"),
    "function": ("f", "def f(x):\n  return x + {}"),
    "inner function": ("f", "def f(x):\n  return [y + {} for y in x]"),
    "helper": ("f", "def g(x):\n  return x + {}\ndef f(x):\n  return g(x)"),
    "helper of a helper": (
        "f",
        "def h(x):\n  return x + {}\ndef g(x):\n  return h(x)\ndef f(x):\n  return g(x)",
    ),
    "constant of the notebook": ("f", "n = {}\ndef f(x):\n  return x + n"),
    "table of the notebook": ("f", "n = [{}]\ndef f(x):\n  return [y + n[0] for y in x]"),
    "object of the notebook": (
        "f",
        "g = functools.partial(max, {})\ndef f(x):\n  return g(x)",
    ),
    "default": ("f", "def f(x, n={}):\n  return x + n"),
    "keyword default": ("f", "def f(x, *, n={}):\n  return x + n"),
    "closure": ("f", "f = (lambda n: lambda x: x + n)({})"),
    "partial": ("f", "f = functools.partial(max, {})"),
    "partial of a function": ("f", "def g(x):\n  return x + {}\nf = functools.partial(g)"),
    "cached function": ("f", "@functools.cache\ndef f(x):\n  return x + {}"),
    "decorated function": (
        "f",
        """
        def double(f):
            @functools.wraps(f)
            def g(x):
                return 2 * f(x)
            return g
        @double
        def f(x):
            return x + {}
        """,
    ),
    "call": ("C()", "class C:\n  def __call__(self, x): return x + {}"),
    "method": ("C()", "class C:\n  def f(self, x): return x + {}"),
    "bound method": ("C().f", "class C:\n  def f(self, x): return x + {}"),
    "class method": ("C.f", "class C:\n  @classmethod\n  def f(cls, x): return x + {}"),
    "static method": ("C()", "class C:\n  @staticmethod\n  def f(x): return x + {}"),
    "property": ("C()", "class C:\n  @property\n  def f(self): return {}"),
    "cached property": (
        "C()",
        "class C:\n  @functools.cached_property\n  def f(s): return {}",
    ),
    "class itself": ("C", "class C:\n  def f(self): return {}"),
    "class attribute": ("C()", "class C:\n  n = {}\n  def f(self): return self.n"),
    "attribute": ("C()", "class C:\n  def __init__(self): self.n = {}"),
    "slot": (
        "C()",
        """
        class C:
            __slots__ = ("n",)
            def __init__(self):
                self.n = {}
        """,
    ),
    "call of a list": ("C()", "class C(list):\n  def __call__(self, x): return x + {}"),
    "call of a named tuple": (
        "C(1)",
        """
        from typing import NamedTuple
        class C(NamedTuple):
            n: int
            def __call__(self, x):
                return x + {}
        """,
    ),
    "enum": ("E.A", "import enum\nclass E(enum.Enum):\n  A = {}"),
}


@pytest.mark.parametrize(("name", "code"), REDEFINED.values(), ids=REDEFINED)
def test_same_name_with_other_code_differs(name, code):
    one, other = (define(name, code.format(n)) for n in (2, 3))
    assert digest(one) != digest(other)


# An object with slots can only be pickled, and that of a notebook's class cannot.
KNOWN = {key: case for key, case in REDEFINED.items() if key != "slot"}


@pytest.mark.parametrize(("name", "code"), KNOWN.values(), ids=KNOWN)
def test_same_name_with_same_code_is_equal(name, code):
    one, other = (define(name, code.format(2)) for _ in range(2))
    assert digest(one) == digest(other)


def test_what_a_try_covers_counts():
    # On Python 3.11, both have the same bytecode and differ in the exception table.
    inside = define("f", "def f():\n  try:\n    a()\n    b()\n  except E: pass")
    outside = define("f", "def f():\n  try:\n    a()\n  except E: pass\n  else: b()")
    assert digest(inside) != digest(outside)


def test_names_that_a_function_looks_up_count():
    functions = [lambda x: x.mean(), lambda x: x.max(), lambda x: max(x), lambda x: min(x)]
    assert len(set(map(digest, functions))) == 4


def test_method_differs_by_the_object_it_is_bound_to():
    assert digest(Scale(2).__call__) != digest(Scale(3).__call__)


def test_closures_differ_by_what_they_enclose():
    assert digest(add(1)) != digest(add(2))


def test_closures_made_twice_are_equal():
    assert digest(add(1)) == digest(add(1))


def test_closure_over_a_changed_array_differs():
    table = np.zeros(3)
    function = add(table)
    before = digest(function)
    table[1] = 1
    assert digest(function) != before


def test_name_that_is_not_yet_bound_in_a_closure_is_no_error():
    def make():
        inner = lambda: late  # noqa: E731
        found = digest(inner)
        late = 1
        return found, digest(inner)

    before, after = make()
    assert before != after


def test_partials_differ_by_their_arguments():
    partials = [
        functools.partial(np.clip, 0, 1),
        functools.partial(np.clip, 1, 0),
        functools.partial(np.clip, a_min=0, a_max=1),
        functools.partial(np.minimum, 0, 1),
    ]
    assert len(set(map(digest, partials))) == 4


def test_transforms_differ_by_the_constant_of_a_lambda():
    one, other = (define("f", f"f = lambda x: x * {n}") for n in (2, 3))
    assert digest(transforms.Lambda(one)) != digest(transforms.Lambda(other))


def test_enum_members_differ():
    class Mode(enum.Enum):
        A, B = 1, 2

    assert digest(Mode.A) != digest(Mode.B)


def test_counter_on_a_class_does_not_count():
    cls = define("C", "class C:\n  n = 0\n  def __call__(self): type(self).n += 1")
    before = digest(cls())
    cls()()
    assert digest(cls()) == before


def test_threads_digest_a_class_alike():
    code = "class C:\n" + "\n".join(f"  def f{i}(self): return {i}" for i in range(200))
    classes = [define("C", code) for _ in range(20)]
    expected, found = digest(define("C", code)), []
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        found.extend(digest(cls) for cls in classes)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {expected}


def test_functions_that_call_each_other_end():
    even = define("f", "def f(x):\n  return g(x - 1)\ndef g(x):\n  return f(x - 1)")
    assert digest(even) == digest(even)


def test_what_a_function_does_not_use_does_not_count():
    one, two = (define("f", f"n = {n}\ndef f(x):\n  return x") for n in (1, 2))
    assert digest(one) == digest(two)


def test_method_replaced_in_place_counts():
    net = define("Net()", "class Net(nn.Module):\n  def forward(self, x): return x")
    before = digest(net)
    type(net).forward = lambda self, x: x * 2
    assert digest(net) != before


def test_function_that_closes_over_a_module_has_a_digest():
    def outer():
        import torch

        return lambda image: torch.ones(3)

    assert digest(outer()) == digest(outer())
