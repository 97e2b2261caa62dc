"""A fitted estimator as a function of batches, which frameworks spread over workers."""

import hashlib
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_transfer._networks.machine import count_share, use_cores
from sklearn_transfer._process.locks import RLock
from sklearn_transfer._validation import format_list, shorten
from sklearn_transfer.export._batches import open_batch
from sklearn_transfer.export._outputs import METHODS, cast_columns, name_columns

_KEPT = 4  # estimators of a process, the least recently used go first
# Estimators of this process by the digest of their pickle, and the lock under which they are
# made. One call at a time works, with all cores of the process.
_loaded, _loading, _turn = OrderedDict(), RLock(), RLock()


def batch_predictor(estimator, method="predict_proba", column=None):
    """Make a function of batches from a fitted estimator, for many workers or machines.

    Use it to predict more samples than one process can take: the same function goes, without
    changes, into `map_partitions` of Dask, `map_batches` of Ray Data, and `mapInPandas` or
    `mapInArrow` of Spark.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator, such as a pipeline, a search or a fine-tuner. It is pickled here;
        what is changed later has no effect.
    method : str, default="predict_proba"
        One of "predict_proba", "predict", "predict_log_proba", "decision_function",
        "score_samples" and "transform".
    column : str or list of str, default=None
        Column with the samples, or columns of a table. None is those that the estimator saw in
        `fit`, if it saw names, and else all.

    Returns
    -------
    predict : callable
        `predict(batch)` returns the batch with columns added: of a pandas or polars DataFrame,
        a table or record batch of pyarrow, or a dict of arrays. The index, other columns and
        their order stay, and a Series gives a DataFrame. An iterator of batches gives an
        iterator, which is what Spark asks for. `predict.get_feature_names_out()` lists the
        columns that are added.

    Raises
    ------
    ValueError
        If `method` is none of these. In a call, if a column is missing, or is there already.
    TypeError
        If the estimator lacks the method. In a call, if the batch is of another kind.
    NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    sklearn_transfer.PretrainedFeatures : With a folder as `cache`, the workers of a machine
        share what they compute, and a worker that ends early loses nothing.

    Notes
    -----
    Names begin with the method and end with the class, as in "predict_proba_cat", or with the
    number of the output if there are several; the features of `transform` keep their names.
    Classes keep their type. Other numbers are float64, and features float32.

    What travels is the pickle of the estimator and some hundred bytes. For frozen networks
    given by name, that is a few kB, since their weights are installed on each machine; a
    fine-tuned network travels with its weights. A process unpickles an estimator once, however
    many tasks bring it and however many threads it has, and builds each network once.

    In a process, one call at a time works and takes all the cores that torch would take, which
    `OMP_NUM_THREADS` limits. In a worker of Dask, these are as many cores as the worker has
    threads, times `OMP_NUM_THREADS` where that is set.

    A batch without rows runs no network. Neither does the table of invented rows by which Dask
    asks for the names and types of the columns.

    With `cache="memory"`, a sample that is in the batches of two processes passes the network
    in both. With a folder, it passes once on each machine.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_transfer import batch_predictor
    >>> texts, y = ["a cat", "my cat", "a dog", "my dog"], ["cat", "cat", "dog", "dog"]
    >>> pipe = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, y)
    >>> predict = batch_predictor(pipe, "predict", column="text")
    >>> predict(pd.DataFrame({"text": ["the dog", "no cat"]}, index=[7, 8]))
          text predict
    7  the dog     dog
    8   no cat     cat
    """
    if method not in METHODS:
        raise ValueError(f"method={shorten(method)}; expected one of {format_list(METHODS)}")
    check_is_fitted(estimator)
    if not hasattr(estimator, method):
        kind = type(estimator).__name__
        offered = [name for name in METHODS if hasattr(estimator, name)]
        raise TypeError(f"{kind} has no {method}; pass method= one of {format_list(offered)}")
    return BatchPredictor(_pickle_by_value(estimator), method, column)


