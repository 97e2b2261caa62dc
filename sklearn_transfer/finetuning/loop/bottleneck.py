"""The bottleneck that objectives of adaptation need where all of a network is frozen."""

import warnings

from sklearn_transfer._validation import shorten
from sklearn_transfer.finetuning.freezing.policies import BODY
from sklearn_transfer.finetuning.loop.target import has_linear_head


def needs_bottleneck(network, frozen):
    """Whether features that objectives of adaptation act on would never change."""
    if not has_linear_head(network):
        return False
    fixed = frozen.parameters | network.untrained
    names = (name for name, _ in network.named_parameters())
    return all(name in fixed for name in names if name.startswith(BODY))


def warn_of_fixed_features(network, frozen, adapt):
    """Warn where a network got no bottleneck, since it was built without a target."""
    if network.bottleneck is not None or not needs_bottleneck(network, frozen):
        return
    warnings.warn(
        f"adapt={shorten(adapt)} cannot change the features, since all of the network is"
        " frozen and it was built without a target, so without a bottleneck: give X_target in"
        " fit, or in the first call of partial_fit",
        UserWarning,
        stacklevel=2,
    )
