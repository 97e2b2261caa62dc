"""Nets of skorch around a network: for a training, and after it."""

from functools import partial

import torch
from skorch.history import History

from sklearn_transfer.finetuning.loop.net import Setup, TrainingNet, WeightedLoss, accelerated
from sklearn_transfer.finetuning.loop.skorch_params import checked_params, copies

_OPTIONS = (
    "batch_size",
    "precision",
    "lr",
    "warmup",
    "weight_decay",
    "layer_decay",
    "l2_sp",
    "mixup",
    "cutmix",
)


def make_net(estimator, targets, factors, network, backbone, seed, start):
    """Initialized net that trains a network as the parameters of an estimator say."""
    options = {name: getattr(estimator, name) for name in _OPTIONS}
    setup = Setup(network, backbone.device, seed, options, start)
    setup.channels_last = not backbone.stateful
    setup.factors = factors
    loss = None if estimator.loss == "auto" else estimator.loss
    smoothing = getattr(estimator, "label_smoothing", 0.0)
    params = {"optimizer": torch.optim.AdamW, **checked_params(estimator.net_params)}
    if params["optimizer"] is torch.optim.AdamW:
        params.setdefault("optimizer__fused", True)
    kind, place = TrainingNet, {"device": str(backbone.device)}
    if estimator.accelerator is not None:
        kind, accelerator = accelerated(estimator.accelerator)
        place = {"device": None, "accelerator": accelerator}
        setup.device = accelerator.device
        setup.share = (accelerator.num_processes, accelerator.process_index)
    net = kind(
        network,
        criterion=partial(WeightedLoss, targets, factors, smoothing, loss),
        train_split=None,
        callbacks=copies(estimator.callbacks),
        verbose=0,
        setup=setup,
        **place,
        **params,
    )
    return net.initialize()


def remade(estimator):
    """Net around the network of a fitted estimator that was not trained in this process.

    It holds what the network and `history_` tell. Steps and state of the optimizer, and what
    callbacks recorded, are gone.
    """
    targets, record = estimator._targets, estimator._record
    # Pickles and folders of before do not hold them; they matter for several tasks.
    factors = getattr(estimator, "_factors", None) or [1.0] * len(targets.tasks)
    args = (estimator._network, record, estimator._seed, estimator._start)
    net = make_net(estimator, targets, factors, *args)
    net.setup.passes = len(estimator.history_)
    net.history_ = _history([row for row in estimator.history_ if row["phase"] != "probe"])
    return net


def _history(rows):
    history = History()
    for row in rows:
        history.new_epoch()
        for name in ("epoch", "train_loss", "valid_loss", "valid_score", "dur"):
            if name in row:
                history.record(name, row[name])
    return history
