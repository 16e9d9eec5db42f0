"""Extracts a query to zstd Parquet with one of the peers: peers.py PEER URL QUERY OUTPUT."""

import importlib.util
import sys
from pathlib import Path


def duckdb_extract(url, query, output):
    """DuckDB: reads the tables in the order of their pages, over as many connections as it has threads, and joins them."""
    import duckdb

    package = importlib.util.find_spec("duckdb_extension_postgres_scanner").submodule_search_locations[0]
    (extension,) = Path(package).glob("extensions/*/postgres_scanner.duckdb_extension")
    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension}'")
    connection.execute(f"ATTACH '{url}' AS server (TYPE postgres, READ_ONLY)")
    connection.execute("USE server")
    connection.execute(f"COPY ({query}) TO '{output}' (FORMAT parquet, COMPRESSION zstd)")


def adbc_extract(url, query, output):
    """ADBC: one COPY, whose record batches are written as they come."""
    import adbc_driver_postgresql.dbapi
    import pyarrow.parquet as pq

    with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        batches = cursor.fetch_record_batch()
        with pq.ParquetWriter(output, batches.schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)


def pandas_extract(url, query, output):
    """pandas, through SQLAlchemy and psycopg2."""
    import pandas as pd
    import sqlalchemy

    engine = sqlalchemy.create_engine(url.replace("postgres://", "postgresql+psycopg2://", 1))
    with engine.connect() as connection:
        frame = pd.read_sql_query(sqlalchemy.text(query), connection)
    frame.to_parquet(output, compression="zstd", index=False)


def connectorx_extract(url, query, output, connections):
    """ConnectorX over so many connections."""
    import connectorx as cx
    import pyarrow as pa
    import pyarrow.parquet as pq

    partition = {"partition_on": "id", "partition_num": connections} if connections > 1 else {}
    table = cx.read_sql(url.replace("postgres://", "postgresql://", 1), query, return_type="arrow", **partition)
    if not isinstance(table, pa.Table):
        table = pa.table(table)
    pq.write_table(table, output, compression="zstd")


peer, *rest = sys.argv[1:]
if peer.isdigit():
    connectorx_extract(*rest, int(peer))
else:
    {"duckdb": duckdb_extract, "adbc": adbc_extract, "pandas": pandas_extract}[peer](*rest)
