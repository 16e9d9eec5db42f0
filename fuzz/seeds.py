"""Writes the seeds of the fuzz targets that other programs make: Parquet files by pyarrow, COPY streams by PostgreSQL.

    pip install pyarrow==26.0.1
    python3 fuzz/seeds.py postgres://user@host/database

The seeds are in the repository; this says how they came to be, and makes more of them.
"""

import datetime
import decimal
import pathlib
import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq

FUZZ = pathlib.Path(__file__).parent
CORPUS = FUZZ / "corpus"


def seed(target, name, content):
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    (CORPUS / target / f"seed-{name}").write_bytes(content)


def parquet(name, columns, **options):
    path = CORPUS / "parquet" / f"seed-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, store_schema=options.pop("store_schema", False), **options)


def parquets():
    ids = pa.array(range(20), pa.int64())
    texts = pa.array([None if i % 7 == 0 else f"name {i % 5} é" for i in range(20)])
    floats = pa.array([None if i % 5 == 0 else i / 3 for i in range(20)], pa.float64())
    flags = pa.array([None if i % 6 == 0 else i % 2 == 0 for i in range(20)])
    plain = {"id": ids, "text": texts, "float": floats, "flag": flags}
    parquet("plain", plain, compression="none", use_dictionary=False, write_page_checksum=True)
    parquet("dictionary", plain, compression="snappy", data_page_size=64, row_group_size=9)
    parquet("page-2", plain, compression="zstd", data_page_version="2.0", write_page_index=True)
    encodings = {
        "id": "DELTA_BINARY_PACKED",
        "text": "DELTA_BYTE_ARRAY",
        "other": "DELTA_LENGTH_BYTE_ARRAY",
        "float": "BYTE_STREAM_SPLIT",
        "flag": "RLE",
    }
    parquet(
        "delta",
        plain | {"other": texts},
        compression="none",
        use_dictionary=False,
        column_encoding=encodings,
        data_page_version="2.0",
    )
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30, 1, 5)
    times = {
        "small": pa.array([1, None, -3], pa.int8()),
        "unsigned": pa.array([1, None, 2**32 - 1], pa.uint32()),
        "half": pa.array([1.5, None, -2.0], pa.float16()),
        "day": pa.array([day, None, day]),
        "moment": pa.array([moment, None, moment], pa.timestamp("us", "UTC")),
        "time": pa.array([5, None, 7], pa.time64("us")),
        "amount": pa.array([decimal.Decimal("1.23"), None, decimal.Decimal("-4.50")], pa.decimal128(9, 2)),
        "large": pa.array([decimal.Decimal(10**37), None, decimal.Decimal(0)], pa.decimal128(38, 0)),
        "fixed": pa.array([b"abc", None, b"def"], pa.binary(3)),
        "bytes": pa.array([b"\xff", None, b""], pa.binary()),
        "nothing": pa.nulls(3),
    }
    parquet("types", times, compression="gzip", store_schema=True)
    parquet("int96", {"moment": times["moment"]}, compression="lz4", use_deprecated_int96_timestamps=True)
    nested = {
        "list": pa.array([[1, 2], None, [], [None]], pa.list_(pa.int32())),
        "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 2, "b": None}]),
        "map": pa.array([[("k", 1)], None, [], [("k", None), ("l", 2)]], pa.map_(pa.string(), pa.int64())),
        "category": pa.array(["a", "b", None, "a"]).dictionary_encode(),
    }
    parquet("nested", nested, compression="brotli", store_schema=True)
    parquet("empty", {"id": pa.array([], pa.int64())})


# The kinds of columns, in the order in which the target numbers them.
KINDS = [
    "i % 2 = 0",
    "i::smallint",
    "i::bigint * 1000000007",
    "(i / 3.0)::real",
    "i::double precision / 3",
    "(i * 1000.000001)::numeric(38, 9)",
    "repeat('é', i) || i",
    "jsonb_build_object('a', i)",
    "md5(i::text)::uuid",
    "decode(md5(i::text), 'hex')",
    "date '2000-02-29' + i * 1000",
    "timestamp '1999-12-31 23:59:59.5' + i * interval '1 day'",
    "timestamptz '1999-12-31 23:59:59.5Z' + i * interval '1 day'",
]


def copies(url):
    for kind, value in enumerate(KINDS):
        query = f"SELECT i::int, CASE WHEN i % 4 <> 3 THEN {value} END FROM generate_series(0, 6) AS i"
        command = ["psql", url, "--no-psqlrc", "--command", f"COPY ({query}) TO STDOUT (FORMAT binary)"]
        stream = subprocess.run(command, check=True, capture_output=True).stdout
        # The kind, and how long the pieces are in which the stream arrives.
        seed("copy", f"kind-{kind:02}", bytes([kind, [255, 7, 1][kind % 3]]) + stream)


PIPELINE = """source = {{ url = "{url}", key = ["country", 'id'], query = "SELECT * FROM ${{TABLE}} WHERE a = '$$1'" }}
batches.rows = 1_000

[[feature]]
column = "name"
encode = "ngrams"
range = [2, 2]

[[feature]]
column = "kind"
encode = "one_hot"
unseen = "keep"

[label]
{label}

[split]
by = "id"

[model]
{model}
"""

MODELS = {
    "regression": ("mysql://u:${B}@h/db", 'column = "size"', 'kind = "linear_regression"\nreg_param = [0, 1e-3]'),
    "naive-bayes": ("postgres://h/db?sslmode=require", 'column = "c"', 'kind = "naive_bayes"\nsmoothing = [0.1, 1.0]'),
    "adagrad": ("mariadb://h/db", 'column = "c"', 'kind = "logistic_regression"\nsolver = "adagrad"\nmax_iter = 5'),
}


def pipelines():
    root = FUZZ.parent
    for path in sorted((root / "examples").glob("*/*.toml")):
        seed("pipeline", path.stem, path.read_bytes().replace(b"${DATABASE_URL}", b"${HOST}"))
    blocks = re.findall(r"```toml\n(.*?)```", (root / "docs" / "pipeline.md").read_text(), re.DOTALL)
    for number, block in enumerate(blocks):
        seed("pipeline", f"docs-{number}", block.encode())
    demo = (root / "crates/gristmill/src/demo/pipeline.toml").read_text()
    for placeholder, value in {"{database}": "artists.db", "{min_rows}": "5", "{run}": "runs/demo"}.items():
        demo = demo.replace(placeholder, value)
    seed("pipeline", "demo", demo.encode())
    for name, (url, label, model) in MODELS.items():
        text = PIPELINE.format(url=url, label=label, model=model)
        seed("pipeline", name, text.encode())


parquets()
pipelines()
copies(sys.argv[1])
