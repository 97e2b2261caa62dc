"""One fit, step by step: inputs, phases, epochs, the best weights."""

from contextlib import contextmanager, nullcontext
from functools import partial

from sklearn_transfer._networks.inputs import map_tensors
from sklearn_transfer.finetuning._inputs import Fixed
from sklearn_transfer.finetuning.freezing.columns import plan_column_steps, resolve_columns
from sklearn_transfer.finetuning.freezing.phases import Phase, plan_phases
from sklearn_transfer.finetuning.freezing.policies import (
    EMBEDDING,
    Frozen,
    add_lora,
    apply_freeze,
    copy_weights,
    freeze_norms,
    resolve_freeze,
)
from sklearn_transfer.finetuning.loop.bottleneck import (
    needs_bottleneck,
    warn_of_fixed_features,
)
from sklearn_transfer.finetuning.loop.build import build_net, build_pull
from sklearn_transfer.finetuning.loop.column_inputs import ColumnInputs
from sklearn_transfer.finetuning.loop.epochs import EpochLoop, resolve_patience, train_alone
from sklearn_transfer.finetuning.loop.first_head import FirstHead
from sklearn_transfer.finetuning.loop.fit_inputs import FitInputs
from sklearn_transfer.finetuning.loop.history import History
from sklearn_transfer.finetuning.loop.prefixes import Prefixes
from sklearn_transfer.finetuning.loop.state import Feed
from sklearn_transfer.finetuning.loop.target import Comparison, run_network
from sklearn_transfer.finetuning.objectives.l2_sp import L2SP
from sklearn_transfer.finetuning.objectives.words import are_equal, describe_adapt


