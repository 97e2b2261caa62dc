"""Axes that every display draws on."""

from importlib import import_module

from sklearn_transfer._validation import import_optional


def prepare_axes(ax, purpose, figsize=None):
    """The given axes, or new ones of a size, and their figure.

    `purpose` is what needs matplotlib, for the message where it is missing.
    """
    import_optional("matplotlib", "plot", purpose)
    pyplot = import_module("matplotlib.pyplot")
    if ax is None:
        figure, ax = pyplot.subplots(figsize=figsize, layout="constrained")
        return ax, figure
    return ax, ax.figure
