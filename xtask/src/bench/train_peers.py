"""What `cargo xtask bench train` needs of Python: train_peers.py TASK ARGUMENT… writes one JSON object to its last argument.

load DATA DATABASE TIMES OUTPUT: the CSV files of DATA as an SQLite database, its artists so many times.
entries RUN OUTPUT: the entries of the training rows. machine THREADS OUTPUT: the memory bandwidth (triad) and the rate of fused multiply-adds (sgemm).
spark|sklearn DATABASE QUERY RUN OUTPUT: the search over the grid, on the rows, split and folds of a finished run.
lbfgs RUN ITERATIONS REG OUTPUT, sgd RUN EPOCHS OUTPUT, vw RUN PASSES FOLDER OUTPUT: one model on the features of a run.
"""

import glob
import json
import sqlite3
import sys
import time

import numpy as np

GRID = {"reg_param": [0.01, 0.1, 1.0], "max_iter": [10, 50, 100]}


def load(data, database, times):
    import csv
    import gzip
    import os

    def rows(name):
        path = os.path.join(data, name)
        if not os.path.exists(path):
            return
        with gzip.open(path, "rt", newline="") as file:
            lines = csv.reader(file)
            next(lines)
            for line in lines:
                yield [value or None for value in line]

    times = int(times)
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE area (id integer PRIMARY KEY, name text)")
        db.execute("CREATE TABLE artist (id integer PRIMARY KEY, name text, area integer)")
        db.execute("CREATE TABLE alias (id integer PRIMARY KEY, artist integer, name text)")
        db.executemany("INSERT INTO area VALUES (?, ?)", rows("area.csv.gz"))
        artists = [(int(row[0]), row[1], row[3]) for row in rows("artist.csv.gz")]
        step = max(artist[0] for artist in artists) + 1
        for copy in range(times):
            db.executemany("INSERT INTO artist VALUES (?, ?, ?)", ((i + copy * step, n, a) for i, n, a in artists))
        db.executemany("INSERT INTO alias (artist, name) VALUES (?, ?)", (row[:2] for row in rows("artist_alias.csv.gz")))
    return {"artists": len(artists) * times}


def machine(threads):
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_limits

    threads = int(threads)
    parts = [[np.ones(1 << 25, np.float32) for _ in range(2)] for _ in range(threads)]

    def triad(part):
        # Larger than any cache: two arrays read, one written.
        a, b = part
        for _ in range(4):
            np.add(a, b, out=a)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(triad, parts))
        start = time.perf_counter()
        list(pool.map(triad, parts))
        bandwidth = threads * 4 * 3 * 4 * (1 << 25) / (time.perf_counter() - start)
    a = np.ones((4096, 4096), np.float32)
    with threadpool_limits(threads):
        a @ a
        start = time.perf_counter()
        a @ a
        rate = 4096**3 / (time.perf_counter() - start)
    return {"bandwidth": bandwidth, "fma": rate}


def features(run):
    """The features table of a run: labels, a CSR matrix, splits and folds."""
    import pyarrow.parquet as pq
    from scipy.sparse import csr_matrix

    table = pq.read_table(sorted(glob.glob(run + "/features/*.parquet"))).combine_chunks()
    indices, values = (table[name].combine_chunks() for name in ("indices", "values"))
    flat = [np.asarray(list_.flatten()) for list_ in (indices, values)]
    offsets = np.concatenate([[0], np.cumsum(np.asarray(indices.value_lengths()), dtype=np.int64)])
    matrix = csr_matrix((flat[1], flat[0].astype(np.int32), offsets.astype(np.int32)))
    label, split, fold = (np.asarray(table[name]) for name in ("label", "split", "fold"))
    return label, matrix, split, fold, np.asarray(table["entity"])


def entries(run):
    _, x, split, _, _ = features(run)
    return {"train": int(x[split == 0].nnz)}


def sklearn(database, query, run):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.model_selection import PredefinedSplit

    label, x, split, fold, _ = features(run)
    train, test = split == 0, split == 2
    x_train, y_train, fold_train = x[train], label[train], fold[train]
    # `scale = "standard"` gave the features unit deviation, as Spark's penalty supposes.
    start = time.perf_counter()
    best = (-1.0, None)
    for reg in GRID["reg_param"]:
        for limit in GRID["max_iter"]:
            scores = []
            for a, b in PredefinedSplit(fold_train).split():
                model = LogisticRegression(C=1 / (len(a) * reg), max_iter=limit, tol=1e-6)
                model.fit(x_train[a], y_train[a])
                scores.append(f1_score(y_train[b], model.predict(x_train[b]), average="weighted", zero_division=0))
            best = max(best, (float(np.mean(scores)), (reg, limit)), key=lambda pair: pair[0])
    search = time.perf_counter() - start
    score, (reg, limit) = best
    model = LogisticRegression(C=1 / (len(y_train) * reg), max_iter=limit, tol=1e-6).fit(x_train, y_train)
    f1 = f1_score(label[test], model.predict(x[test]), average="weighted", zero_division=0)
    return {"search": search, "whole": time.perf_counter() - start, "reg_param": reg, "max_iter": limit, "score": score, "f1": f1}


