"""Extracts a query to zstd Parquet with one of the peers: peers.py PEER URL QUERY OUTPUT."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq

peer, url, query, output = sys.argv[1:]
if peer == "pandas":
    import pandas as pd
    import sqlalchemy

    engine = sqlalchemy.create_engine(url.replace("postgres://", "postgresql+psycopg2://", 1))
    with engine.connect() as connection:
        frame = pd.read_sql_query(sqlalchemy.text(query), connection)
    frame.to_parquet(output, compression="zstd", index=False)
else:
    import connectorx as cx

    connections = int(peer)
    partition = {"partition_on": "id", "partition_num": connections} if connections > 1 else {}
    table = cx.read_sql(url.replace("postgres://", "postgresql://", 1), query, return_type="arrow", **partition)
    if not isinstance(table, pa.Table):
        table = pa.table(table)
    pq.write_table(table, output, compression="zstd")
