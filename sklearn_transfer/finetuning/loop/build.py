"""Nets of skorch around a network: for a training, and after it."""

from dataclasses import replace
from functools import partial

import torch
from skorch.history import History

from sklearn_transfer.finetuning.loop.net import TrainingNet, make_accelerated
from sklearn_transfer.finetuning.loop.options import Setting, TrainingOptions
from sklearn_transfer.finetuning.loop.skorch_params import check_params, copy_callbacks
from sklearn_transfer.finetuning.objectives.l2_sp import L2SP, copy_parameters
from sklearn_transfer.finetuning.objectives.supervised import SupervisedLoss
from sklearn_transfer.finetuning.objectives.words import describe_adapt


def build_net(
    estimator, targets, factors, network, backbone, seed, objectives=(), adaptation=None
):
    """Initialized net that trains a network as the parameters of an estimator say."""
    setting = Setting(network, backbone.device, seed, channels_last=not backbone.stateful)
    params = {"optimizer": torch.optim.AdamW, **check_params(estimator.net_params)}
    if params["optimizer"] is torch.optim.AdamW:
        params.setdefault("optimizer__fused", True)
    kind, where = TrainingNet, {"device": str(backbone.device)}
    if estimator.accelerator is not None:
        kind, accelerator = make_accelerated(estimator.accelerator)
        where = {"device": None, "accelerator": accelerator}
        setting = replace(
            setting,
            device=accelerator.device,
            n_processes=accelerator.num_processes,
            process_index=accelerator.process_index,
        )
    criterion = partial(
        SupervisedLoss,
        targets,
        factors,
        label_smoothing=getattr(estimator, "label_smoothing", 0.0),
        own_loss=None if estimator.loss == "auto" else estimator.loss,
    )
    net = kind(
        network,
        criterion=criterion,
        train_split=None,
        callbacks=copy_callbacks(estimator.callbacks),
        verbose=0,
        setting=setting,
        options=TrainingOptions.read_from(estimator),
        objectives=objectives,
        adaptation=adaptation,
        **where,
        **params,
    )
    net.adapt_ = describe_adapt(estimator.adapt)
    return net.initialize()


def build_pull(estimator, network, device, start):
    """`L2SP` of the strength that the estimator asks for; None where that is 0.

    It pulls to `start`, or to where the network is now where that is None.
    """
    if not estimator.l2_sp:
        return None
    start = copy_parameters(network.body) if start is None else start
    start = {name: tensor.to(device) for name, tensor in start.items()}
    return L2SP(network.body, estimator.l2_sp, start)


def rebuild_net(estimator):
    """Net around the network of a fitted estimator that was not trained in this process.

    It holds what the network and `history_` tell. Steps and state of the optimizer, and what
    callbacks recorded, are gone.
    """
    targets, network, backbone = estimator._targets, estimator._network, estimator._backbone
    # Folders of earlier versions do not hold them; they matter for several tasks.
    factors = getattr(estimator, "_factors", None) or [1.0] * len(targets.tasks)
    pull = build_pull(estimator, network, backbone.device, estimator._start)
    objectives = [] if pull is None else [pull]
    with torch.random.fork_rng(devices=[]):  # discriminators draw their weights on the CPU
        torch.manual_seed(estimator._seed)
        net = build_net(
            estimator,
            targets,
            factors,
            network,
            backbone,
            estimator._seed,
            [*objectives, *estimator._make_objectives()],
            estimator._make_adaptation(),
        )
    net.state_.n_passes = len(estimator.history_)
    net.history_ = _make_history(
        [entry for entry in estimator.history_ if entry["phase"] != "probe"]
    )
    return net


def _make_history(entries):
    history = History()
    for entry in entries:
        history.new_epoch()
        for name in ("epoch", "train_loss", "valid_loss", "valid_score", "dur"):
            if name in entry:
                history.record(name, entry[name])
    return history