class BatchPredictor:
    """Function of batches that holds an estimator as its pickle.

    Tasks that bring it to a worker are then read in no time, and the first alone makes the
    estimator.

    Parameters
    ----------
    content : bytes
        Pickle of a fitted estimator.
    method : str
        Name of its method.
    column : str, list of str or None
        Where the samples are.
    """

    __name__ = "batch_predictor"  # what Dask and Ray call its tasks

    def __init__(self, content, method, column):
        self.content, self.method, self.column = content, method, column
        self.digest = hashlib.sha256(content).hexdigest()

    def __repr__(self):
        return f"batch_predictor(..., method={self.method!r}, column={self.column!r})"

    def __dask_tokenize__(self):
        return ("sklearn_transfer.batch_predictor", self.digest, self.method, self.column)

    def __call__(self, batch):
        """Return a batch, or an iterator of batches, with the columns that are computed."""
        if isinstance(batch, Iterator):
            return map(self._predict, batch)
        return self._predict(batch)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns that are added.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects
            In the order of the columns.
        """
        return np.asarray(name_columns(load(self), self.method), dtype=object)

    def _predict(self, batch):
        table = open_batch(batch)
        if _is_probe():
            table = table.take_none()
        estimator = load(self)
        names = name_columns(estimator, self.method)
        chosen = self._choose_columns(estimator, table)
        outputs = None
        if table.n_rows:
            X = table.select(chosen)
            with use_cores(count_worker_cores()), _turn:
                outputs = getattr(estimator, self.method)(X)
        columns = cast_columns(estimator, self.method, names, outputs)
        table.refuse_names(columns)
        return table.add(columns)

    def _choose_columns(self, estimator, table):
        """Return the column with the samples, or a list of columns; None for all."""
        if self.column is not None:
            chosen = self.column if isinstance(self.column, list) else [self.column]
            lacking = [name for name in chosen if name not in table.names]
            if lacking:
                raise ValueError(
                    f"The batch has no column {lacking[0]!r}, which column={self.column!r}"
                    f" names; it has {format_list(table.names)}"
                )
            return self.column
        seen = getattr(estimator, "feature_names_in_", None)
        if seen is not None and set(seen) <= set(table.names):
            return list(seen)
        return table.names[0] if len(table.names) == 1 else None


def _pickle_by_value(estimator):
    """Return the pickle of an estimator, with functions and classes of a notebook inside."""
    try:
        import cloudpickle
    except ImportError:  # joblib has one of its own before 1.6
        from joblib.externals import cloudpickle
    return cloudpickle.dumps(estimator)


def load(predictor):
    """Return the estimator of a `BatchPredictor`, which each process makes once."""
    with _loading:
        if predictor.digest not in _loaded:
            _loaded[predictor.digest] = pickle.loads(predictor.content)
            while len(_loaded) > _KEPT:
                _loaded.popitem(last=False)
        _loaded.move_to_end(predictor.digest)
        return _loaded[predictor.digest]


def count_worker_cores():
    """Return the cores of the worker of Dask that runs this, or None outside of one."""
    distributed = sys.modules.get("distributed")
    try:
        return count_share(distributed.get_worker().state.nthreads)
    except (AttributeError, ValueError):  # not imported, or no worker
        return None


def _is_probe():
    """Return whether Dask calls this with invented rows, to see what it returns.

    It fills them with words such as "foo", which no reader of files can open. Nothing but the
    caller tells them from rows of a user (dask 2026.8).
    """
    frame = sys._getframe() if "dask.dataframe" in sys.modules else None
    while frame is not None:
        module = frame.f_globals.get("__name__", "").partition(".")[0]
        if frame.f_code.co_name == "emulate" and module in ("dask", "dask_expr"):
            return True
        frame = frame.f_back
    return False
