"""Actions of this package when the process forks, in one declared order.

A child of a fork has the memory of its parent but only the thread that forked: locks that
other threads held are never released, and files, engines and claims belong to two processes.
Whatever must be done about this is registered here, so that its order does not depend on which
module was imported first.
"""

import enum
import os
from contextlib import ExitStack


class Turn(enum.IntEnum):
    """When a hook runs: after a fork from the first turn to the last, before it in reverse.

    LOCKS : the child makes its locks anew, since the hooks that follow may take them.
    THREADS : the parent waits for threads that are ending, as the very last step before the
        fork; the child notes that it was forked.
    STORES : the parent closes the files of its stores; the child forgets what others claimed.
    ENGINES : the child sets engines aside that cannot be used or destroyed in it.
    """

    LOCKS = enum.auto()
    THREADS = enum.auto()
    STORES = enum.auto()
    ENGINES = enum.auto()


_before, _in_parent, _in_child = [], [], []


def run_at_fork(turn, *, before=None, in_parent=None, in_child=None):
    """Register functions that run at each fork, until the process ends.

    `before` and `in_parent` run in the thread that forks, `in_child` in its copy. Hooks of one
    turn run in the order in which they came, those of `before` in reverse. Without forks, as
    on Windows, none of them runs.
    """
    for hooks, hook in ((_before, before), (_in_parent, in_parent), (_in_child, in_child)):
        if hook is not None:
            hooks.append((turn, hook))
            hooks.sort(key=lambda pair: pair[0])  # stable


def _run(hooks):
    # An exit stack runs the hooks from the last to the first, and continues if one of them
    # fails; Python then prints the error, since a fork cannot be refused.
    with ExitStack() as stack:
        for _, hook in hooks:
            stack.callback(hook)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _run(_before),
        after_in_parent=lambda: _run(reversed(_in_parent)),
        after_in_child=lambda: _run(reversed(_in_child)),
    )
