"""The estimator that classification and regression share."""

import warnings
from abc import abstractmethod
from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, is_classifier
from sklearn.utils import check_random_state

from sklearn_transfer._callbacks import TakesCallbacks
from sklearn_transfer._documentation import LinksToDocumentation
from sklearn_transfer._process.threads import run_here
from sklearn_transfer._validation import forget_fit, make_visual_block, shorten
from sklearn_transfer.finetuning._adaptation import forget_adaptation, publish_adaptation
from sklearn_transfer.finetuning._columns import ReadsColumns
from sklearn_transfer.finetuning._domains import check_no_marks, read_domains
from sklearn_transfer.finetuning._outputs import NetworkOutputs
from sklearn_transfer.finetuning._parameters import FineTunerParameters
from sklearn_transfer.finetuning._persistence import Saved
from sklearn_transfer.finetuning.targets.columns import rename_rows
from sklearn_transfer.finetuning.targets.rows import select_rows, split_rows


class _BaseFineTuned(
    FineTunerParameters,
    Saved,
    NetworkOutputs,
    ReadsColumns,
    TakesCallbacks,
    LinksToDocumentation,
    BaseEstimator,
):
    """A network that is trained on samples; a subclass says what the targets are."""

    @abstractmethod
    def _make_targets(self, y, sample_weight, classes=None):
        """`Targets` that say what y means."""

    def _publish(self):
        """Set the attributes that depend on the targets."""

    def _make_objectives(self):
        """Objectives beside the supervised loss and L2-SP, for a network that has its head.

        They are asked for once per network; none until a subclass has some.
        """
        return []

    def _make_adaptation(self):
        """The objective that adapts to a target domain, or None; asked for likewise."""
        from sklearn_transfer.finetuning.objectives import resolve_adapt

        return None if self.adapt is None else resolve_adapt(self.adapt)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        X_target=None,
        y_target=None,
        sample_domain=None,
    ):
        """Train a fresh copy of the network.

        Parameters
        ----------
        X : sequence of n_samples samples
            As `PretrainedFeatures` takes them, and networks of texts as
            `PretrainedTextFeatures` does: see there.
        y : array-like of shape (n_samples,) or (n_samples, n_tasks)
            Targets; see the class.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the loss, of any scale; a row of weight 2 counts as two
            rows. Only the first head of "lp-ft" and "gradual" depends on the scale, as
            LogisticRegression does. Rows of weight zero are left out before anything else, as
            if they were not there.
        X_val, y_val : as X and y, default=None
            Samples to validate on after each epoch, instead of a share of X.
        X_target : as X, or TargetDomain, default=None
            Samples of the target domain, to which `adapt` adapts the network. In searches
            and cross-validation pass them as ``TargetDomain(X_target, y_target)``, which is
            never sliced.
        y_target : as y, default=None
            The few labels of the target's samples that are known, None or NaN for all
            others. Rows with a label join those of X in the loss, with the mean of their
            weights, and stay in the target. They are never used to choose an epoch.
        sample_domain : array-like of shape (n_samples,), default=None
            Numbers that tell the domains of stacked samples apart, instead of `X_target`: at
            least 0 for rows of the source, below 0 for rows of the target, whose `y` and
            `sample_weight` are not read.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a sample cannot be read, which is noticed before the training begins, or if
            parameters, targets or domains do not fit.
        FloatingPointError
            If the loss is NaN or infinite.
        """
        forget_fit(self)
        target = {"X_target": X_target, "y_target": y_target, "sample_domain": sample_domain}
        self._fit(X, y, sample_weight, X_val=X_val, y_val=y_val, **target)
        return self

    def _fit(self, X, y, sample_weight, *, X_val=None, y_val=None, **target):
        self._check_precision()
        domains = read_domains(self, X, y, sample_weight, reset=True, **target)
        self._learn_targets(domains)
        self._check_adapt(domains)
        run_here(self._train, self._make_parts(domains, X_val, y_val))

    def _partial_fit(self, X, y, classes, sample_weight, **target):
        self._check_precision()
        is_first = not hasattr(self, "history_")
        domains = read_domains(self, X, y, sample_weight, reset=is_first, **target)
        if is_first:
            self._learn_targets(domains, classes)
        elif classes is not None:
            self._check_same_classes(classes)
        self._check_adapt(domains)
        forget_adaptation(self)
        run_here(self._train_further, self._make_parts(domains, may_split=False), is_first)
        return self

    def _check_adapt(self, domains):
        """Raise where `adapt` does not suit the tasks; warn where there is no target."""
        adaptation = self._make_adaptation()
        if adaptation is None:
            return
        adaptation.check(self._targets)
        if domains.target is None:
            warnings.warn(
                f"{type(self).__name__} got adapt={shorten(self.adapt)} and no target samples,"
                " so nothing is adapted: pass fit(..., X_target=X_target)",
                UserWarning,
                stacklevel=5,
            )

    def _train(self, parts):
        self._keep(self._make_fitting(parts).run())

    def _train_further(self, parts, is_first):
        from sklearn_transfer.finetuning.loop.fitting import Fitting

        fitting = self._make_fitting(parts) if is_first else Fitting.resume(self, parts)
        self._keep(fitting.run_once())

    def _learn_targets(self, domains, classes=None):
        """Learn what y means, and draw the seed of all that is random."""
        source = domains.source
        if is_classifier(self) and self.tasks is None and classes is None:
            check_no_marks(domains)
        try:
            self._targets = self._read_targets(domains.add_labeled(source), classes)
        except ValueError as error:
            if domains.labeled is None or "y_target" in str(error):
                raise
            self._read_targets(source, classes)  # an error of y alone is raised as such
            raise ValueError(f"y together with y_target: {error}") from error
        self._draw_seed()

    def _draw_seed(self):
        self._seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)

    def _read_targets(self, rows, classes):
        with rename_rows(rows.numbers):
            return self._make_targets(rows.y, rows.weights, classes)

    def _make_parts(self, domains, X_val=None, y_val=None, may_split=True):
        """`Parts`: what is trained on, validated on, and the samples of a target domain."""
        from sklearn_transfer.finetuning.loop.parts import Parts, make_target_part

        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together, but one of them was given alone")
        rows, held_out, valid, target = domains.source, None, None, None
        if may_split and X_val is None and self.early_stopping:
            # Of the source alone, so that no label of the target decides on the epoch.
            rows, held_out = [rows.take(numbers) for numbers in self._split_rows(rows)]
        train = self._make_part(domains.add_labeled(rows))
        if held_out is not None:
            valid = self._make_part(held_out)
        if X_val is not None:
            valid = self._make_held_out_part(X_val, y_val)
        if domains.target is not None and self._make_adaptation() is not None:
            target = make_target_part(domains.target, domains.numbers)
        return Parts(train, valid, target)

    def _make_part(self, rows, name="X"):
        from sklearn_transfer.finetuning.loop.parts import make_part

        return make_part(rows, self._targets, getattr(self, "class_weight", None), name)

    def _make_held_out_part(self, X_val, y_val):
        try:
            samples = self._check_samples(X_val, reset=False)
            rows = select_rows(samples, y_val, None, type(self).__name__)
            return self._make_part(rows, "X_val")
        except ValueError as error:
            raise ValueError(f"X_val and y_val: {error}") from error

    def _split_rows(self, rows):
        """Row numbers to train on and to validate on."""
        return split_rows(
            len(rows.weights),
            self._targets.stratify(rows.y),
            self.validation_fraction,
            self._seed,
            f"early_stopping={self.early_stopping!r}",
            "pass X_val and y_val, or early_stopping=False",
        )

    def _make_fitting(self, parts):
        """`Fitting` of a fresh copy of the network."""
        import torch

        from sklearn_transfer.finetuning._fusion import make_network
        from sklearn_transfer.finetuning._network import make_embedding_backbone
        from sklearn_transfer.finetuning.loop.fitting import Fitting

        n_outputs = self._targets.n_outputs
        backbone, owns_head = self._load_backbone(n_outputs)
        self._check_reading(backbone, parts.train.samples)
        with torch.inference_mode(False):
            network = make_network(backbone, n_outputs, owns_head)
        backbone = make_embedding_backbone(backbone, network)
        return Fitting(self, self._targets, backbone, network, parts, self._seed)

    def _keep(self, fitting):
        """Take over what a fitting has made."""
        self._net, self._network = fitting.net, fitting.network
        self._frozen, self._prefix = fitting.frozen, fitting.prefix
        self._start = fitting.find_trained_start()
        self._factors, self._remade_net = list(fitting.net.criterion_.factors), None
        self.history_ = fitting.entries
        self.n_iter_ = len(fitting.entries)
        self.weights_sha256_ = fitting.backbone.weights_sha256
        self._describe(fitting.backbone, fitting.inputs.signature)
        comparison = fitting.compare()
        if comparison is not None:
            publish_adaptation(self, comparison, fitting.parts)

    def _describe(self, backbone, signature):
        """Take over what is known of the network beside its weights."""
        self._description, self._device = backbone.description, str(backbone.device)
        self._signature = signature
        self._backbone = self._make_backbone()
        self._publish()

    def _make_backbone(self):
        """Backbone of the trained network, which an extraction can run."""
        import torch

        from sklearn_transfer._networks.backbone import Backbone
        from sklearn_transfer._networks.layout import Layout, Place
        from sklearn_transfer.finetuning._fusion import make_trained_columns

        if self._network.columns is not None:
            device = torch.device(self._device)
            return make_trained_columns(self._description, self._network, device)
        given = self._description.layout
        embedding = Place("head", "input")
        layout = Layout(given.label, given.stages, family="wrapper", embedding=embedding)
        description = replace(self._description, layout=layout)
        return Backbone(description, self._network, torch.device(self._device))

    @property
    def net_(self):
        """Net of skorch around the trained network.

        This is the net that ran the training. After unpickling or `load`, a net is made at the
        first access, with new callbacks and a new optimizer, and `history_` as its history.
        """
        if not hasattr(self, "history_"):
            raise AttributeError(f"{type(self).__name__} has no net_ before it is fitted")
        if self._net is not None:
            return self._net
        # Apart from the one of a training, so that looking at it changes no later partial_fit.
        if getattr(self, "_remade_net", None) is None:
            from sklearn_transfer.finetuning.loop.build import rebuild_net

            self._remade_net = rebuild_net(self)
        return self._remade_net

    def _sk_visual_block_(self):
        return make_visual_block(self, self._make_caption())

    def _make_caption(self):
        freeze = shorten(self.freeze)
        adapt = "" if self.adapt is None else f", adapt={shorten(self.adapt)}"
        return f"{self._describe_weights()}, freeze={freeze}{adapt}, {self.max_epochs} epochs"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.target_tags.required = True
        if not self._takes_rows():
            tags.input_tags.two_d_array = False
            tags.input_tags.three_d_array = True
            tags.input_tags.string = True
        return tags
