"""One fit, step by step: inputs, phases, epochs, the best weights."""

import time
import warnings
from contextlib import ExitStack, contextmanager, nullcontext

import numpy as np
import torch

from sklearn_transfer._modalities.payloads import InputFormat
from sklearn_transfer._modalities.remarks import telling_once
from sklearn_transfer._networks.engines.plan import Plan, to_tensors
from sklearn_transfer._networks.inputs import map_tensors
from sklearn_transfer._networks.splits import split
from sklearn_transfer._process.allocator import keep_memory
from sklearn_transfer._process.locks import RLock
from sklearn_transfer.extraction._loop import count_threads
from sklearn_transfer.finetuning import _inputs
from sklearn_transfer.finetuning.freezing import policies, prefix
from sklearn_transfer.finetuning.freezing.probe import fit_head
from sklearn_transfer.finetuning.loop.build import make_net

# Rows whose activations are copied at once while features for the head are standardised.
_ROWS_AT_ONCE = 512
_PATIENCE = 5
# Dropout draws from torch's generator of the process, which two trainings must not share.
_training_lock = RLock()


class Part:
    """Samples to train or to validate on, with encoded targets and weights.

    `weights` are those of samples and classes together, of mean 1, and `total` is their sum
    as given; `numbers` are those of the rows in what the user passed as `name`.
    """

    def __init__(self, samples, y, encoded, weights, total, sample_weights, numbers, name="X"):
        self.samples, self.y, self.encoded = samples, y, encoded
        self.weights, self.total, self.sample_weights = weights, total, sample_weights
        self.numbers, self.name = numbers, name
        self.payloads = None

    def __len__(self):
        return len(self.weights)

    def place(self, row):
        """What messages call a row."""
        prefix = "" if self.name == "X" else f"{self.name}, "
        return f"{prefix}row {self.numbers[row]}"

    def rows(self, inputs):
        return _inputs.Rows(inputs, self.encoded, self.weights)

    def tensors(self, device):
        """Encoded targets and weights of all rows."""
        encoded = tuple(torch.as_tensor(part).to(device) for part in self.encoded)
        return encoded, torch.as_tensor(self.weights, dtype=torch.float32).to(device)


