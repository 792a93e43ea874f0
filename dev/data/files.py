"""Data files: written and read with pyarrow and the standard library's `csv` and `gzip`."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json

import pyarrow
import pyarrow.parquet

from .items import Item
from .tables import Column, Value

TYPES = {
    "string": pyarrow.string(),
    "double": pyarrow.float64(),
    "timestamp": pyarrow.timestamp("ms"),
    "map": pyarrow.map_(pyarrow.string(), pyarrow.string()),
}


def write(format: str, columns: list[Column], items: list[Item]) -> bytes:
    """A file of these items."""
    return parquet(columns, items) if format == "Parquet" else csv_gz(columns, items)


def csv_gz(columns: list[Column], items: list[Item]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    for item in items:
        # Maps are JSON in a CSV file of Data Exports.
        values = (column.value(item) for column in columns)
        writer.writerow(json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value for value in values)
    return gzip.compress(text.getvalue().encode())


def parquet(columns: list[Column], items: list[Item]) -> bytes:
    arrays = [pyarrow.array([cell(column.type, column.value(item)) for item in items], TYPES[column.type]) for column in columns]
    return in_memory(pyarrow.table(arrays, [column.name for column in columns]))


def cell(type: str, value: Value) -> object:
    if isinstance(value, dict):
        return list(value.items())
    if value == "":
        return None
    if type == "double":
        return float(value)
    return datetime.datetime.fromisoformat(value).replace(tzinfo=None) if type == "timestamp" else value


def status(text: str) -> bytes:
    """The object by which Athena users see whether a report is being written: one row, one column."""
    return in_memory(pyarrow.table({"status": [text]}))


def in_memory(table: pyarrow.Table) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="snappy")
    return sink.getvalue().to_pybytes()


def read(key: str, body: bytes, cost_columns: set[str]) -> tuple[int, list[str], float]:
    """Rows, columns, and the sum of the column of costs, which is the one of these that the file has."""
    if key.endswith(".parquet"):
        # From memory of its own and without threads: a thread of pyarrow's that is at work yet when the program ends aborts it.
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(body)).read(use_threads=False)
        (cost_column,) = cost_columns & set(table.column_names)
        return table.num_rows, table.column_names, sum(cost or 0 for cost in table.column(cost_column).to_pylist())
    if not key.endswith(".csv.gz"):
        raise SystemExit(f"`{key}` is neither Parquet nor csv.gz")
    reader = csv.DictReader(io.StringIO(gzip.decompress(body).decode(), newline=""), strict=True)
    rows = list(reader)
    if any(None in row or None in row.values() for row in rows):
        raise SystemExit(f"a row of `{key}` has not as many values as there are columns")
    (cost_column,) = cost_columns & set(reader.fieldnames or [])
    return len(rows), list(reader.fieldnames or []), sum(float(row[cost_column] or 0) for row in rows)
