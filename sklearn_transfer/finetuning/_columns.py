"""Samples that are rows of a table, and how each column of it is read."""

import warnings
from collections.abc import Mapping

import numpy as np
from sklearn.utils.validation import _check_feature_names, _check_n_features

from sklearn_transfer._callbacks import NO_TASK
from sklearn_transfer._modalities.contents import BadSampleError
from sklearn_transfer._modalities.samples import take_samples
from sklearn_transfer._store.digests import digest
from sklearn_transfer._validation import format_list, shorten
from sklearn_transfer.finetuning._reading import SOURCES, ReadsAsFeatures, is_default

# Value of a column of numbers, which become features as they are.
NUMBERS = "passthrough"
# Shares of the mean below which a deviation is taken for constant, and cannot be learned from.
_EQUAL, _UNRESOLVED = 1e-12, 1e-5
# Parameters that describe reading, which each column of a table has of its own.
_OF_A_COLUMN = {
    "weights": "pretrained",
    "input_size": None,
    "preprocess": "auto",
    "background": "white",
}


class TableSamples:
    """Rows of a table: the samples of each column, as a sequence of mappings by column."""

    def __init__(self, columns):
        self.columns = columns

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, rows):
        found = {name: samples[rows] for name, samples in self.columns.items()}
        return TableSamples(found) if isinstance(rows, slice) else found

    def take(self, rows):
        """Some of the rows, by their numbers."""
        columns = self.columns.items()
        return TableSamples({name: take_samples(samples, rows) for name, samples in columns})

    def join(self, more):
        """These rows and those of another table of the same columns."""
        return TableSamples(
            {
                name: _join(samples, more.columns[name])
                for name, samples in self.columns.items()
            }
        )


def _join(samples, more):
    if isinstance(samples, np.ndarray) and samples.shape[1:] == np.shape(more)[1:]:
        return np.concatenate([samples, more])
    return [*samples, *more]


