"""Classifiers and regressors that are trained networks."""

from collections.abc import Mapping

from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils._param_validation import StrOptions

from sklearn_transfer.finetuning._base import _BaseFineTuned


class FineTunedClassifier(ClassifierMixin, _BaseFineTuned):
    """Classifier that trains a pretrained network on labelled samples."""

    _parameter_constraints: dict = {
        **_BaseFineTuned._parameter_constraints,
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
        lr=1e-3,
        warmup=0.1,
        layer_decay=1.0,
        batch_size=32,
        weight_decay=0.01,
        l2_sp=0.0,
        lora_rank=None,
        freeze_norm=False,
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
        cache="memory",
        engine="auto",
        device="auto",
        precision="float32",
        n_jobs=None,
        random_state=0,
        verbose=False,
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
        self.label_smoothing = label_smoothing
        self.loss = loss
        self.class_weight = class_weight
        self.tasks = tasks
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.input_size = input_size
        self.preprocess = preprocess
        self.background = background
        self.callbacks = callbacks
        self.net_params = net_params
        self.cache = cache
        self.engine = engine
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _make_targets(self, y, sample_weight, classes=None):
        from sklearn_transfer.finetuning._targets import Targets

        options = {"tasks": self.tasks, "classes": classes, "sample_weight": sample_weight}
        return Targets.classification(y, **options)

    def _publish(self):
        self.classes_ = self._targets.classes

    def predict(self, X):
        return self._targets.predict(self._outputs(X))

    def predict_proba(self, X):
        return self._targets.predict_proba(self._outputs(X))

    def decision_function(self, X):
        return self._targets.decision_function(self._outputs(X))


class FineTunedRegressor(RegressorMixin, _BaseFineTuned):
    """Regressor that trains a pretrained network on samples with numbers."""

    def __init__(
        self,
        model="tf_efficientnet_lite0",
        *,
        weights="pretrained",
        freeze="middle",
        schedule="constant",
        max_epochs=20,
        lr=1e-3,
        warmup=0.1,
        layer_decay=1.0,
        batch_size=32,
        weight_decay=0.01,
        l2_sp=0.0,
        lora_rank=None,
        freeze_norm=False,
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
        cache="memory",
        engine="auto",
        device="auto",
        precision="float32",
        n_jobs=None,
        random_state=0,
        verbose=False,
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
        self.cache = cache
        self.engine = engine
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _make_targets(self, y, sample_weight, classes=None):
        from sklearn_transfer.finetuning._targets import Targets

        return Targets.regression(y, tasks=self.tasks, sample_weight=sample_weight)

    def predict(self, X):
        return self._targets.predict(self._outputs(X))
