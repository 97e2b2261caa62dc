"""One fit, step by step: inputs, phases, epochs, the best weights."""

import warnings
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from sklearn.base import clone

from sklearn_transfer.extraction import _cache
from sklearn_transfer.extraction._disk_cache import disk_store
from sklearn_transfer.extraction._engines import keep_memory, resolve_engine
from sklearn_transfer.extraction._loop import Extraction
from sklearn_transfer.extraction._splits import Resumption, split
from sklearn_transfer.extraction._taps import Tap
from sklearn_transfer.extraction._threads import in_child_of_fork, one_core
from sklearn_transfer.finetuning import _freezing, _inputs
from sklearn_transfer.finetuning._training import Setup, TrainingNet, WeightedLoss

_EMBEDDING_TAP = Tap("embedding", "", "auto", "embedding")
# Rows a batch while predicting from activations.
_PREDICTED = 64
# Rows on which the features for the head are standardised.
_SAMPLE = 512
# Strength of the penalty on the weights of the first head, as C of LogisticRegression.
_PROBE_C = 1.0
_PROBE_STEPS = 300
_ACTIVATIONS_VARIABLE = "SKLEARN_TRANSFER_ACTIVATION_BYTES"
_store, _is_forked = None, False


@in_child_of_fork
def _after_fork_in_child():
    global _is_forked
    _is_forked = True
    if _store is not None:
        _store.forget_process()


class _ActivationStore(_cache.MemoryStore):
    """Activations at frozen boundaries, for later fits of the process."""

    def fits(self, n_vectors, n_bytes):
        return True  # what does not fit is computed once a fit


def activation_store(cache):
    """Store for a value of the parameter `cache`; apart from that of embeddings."""
    global _store
    if cache != "memory":
        return disk_store(f"{cache}/activations")
    if _store is None:
        _store = _ActivationStore(_cache.limit(_ACTIVATIONS_VARIABLE))
    return _store


class Passes:
    """What an `Extraction` asks of its estimator, for passes of a fine-tuner."""

    on_error, verbose, batch_size, precision = "raise", False, "auto", "float32"

    def __init__(self, estimator, reader, store, engine):
        self.reader, self.store, self.engine = reader, store, engine
        self.n_jobs = estimator.n_jobs

    def _make_reader(self, backbone):
        return self.reader

    def _store(self):
        return self.store

    def _engine_name(self, backbone):
        return resolve_engine(self.engine, self.precision, backbone)


class Cut:
    """Where a frozen part ends: activations there are computed once, the rest goes on.

    `split` is None where the frozen part is the whole body.
    """

    def __init__(self, boundary, split, backbone):
        self.boundary, self.split, self.backbone = boundary, split, backbone
        name = boundary.removeprefix("body.")
        self.tap = _EMBEDDING_TAP if split is None else Tap("module", name, "raw", name)

    def activations(self, estimator, reader, samples, folder):
        """Activation of each sample, float32 (n_samples, ...), from the store where it is."""
        store = activation_store(estimator.cache)
        passes = Passes(estimator, reader, store, estimator.engine)

        def allocate(shape, dtype):
            return _inputs.allocate(shape, dtype, folder)

        extraction = Extraction(passes, samples, self.backbone, [self.tap], True, allocate)
        matrix = extraction.run().output
        return matrix if self.split is None else matrix.reshape(-1, *self.split.shape)

    def outputs(self, network, activations, kind):
        """Outputs ("logits") or embeddings from activations, in evaluation mode."""
        if self.split is None and kind == "embedding":
            return activations
        run = network.whole if kind == "logits" else network.embed
        network.eval()
        with torch.inference_mode(), self.entered(network, run):
            parts = [
                network(_placed(activations[i : i + _PREDICTED], self.backbone)).float().cpu()
                for i in range(0, len(activations), _PREDICTED)
            ]
        return torch.cat(parts).numpy()

    @contextmanager
    def entered(self, network, run=None):
        """Context in which the network takes activations."""
        if self.split is None:
            network.entry = network.head
            context = nullcontext()
        else:
            context = Resumption(network, self.split)
        with context as resumed:
            if resumed is not None:
                network.entry = lambda batch: resumed(run or network.whole, batch)
            try:
                yield
            finally:
                network.entry = None


def _placed(array, backbone):
    batch = torch.from_numpy(array).to(backbone.device)
    if batch.ndim == 4 and not backbone.stateful:
        batch = batch.contiguous(memory_format=torch.channels_last)
    return batch


class _PayloadReader:
    """Network input that is ready, such as augmented views."""

    unit = "view"

    def __init__(self, reader):
        self.scaling, self.key = reader.scaling, reader.key + b"payload"

    def is_quick(self, sample):
        return True

    def known_digest(self, sample):
        from sklearn_transfer.extraction._digests import array_digest

        return array_digest(sample)

    def read(self, sample, key=None):
        return key or self.known_digest(sample), sample

    def prepare(self, content):
        return content


