"""Regressors that are trained networks."""

from sklearn.base import RegressorMixin

from sklearn_transfer.finetuning._base import _BaseFineTuned
from sklearn_transfer.finetuning._parameters import FineTunerParameters


class FineTunedRegressor(RegressorMixin, _BaseFineTuned):
    """Regressor that trains a pretrained network on samples with numbers.

    For ages, counts, angles or concentrations that can be seen in an image. Targets are
    standardized inside, and predictions are on their original scale.

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
    loss : "auto" or callable, default="auto"
        "auto" is the squared error of standardized targets. A callable `(output, target)`
        gets tensors (n, n_outputs) and (n, ...) of a task and returns the losses of the rows,
        (n,); missing numbers are NaN and missing labels -1 in the target.
    tasks : list of dict or None, default=None
        Several tasks at once: one dict per task, in the order of the columns of y, with the
        keys "name", "kind" ("multiclass", "multilabel" or "regression"), "weight" in the loss
        and "n_columns", all optional. None takes the columns for tasks of one kind.
    early_stopping : bool or int, default=False
        Whether to stop when the validation loss has not improved for 5 epochs, or for as many
        as given, and to go back to the best weights. A share of the samples is held out for
        it, unless `fit` gets `X_val`.
    validation_fraction : float, default=0.1
        Share that is held out with `early_stopping`.
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
    adapt : {"jdot", "coral", "mmd", "dann"}, Objective or None, default=None
        Objective by which the target of `fit` adapts the network; the words are those of
        `sklearn_transfer.finetuning.objectives`, whose objects have options. See
        `FineTunedClassifier`.

    Attributes
    ----------
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
    adapt_report_ : AdaptationReport
        Steps taken, and predictions for the target beside those of a head without adaptation.
        It prints itself. Set where the network was adapted.
    n_features_in_ : int
        Number of columns of X; only when `preprocess=None` or `model` names columns.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, where it is a DataFrame; only as `n_features_in_`.

    See Also
    --------
    FineTunedClassifier : The same for labels, and for labels and numbers at once.
    PretrainedFeatures : Features of the network as it is.

    Notes
    -----
    y is 1-D, or 2-D with one output per column, where NaN is a missing entry that is left out
    of the loss.

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
    >>> import numpy as np
    >>> from sklearn_transfer import FineTunedRegressor
    >>> from sklearn_transfer.datasets import load_photo_crops
    >>> X = load_photo_crops(2, size=64, random_state=0).images
    >>> brightness = np.array([image.mean() for image in X])
    >>> model = FineTunedRegressor(freeze="middle", input_size=64).fit(X, brightness)
    >>> model.score(X, brightness) > 0.9
    True
    """

    # Repeated for editors: jedi 0.19 does not find it behind the first base class.
    __init__ = FineTunerParameters.__init__

    def _make_targets(self, y, sample_weight, classes=None):
        from sklearn_transfer.finetuning.targets.targets import Targets

        return Targets.from_numbers(y, tasks=self.tasks, sample_weight=sample_weight)

    def partial_fit(self, X, y, sample_weight=None, *, X_target=None, y_target=None):
        """Train for one epoch, at the constant rate `lr`, from where the network is.

        The first call, unless `fit` came before, builds the network and takes the scale of the
        targets from y.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
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
        return self._partial_fit(X, y, None, sample_weight, **target)

    def predict(self, X):
        """Numbers, on the scale of y.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As the y of `fit`.
        """
        outputs = self._compute_outputs(X)
        return self._targets.predict(outputs)

    def score(self, X, y, sample_weight=None):
        """Coefficient of determination R2; missing entries are left out.

        Parameters
        ----------
        X : sequence of n_samples samples
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        score : float
            Mean over the outputs; with several tasks weighted as in the loss.
        """
        outputs = self._compute_outputs(X)
        return self._targets.score(outputs, y, sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