class ColumnReading(ReadsAsFeatures):
    """How the entries of a column are read, as a fine-tuner of that column alone does it.

    Parameters
    ----------
    estimator : estimator
        Fine-tuner whose `model` is a mapping.
    column : str
        One of its keys.
    """

    weights, preprocess, background, input_size = "pretrained", "auto", "white", None
    mixup = cutmix = 0.0

    def __init__(self, estimator, column):
        self.column, self.model = column, estimator.model[column]
        self._model_name = f"model__{column}"
        for name in ("device", "cache", "engine", "n_jobs", "n_views", "augment", "_seed"):
            if hasattr(estimator, name):
                setattr(self, name, getattr(estimator, name))

    @property
    def is_numeric(self):
        """Whether entries are numbers that become features as they are."""
        return is_default(self.model, NUMBERS)

    @property
    def may_miss(self):
        """Whether an entry may be missing, by the option `on_error` of the column's model."""
        return getattr(self.model, "on_error", "raise") == "nan"

    def check(self):
        """Raise ValueError where the model of the column is none."""
        is_object = isinstance(self.model, (str, *SOURCES)) or callable(self.model)
        if not is_object:
            raise ValueError(
                f"model[{self.column!r}] is {shorten(self.model)}: expected the name of a"
                " network, a module, an estimator such as PretrainedFeatures, or"
                f" {NUMBERS!r} for a column of numbers"
            )
        if self._takes_rows():
            raise ValueError(
                f"model[{self.column!r}] has preprocess=None, which takes tables: a column"
                f" holds one sample per row, and for numbers {NUMBERS!r} is its model"
            )

    def leave_out_augmentation(self):
        """Read entries as they are, with a warning where they might have been augmented."""
        if not is_default(getattr(self._get_source(), "preprocess", "auto"), "auto"):
            warnings.warn(
                f"augment={shorten(self.augment)} leaves column {self.column!r} as it is,"
                " since it has a preprocess of its own: augment in that, if need be",
                UserWarning,
                stacklevel=2,
            )
        self.augment = "none"

    def read_samples(self, entries, reset):
        """Sequence of samples, or an array (n_rows, 1) of numbers, of a column."""
        try:
            if self.is_numeric:
                return self._read_numbers(entries, reset)
            return self._check_samples(entries, reset)
        except ValueError as error:
            raise ValueError(f"column {self.column!r}: {error}") from error

    def _read_numbers(self, entries, reset):
        entries = np.asarray(entries.to_numpy() if hasattr(entries, "to_numpy") else entries)
        if entries.dtype.kind in "mMc" or entries.ndim > 1:
            found = f"is of type {entries.dtype}" if entries.ndim == 1 else "holds arrays"
            raise ValueError(
                f"model[{self.column!r}]={NUMBERS!r} is for one real number per row, and the"
                f" column {found}: convert it to numbers first"
            )
        try:
            numbers = entries.astype(np.float32).reshape(-1, 1)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"model[{self.column!r}]={NUMBERS!r} is for numbers, and an entry is none:"
                f" {error}"
            ) from error
        bad = np.flatnonzero(~np.isfinite(numbers))
        if len(bad):
            raise ValueError(
                f"row {bad[0]} is missing or not finite: fill gaps of numbers, for instance"
                " with SimpleImputer"
            )
        mean, deviation = np.mean(numbers, dtype=float), entries.astype(float).std()
        if reset and _EQUAL * abs(mean) < deviation <= _UNRESOLVED * abs(mean):
            raise ValueError(
                f"numbers deviate from their mean, {mean:.6g}, by {deviation:.2g} only, which"
                " is lost in float32: subtract a constant, or use StandardScaler"
            )
        return numbers

    def find_missing(self, samples, reader, label_row):
        """Which entries are there; None where all are. Warns once of those that are not."""
        if not self.may_miss:
            return None
        present, first = np.ones(len(samples), dtype=bool), None
        for row, sample in enumerate(samples):
            try:
                reader.finish(reader.prepare(reader.read(sample)[1]))
            except BadSampleError as error:
                present[row] = False
                first = f"{label_row(row)}: {error}" if first is None else first
        if first is None:
            return None
        warnings.warn(
            f"{(~present).sum()} of {len(present)} entries of column {self.column!r} cannot be"
            f" used and count as missing; the first is {first}",
            UserWarning,
            stacklevel=2,
        )
        return present

    def embed_frozen(self, samples, task=NO_TASK):
        """Features of entries before any training, NaN where one is missing, and digests."""
        if self.is_numeric:
            return samples, [digest(row) for row in samples + 0.0]
        reader = self._make_reader(self._load_backbone()[0])
        present = self.find_missing(samples, reader, "row {}".format)
        if present is None:
            return self._embed_frozen(samples, task=task)
        there = take_samples(samples, np.flatnonzero(present))
        features, digests = self._embed_frozen(there, task=task)
        found = np.full((len(samples), features.shape[1]), np.nan, dtype=np.float32)
        found[present], digests = features, iter(digests)
        return found, [next(digests) if is_there else b"missing" for is_there in present]


def has_columns(estimator):
    """Whether a fine-tuner has a network for each of several columns."""
    return isinstance(estimator.model, Mapping)


def list_readings(estimator):
    """`ColumnReading` of each column, by name; raises ValueError where one is impossible."""
    if not estimator.model:
        raise ValueError("model={} names no column: give a network for each, by its name")
    for name, default in _OF_A_COLUMN.items():
        value = getattr(estimator, name)
        if not is_default(value, default):
            raise ValueError(
                f"{name}={shorten(value)} was given beside a model for each column: leave"
                f" {name} at {default!r} and give a column an estimator that says it, such as"
                f" PretrainedFeatures({name}=...)"
            )
    for parameter in ("mixup", "cutmix"):
        value = getattr(estimator, parameter, 0)
        if value:
            raise ValueError(
                f"{parameter}={value:g} mixes numbers of one array, and model has several"
                " columns: set it to 0"
            )
    wrong = [name for name in estimator.model if not isinstance(name, str)]
    if wrong:
        raise ValueError(
            f"model has the key {shorten(wrong[0])}: expected names of columns, as strings"
        )
    readings = {name: ColumnReading(estimator, name) for name in estimator.model}
    for reading in readings.values():
        reading.check()
    if all(reading.is_numeric for reading in readings.values()):
        raise ValueError(
            f"model={shorten(dict(estimator.model))} has no network: for numbers alone, use an"
            " estimator of tables"
        )
    return readings