class Part:
    """Samples of training or validation with targets and weights, and their inputs."""

    def __init__(self, samples, encoded, weights, y):
        self.samples, self.encoded, self.weights, self.y = samples, encoded, weights, y
        self.pixels = self.images = None

    def __len__(self):
        return len(self.weights)

    def rows(self, inputs):
        return _inputs.Rows(inputs, self.encoded, self.weights)


class Fitting:
    """Training of a network on a `Part`, with another one to validate on, or None."""

    def __init__(self, estimator, targets, backbone, network, train, valid, seed):
        self.estimator, self.targets, self.backbone = estimator, targets, backbone
        self.network, self.train, self.valid, self.seed = network, train, valid, seed
        self.reader = estimator._make_reader(backbone)
        self.device = backbone.device
        self.folder = None if estimator.cache in (None, "memory") else estimator.cache
        self.n_threads = estimator._n_threads()
        self.augmentation = estimator._augmentation(backbone)
        self.net, self.frozen, self.cut = None, None, None
        self.history, self.cuts, self.best = [], {}, None

    def run(self):
        """Train through all phases; the network then has its final weights."""
        with self._environment():
            target, noise = self._prepare()
            args = (self.estimator.schedule, target, self.estimator.max_epochs)
            phases = _freezing.phases(*args, self.network, self.backbone, noise[:2])
            self._loop(phases)
        return self

    def run_once(self):
        """One epoch at a constant learning rate, with the network new or as it is."""
        with self._environment():
            if self.frozen is None:
                self.frozen = self._prepare()[0]
            else:
                self._look_at_inputs()
            self._loop([_freezing.Phase("partial_fit", self.frozen, 1)], constant=True)
        return self

    def _prepare(self):
        """Network with head, and a net around it; returns what is to stay as it is."""
        self._look_at_inputs()
        noise = self._noise(3)
        self.network.to(self.device).eval()
        self.network.add_head(noise)
        target = self._target(noise)
        self._standardise()
        return target, noise

    def _look_at_inputs(self):
        """Read every sample before anything is trained, but where a cut will do so."""
        shape = self.reader.shape(self.train.samples)
        if shape is None:
            self.train.pixels = self._read(self.train)
            shape = self.train.pixels.shape[1:]
        self.shape = tuple(shape)
        if self.augmentation is not None:
            args = (self.reader, self.n_threads, self.folder)
            self.train.images = _inputs.read_images(self.train.samples, *args)

    def _read(self, part):
        if part.pixels is None:
            if self.reader.unit == "row":
                part.pixels = np.ascontiguousarray(part.samples)
            else:
                args = (self.reader, self.n_threads, self.folder)
                part.pixels = _inputs.read_pixels(part.samples, *args)
        return part.pixels

    def _noise(self, n_rows):
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(n_rows, *self.shape, generator=generator)
        return noise.to(self.device)

    def _target(self, noise):
        estimator = self.estimator
        frozen = _freezing.resolve(estimator.freeze, self.network, self.backbone, noise[:2])
        if estimator.lora_rank is not None:
            names = _freezing.add_lora(self.network, estimator.lora_rank)
            self.network.to(self.device).eval()
            frozen = _freezing.Frozen(names, frozenset(), None)
        if estimator.freeze_norm:
            frozen = _freezing.with_norms(frozen, self.network)
        return frozen

    def _standardise(self):
        head = self.network.head
        if not hasattr(head, "standardise") or self.estimator.lora_rank is not None:
            return
        few = np.random.default_rng(self.seed).permutation(len(self.train))[:_SAMPLE]
        features = self._embeddings(few) if len(few) > 1 else None
        if features is not None:
            weights = torch.as_tensor(self.train.weights[few], dtype=torch.float32)
            args = (torch.from_numpy(features), weights / weights.sum())
            head.standardise(*(part.to(self.device) for part in args))

    def _embeddings(self, rows):
        samples = self.train.samples
        chosen = samples[rows] if isinstance(samples, np.ndarray) else [samples[i] for i in rows]
        if self.estimator.cache is None:
            store = _cache.NullStore()
        else:
            store = activation_store(self.estimator.cache)
        passes = Passes(self.estimator, self.reader, store, self.estimator.engine)
        extraction = Extraction(passes, chosen, self.backbone, [_EMBEDDING_TAP], True)
        return extraction.run().output

    def _net(self):
        estimator = self.estimator
        names = ("batch_size", "precision", "lr", "warmup", "weight_decay", "layer_decay")
        options = {name: getattr(estimator, name) for name in (*names, "mixup", "cutmix")}
        options |= {"l2_sp": estimator.l2_sp, "channels_last": not self.backbone.stateful}
        setup = Setup(self.network, self.device, self.seed, options)
        factors = self.targets.factors(self.train.encoded, self.train.weights)
        loss = None if estimator.loss == "auto" else estimator.loss
        criterion = WeightedLoss(self.targets, factors, getattr(estimator, "label_smoothing", 0.0), loss)
        params = {"optimizer": torch.optim.AdamW, **(estimator.net_params or {})}
        if params["optimizer"] is torch.optim.AdamW:
            params.setdefault("optimizer__fused", True)
        net = TrainingNet(
            self.network,
            criterion=criterion,
            train_split=None,
            callbacks=_cloned(estimator.callbacks),
            device=str(self.device),
            verbose=0,
            setup=setup,
            **params,
        )
        return net.initialize()

    def _loop(self, phases, constant=False):
        total = sum(phase.n_epochs for phase in phases)
        self.constant = constant
        if self.net is None:
            self.net = self._net()
        self.net.notify("on_train_begin")
        try:
            with self._progress(total) as self.net.setup.bar:
                for phase in phases:
                    self._phase(phase)
        except KeyboardInterrupt as interrupt:
            self._interrupted(interrupt, total)
        finally:
            self.net.setup.bar = None
        if self.estimator.early_stopping and self.best is not None:
            _freezing.restore(self.network, self.best[1])
        self.net.notify("on_train_end")
        self.network.eval()

    def _phase(self, phase):
        _freezing.apply(phase.frozen, self.network)
        moves_on = phase.frozen != self.frozen or self.cut is None
        self.cut = self._cut_at(phase.frozen) if moves_on else self.cut
        self.frozen = phase.frozen
        if not phase.n_epochs:
            if phase.name == "probe":
                self._probe(phase)
            return
        train, valid, scaling = self._inputs_of(self.cut)
        setup = self.net.setup
        setup.valid = None if valid is None else self.valid.rows(valid)
        n_epochs = None if self.constant else phase.n_epochs
        setup.begin_phase(len(self.train), n_epochs, scaling)
        if not self.constant or not self.history:
            self.net.initialize_optimizer()
        with nullcontext() if self.cut is None else self.cut.entered(self.network):
            self._epochs(phase, self.train.rows(train))

    def _epochs(self, phase, rows):
        patience = self.estimator.early_stopping
        patience = 5 if patience is True else patience
        waited = 0
        for _ in range(phase.n_epochs):
            self.net.setup.epoch = len(self.history) + 1
            self.net.fit_loop(rows, epochs=1)
            waited = 0 if self._note(phase) else waited + 1
            if patience and waited >= patience:
                break

    def _note(self, phase):
        """Add an epoch to the history; returns whether it is the best so far."""
        last, setup = self.net.history[-1], self.net.setup
        row = {"epoch": len(self.history) + 1, "phase": phase.name}
        row["train_loss"] = last["train_loss"]
        if setup.valid is not None:
            row["valid_loss"] = last["valid_loss"]
            outputs = np.concatenate(setup.outputs)
            row["valid_score"] = self.targets.score(outputs, self.valid.y, self.valid.weights)
        row["lr"] = setup.lr * setup.factor()
        row["dur"] = last["dur"]
        return self._append(row)

    def _append(self, row):
        key = "valid_loss" if "valid_loss" in row else "train_loss"
        best = self.best is None or row[key] < self.best[0]
        if best:
            for earlier in self.history:
                earlier["best"] = False
            keep = self.estimator.early_stopping
            state = _freezing.trainable_state(self.network) if keep else None
            self.best = (row[key], state)
        self.history.append({**row, "best": best})
        bar = self.net.setup.bar
        if bar is not None:
            shown = {name: row[name] for name in row if name.endswith(("loss", "score"))}
            bar.set_postfix({"epoch": row["epoch"], **shown})
        return best

    def _probe(self, phase):
        """Head alone, to the optimum of its loss with a penalty, by L-BFGS."""
        if self.network.head is None or self.cut is None:
            return
        inputs = self.cut.activations(*self._source(self.train))
        features = torch.from_numpy(inputs).to(self.device)
        weights = torch.as_tensor(self.train.weights, dtype=torch.float32).to(self.device)
        encoded = tuple(torch.as_tensor(part).to(self.device) for part in self.train.encoded)
        parameters = list(self.network.head.parameters())
        solver = torch.optim.LBFGS(
            parameters, max_iter=_PROBE_STEPS, line_search_fn="strong_wolfe"
        )
        criterion = self.net.criterion_.train()
        strength = 0.5 / (_PROBE_C * len(weights))

        def closure():
            solver.zero_grad()
            loss = criterion(self.network.head(features), encoded, weights)
            penalty = sum((p**2).sum() for p in parameters if p.ndim > 1)
            (loss + strength * penalty).backward()
            return loss

        loss = solver.step(closure)
        self.network.zero_grad()
        if not torch.isfinite(loss):
            raise FloatingPointError(
                "the loss of the first head is no number; look for extreme values in X"
            )
        with torch.no_grad():
            row = {"train_loss": float(criterion(self.network.head(features), encoded, weights))}
        self._append({"epoch": len(self.history) + 1, "phase": phase.name, **row, "lr": 0.0, "dur": 0.0})

    def _cut_at(self, frozen):
        """`Cut` of a frozen part, or None where every epoch runs the whole network."""
        changing = self.augmentation is not None and self.estimator.n_views is None
        mixes = self.estimator.mixup or self.estimator.cutmix
        if frozen.boundary is None or self.estimator.cache is None:
            return None
        if frozen.boundary not in self.cuts:
            self.cuts[frozen.boundary] = self._make_cut(frozen.boundary)
        cut = self.cuts[frozen.boundary]
        probing = frozen.boundary == _freezing.EMBEDDING
        return None if (changing or mixes) and not probing else cut

    def _make_cut(self, boundary):
        if boundary == _freezing.EMBEDDING:
            return Cut(boundary, None, self.backbone)
        training = self.network.training
        self.network.eval()
        record = split(self.network, self.network.whole, self._noise(3), boundary)
        self.network.train(training)
        if record is None:
            warnings.warn(
                f"{self.backbone.label} cannot be cut after {boundary.removeprefix('body.')!r},"
                " since something else reaches what follows: every epoch runs the frozen part"
                " too, which is slower. Freeze up to another layer to avoid this",
                UserWarning,
                stacklevel=2,
            )
            return None
        return Cut(boundary, record, self.backbone)

    def _source(self, part):
        return self.estimator, self.reader, part.samples, self.folder

    def _inputs_of(self, cut):
        """Inputs for training and validation, and how they become the network's input."""
        scaling = self.reader.scaling if cut is None else None
        valid = None
        if self.valid is not None:
            pixels = cut is None
            found = self._read(self.valid) if pixels else cut.activations(*self._source(self.valid))
            valid = _inputs.Fixed(found)
        if self.augmentation is None:
            pixels = cut is None
            found = self._read(self.train) if pixels else cut.activations(*self._source(self.train))
            return _inputs.Fixed(found), valid, scaling
        args = (self.train.images, self.augmentation, self.seed, self.n_threads)
        views = _inputs.Augmented(*args)
        if self.estimator.n_views is None and cut is None:
            return views, valid, scaling
        return self._fixed_views(views, cut), valid, scaling

    def _fixed_views(self, views, cut):
        n_views = self.estimator.n_views or 1
        found = [views.view(row, epoch) for epoch in range(n_views) for row in range(len(views))]
        if cut is None:
            array = np.stack(found)
        else:
            reader = _PayloadReader(self.reader)
            array = cut.activations(self.estimator, reader, found, self.folder)
        return _inputs.Views(array.reshape(n_views, len(views), *array.shape[1:]))

    @contextmanager
    def _environment(self):
        """Random numbers of our own, and as many cores as may be had."""
        devices = [self.device] if self.device.type == "cuda" else []
        limited = one_core() if _is_forked else nullcontext()
        if self.device.type == "cpu":
            keep_memory()
        with torch.random.fork_rng(devices=devices), limited, torch.inference_mode(False):
            torch.manual_seed(self.seed)
            yield

    @contextmanager
    def _progress(self, n_epochs):
        if not self.estimator.verbose:
            yield None
            return
        from tqdm.auto import tqdm

        total = n_epochs * len(self.train)
        with tqdm(total=total, desc=self.backbone.label, unit=" rows") as bar:
            yield bar

    def _interrupted(self, interrupt, total):
        if _is_early_stop(interrupt):
            return
        if not self.history and not self.net.setup.step:
            raise interrupt
        warnings.warn(
            f"training was interrupted in epoch {len(self.history) + 1} of {total}: the"
            " estimator is fitted, with the weights reached so far",
            UserWarning,
            stacklevel=2,
        )


def _is_early_stop(interrupt):
    """Whether a callback of skorch stopped the training, which it does by this exception."""
    frame = interrupt.__traceback__
    while frame.tb_next is not None:
        frame = frame.tb_next
    return frame.tb_frame.f_code.co_name == "on_epoch_end"


def _cloned(callbacks):
    """Copies of callbacks, (name, callback) pairs or classes, so that a fit changes no one's."""
    found = []
    for item in callbacks or []:
        if isinstance(item, (tuple, list)):
            found.append((item[0], _copied(item[1])))
        else:
            found.append(_copied(item))
    return found


def _copied(callback):
    return callback if isinstance(callback, type) else clone(callback, safe=False)
