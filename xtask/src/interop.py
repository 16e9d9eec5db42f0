"""Opens a dataset with other tools: interop.py write CSV, then interop.py read DATASET."""

import csv
import datetime as dt
import glob
import shutil
import sys

ROWS = 20_000
UTC = dt.timezone.utc


def rows():
    for n in range(ROWS):
        empty = n % 11 == 0
        yield (
            n * 3 - 1000,
            None if empty else f"Łukasz 日本 {n % 97}",
            None if n % 7 == 0 else n / 8,
            None if n % 5 == 0 else n % 2 == 0,
            None if empty else dt.date(1, 1, 1) + dt.timedelta(days=n * 150),
            dt.datetime(1969, 12, 31, 23, 59, 59, 999_999) + dt.timedelta(microseconds=n),
            None if empty else dt.datetime(2024, 2, 29, tzinfo=UTC) + dt.timedelta(seconds=n),
        )


def write(path):
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", "name", "ratio", "flag", "born", "local", "at"])
        # In no order: by the key they must come out.
        for row in sorted(rows(), key=lambda row: row[0] * 7919 % 10_007):
            out.writerow(["" if value is None else value for value in row])


def plain(value):
    """A value as Python has it, whatever the tool calls it; an instant in UTC."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value


def deltalake(dataset, _):
    from deltalake import DeltaTable

    return [tuple(row.values()) for row in DeltaTable(dataset).to_pyarrow_table().to_pylist()]


def pandas(_, files):
    import pandas as pd

    frame = pd.concat([pd.read_parquet(file, dtype_backend="pyarrow") for file in files])
    return [tuple(row) for row in frame.astype(object).itertuples(index=False)]


def polars(dataset, _):
    import polars as pl

    return pl.read_delta(dataset).rows()


def duckdb(_, files):
    import duckdb as db

    connection = db.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection.execute("SELECT * FROM read_parquet(?)", [files]).fetchall()


def spark(_, files):
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    frame = session.read.parquet(*files)
    # Spark gives instants in the time of the place, without a zone.
    at = list(frame.columns).index("at")
    found = []
    for row in frame.collect():
        values = list(row)
        values[at] = values[at] and values[at].astimezone(UTC)
        found.append(tuple(values))
    session.stop()
    return found


def read(dataset):
    from deltalake import DeltaTable

    files = sorted(path.removeprefix("file://") for path in DeltaTable(dataset).file_uris())
    written = glob.glob(f"{dataset}/batch-*.parquet")
    if not len(files) < len(written):
        sys.exit(f"{len(files)} of {len(written)} files are in use: nothing was merged")
    expected = list(rows())
    failed = False
    for tool in (deltalake, pandas, polars, duckdb, spark):
        if tool is spark and not shutil.which("java"):
            print("spark: left out, for there is no java")
            continue
        found = sorted((tuple(plain(value) for value in row) for row in tool(dataset, files)), key=lambda row: row[0])
        different = [pair for pair in zip(found, expected) if pair[0] != pair[1]]
        same = len(found) == len(expected) and not different
        failed |= not same
        print(f"{tool.__name__}: {len(found)} rows, {'the same' if same else f'not the same: {different[:1]}'}")
    sys.exit(failed)


if sys.argv[1] == "write":
    write(sys.argv[2])
else:
    read(sys.argv[2])