class Fitting:
    """Training of a network on one `Part`, with another one to validate on, or None."""

    def __init__(self, estimator, targets, backbone, network, train, valid, seed):
        self.estimator, self.targets, self.backbone = estimator, targets, backbone
        self.network, self.train, self.valid, self.seed = network, train, valid, seed
        self.reader = estimator._make_reader(backbone)
        self.device = backbone.device
        self.n_threads = count_threads(estimator.n_jobs)
        self.augmentation = estimator._augmentation(backbone)
        self.net, self.frozen, self.cut, self.standardised = None, None, None, False
        self.history, self.cuts, self.best = [], {}, None
        self.images, self.views, self.signature = None, None, None
        self.is_continued, self.kept, self.phase = False, frozenset(), None
        self.start = None

    def run(self):
        """Train through all phases; the network then has its final weights."""
        with self._environment():
            target, noise = self._prepare()
            args = (self.estimator.schedule, target, self.estimator.max_epochs)
            phases = policies.phases(*args, self.network, self.backbone, first_rows(noise, 2))
            self._loop(phases)
        return self

    def run_once(self):
        """One epoch at a constant learning rate, with the network new or as it is."""
        with self._environment():
            if self.frozen is None:
                self.frozen = self._prepare()[0]
            else:
                self._look_at_inputs()
            self._loop([policies.Phase("partial_fit", self.frozen, 1)], constant=True)
        return self

    def _prepare(self):
        """Network with head; returns what of it is to stay as it is, and input for trials."""
        self._look_at_inputs()
        noise = self._noise(3)
        self.network.to(self.device).eval()
        self.network.add_head(noise, self.reader.input_source)
        return self._target(noise), noise

    def _look_at_inputs(self):
        """Read every sample that no later step reads before the training begins."""
        if self.augmentation is not None:
            args = (self.train.samples, self.reader, self.n_threads)
            folder = _inputs.folder_of(self.estimator.cache)
            self.images = _inputs.read_images(*args, folder, self.train.place)
        self.signature = self.reader.find_signature(self.train.samples)
        if self.signature is None:  # no sample can be read: the first one's error is raised
            self._payloads(self.train)
        shape = self.reader.format.input_shape(self.signature)
        if self.estimator.cutmix and len(shape) < 2:
            raise ValueError(
                f"cutmix={self.estimator.cutmix:g} exchanges rectangles of images, and a row"
                f" of X has shape {shape}; use mixup for tables"
            )

    def _payloads(self, part):
        """Collated payloads of a part."""
        if part.payloads is None:
            if isinstance(part.samples, np.ndarray) and self.reader.unit == "row":
                part.payloads = {"input": np.ascontiguousarray(part.samples)}
            else:
                folder = _inputs.folder_of(self.estimator.cache)
                args = (part.samples, self.reader, self.n_threads, folder, part.place)
                part.payloads = _inputs.read_payloads(*args)
        return part.payloads

    def _noise(self, n_rows):
        """Network input of random payloads, on which the network shows its structure."""
        plan = Plan(self.backbone, [], self.reader.format, "float32", self.signature)
        return plan.to_input(to_tensors(plan.example(n_rows), self.device))

    def _target(self, noise):
        estimator = self.estimator
        if estimator.lora_rank is not None:
            names = policies.add_lora(self.network, estimator.lora_rank)
            self.network.to(self.device).eval()
            return policies.Frozen(names, frozenset(self.network.norms()), None)
        return policies.resolve(
            estimator.freeze, self.network, self.backbone, first_rows(noise, 2)
        )

    def _standardise(self, features):
        """Take the scale of features from the embeddings of the rows to train on, once."""
        head = self.network.head
        if self.standardised or not hasattr(head, "standardise"):
            return
        weights = torch.as_tensor(self.train.weights, dtype=torch.float32)
        features = torch.from_numpy(features).to(self.device)
        head.standardise(features, (weights / weights.sum()).to(self.device))
        self.standardised = True

    def _standardise_by(self, inputs):
        """The same from what the network takes."""
        train = self.train
        if self.cut is None:
            args = (self.estimator, self.reader, train.samples, self.backbone)
            self._standardise(prefix.run(*args, prefix.EMBEDDING_TAP, train.place))
            return
        chunks = np.array_split(np.arange(len(train)), -(-len(train) // _ROWS_AT_ONCE))
        parts = (inputs.take(rows, 0)["input"].numpy() for rows in chunks)
        features = [self.cut.outputs(self.network, part, "embedding") for part in parts]
        self._standardise(np.concatenate(features))

    def _make_net(self):
        factors = self.targets.factors(self.train.encoded, self.train.weights)
        net = make_net(
            self.estimator, self.targets, factors, self.network, self.backbone, self.seed,
            self.start,
        )  # fmt: skip
        net.setup.passes = len(self.history)
        return net

    def trained_start(self):
        """Where the parameters began that have trained, if that is of use; else None."""
        start = self.net.setup.start
        if start is None:
            return None
        return {name: t for name, t in start.items() if f"body.{name}" not in self.kept}

    def _loop(self, phases, constant=False):
        n_epochs = sum(phase.n_epochs for phase in phases)
        if self.net is None:
            self.net = self._make_net()
        setup = self.net.setup
        setup.constant = constant
        self.kept = frozenset.intersection(*(phase.frozen.parameters for phase in phases))
        self.net.notify("on_train_begin", X=None, y=None)
        try:
            with self._progress(n_epochs) as setup.bar:
                for self.phase in phases:
                    self._run_phase(self.phase)
        except KeyboardInterrupt as interrupt:
            self._interrupted(interrupt, n_epochs)
        finally:
            setup.forget()
        if self.best is not None and self.best[1] is not None:
            policies.restore(self.network, self.best[1])
        self.net.notify("on_train_end", X=None, y=None)
        self.network.eval()
        self.network.zero_grad(set_to_none=True)

    def _run_phase(self, phase):
        frozen = phase.frozen
        if self._keeps_norms():
            frozen = policies.with_norms(frozen, self.network)
        policies.apply(frozen, self.network)
        if not self.is_continued:
            self.cut = self._cut_at(frozen.boundary)
        elif not self._may_reuse():
            self.cut = None
        self.frozen = frozen
        if phase.name == "probe":
            self._probe(phase)
        if phase.n_epochs:
            self._train_through(phase)

    def _keeps_norms(self):
        estimator = self.estimator
        if estimator.freeze_norm != "auto":
            return estimator.freeze_norm
        return not estimator._draws_weights()

    def _probe(self, phase):
        """Fit the head on the embeddings of the network as it came."""
        start = time.perf_counter()
        head, criterion = self.network.head, self.net.criterion_
        features = self._embeddings(self.train)
        # Read before the head is fitted, so that no bad sample is found out too late.
        held = None if self.valid is None else self._embeddings(self.valid)
        self._standardise(features)
        features = torch.from_numpy(features).to(self.device)
        criterion.training = True
        args = (*self.train.tensors(self.device), self.train.total)
        loss = fit_head(head, features, criterion, *args)
        row = {"phase": phase.name, "train_loss": loss}
        if held is not None:
            row |= self._validated_probe(held)
        dur = time.perf_counter() - start
        self._add_to_history({**row, "lr": 0.0, "dur": dur})

    def _embeddings(self, part):
        cut = self._make_cut(policies.EMBEDDING)
        return cut.activations(self.estimator, self.reader, part.samples, part.place)

    def _validated_probe(self, features):
        criterion = self.net.criterion_
        criterion.training = False
        with torch.no_grad():
            outputs = self.network.head(torch.from_numpy(features).to(self.device))
            loss = criterion(outputs, *self.valid.tensors(self.device))
        return {"valid_loss": float(loss), "valid_score": self._score(outputs.cpu().numpy())}

    def _score(self, outputs):
        """Score of the outputs for the validation samples."""
        return float(self.targets.score(outputs, self.valid.y, self.valid.sample_weights))

    def _train_through(self, phase):
        setup = self.net.setup
        train, valid = self._inputs_of_parts(self.cut)
        if not self.standardised:
            self._standardise_by(train)
        if valid is not None:
            setup.valid, setup.score = self.valid.rows(valid), self._score
        setup.format = self.reader.format if self.cut is None else InputFormat()
        setup.begin_phase(len(self.train), phase)
        if setup.renewed or not (setup.constant and self.history):
            self.net.begin_phase()
        setup.renewed = False
        rows, waited = self.train.rows(train), 0
        patience = self.estimator.early_stopping
        if isinstance(patience, (bool, np.bool_)):
            patience *= _PATIENCE
        with nullcontext() if self.cut is None else self.cut.entered(self.network):
            for _ in range(phase.n_epochs):
                setup.epoch = len(self.history) + 1
                self.net.fit_loop(rows, epochs=1)
                waited = 0 if self._note(phase) else waited + 1
                if patience and waited >= patience:
                    break

    def _note(self, phase):
        """Add an epoch to the history; returns whether it is the best so far."""
        last, setup = self.net.history[-1], self.net.setup
        row = {"phase": phase.name, "train_loss": float(last["train_loss"])}
        if setup.valid is not None:
            row |= {name: float(last[name]) for name in ("valid_loss", "valid_score")}
        return self._add_to_history({**row, "lr": setup.last_lr, "dur": last["dur"]})

    def _add_to_history(self, row):
        judged = "train_loss" if self.valid is None else "valid_loss"
        best = judged in row and (self.best is None or row[judged] < self.best[0])
        if best:
            for earlier in self.history:
                earlier["best"] = False
            stops = self.estimator.early_stopping and self.valid is not None
            state = policies.state_without(self.kept, self.network) if stops else None
            self.best = (row[judged], state)
        self.history.append({"epoch": len(self.history) + 1, **row, "best": best})
        show_epoch(self.net.setup.bar, self.history)
        return best

    def _cut_at(self, boundary):
        """`Cut` at a frozen boundary, or None where each epoch runs the whole network."""
        if boundary is None or not self._may_reuse():
            return None
        if boundary not in self.cuts:
            self.cuts[boundary] = self._make_cut(boundary)
        return self.cuts[boundary]

    def _may_reuse(self):
        """Whether a row brings the same activations in all epochs, and they may be kept."""
        estimator = self.estimator
        changing = self.augmentation is not None and estimator.n_views is None
        return not (estimator.cache is None or changing or estimator.mixup or estimator.cutmix)

    def _make_cut(self, boundary):
        if boundary == policies.EMBEDDING:
            return prefix.Cut(boundary, None, self.backbone)
        training = self.network.training
        self.network.eval()
        record = split(self.network, self.network.whole, self._noise(3), boundary)
        self.network.train(training)
        if record is None:
            warnings.warn(
                f"{self.backbone.label} cannot be cut after"
                f" {boundary.removeprefix('body.')!r}, since something else reaches what"
                " follows: every epoch runs the frozen part too, which is slower. Freeze up to"
                " another layer to avoid this",
                UserWarning,
                stacklevel=2,
            )
            return None
        return prefix.Cut(boundary, record, self.backbone)

    def _inputs_of_parts(self, cut):
        """What the network takes in training and in validation, from the cut where it is."""
        valid = None if self.valid is None else self._fixed(self.valid, cut)
        if self.augmentation is None:
            return self._fixed(self.train, cut), valid
        args = (self.images, self.augmentation, self.seed, self.n_threads)
        views = _inputs.Augmented(*args, self.train.place)
        if self.estimator.n_views is None:
            return views, valid
        return self._fixed_views(views, cut), valid

    def _fixed(self, part, cut):
        if cut is None:
            return _inputs.Fixed(self._payloads(part))
        args = (self.estimator, self.reader, part.samples, part.place)
        return _inputs.Fixed({"input": cut.activations(*args)})

    def _fixed_views(self, views, cut):
        """Views that are made once, or their activations where there is a cut."""
        n_views, n_rows = self.estimator.n_views, len(views)
        if self.views is None:
            folder = _inputs.folder_of(self.estimator.cache)
            self.views = _inputs.made_once(views, n_views, self.n_threads, folder)
        views = self.views
        if cut is not None:
            reader, payloads = prefix.PayloadReader(self.reader), prefix.Payloads(views)
            views = {"input": cut.activations(self.estimator, reader, payloads)}
        return _inputs.Views(
            {name: a.reshape(n_views, n_rows, *a.shape[1:]) for name, a in views.items()}
        )

    def _environment(self):
        return training_scope(self.device, self.seed + len(self.history))

    def _progress(self, n_epochs):
        total = n_epochs * len(self.train)
        return progress(self.estimator.verbose, total, self.backbone.label)

    def _interrupted(self, interrupt, n_epochs):
        if _is_early_stop(interrupt):
            self._note(self.phase)
            return
        if not self.history and not self.net.setup.step:
            raise interrupt
        warn_of_interruption(len(self.history) + 1, n_epochs)


def first_rows(inputs, n):
    """The first rows of a network's input."""
    return map_tensors(lambda tensor: tensor[:n], inputs)


def warn_of_interruption(epoch, n_epochs):
    """Tell that Ctrl-C ended a training whose outcome is kept."""
    warnings.warn(
        f"training was interrupted in epoch {epoch} of {n_epochs}: the estimator is fitted,"
        " with the weights reached so far",
        UserWarning,
        stacklevel=3,
    )


@contextmanager
def training_scope(device, seed):
    """Random numbers of our own, as many cores as may be had, and each remark once."""
    devices = [device] if device.type == "cuda" else []
    if device.type == "cpu":
        keep_memory()
    scopes = (torch.inference_mode(False), torch.enable_grad(), telling_once())
    with ExitStack() as stack:
        for scope in (_training_lock.current, torch.random.fork_rng(devices=devices), *scopes):
            stack.enter_context(scope)
        torch.manual_seed(seed)
        yield


@contextmanager
def progress(verbose, n_rows, label):
    """Bar over the rows of all epochs, or None."""
    if not verbose:
        yield None
        return
    from tqdm.auto import tqdm

    with tqdm(total=n_rows, desc=label, unit=" rows") as bar:
        yield bar


def show_epoch(bar, history):
    """Write losses and score of the last epoch beside a bar, if there is one."""
    if bar is not None:
        shown = {k: v for k, v in history[-1].items() if k.endswith(("loss", "score"))}
        bar.set_postfix({"epoch": len(history), **shown})


def _is_early_stop(interrupt):
    """Whether a callback of skorch stopped the training, which it does by this exception."""
    frame = interrupt.__traceback__
    while frame.tb_next is not None:
        frame = frame.tb_next
    return frame.tb_frame.f_code.co_name == "on_epoch_end"