def spark(database, query, run):
    import pandas as pd
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.evaluation import MulticlassClassificationEvaluator
    from pyspark.ml.feature import OneHotEncoder, StandardScaler, StringIndexer, VectorAssembler
    from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
    from pyspark.sql import SparkSession

    whole = time.perf_counter()
    _, _, split, fold, entity = features(run)
    with sqlite3.connect(database) as db:
        rows = pd.read_sql_query(query, db)
    side = pd.DataFrame({"id": entity, "split": split.astype("int32"), "fold": fold.astype("int32")})
    rows = rows.merge(side, on="id")
    session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    frame = session.createDataFrame(rows).cache()
    train, test = frame.filter("split = 0").cache(), frame.filter("split = 2")
    names = ["name", "alias"]
    label = StringIndexer(inputCol="country", outputCol="label", handleInvalid="skip")
    index = StringIndexer(inputCols=names, outputCols=[n + "_i" for n in names], handleInvalid="keep")
    one_hot = OneHotEncoder(inputCols=[n + "_i" for n in names], outputCols=[n + "_o" for n in names], dropLast=False)
    together = VectorAssembler(inputCols=[n + "_o" for n in names], outputCol="all")
    scale = StandardScaler(inputCol="all", outputCol="features", withMean=False)
    prepare = Pipeline(stages=[label, index, one_hot, together, scale]).fit(train)
    prepared = prepare.transform(train).select("label", "features", "fold").cache()
    prepared.count()
    regression = LogisticRegression()
    grid = ParamGridBuilder().addGrid(regression.regParam, GRID["reg_param"]).addGrid(regression.maxIter, GRID["max_iter"])
    evaluator = MulticlassClassificationEvaluator(metricName="f1")
    search = CrossValidator(
        estimator=regression, estimatorParamMaps=grid.build(), evaluator=evaluator, numFolds=3, foldCol="fold", parallelism=1
    )
    start = time.perf_counter()
    model = search.fit(prepared)
    seconds = time.perf_counter() - start
    f1 = evaluator.evaluate(model.transform(prepare.transform(test)))
    best = model.bestModel
    result = {"search": seconds, "whole": time.perf_counter() - whole, "reg_param": best.getRegParam(), "f1": f1}
    result |= {"max_iter": best.getMaxIter(), "score": max(model.avgMetrics)}
    session.stop()
    return result


def lbfgs(run, iterations, reg):
    from sklearn.linear_model import LogisticRegression

    label, x, split, _, _ = features(run)
    train, test = split == 0, split == 2
    n, reg = int(train.sum()), float(reg)
    x_train, y_train = x[train], label[train]
    model = LogisticRegression(C=1 / (n * reg), max_iter=int(iterations), tol=1e-6)
    start = time.perf_counter()
    model.fit(x_train, y_train)
    seconds = time.perf_counter() - start
    margins = model.decision_function(x_train)
    largest = margins.max(axis=1)
    log_sum = largest + np.log(np.exp(margins - largest[:, None]).sum(axis=1))
    loss = float(np.mean(log_sum - margins[np.arange(n), np.searchsorted(model.classes_, y_train)]))
    objective = loss + 0.5 * reg * float((model.coef_**2).sum())
    return {"seconds": seconds, "objective": objective, "accuracy": float(model.score(x[test], label[test]))}


def sgd(run, epochs):
    from sklearn.linear_model import SGDClassifier

    label, x, split, _, _ = features(run)
    train, test = split == 0, split == 2
    model = SGDClassifier(loss="log_loss", max_iter=int(epochs), tol=None, n_jobs=-1, random_state=0)
    start = time.perf_counter()
    model.fit(x[train], label[train])
    return {"seconds": time.perf_counter() - start, "accuracy": float(model.score(x[test], label[test]))}


def vw(run, passes, folder):
    from vowpalwabbit import Workspace

    label, x, split, _, _ = features(run)

    def write(path, rows):
        with open(path, "w") as file:
            for r in rows:
                entries = slice(x.indptr[r], x.indptr[r + 1])
                pairs = zip(x.indices[entries], x.data[entries])
                file.write(f"{label[r] + 1} | {' '.join(f'{i}:{v:g}' for i, v in pairs)}\n")

    train, test, answers = (f"{folder}/vw.{name}" for name in ("train", "test", "answers"))
    write(train, np.flatnonzero(split == 0))
    write(test, np.flatnonzero(split == 2))
    classes = int(label.max()) + 1
    again = f"--passes {passes} --cache_file {train}.cache -k --holdout_off" if int(passes) > 1 else ""
    model = f"{folder}/vw.model"
    start = time.perf_counter()
    Workspace(f"--oaa {classes} --loss_function logistic -b 24 --quiet -d {train} -f {model} {again}").finish()
    seconds = time.perf_counter() - start
    Workspace(f"-t -i {model} --quiet -d {test} -p {answers}").finish()
    given = np.loadtxt(answers, dtype=int) - 1
    return {"seconds": seconds, "accuracy": float(np.mean(given == label[split == 2]))}


task, *arguments, output = sys.argv[1:]
result = globals()[task](*arguments)
with open(output, "w") as file:
    json.dump(result, file)
