"""The one door to scikit-learn's private helpers, and messages shared by all stages."""

import difflib
import html
from importlib import import_module

from sklearn.utils.validation import _check_feature_names_in

try:
    from sklearn.utils._repr_html.estimator import _VisualBlock
except ImportError:  # scikit-learn < 1.7
    from sklearn.utils._estimator_html_repr import _VisualBlock


def check_feature_names_in(estimator, input_features):
    """Raise scikit-learn's error if `input_features` contradict those seen in fit."""
    _check_feature_names_in(estimator, input_features, generate_names=False)


def visual_block(estimator, caption):
    """Diagram of one estimator with `caption` under its class name."""
    return _VisualBlock(
        "single",
        estimator,
        names=type(estimator).__name__,
        name_caption=html.escape(caption),
        name_details=str(estimator),
    )


def did_you_mean(word, options, n=3):
    """End of an error message: the options nearest to `word`, or nothing.

    >>> did_you_mean("midle", ["shallow", "middle", "deep"])
    " Did you mean 'middle'?"
    """
    near = difflib.get_close_matches(str(word), [str(o) for o in options], n, 0.6)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def import_optional(module, extra, purpose):
    """Import `module`, or say which extra of this package brings it.

    >>> import_optional("no_such_module", "plot", "drawing")
    Traceback (most recent call last):
        ...
    ImportError: drawing needs no_such_module: pip install "sklearn-transfer[plot]"
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise ImportError(
            f'{purpose} needs {error.name}: pip install "sklearn-transfer[{extra}]"'
        ) from error
