"""Groups of parameters for an optimizer: learning rates by depth, and what decays."""

from sklearn_transfer.finetuning.freezing.policies import BODY

# Learning rate of a bottleneck in units of `lr`. With it some tens of rows suffice for the
# accuracy of logistic regression on the embedding, and most objectives gain about a point on
# fourteen directions of real images.
_BOTTLENECK_SHARE = 2.0


def group_parameters(network, lr, weight_decay, layer_decay, own_parameters=()):
    """Groups for an optimizer: learning rate by depth, no decay of biases and scales.

    The head has `lr`, a bottleneck twice as much; each layer below has `layer_decay` times the
    one above. Layers are timm's where the network is timm's, else stages. The own parameters
    of objectives have the rate of the head, and decay.
    """
    heights, skipped = _find_heights(network)
    groups = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        bare = parameter.ndim <= 1 or name.endswith(".bias") or name in skipped
        height = heights.get(name, 0)
        share = _BOTTLENECK_SHARE if name.startswith("bottleneck.") else 1.0
        group = groups.setdefault((height, bare, share), {"params": []})
        group["params"].append(parameter)
        group["lr"] = group["base_lr"] = share * lr * layer_decay**height
        group["weight_decay"] = 0.0 if bare else weight_decay
    found = list(groups.values())
    if own_parameters:
        rates = {"lr": lr, "base_lr": lr, "weight_decay": weight_decay}
        found.append({"params": own_parameters, **rates})
    return found


def _find_heights(network):
    """Layers between each parameter of the body and the head, and names without decay."""
    if network.columns is None:
        depths = _find_depths(network)
        deepest = max(depths.values(), default=0) + 1
        skipped = getattr(network.body, "no_weight_decay", set)()
        heights = {name: deepest - depth for name, depth in depths.items()}
        return heights, {BODY + name for name in skipped}
    heights, skipped = {}, set()
    for column, trunk in network.columns.items():
        own, bare = _find_heights(trunk)
        heights |= {network.map_name(column, name): height for name, height in own.items()}
        skipped |= {network.map_name(column, name) for name in bare}
    return heights, skipped


def _find_depths(network):
    """Depth of each parameter of the body, from 0 for those that the input meets first."""
    if hasattr(network.body, "group_matcher"):
        from timm import models

        matcher = network.body.group_matcher(coarse=False)
        found = models.group_parameters(network.body, matcher, reverse=True)
        return {BODY + name: int(depth) for name, depth in found.items()}
    depths, depth = {}, 0
    stages = [stage.name for stage in network.layout.stages]
    for name, _ in network.body.named_parameters():
        reached = [i for i, stage in enumerate(stages) if name.startswith(f"{stage}.")]
        depth = max([depth, *(i + 1 for i in reached)])
        depths[BODY + name] = depth
    return depths
