"""Axes to draw on."""

from importlib import import_module

from sklearn_transfer._validation import import_optional


def axes(ax, purpose):
    """The given axes, or new ones, and their figure; `purpose` is what needs matplotlib."""
    import_optional("matplotlib", "plot", purpose)
    pyplot = import_module("matplotlib.pyplot")
    if ax is None:
        figure, ax = pyplot.subplots(layout="constrained")
        return ax, figure
    return ax, ax.figure
