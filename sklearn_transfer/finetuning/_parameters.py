"""The parameters that fine-tuners share."""

import os
from collections.abc import Mapping
from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_transfer.finetuning._reading import SOURCES
from sklearn_transfer.finetuning.objectives.base import Objective


class FineTunerParameters:
    """Mixin of fine-tuners with the parameters that they share, and what is valid for them."""

    _parameter_constraints: dict = {
        "model": [str, callable, Mapping, *SOURCES],
        "weights": [str, os.PathLike, Mapping, None],
        "freeze": [str, Integral, list, tuple, Mapping, None],
        "schedule": [StrOptions({"constant", "lp-ft", "gradual"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "warmup": [Interval(Real, 0, 1, closed="both")],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "l2_sp": [Interval(Real, 0, None, closed="left")],
        "lora_rank": [Interval(Integral, 1, None, closed="left"), None],
        "freeze_norm": ["boolean", StrOptions({"auto"})],
        "augment": [str, callable],
        "n_views": [Interval(Integral, 1, None, closed="left"), None],
        "mixup": [Interval(Real, 0, None, closed="left")],
        "cutmix": [Interval(Real, 0, None, closed="left")],
        "loss": [StrOptions({"auto"}), callable],
        "tasks": [list, tuple, None],
        "early_stopping": ["boolean", Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "input_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "preprocess": [StrOptions({"auto"}), callable, None],
        "background": [str, "array-like"],
        "callbacks": [list, tuple, None],
        "net_params": [Mapping, None],
        "accelerator": [Mapping, None],
        "cache": [str, os.PathLike, None],
        "engine": [StrOptions({"auto", "torch", "openvino", "onnxruntime"})],
        "device": [str],
        "precision": [StrOptions({"float32", "bfloat16", "float16"})],
        "n_jobs": [
            Interval(Integral, None, -1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "adapt": [str, Objective, None],
    }

    def __init__(
        self,
        model="tf_efficientnet_lite0",
        *,
        weights="pretrained",
        freeze="middle",
        schedule="constant",
        max_epochs=20,
        lr=3e-4,
        warmup=0.1,
        layer_decay=1.0,
        batch_size=32,
        weight_decay=0.01,
        l2_sp=0.0,
        lora_rank=None,
        freeze_norm="auto",
        augment="none",
        n_views=None,
        mixup=0.0,
        cutmix=0.0,
        loss="auto",
        tasks=None,
        early_stopping=False,
        validation_fraction=0.1,
        input_size=None,
        preprocess="auto",
        background="white",
        callbacks=None,
        net_params=None,
        accelerator=None,
        cache="memory",
        engine="auto",
        device="auto",
        precision="float32",
        n_jobs=None,
        random_state=0,
        verbose=False,
        adapt=None,
    ):
        self.model = model
        self.weights = weights
        self.freeze = freeze
        self.schedule = schedule
        self.max_epochs = max_epochs
        self.lr = lr
        self.warmup = warmup
        self.layer_decay = layer_decay
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.l2_sp = l2_sp
        self.lora_rank = lora_rank
        self.freeze_norm = freeze_norm
        self.augment = augment
        self.n_views = n_views
        self.mixup = mixup
        self.cutmix = cutmix
        self.loss = loss
        self.tasks = tasks
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.input_size = input_size
        self.preprocess = preprocess
        self.background = background
        self.callbacks = callbacks
        self.net_params = net_params
        self.accelerator = accelerator
        self.cache = cache
        self.engine = engine
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.adapt = adapt

    def _check_precision(self):
        """Raise ValueError where precision, device and accelerator do not go together."""
        if self.precision == "float16" and not self.device.startswith("cuda"):
            import torch

            if self.device != "auto" or not torch.cuda.is_available():
                raise ValueError(
                    "precision='float16' needs a CUDA device: use 'bfloat16' or 'float32' here"
                )
        if self.accelerator is not None and self.precision != "float32":
            raise ValueError(
                f"precision={self.precision!r} was given with an accelerator: leave it at"
                " 'float32', and give accelerator={'mixed_precision': 'bf16'} or 'fp16'"
            )
