"""Batches in the forms that frameworks hand to their workers, read and extended alike."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping


def open_batch(batch):
    """Return a batch as the `Batch` of its form.

    Raises
    ------
    TypeError
        If it has none of the known forms.
    """
    if isinstance(batch, Mapping):
        return ArraysBatch(batch)
    for module, kinds in _KINDS.items():
        library = sys.modules.get(module)
        for name, kind in kinds.items():
            if library is not None and isinstance(batch, getattr(library, name, ())):
                return kind(batch)
    hint = "; call it on each partition" if hasattr(batch, "map_partitions") else ""
    if hasattr(batch, "collect_schema"):
        hint = "; pass it to LazyFrame.map_batches with validate_output_schema=False"
    raise TypeError(
        f"Got a batch of type {type(batch).__name__}; expected a DataFrame or Series of pandas"
        f" or polars, a table or record batch of pyarrow, or a dict of arrays{hint}"
    )


class Batch(ABC):
    """A batch whose columns can be selected, and to which columns can be added.

    Attributes
    ----------
    content : object
        What the framework gave.
    names : list
        Names of the columns.
    n_rows : int
        Number of rows.
    """

    @abstractmethod
    def take_none(self):
        """Return a batch with the same columns and no rows."""

    @abstractmethod
    def select(self, columns):
        """Return the samples in a column, or a table of a list of columns; None for all."""

    @abstractmethod
    def add(self, columns):
        """Return a batch in the same form, with the columns of a dict at its end."""

    def refuse_names(self, added):
        """Raise ValueError if a column that is to be added is there already."""
        taken = [name for name in added if name in self.names]
        if taken:
            raise ValueError(
                f"The batch has the column {taken[0]!r} already, which is to be added; rename"
                " it, or leave it out"
            )


class PandasBatch(Batch):
    """A DataFrame of pandas."""

    def __init__(self, content):
        self.content, self.names, self.n_rows = content, list(content.columns), len(content)

    def take_none(self):
        return type(self)(self.content.iloc[:0])

    def select(self, columns):
        return self.content if columns is None else self.content[columns]

    def add(self, columns):
        import pandas as pd

        added = pd.DataFrame(columns, index=self.content.index)
        levels = self.content.columns.nlevels
        if levels > 1:
            filled = [(name, *[""] * (levels - 1)) for name in columns]
            added.columns = pd.MultiIndex.from_tuples(filled)
        return pd.concat([self.content, added], axis=1)


class PolarsBatch(Batch):
    """A DataFrame of polars."""

    def __init__(self, content):
        self.content, self.names, self.n_rows = content, content.columns, len(content)

    def take_none(self):
        return type(self)(self.content.clear())

    def select(self, columns):
        return self.content if columns is None else self.content[columns]

    def add(self, columns):
        import polars as pl

        return self.content.hstack([pl.Series(name, v) for name, v in columns.items()])


class ArrowBatch(Batch):
    """A table or record batch of pyarrow."""

    def __init__(self, content):
        self.content, self.names = content, content.schema.names
        self.n_rows = content.num_rows

    def take_none(self):
        return type(self)(self.content.slice(0, 0))

    def select(self, columns):
        if isinstance(columns, str):
            return _read_arrow(self.content.column(columns))
        chosen = self.content if columns is None else self.content.select(columns)
        return chosen.to_pandas()

    def add(self, columns):
        import pyarrow as pa

        content = self.content
        for name, values in columns.items():
            content = content.append_column(name, pa.array(values))
        return content


class ArrowRecordsBatch(ArrowBatch):
    """A record batch of pyarrow, whose own methods differ between versions."""

    def __init__(self, content):
        import pyarrow as pa

        super().__init__(pa.Table.from_batches([content]))
        self._records = content

    def take_none(self):
        return type(self)(self._records.slice(0, 0))

    def add(self, columns):
        import pyarrow as pa

        table = super().add(columns)
        arrays = [_combine(column) for column in table.columns]
        return pa.RecordBatch.from_arrays(arrays, schema=table.schema)


class ArraysBatch(Batch):
    """A dict of arrays or lists, one for each column."""

    def __init__(self, content):
        self.content, self.names = content, list(content)
        lengths = {name: len(values) for name, values in content.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"The columns of a batch have the lengths {lengths}, expected one length"
            )
        self.n_rows = next(iter(lengths.values()), 0)

    def take_none(self):
        return type(self)({name: values[:0] for name, values in self.content.items()})

    def select(self, columns):
        if columns is not None and not isinstance(columns, list):
            return self.content[columns]
        import pandas as pd

        chosen = self.names if columns is None else columns
        return pd.DataFrame(
            {
                n: v if getattr(v, "ndim", 1) == 1 else list(v)
                for n, v in self.content.items()
                if n in chosen
            }
        )[chosen]

    def add(self, columns):
        return {**self.content, **columns}


def _open_pandas_series(series):
    return PandasBatch(series.to_frame())


def _open_polars_series(series):
    return PolarsBatch(series.to_frame())


# What opens each kind of batch, by the library that it is of.
_KINDS = {
    "pandas": {"DataFrame": PandasBatch, "Series": _open_pandas_series},
    "polars": {"DataFrame": PolarsBatch, "Series": _open_polars_series},
    "pyarrow": {"Table": ArrowBatch, "RecordBatch": ArrowRecordsBatch},
}


def _read_arrow(column):
    """Return a column as an array of numbers or tensors, or as a list of other values."""
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType):
        values = _combine(column)
        as_tensors = getattr(values, "to_numpy_ndarray", None)  # of a fixed shape
        return values.to_numpy(zero_copy_only=False) if as_tensors is None else as_tensors()
    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    return column.to_numpy() if is_number else column.to_pylist()


def _combine(column):
    """Return the chunks of a column as one array."""
    import pyarrow as pa

    if column.num_chunks == 1:
        return column.chunk(0)
    chunks = column.combine_chunks()
    # A column without chunks gives one of these in turn (pyarrow 20).
    return pa.array([], column.type) if isinstance(chunks, pa.ChunkedArray) else chunks