def read_table(estimator, X, reset):
    """`TableSamples` of a frame; `reset` as in scikit-learn's validate_data."""
    if isinstance(X, TableSamples):
        return X
    readings, names = list_readings(estimator), _find_names(X)
    if names is None:
        raise ValueError(
            f"model has the columns {format_list(estimator.model, 5)}, so X must be a"
            f" DataFrame that has them, got {type(X).__name__}"
        )
    missing = [name for name in estimator.model if name not in names]
    if missing:
        raise ValueError(
            f"X has no column {missing[0]!r}, which model names: it has"
            f" {format_list(names, 5)}"
        )
    repeated = [name for name in estimator.model if names.count(name) > 1]
    if repeated:
        raise ValueError(f"X has several columns of the name {repeated[0]!r}: rename them")
    if not len(X):
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required")
    if reset:
        _check_feature_names(estimator, X, reset=True)
        _check_n_features(estimator, X, reset=True)
        estimator._columns = list(readings)
    return TableSamples(
        {name: reading.read_samples(X[name], reset) for name, reading in readings.items()}
    )


def _find_names(X):
    """Names of the columns of a frame of pandas, polars or pyarrow; None for others."""
    if hasattr(X, "column_names"):
        return list(X.column_names)
    return list(X.columns) if hasattr(X, "columns") and hasattr(X, "shape") else None


def get_column_params(model, deep):
    """Parameters of a mapping of models, by the names that `set_params` takes."""
    found = {}
    for name, value in model.items():
        found[f"model__{name}"] = value
        if deep and hasattr(value, "get_params") and not isinstance(value, type):
            inner = value.get_params().items()
            found |= {f"model__{name}__{key}": item for key, item in inner}
    return found


def set_column_params(model, params):
    """The mapping with other models or parameters of models, given by such names."""
    model, inner = dict(model), {}
    for key, value in params.items():
        name = max(
            (n for n in model if key == f"model__{n}" or key.startswith(f"model__{n}__")),
            key=len,
            default=None,
        )
        if name is None:
            raise ValueError(
                f"Invalid parameter {key!r}: model has the columns {format_list(model, 5)}"
            )
        rest = key.removeprefix(f"model__{name}").removeprefix("__")
        if rest:
            inner.setdefault(name, {})[rest] = value
        else:
            model[name] = value
    for name, values in inner.items():
        if not hasattr(model[name], "set_params"):
            raise ValueError(
                f"Invalid parameter 'model__{name}__{next(iter(values))}': model[{name!r}] is"
                f" {shorten(model[name])}, which has no parameters; give an estimator such as"
                " PretrainedFeatures"
            )
        if any(model[name] is other for key, other in model.items() if key != name):
            # Not a clone, which would copy a module as well.
            model[name] = type(model[name])(**model[name].get_params(deep=False))
        model[name].set_params(**values)
    return model