class Fitting:
    """Training of a network on the samples of a fit.

    Parameters
    ----------
    estimator : estimator
        Its parameters say how the network is trained.
    targets : Targets
        What the targets mean.
    backbone : Backbone
        The pretrained network, and how it is run.
    network : Network
        What is trained.
    parts : Parts
        Samples to train on, to validate on, and of a target domain.
    seed : int
        Seed of everything that is random.

    Attributes
    ----------
    net : TrainingNet
        Net of skorch around the network.
    frozen : Frozen
        What was frozen in the last phase.
    prefix : FrozenPrefix or None
        The prefix whose activations are computed once, if there is one.
    entries : list of dict
        The history.
    start : dict of str to Tensor, or None
        What L2-SP pulls to.
    """

    def __init__(self, estimator, targets, backbone, network, parts, seed):
        self.estimator, self.targets, self.backbone = estimator, targets, backbone
        self.network, self.parts, self.seed = network, parts, seed
        make_inputs = FitInputs if network.columns is None else ColumnInputs
        self.inputs = make_inputs(estimator, backbone, parts, seed)
        self._prefixes = Prefixes(self.inputs, network, backbone)
        self._head = FirstHead(network, backbone.device, self.inputs, parts, self._score)
        self.net, self.frozen, self.prefix, self.start = None, None, None, None
        self.entries, self.loop = [], None
        self.is_continued, self._kept = False, frozenset()

    @classmethod
    def resume(cls, estimator, parts):
        """Fitting that goes on with the network of a fitted estimator.

        The network is split where it was in the last training, or not at all.
        """
        network, backbone = estimator._network, estimator._backbone
        fitting = cls(estimator, estimator._targets, backbone, network, parts, estimator._seed)
        fitting.net, fitting.frozen = estimator._net, estimator._frozen
        fitting.prefix, fitting.start = estimator._prefix, estimator._start
        fitting.entries = estimator.history_
        fitting.is_continued = fitting._head.is_trained = True
        if fitting.net is not None:
            fitting._renew_net()
        return fitting

    def run(self):
        """Train through all phases; the network then has its final weights."""
        with train_alone(self.backbone.device, self.seed):
            target, noise = self._prepare()
            estimator = self.estimator
            phases = plan_phases(
                estimator.schedule,
                target,
                estimator.max_epochs,
                self.network,
                self.backbone,
                take_first_rows(noise, 2),
                None if self.network.columns is None else plan_column_steps,
            )
            self._train(phases)
        return self

    def run_once(self):
        """One epoch at a constant learning rate, with the network new or as it is."""
        with train_alone(self.backbone.device, self.seed + len(self.entries)):
            if self.is_continued:
                self.inputs.read()
                if self.parts.target is not None:
                    warn_of_fixed_features(self.network, self.frozen, self.estimator.adapt)
            else:
                self.frozen = self._prepare()[0]
            self._train([Phase("partial_fit", self.frozen, 1, is_constant=True)], is_one=True)
        return self

    def _prepare(self):
        """Give the network its head; returns what is frozen, and random input."""
        self.inputs.read()
        noise = self.inputs.make_noise(3)
        self.network.to(self.backbone.device).eval()
        self.network.add_head(noise, self.inputs.input_source)
        frozen = find_frozen(self.estimator, self.network, self.backbone, noise)
        if self.parts.target is not None and needs_bottleneck(self.network, frozen):
            self.network.add_bottleneck()
        return frozen, noise

    def _build_net(self):
        train = self.parts.train
        pull = self._build_pull()
        objectives = [*pull, *self.estimator._make_objectives()]
        factors = self.targets.compute_factors(train.encoded, train.weights)
        net = build_net(
            self.estimator,
            self.targets,
            factors,
            self.network,
            self.backbone,
            self.seed,
            objectives,
            self.estimator._make_adaptation(),
        )
        net.state_.n_passes = len(self.entries)
        return net

    def _renew_net(self):
        """Update the net of an earlier training with parameters that were set since."""
        others = [o for o in self.net.objectives if not isinstance(o, L2SP)]
        options = self.net.options.renew(self.estimator)
        self.net.renew_options(options, [*self._build_pull(), *others])
        adapt = describe_adapt(self.estimator.adapt)
        if not are_equal(self.net.adapt_, adapt):
            self.net.renew_adaptation(self.estimator._make_adaptation())
            self.net.adapt_ = adapt

    def _build_pull(self):
        device = self.backbone.device
        pull = build_pull(self.estimator, self.network, device, self.start)
        if pull is None:
            return []
        self.start = pull.start
        return [pull]

    def find_trained_start(self):
        """Start of the parameters that were trained, or None if L2-SP does not need it."""
        if self.start is None:
            return None
        return {n: t for n, t in self.start.items() if f"body.{n}" not in self._kept}

    def _train(self, phases, is_one=False):
        if self.net is None:
            self.net = self._build_net()
        self._kept = frozenset.intersection(*(phase.frozen.parameters for phase in phases))
        estimator = self.estimator
        judged, take_snapshot = "train_loss", None
        if self.parts.valid is not None:
            judged = "valid_loss"
            if estimator.early_stopping:
                take_snapshot = partial(copy_weights, self._kept, self.network)
        history = History(judged, take_snapshot, self.entries)
        self.loop = EpochLoop(
            self.net,
            history,
            patience=resolve_patience(estimator.early_stopping),
            verbose=estimator.verbose,
            label=self.backbone.label,
        )
        course = {}
        if is_one:  # one of many calls, over which objectives warm up
            n_planned = estimator.max_epochs
            n_before = min(len(self.entries), n_planned - 1)
            course = {"n_before": n_before, "n_planned": n_planned}
        self.loop.run(phases, self._begin_phase, len(self.parts.train), **course)

    @contextmanager
    def _begin_phase(self, phase):
        """Context in which the net is ready for a phase; gives the rows to train on."""
        self.frozen = freeze_norms(phase.frozen, self.estimator, self.network)
        apply_freeze(self.frozen, self.network)
        self.prefix = self._choose_prefix()
        if phase.name == "probe":
            entry = self._head.fit(self.net.criterion_, self._prefixes.find(EMBEDDING))
            self.loop.add_entry({"phase": phase.name, **entry})
        if not phase.n_epochs:
            yield None
            return
        feed, part = self._make_feed(), self.parts.train
        train = self.inputs.make_training_inputs(part, self.prefix)
        self._head.learn(self.net.criterion_, train, self.prefix)
        keeps_optimizer = phase.is_constant and len(self.entries) > 0
        self.net.begin_phase(feed, phase, len(part), keeps_optimizer=keeps_optimizer)
        with nullcontext() if self.prefix is None else self.prefix.enter(self.network):
            yield part.make_rows(train)

    def compare(self):
        """`Comparison` of the target's predictions; None where nothing was adapted."""
        if self.parts.target is None:
            return None
        best = [e for e in self.entries if e["best"]] if self.estimator.early_stopping else []
        score = [*self.entries, *best][-1].get("valid_score")
        outputs = self._predict(self.parts.target)
        return Comparison(outputs, score, self.net.state_.n_adapted, self._head.baseline)

    def _predict(self, part):
        """Outputs of the trained network for the rows of a part."""
        inputs = self.inputs.make_fixed_inputs(part, self.prefix)
        if self.prefix is not None:
            known = inputs.batch["input"] if isinstance(inputs, Fixed) else inputs
            return self.prefix.compute_outputs(self.network, known, "logits")
        self.net.feed_ = Feed(format=self.inputs.format)
        return run_network(self.net, inputs)

    def _make_feed(self):
        valid, score, given = self.parts.valid, None, self.inputs.format
        if valid is not None:
            valid = valid.make_rows(self.inputs.make_fixed_inputs(valid, self.prefix))
            score = self._score
        return Feed(
            valid=valid,
            score=score,
            format=given if self.prefix is None else self.prefix.find_format(given),
            target=self.inputs.draw_target_batches(self.prefix, self.net),
            array_name="input" if self.prefix is not None else self.inputs.array_name,
        )

    def _choose_prefix(self):
        """`FrozenPrefix`, or None where each epoch runs the whole network."""
        if self.is_continued:
            return self._prefixes.keep(self.prefix)
        return self._prefixes.choose(self.frozen.boundary)

    def _score(self, outputs):
        """Score of the outputs for the validation samples."""
        valid = self.parts.valid
        return float(self.targets.score(outputs, valid.y, valid.sample_weights))


def find_frozen(estimator, network, backbone, noise):
    """`Frozen` that the parameters of an estimator ask for; adapters are put in place."""
    if estimator.lora_rank is None:
        resolve = resolve_freeze if network.columns is None else resolve_columns
        return resolve(estimator.freeze, network, backbone, take_first_rows(noise, 2))
    names = add_lora(network, estimator.lora_rank)
    network.to(backbone.device).eval()
    return Frozen(names, frozenset(network.find_norms()), None)


def take_first_rows(inputs, n):
    """The first rows of a network's input."""
    return map_tensors(lambda tensor: tensor[:n], inputs)
