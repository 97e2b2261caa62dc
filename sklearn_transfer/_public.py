"""Public classes under the path that users import them by."""

import sys


def publish_classes(stage, more=()):
    """Name the classes that a stage lists in `__all__` as members of the stage.

    Files of skops and pickles name a class by its module, and stay readable when a class moves
    to another file of the same stage.

    Parameters
    ----------
    stage : str
        Name of the module that lists them.
    more : tuple of str, default=()
        Names of further members that saved objects refer to.
    """
    module = sys.modules[stage]
    for name in (*module.__all__, *more):
        member = getattr(module, name)
        if isinstance(member, type) or name in more:
            member.__module__ = stage