class ReadsColumns(ReadsAsFeatures):
    """Mixin of fine-tuners whose `model` may be a mapping of columns to networks.

    Where it is, each column is read by a `ColumnReading`, and else all is as it was.
    """

    def get_params(self, deep=True):
        """Parameters of this estimator, and of the models of its columns.

        Parameters
        ----------
        deep : bool, default=True
            Whether parameters of estimators among the parameters are returned too; those of
            columns are called "model__COLUMN__PARAMETER".

        Returns
        -------
        params : dict
            Values by name.
        """
        found = super().get_params(deep)
        if deep and has_columns(self):
            found |= get_column_params(self.model, deep)
        return found

    def set_params(self, **params):
        """Set parameters of this estimator, and of the models of its columns.

        Parameters
        ----------
        **params : objects
            Values by the names that `get_params` returns.

        Returns
        -------
        self : object
            The estimator.
        """
        model = params.get("model", self.model)
        if not isinstance(model, Mapping):
            return super().set_params(**params)
        inner = {name: value for name, value in params.items() if name.startswith("model__")}
        if inner:
            params = {name: value for name, value in params.items() if name not in inner}
            params["model"] = set_column_params(model, inner)
        return super().set_params(**params)

    def _list_readings(self):
        """`ColumnReading` of each column, in the order of the network where there is one.

        The order of `model` may be another one: that of a mapping set after `fit`, or given
        to `load`. The head goes by the order in which the columns were when it was made.
        """
        readings, columns = list_readings(self), getattr(self, "_columns", None)
        if columns is None:
            return readings
        if set(columns) != set(readings):
            raise ValueError(
                f"model has the columns {format_list(readings, 5)}, and the network was"
                f" trained on {format_list(columns, 5)}: call fit, or set model to a mapping"
                " of these"
            )
        return {name: readings[name] for name in columns}

    def _list_sources(self):
        """The estimators whose parameters describe networks and reading."""
        if not has_columns(self):
            return [self._get_source()]
        return [reading._get_source() for reading in self._list_readings().values()]

    def _check_samples(self, X, reset):
        if has_columns(self):
            return read_table(self, X, reset)
        return super()._check_samples(X, reset)

    def _check_reading(self, backbone, samples):
        if not has_columns(self):
            super()._check_reading(backbone, samples)
            return
        for name, reading in self._list_readings().items():
            if not reading.is_numeric:
                reading._check_reading(backbone.columns[name], samples.columns[name])

    def _load_backbone(self, n_outputs=None, **changes):
        if has_columns(self):
            return self._join_networks(
                lambda reading: reading._load_backbone(**changes)
            ), False
        return super()._load_backbone(n_outputs, **changes)

    def _load_structure(self, n_outputs):
        if has_columns(self):
            return self._join_networks(lambda reading: reading._load_structure(None)), False
        return super()._load_structure(n_outputs)

    def _join_networks(self, load):
        """`FusedBackbone` of the networks that a function loads for each column."""
        from sklearn_transfer._networks.devices import resolve_device
        from sklearn_transfer._networks.modules import takes_outputs
        from sklearn_transfer.finetuning._fusion import join_backbones, make_number_backbone

        readings, columns = self._list_readings(), {}
        for name, reading in readings.items():
            if reading.is_numeric:
                columns[name] = make_number_backbone(resolve_device(self.device))
                continue
            if takes_outputs(reading._get_source().model):
                raise ValueError(
                    f"model[{name!r}] is a callable that takes n_outputs, and one head is put"
                    " on all columns: give a callable (n_features_in) of a network without"
                    " head"
                )
            columns[name], _ = load(reading)
        return join_backbones(columns, {name for name, r in readings.items() if r.may_miss})

    def _make_example(self, backbone, signature, n_rows):
        """Network input of random payloads of a signature."""
        from sklearn_transfer.finetuning import _fusion

        if not has_columns(self):
            reader = self._make_reader(backbone)
            return _fusion.make_example(backbone, reader, signature, n_rows)
        found, own = {}, _fusion.divide_signature(signature, backbone.columns)
        for name, reading in self._list_readings().items():
            inner = backbone.columns[name]
            if reading.is_numeric:
                found[name] = _fusion.make_number_example(inner.device, n_rows)
                continue
            reader = reading._make_reader(inner)
            found[name] = _fusion.make_example(inner, reader, own[name], n_rows)
        return found

    def _embed_start(self, samples, n_outputs=1, task=NO_TASK):
        """Features and digests of `_embed_frozen`, and which of these are plain numbers."""
        if not has_columns(self):
            features, digests = self._embed_frozen(samples, n_outputs, task)
            return features, digests, np.zeros(features.shape[1], dtype=bool)
        features, digests, are_numbers = [], [], []
        for name, reading in self._list_readings().items():
            found, own = reading.embed_frozen(samples.columns[name], task)
            features.append(found)
            digests.append(own)
            are_numbers.append(np.full(found.shape[1], reading.is_numeric))
        digests = list(map(digest, zip(*digests, strict=True)))
        return np.concatenate(features, axis=1), digests, np.concatenate(are_numbers)

    def _describe_weights(self):
        if not has_columns(self):
            return super()._describe_weights()
        pairs = [
            f"{name}: {NUMBERS if reading.is_numeric else reading._describe_weights()}"
            for name, reading in list_readings(self).items()
        ]
        return "; ".join(pairs)

    def _list_random_columns(self):
        """Columns whose networks begin with random weights."""
        readings = self._list_readings().items()
        return [n for n, r in readings if not r.is_numeric and r._has_random_weights()]
