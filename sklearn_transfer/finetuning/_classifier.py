"""Classifiers that are trained networks."""

from collections.abc import Mapping
from numbers import Real

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_transfer.finetuning._base import _BaseFineTuned
from sklearn_transfer.finetuning.targets.row_weights import check_same_classes
from sklearn_transfer.finetuning.targets.rows import get_first_column


class FineTunedClassifier(ClassifierMixin, _BaseFineTuned):
    """Classifier that trains a pretrained network on labeled samples.

    For when features of a frozen network are not enough: images unlike those the network
    was trained on, or some hundreds of them per class. With few images, try
    `PretrainedFeatures` with a linear model first; it is faster and hard to beat.

    Parameters
    ----------
    model : str, Module, callable, dict, PretrainedFeatures or PretrainedTextFeatures, \
default="tf_efficientnet_lite0"
        Network, as `PretrainedFeatures` takes it, or one of texts, as "all-MiniLM-L6-v2"; see
        the notes. A module of torch is copied, never changed.
        An importable callable `(n_features_in)` returns a module on which a linear head is
        put; one that takes `(n_features_in, n_outputs)` one that ends in the outputs.
        Parameters of a module that do not require gradients stay as they are.
        An estimator of features, which is never fitted or changed, brings network, weights and
        all options of reading, such as `max_length`; they are searched as `model__max_length`.
        A mapping of columns of a DataFrame to any of these, or to "passthrough" for numbers,
        trains a network for each column under one head; see the notes.
    weights : "pretrained", None, path or dict, default="pretrained"
        Weights that training begins with, as in `PretrainedFeatures`; None draws random ones
        from `random_state`, to train from scratch.
    freeze : "all", None, str, int, list of str or dict, default="middle"
        What does not change: parameters, statistics of normalization, dropout and stochastic
        depth. "all" trains the head alone (a linear probe), None trains everything. A layer
        word ("shallow", "middle", "deep"), a stage index or a module's name, as in
        `PretrainedFeatures(layers=...)`, freezes all up to and including that layer. A list
        holds names of modules or parameters, in which `*` stands for anything [1]_. A dict has
        a value for each column of `model`.
    schedule : {"constant", "lp-ft", "gradual"}, default="constant"
        "lp-ft" first fits the head alone, to the optimum of its loss, and then trains what
        `freeze` leaves [2]_. "gradual" then adds a stage at a time, from the deepest down to
        `freeze`, in half of the epochs [3]_. After the probe phase, 0.2 * `lr` is used.
    max_epochs : int, default=20
        Passes over the training samples.
    lr : float, default=3e-4
        Learning rate of AdamW for the head and the deepest layers.
    warmup : float, default=0.1
        Share of the steps in which the learning rate rises to `lr`; after them it falls to 0
        as half a cosine.
    layer_decay : float, default=1.0
        Factor in (0, 1] of the learning rate from each layer to the one below it, with the
        layers of timm's parameter groups, else stages. 0.75 moves early layers little.
    batch_size : int, default=32
        Samples per step. Batches of an epoch have equal size, give or take one.
    weight_decay : float, default=0.01
        Decoupled decay of weights; biases and normalization have none.
    l2_sp : float, default=0.0
        Strength of the pull of the network's weights to where they began [4]_, which pickles
        and `save` keep beside the trained ones. First set after `fit`, it pulls to what is
        learned by then.
    lora_rank : int or None, default=None
        Rank of trainable matrices beside the linear layers of a transformer, whose own weights
        then all stay frozen [5]_; `freeze` is ignored, and "gradual" is the same as "lp-ft".
        Needs the extra `lora`.
    freeze_norm : bool or "auto", default="auto"
        Whether running statistics of normalization stay as they are in trained layers too:
        those of a large data set serve better than those of small batches. "auto" does so
        unless weights are random (`weights=None`, or a callable as model).
    augment : str or callable, default="none"
        Random views of the training images: "flip" (left-right), "standard" (crops, flips,
        colors), "randaugment", "trivial", a function from PIL image to PIL image; of sounds
        "time-shift", "gain", "noise", "standard" (all three), "spec-augment", a function of
        waveforms. They depend on `random_state`, the epoch and the row alone.
    n_views : int or None, default=None
        Number of views of each image, made once and used in turn; None makes new ones in each
        epoch, for which frozen layers run every time. Only used with `augment`.
    mixup : float, default=0.0
        Parameter of the beta distribution by which pairs of samples are blended [6]_; 0 turns
        it off.
    cutmix : float, default=0.0
        The same for rectangles that images exchange [7]_. With both, each batch uses one of
        them, chosen at random.
    label_smoothing : float, default=0.0
        Share of the target in [0, 1) that goes to all classes evenly.
    loss : "auto" or callable, default="auto"
        "auto" is cross-entropy, and binary cross-entropy for several labels. A callable
        `(output, target)` gets tensors (n, n_outputs) and (n, ...) of a task and returns the
        losses of the rows, (n,); missing numbers are NaN and missing labels -1 in the target.
    class_weight : "balanced", dict, list or None, default=None
        Factor on the weights of the samples by class. "balanced" is inverse to how much each
        class weighs in y. With several tasks, a list with one entry per task.
    tasks : list of dict or None, default=None
        Several tasks at once: one dict per task, in the order of the columns of y, with the
        keys "name", "kind" ("multiclass", "multilabel" or "regression"), "weight" in the loss
        and "n_columns", all optional. None takes the columns for tasks of one kind.
    early_stopping : bool or int, default=False
        Whether to stop when the validation loss has not improved for 5 epochs, or for as many
        as given, and to go back to the best weights. A share of the samples is held out for
        it, unless `fit` gets `X_val`.
    validation_fraction : float, default=0.1
        Share that is held out with `early_stopping`, by class where that can be.
    input_size : int or (height, width), default=None
        Size in pixels that images are scaled to; None is the network's own. Smaller ones
        train faster.
    preprocess : "auto", callable or None, default="auto"
        As in `PretrainedFeatures`; None takes X as the module's input, tables included.
    background : str or (red, green, blue), default="white"
        Color under transparent pixels.
    callbacks : list of skorch callbacks or None, default=None
        Called while training, as instances or (name, instance); copies that share their
        parameters are used. `net.history` has "valid_loss" and "valid_score". What they raise
        reaches the caller, so Optuna's `SkorchPruningCallback` works in `fit`. Those that set
        the learning rate or score are refused. `set_callbacks` takes those of scikit-learn.
    net_params : dict or None, default=None
        Further parameters of skorch's net, except those that the estimator sets, such as
        `{"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}` or `{"compile": True}`.
    accelerator : dict or None, default=None
        Arguments of `accelerate.Accelerator`, {} for none, to train on several GPUs or
        machines by `accelerate launch`; `batch_size` is then that of each process. Needs the
        extra `distributed`.
    cache : "memory", path or None, default="memory"
        Where activations of the frozen layers are kept for later fits and predictions: at
        most 1 GiB in memory (environment variable SKLEARN_TRANSFER_ACTIVATION_BYTES), or in a
        folder. In one fit they are computed once. None computes them in every epoch and keeps
        nothing.
    engine : {"auto", "torch", "openvino", "onnxruntime"}, default="auto"
        What runs the frozen layers, as in `PretrainedFeatures`; after a pickle or `load`
        PyTorch runs all layers.
    device : str, default="auto"
        "auto" is a CUDA device where one can be used, else the CPU.
    precision : {"float32", "bfloat16", "float16"}, default="float32"
        Type of the arithmetic of trained layers, by autocast. "float16" needs a GPU.
    n_jobs : int or None, default=None
        Threads that decode images; None is as many as PyTorch has.
    random_state : int, RandomState instance or None, default=0
        Seed of order, augmentation, dropout and random weights. On a CPU, the same seed and
        number of threads give the same network.
    verbose : bool, default=False
        Whether to show progress with loss, score and time left.
    adapt : {"mcc", "infomax", "bnm", "jdot", "coral", "mmd", "cdan", "dann"}, Objective or \
None, default=None
        Objective by which the target of `fit` adapts the network; the words are those of
        `sklearn_transfer.finetuning.objectives`, whose objects have options. It is a second
        term of the loss, on batches of target rows in a pass of their own; without a target a
        warning says that nothing is adapted. With `freeze="all"` a bottleneck of 256 units
        trains between embedding and head. `mixup` and `cutmix` mix rows of the source only.
        `early_stopping` judges by labeled rows of the source alone, and may go back to an
        epoch in which little was adapted yet. All assume that each class of the target lies
        nearer to the same class of the source than to others. On frozen features of images
        they gained 4 ("dann", "cdan") to 12 points ("infomax") of accuracy on average; most of
        them lost where class shares differed. Choose with `rank_adaptations`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,), or list of these
        Labels; with several tasks a list, None for numbers.
    history_ : list of dict
        One entry per epoch, ready for `pandas.DataFrame`: "epoch", "phase", "train_loss",
        "lr", "dur" (seconds), "best" and, with validation, "valid_loss" and "valid_score"
        (accuracy or R2; of several labels the accuracy of single entries). Adaptation adds
        "adapt_loss" and, with a discriminator, "discriminator_accuracy".
    n_iter_ : int
        Number of entries of `history_`.
    net_ : skorch.NeuralNet
        What ran the training. After a pickle or `load` it is made at the first access, around
        the same network: `history_` is its history, callbacks and optimizer are new.
        `net_.predict` takes network input and gives outputs of the network.
    weights_sha256_ : str
        SHA-256 of the weights that training began with.
    target_classes_ : ndarray of shape (n_classes,)
        Shares of the predicted classes on the target, those of single labels where there are
        several per row; with several tasks a list, None for numbers. Set where the network was
        adapted.
    adapt_report_ : AdaptationReport
        Steps taken, and predictions for the target beside those of a head without adaptation.
        It prints itself. Set where the network was adapted.
    n_features_in_ : int
        Number of columns of X; only when `preprocess=None` or `model` names columns.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, where it is a DataFrame; only as `n_features_in_`.

    See Also
    --------
    PretrainedFeatures : Features of the network as it is.
    FineTunedRegressor : The same for numbers.
    ImportanceWeighted : Weights for a target domain, which reach the loss.

    Notes
    -----
    y is 1-D with labels of any kind; a matrix of 0 and 1 for several labels per sample; or any
    other table, array or mapping of columns, each of which is a task and may have gaps (NaN,
    None): those entries are left out of the loss, and a task with few entries counts as much
    as the others.

    Everything is built in `fit`, from a copy of the pretrained network: nothing that was
    trained in one fit reaches another. The head is a linear layer on the embedding,
    standardized on the training samples, and starts at zero. Features that vary less than the
    median one are divided by its standard deviation instead of their own.

    The loss is the mean over a batch of weight times loss; weights have mean 1 over the
    training samples. Where layers are frozen and views do not change, activations of the
    frozen layers are computed once, by the engines of `PretrainedFeatures`, and epochs only
    run what follows. Beyond 2 GiB (SKLEARN_TRANSFER_TRAINING_BYTES) they are in a temporary
    file. Networks in which something bypasses the last frozen layer, such as NASNet, train
    without this, with a warning.

    A batch of one row is normalized by running statistics. If memory does not suffice, the
    batch is halved once, with a warning. Ctrl-C ends the training and leaves a fitted
    estimator, with a warning unless it came in a callback at the end of an epoch, as
    callbacks of skorch that stop a training do by the same exception. Trainings in several
    threads of a process wait for each other.

    A pickle holds the trained network as arrays, in the memory of the CPU, and depends on
    content alone: `joblib.hash` and tokens of dask are equal for an estimator and for what its
    pickle gives, in any process, and differ where a bit of a weight does. Durations in
    `history_` are content too, so two fits differ. A file of skops holds arrays and builtins:
    the types to trust are those of this estimator, of one of features given as `model`,
    and of your own functions and classes among the parameters. Whoever reads it builds the
    network by `model`, as `load` does; modules and mappings of tensors are refused.

    Texts are taken as by `PretrainedTextFeatures`, whose `long_text="windows"` is refused, as
    are `augment`, `mixup` and `cutmix`: dropout varies texts. Sounds are taken as by
    `PretrainedAudioFeatures`; those of several windows need `freeze="all"`. With
    `model=PretrainedFeatures(...)` its `weights`, `input_size`, `n_channels`, `value_range`,
    `preprocess`, `background` and, for random weights and callables, `random_state` count;
    `weights`, `input_size`, `preprocess` and `background` of this estimator then stay at their
    defaults, and its own `layers` and `pooling` at theirs. How the network is run depends on
    this estimator alone: `cache`, `engine`, `device`, `precision`, `batch_size`, `n_jobs` and
    `verbose` of the model are ignored, and samples that cannot be read are errors.

    With ``model={"photo": ..., "title": ..., "size": "passthrough"}`` X is a DataFrame with
    these columns, and the head gets all embeddings and the numbers side by side (late fusion).
    `freeze` holds for each column, patterns begin with its name ("photo.blocks.*"), and
    activations are kept per column. Options of reading are those of estimators per column,
    searched as `model__photo__input_size`; with `on_error="nan"`, an entry that is missing or
    cannot be read counts as the mean embedding. Gaps of numbers, `mixup` and `cutmix` are
    refused. With few rows, frozen features before one linear model are hard to beat.

    References
    ----------
    .. [1] J. Yosinski et al. "How transferable are features in deep neural networks?".
       NeurIPS, 2014.
    .. [2] A. Kumar et al. "Fine-Tuning can Distort Pretrained Features and Underperform
       Out-of-Distribution". ICLR, 2022.
    .. [3] J. Howard, S. Ruder. "Universal Language Model Fine-tuning for Text
       Classification". ACL, 2018.
    .. [4] X. Li, Y. Grandvalet, F. Davoine. "Explicit Inductive Bias for Transfer Learning
       with Convolutional Networks". ICML, 2018.
    .. [5] E. Hu et al. "LoRA: Low-Rank Adaptation of Large Language Models". ICLR, 2022.
    .. [6] H. Zhang et al. "mixup: Beyond Empirical Risk Minimization". ICLR, 2018.
    .. [7] S. Yun et al. "CutMix: Regularization Strategy to Train Strong Classifiers with
       Localizable Features". ICCV, 2019.

    Examples
    --------
    >>> from sklearn_transfer import FineTunedClassifier
    >>> from sklearn_transfer.datasets import load_photo_crops
    >>> X, y = load_photo_crops(2, size=64, return_X_y=True, random_state=0)
    >>> model = FineTunedClassifier(freeze="deep", max_epochs=5, input_size=64).fit(X, y)
    >>> model.predict_proba(X).shape
    (30, 15)
    >>> model.history_[0]["train_loss"] > model.history_[-1]["train_loss"]
    True
    """

    _parameter_constraints: dict = {
        **_BaseFineTuned._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), Mapping, list, None],
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
        label_smoothing=0.0,
        loss="auto",
        class_weight=None,
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
        super().__init__(
            model,
            weights=weights,
            freeze=freeze,
            schedule=schedule,
            max_epochs=max_epochs,
            lr=lr,
            warmup=warmup,
            layer_decay=layer_decay,
            batch_size=batch_size,
            weight_decay=weight_decay,
            l2_sp=l2_sp,
            lora_rank=lora_rank,
            freeze_norm=freeze_norm,
            augment=augment,
            n_views=n_views,
            mixup=mixup,
            cutmix=cutmix,
            loss=loss,
            tasks=tasks,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            input_size=input_size,
            preprocess=preprocess,
            background=background,
            callbacks=callbacks,
            net_params=net_params,
            accelerator=accelerator,
            cache=cache,
            engine=engine,
            device=device,
            precision=precision,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
            adapt=adapt,
        )
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    def _make_targets(self, y, sample_weight, classes=None):
        from sklearn_transfer.finetuning.targets.targets import Targets

        options = {"tasks": self.tasks, "classes": classes, "sample_weight": sample_weight}
        return Targets.from_labels(y, **options)

    def _publish(self):
        self.classes_ = self._targets.classes

    def partial_fit(
        self, X, y, classes=None, sample_weight=None, *, X_target=None, y_target=None
    ):
        """Train for one epoch, at the constant rate `lr`, from where the network is.

        The first call, unless `fit` came before, builds the network. Frozen layers stay
        frozen.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_tasks)
            Targets, of known classes.
        classes : array-like, or list with one array-like per task, default=None
            All classes that later calls may bring; needed in the first call if y lacks some.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the loss, relative to each other in this call.
        X_target : as X, or TargetDomain, default=None
            Samples of the target domain for this epoch. Objectives warm up over the first
            `max_epochs` calls. Without them nothing is adapted in the call.
        y_target : as y, default=None
            Their labels that are known, as in `fit`.

        Returns
        -------
        self : object
            The estimator.
        """
        target = {"X_target": X_target, "y_target": y_target}
        return self._partial_fit(X, y, classes, sample_weight, **target)

    def _check_same_classes(self, classes):
        check_same_classes(self._targets.classes, classes)

    def predict(self, X):
        """Labels.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,), or (n_samples, n_columns)
            Labels; 0 and 1 for several labels; one column per task, of dtype object where
            kinds differ.
        """
        outputs = self._compute_outputs(X)
        return self._targets.predict(outputs)

    def predict_proba(self, X):
        """Probabilities of the classes.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes), or list of these
            Softmax of the outputs, whatever the loss; for several labels the probability of
            each; with several tasks a list with one array per task, None for numbers.
        """
        outputs = self._compute_outputs(X)
        return self._targets.predict_proba(outputs)

    def predict_log_proba(self, X):
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes), or list of these
            As in `predict_proba`; computed from the logits, so that no entry is -inf.
        """
        outputs = self._compute_outputs(X)
        return self._targets.predict_log_proba(outputs)

    def decision_function(self, X):
        """Outputs of the network.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes), or list of these
            Logits; for two classes that of the second less that of the first.
        """
        outputs = self._compute_outputs(X)
        return self._targets.decision_function(outputs)

    def score(self, X, y, sample_weight=None):
        """Accuracy; with several tasks the mean of their scores, weighted as in the loss.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_tasks)
            True targets; missing entries are left out.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        score : float
            For several labels the share of rows without any error, as scikit-learn has it.
        """
        outputs = self._compute_outputs(X)
        if not self._targets.single:
            return self._targets.score(outputs, y, sample_weight)
        found = self._targets.predict(outputs)
        if self._targets.tasks[0].kind == "multiclass":
            return accuracy_score(get_first_column(y), found, sample_weight=sample_weight)
        known = self._targets.encode(y)[0]
        right = ((found == known) | np.isnan(known)).all(axis=1)
        return float(np.average(right, weights=sample_weight))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
