"""Writes linear.json: small problems with the linear regressions that Spark ML and scikit-learn find for them.

    pip install pyspark==4.3.0 scikit-learn==1.9.1 && python make_linear.py        # needs Java 17

Spark's `normal` solver, which is the one for up to 4096 features, minimises

    sum(w (y - x·b - b0)²) / (2 sum(w)) + reg * alpha * |u b|₁ + reg * (1 - alpha) / (2 s) * |u b|²

where `s` is the label's (weighted, population) standard deviation and `u` are the features', or with standardization =
false 1. scikit-learn minimises the same for features times `1/u` and the L2 part times `s`. The objectives of both
are computed here, by one function. A constant feature has coefficient 0 in Spark.
"""

import json
import os
import warnings
from pathlib import Path

import numpy as np
from pyspark.ml.linalg import Vectors
from pyspark.ml.regression import LinearRegression as SparkLinearRegression
from pyspark.sql import SparkSession
from sklearn.linear_model import ElasticNet, LinearRegression, Ridge

rng = np.random.default_rng(7)


def rounded(x):
    """Eighths: short in JSON, exact in single precision."""
    return np.round(np.asarray(x) * 8) / 8


def data_set(rows, features, density=1.0, units=0.0, weighted=False, offset=3.0, change=lambda x: x):
    x = rng.normal(size=(rows, features)) * (rng.random((rows, features)) < density)
    x = change(rounded(x * np.exp(units * rng.normal(size=features))))
    spread = x.std(axis=0)
    truth = rng.normal(size=features) / np.where(spread > 0, spread, np.inf)
    y = rounded(4 * (x @ truth + offset + rng.normal(size=rows)))
    w = rng.integers(0, 17, size=rows) / 4 if weighted else None
    return {"x": x, "y": y, "w": w}


def collinear(x):
    x[:, 3] = x[:, 0]
    x[:, 4] = x[:, 1] - x[:, 2]
    return x


def constant(x):
    x[:, 0] = 2.5
    return x


data = {
    "dense": data_set(120, 6, units=0.7),
    "dense weighted": data_set(120, 5, units=0.7, weighted=True),
    "sparse": data_set(150, 12, density=0.25),
    "sparse weighted": data_set(150, 9, density=0.3, weighted=True),
    "collinear": data_set(100, 6, change=collinear),
    "collinear weighted": data_set(100, 6, weighted=True, change=collinear),
    "constant column": data_set(100, 4, density=0.8, change=constant),
    "constant column weighted": data_set(100, 4, weighted=True, change=constant),
    "far label": data_set(100, 4, offset=500.0),
}
data["constant label"] = {**data_set(60, 3), "y": np.full(60, 2.625)}
data["label 0"] = {**data_set(60, 3), "y": np.zeros(60)}


def moments(d):
    w = np.ones(len(d["y"])) if d["w"] is None else d["w"]
    mean = w @ d["x"] / w.sum()
    spread = np.sqrt((w[:, None] * (d["x"] - mean) ** 2).sum(axis=0) / w.sum())
    label = np.sqrt(w @ (d["y"] - w @ d["y"] / w.sum()) ** 2 / w.sum())
    return w, spread, label


def objective(d, coefficients, intercept, reg, alpha, standardization):
    w, spread, label = moments(d)
    loss = w @ (d["y"] - d["x"] @ coefficients - intercept) ** 2 / (2 * w.sum())
    scaled = coefficients * (spread if standardization else 1.0)
    l2 = reg * (1 - alpha) / (2 * label) * (scaled**2).sum() if label > 0 else 0.0
    return float(loss + reg * alpha * np.abs(scaled).sum() + l2)


def spark_solution(frame, d, reg, alpha, standardization, fit_intercept):
    model = SparkLinearRegression(
        regParam=reg,
        elasticNetParam=alpha,
        standardization=standardization,
        fitIntercept=fit_intercept,
        tol=1e-13,
        maxIter=10_000,
        **({"weightCol": "weight"} if d["w"] is not None else {}),
    ).fit(frame)
    coefficients = model.coefficients.toArray()
    return {
        "objective": objective(d, coefficients, model.intercept, reg, alpha, standardization),
        "coefficients": coefficients.tolist(),
        "intercept": model.intercept,
    }


def scikit_learn_objective(d, reg, alpha, standardization, fit_intercept):
    w, spread, label = moments(d)
    if label == 0:
        return None
    inverse = np.where(spread > 0, 1 / np.where(spread > 0, spread if standardization else 1.0, 1.0), 0.0)
    l1, l2 = reg * alpha, reg * (1 - alpha) / label
    if reg == 0:
        model = LinearRegression(fit_intercept=fit_intercept)
    elif l1 == 0:
        # Ridge's loss is neither halved nor a mean.
        model = Ridge(alpha=l2 * w.sum(), fit_intercept=fit_intercept, solver="cholesky")
    else:
        model = ElasticNet(
            alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), fit_intercept=fit_intercept, tol=1e-14, max_iter=1_000_000
        )
    model.fit(d["x"] * inverse, d["y"], sample_weight=None if d["w"] is None else w)
    return objective(d, model.coef_ * inverse, model.intercept_, reg, alpha, standardization)


def case(name, reg, alpha, standardization=True, fit_intercept=True):
    return name, reg, alpha, standardization, fit_intercept


cases = [
    case(name, reg, alpha, standardization, fit_intercept)
    for name in data
    if name not in ("constant label", "label 0")
    for reg, alpha in [(0.5, 0.0), (0.3, 1.0), (0.4, 0.5)]
    for standardization in (True, False)
    for fit_intercept in (True, False)
]
cases += [case("dense", 0.0, 0.0), case("dense weighted", 0.0, 0.5), case("sparse", 0.0, 0.0, fit_intercept=False)]
cases += [case("dense", 50.0, 1.0), case("constant column", 0.0, 0.0), case("constant label", 0.1, 0.5)]
cases += [case("constant label", 0.0, 0.0, fit_intercept=False), case("label 0", 0.1, 0.0, fit_intercept=False)]

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
warnings.simplefilter("ignore")
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
spark = spark.config("spark.ui.showConsoleProgress", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
frames = {}
for name, d in data.items():
    weights = np.ones(len(d["y"])) if d["w"] is None else d["w"]
    rows = [(float(y), float(w), Vectors.dense(x)) for x, y, w in zip(d["x"], d["y"], weights)]
    frames[name] = spark.createDataFrame(rows, ["label", "weight", "features"]).coalesce(1).cache()

solved = []
for name, *settings in cases:
    d = data[name]
    golden = {
        "data": name,
        **dict(zip(["reg_param", "elastic_net_param", "standardization", "fit_intercept"], settings)),
        "spark": spark_solution(frames[name], d, *settings),
        "scikit_learn_objective": scikit_learn_objective(d, *settings),
    }
    print(name, settings, golden["spark"]["objective"], golden["scikit_learn_objective"], flush=True)
    solved.append(golden)

goldens = {
    "data": {
        name: {
            "features": d["x"].shape[1],
            "rows": [[[j, float(v)] for j, v in enumerate(row) if v != 0] for row in d["x"]],
            "labels": d["y"].tolist(),
            "weights": None if d["w"] is None else d["w"].tolist(),
        }
        for name, d in data.items()
    },
    "cases": solved,
}
Path(__file__).with_name("linear.json").write_text(json.dumps(goldens, separators=(",", ":")) + "\n")
