"""Callbacks of scikit-learn 1.9, and the tasks of which loops tell them.

`TakesCallbacks` opens the task of a `fit`; loops get a `Task` as an argument. Below 1.9, and
where an estimator has no callbacks, tasks tell nobody.
"""

from contextlib import contextmanager, nullcontext
from functools import partial

from sklearn.utils import get_tags

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:
        """Empty, as this version of scikit-learn has no callbacks."""


_HAS_CALLBACKS = hasattr(CallbackSupportMixin, "set_callbacks")
# What scikit-learn sets on an estimator for callbacks; the first one until the end of its fit.
_CONTEXT = "_callback_fit_ctx"
_OF_CALLBACKS = (
    _CONTEXT,
    "_skl_callbacks_to_teardown",
    "_parent_callback_ctx",
    "_skl_callbacks",
)
# Rows are told of in at most so many parts, since a callback takes time, too.
_MOST_PARTS = 100


class Task:
    """A task of a fit, of whose beginning and end callbacks are told.

    Without a context there is nobody to tell.

    Parameters
    ----------
    estimator : estimator, default=None
        The one whose fit it is.
    context : CallbackContext, default=None
        Context of the task.
    told : dict, default=None
        X, y and metadata of the fit.

    Attributes
    ----------
    is_watched : bool
        Whether the estimator has callbacks.
    is_stopped : bool
        Whether one of them asked, at the end of the task, to stop the loop that it is part of.
    """

    def __init__(self, estimator=None, context=None, told=None):
        self.estimator, self.context = estimator, context
        self.told = {} if told is None else told
        has_any = bool(getattr(estimator, "_skl_callbacks", ()))
        self.is_watched = context is not None and has_any
        self.is_stopped = False

    def __sklearn_clone__(self):
        return self

    @contextmanager
    def open(self, name, n_subtasks=0, *, inner=None, collect=None):
        """Context of a subtask, which gives its `Task`.

        Parameters
        ----------
        name : str
            What callbacks know it by.
        n_subtasks : int or None, default=0
            Largest number of its subtasks; None where that is not known.
        inner : estimator, default=None
            One that is fitted in the context. Its fit becomes the subtask, and it gets those
            callbacks that are meant for estimators within others.
        collect : callable, default=None
            Returns the attributes of an estimator that is fitted by what is reached at the
            end, as a dict; called only if a callback asks for that estimator.
        """
        if self.context is None or (inner is None and not self.is_watched):
            yield NO_TASK
            return
        context = self.context.subcontext(task_name=name, max_subtasks=n_subtasks)
        takes_any = inner is not None and hasattr(inner, "set_callbacks")
        passed_on = context.propagate_callback_context(inner) if takes_any else nullcontext()
        with passed_on:
            task = Task(self.estimator, context, self.told)
            task.begin()
            yield task
            task.end(collect)

    def begin(self):
        """Tell callbacks that the task begins."""
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.told)
        return self

    def end(self, collect=None):
        """Tell callbacks that the task has ended; `collect` is that of `open`."""
        self.is_stopped = self.context.call_on_fit_task_end(
            estimator=self.estimator, **self.told, reconstruction_attributes=collect
        )

    def count_rows(self, n_rows):
        """`RowCounter` whose parts are the subtasks, or one that tells nobody."""
        return RowCounter(self, n_rows) if self.is_watched else _NO_COUNTER


class RowCounter:
    """Rows of a pass that are done, told as a sequence of parts.

    Their number does not depend on batches, of which nobody knows how many there will be.
    """

    def __init__(self, task, n_rows):
        self.task, self.n_rows, self.n_done = task, max(n_rows, 1), 0
        self.n_told, self.n_parts = 0, count_parts(n_rows)
        self._begin_part()

    def _begin_part(self):
        context = self.task.context.subcontext(task_name="rows")
        self.part = Task(self.task.estimator, context, self.task.told).begin()

    def update(self, n=1):
        """Count more rows, and tell callbacks of the parts that are complete."""
        self.n_done = min(self.n_done + n, self.n_rows)
        while self.n_told < self.n_parts * self.n_done // self.n_rows:
            self.part.end()
            self.n_told += 1
            if self.n_told < self.n_parts:
                self._begin_part()


class _NoCounter:
    """Counter that tells nobody."""

    def update(self, n=1):
        pass


NO_TASK, _NO_COUNTER = Task(), _NoCounter()


def count_parts(n_rows):
    """Number of parts in which callbacks are told of rows."""
    return max(1, min(n_rows, _MOST_PARTS))


class TakesCallbacks(CallbackSupportMixin):
    """Mixin of estimators whose fit tells callbacks of its tasks.

    It is empty below version 1.9 of scikit-learn. `set_callbacks` takes the callbacks; those
    with a `max_propagation_depth` also come from a search or Pipeline around.
    """

    @contextmanager
    def _open_fit(self, n_subtasks=0, *, X=None, y=None, sample_weight=None, name="fit"):
        """Context of a fit, which gives its `Task`; the estimator is fitted at its end.

        `fit` needs scikit-learn's decorator, which lets callbacks finish. X, y and the weights
        may be functions that return them.
        """
        if not _HAS_CALLBACKS:
            yield NO_TASK
            return
        metadata = None if sample_weight is None else partial(_name_weights, sample_weight)
        context = self._init_callback_context(task_name=name, max_subtasks=n_subtasks)
        task = Task(self, context, {"X": X, "y": y, "metadata": metadata}).begin()
        yield task
        task.end(dict)

    def _find_task(self):
        """The `Task` of the fit that is going on, for steps that are no function of it."""
        return Task(self, getattr(self, _CONTEXT, None))

    def __copy__(self):
        if _CONTEXT not in vars(self):
            rebuild, arguments, *state = self.__reduce_ex__(4)
            copied = rebuild(*arguments)
            if state and state[0]:
                copied.__setstate__(state[0])
            return copied
        # Callbacks get such copies, to which their attributes are given next.
        copied = type(self).__new__(type(self))
        vars(copied).update(remove_callbacks(vars(self)))
        return copied

    def __getstate__(self):
        return remove_callbacks(super().__getstate__())


def _name_weights(sample_weight):
    return {"sample_weight": sample_weight() if callable(sample_weight) else sample_weight}


def remove_callbacks(state):
    """Attributes of an estimator, in the middle of a fit without those of callbacks.

    A callback may copy or pickle the estimator that it looks at, and is no part of that.
    """
    if _CONTEXT not in state:
        return state
    return {name: value for name, value in state.items() if name not in _OF_CALLBACKS}


def fit_and_transform(transformer, X, y=None):
    """Features of rows from a transformer that is fitted to them.

    By its `fit_transform`, which tells of the pass, where that gives what `transform` gives.
    """
    if isinstance(transformer, TakesCallbacks) and not get_tags(transformer).requires_fit:
        return transformer.fit_transform(X, y)
    return transformer.fit(X, y).transform(X)
