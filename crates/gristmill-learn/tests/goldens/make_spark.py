"""Writes spark.json: small problems with the solutions that Spark ML and scikit-learn find for them.

    pip install pyspark==3.5.5 scikit-learn==1.9.1 && python make_spark.py        # needs Java 17

Spark minimises mean(loss) + reg * (1 - alpha) / 2 * |w|² + reg * alpha * |w|₁, where `w` are the coefficients of the
features divided by their (weighted, unbiased) standard deviation, or with standardization = false those of the raw
ones. scikit-learn minimises C * sum(loss) + (1 - alpha) / 2 * |w|² + alpha * |w|₁ over whatever features it is given: the
same problem with C = 1 / (reg * sum of weights). Both objectives are computed here, by one function.

Naive Bayes is given the same rows with the signs taken away. scikit-learn does not smooth the priors, Spark does.
"""

import json
import os
import warnings
from pathlib import Path

import numpy as np
from pyspark.ml.classification import LogisticRegression as SparkLogisticRegression
from pyspark.ml.classification import NaiveBayes
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

rng = np.random.default_rng(11)


def softmax(margins):
    e = np.exp(margins - margins.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def rounded(x):
    """Eighths: short in JSON, exact in single precision."""
    return np.round(np.asarray(x) * 8) / 8


def data_set(rows, features, classes, density=1.0, units=0.0, weighted=False, change=lambda x: x):
    x = rng.normal(size=(rows, features)) * (rng.random((rows, features)) < density)
    x = change(rounded(x * np.exp(units * rng.normal(size=features))))
    spread = x.std(axis=0)[:, None]
    truth = rng.normal(size=(features, classes)) / np.where(spread > 0, spread, np.inf)
    probabilities = softmax(x @ truth + rng.normal(size=classes))
    y = np.array([rng.choice(classes, p=p) for p in probabilities])
    w = rng.integers(0, 17, size=rows) / 4 if weighted else None
    return {"x": x, "y": y, "w": w, "classes": classes}


def collinear(x):
    x[:, 3] = x[:, 0]
    x[:, 4] = x[:, 1] - x[:, 2]
    return x


def constant(x):
    x[:, 0] = 2.5
    return x


data = {
    "binary dense": data_set(200, 6, 2),
    "binary sparse": data_set(220, 12, 2, density=0.25),
    "multinomial dense": data_set(200, 4, 4, units=0.5),
    "multinomial sparse": data_set(240, 9, 5, density=0.3),
    "collinear": data_set(180, 5, 2, change=collinear),
    "constant column": data_set(180, 4, 3, density=0.8, change=constant),
    "binary weighted": data_set(180, 5, 2, units=0.7, weighted=True),
    "multinomial weighted": data_set(200, 5, 3, density=0.5, weighted=True),
}


def deviation(x, w):
    total = w.sum()
    centred = (w[:, None] * (x - (w @ x) / total) ** 2).sum(axis=0)
    return np.sqrt(centred / (total - (w**2).sum() / total))


def objective(d, coefficients, intercepts, reg, alpha, standardization):
    """`coefficients` are features × sets."""
    w = np.ones(len(d["y"])) if d["w"] is None else d["w"]
    margins = d["x"] @ coefficients + intercepts
    if margins.shape[1] == 1:
        margins = np.hstack([np.zeros((len(margins), 1)), margins])
    loss = w @ -np.log(softmax(margins)[np.arange(len(w)), d["y"]]) / w.sum()
    scaled = coefficients * (deviation(d["x"], w)[:, None] if standardization else 1.0)
    return float(loss + reg * (1 - alpha) / 2 * (scaled**2).sum() + reg * alpha * np.abs(scaled).sum())


def spark_solution(frame, d, reg, alpha, standardization, fit_intercept, family):
    model = SparkLogisticRegression(
        regParam=reg,
        elasticNetParam=alpha,
        standardization=standardization,
        fitIntercept=fit_intercept,
        family=family,
        tol=1e-13,
        maxIter=10_000,
        **({"weightCol": "weight"} if d["w"] is not None else {}),
    ).fit(frame)
    coefficients = model.coefficientMatrix.toArray().T
    intercepts = model.interceptVector.toArray()
    value = objective(d, coefficients, intercepts, reg, alpha, standardization)
    history = model.summary.objectiveHistory
    assert abs(value - history[-1]) < 1e-9 * value, (value, history[-1])
    return {
        "objective": value,
        "coefficients": coefficients.tolist(),
        "intercepts": intercepts.tolist(),
    }


def scikit_learn_objective(d, reg, alpha, standardization, fit_intercept, family):
    if family == "multinomial" and d["classes"] == 2:
        return None
    w = np.ones(len(d["y"])) if d["w"] is None else d["w"]
    spread = deviation(d["x"], w)
    # A constant feature has coefficient 0 in Spark.
    inverse = np.where(spread > 0, 1 / np.where(spread > 0, spread if standardization else 1.0, 1.0), 0.0)
    model = LogisticRegression(
        C=1 / (reg * w.sum()) if reg > 0 else np.inf,
        l1_ratio=alpha,
        solver="saga" if alpha > 0 else "lbfgs",
        fit_intercept=fit_intercept,
        tol=1e-11,
        max_iter=200_000,
        random_state=0,
    ).fit(d["x"] * inverse, d["y"], sample_weight=w)
    coefficients = model.coef_.T * inverse[:, None]
    return objective(d, coefficients, model.intercept_, reg, alpha, standardization)


def case(name, reg, alpha, standardization=True, fit_intercept=True, family="auto"):
    return name, reg, alpha, standardization, fit_intercept, family


cases = [
    case("binary dense", 0.02, 0.0),
    case("binary dense", 0.05, 1.0),
    case("binary dense", 0.0, 0.0),
    case("binary dense", 0.1, 0.5, fit_intercept=False),
    case("binary dense", 0.05, 0.0, family="multinomial"),
    case("binary sparse", 0.02, 1.0),
    case("binary sparse", 0.02, 0.3, standardization=False),
    case("multinomial dense", 0.01, 0.0),
    case("multinomial dense", 0.0, 0.0),
    case("multinomial dense", 0.02, 0.5, standardization=False),
    case("multinomial sparse", 0.01, 1.0),
    case("multinomial sparse", 0.01, 0.5),
    case("multinomial sparse", 0.02, 0.0, standardization=False),
    case("multinomial sparse", 0.02, 0.2, fit_intercept=False),
    case("collinear", 0.05, 0.0),
    case("collinear", 0.05, 0.5),
    case("constant column", 0.01, 0.0),
    case("constant column", 0.02, 0.8),
    case("constant column", 0.02, 0.0, fit_intercept=False),
    case("binary weighted", 0.02, 0.0),
    case("binary weighted", 0.05, 0.5),
    case("binary weighted", 0.02, 1.0, standardization=False),
    case("multinomial weighted", 0.01, 0.0),
    case("multinomial weighted", 0.02, 0.5),
]

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
        **dict(zip(["reg_param", "elastic_net_param", "standardization", "fit_intercept", "family"], settings)),
        "spark": spark_solution(frames[name], d, *settings),
        "scikit_learn_objective": scikit_learn_objective(d, *settings),
    }
    print(name, settings, golden["spark"]["objective"], golden["scikit_learn_objective"])
    solved.append(golden)

bayes = []
for name, smoothing in [("binary sparse", 1.0), ("multinomial sparse", 0.5), ("multinomial weighted", 1.0)]:
    d = data[name]
    w = np.ones(len(d["y"])) if d["w"] is None else d["w"]
    rows = [(float(y), float(w), Vectors.dense(np.abs(x))) for x, y, w in zip(d["x"], d["y"], w)]
    frame = spark.createDataFrame(rows, ["label", "weight", "features"]).coalesce(1)
    model = NaiveBayes(modelType="multinomial", smoothing=smoothing, weightCol="weight").fit(frame)
    theta = model.theta.toArray()
    theirs = MultinomialNB(alpha=smoothing).fit(np.abs(d["x"]), d["y"], sample_weight=w).feature_log_prob_
    assert np.abs(theta - theirs).max() < 1e-12
    bayes.append({"data": name, "smoothing": smoothing, "theta": theta.T.tolist(), "pi": model.pi.toArray().tolist()})

goldens = {
    "data": {
        name: {
            "classes": d["classes"],
            "features": d["x"].shape[1],
            "rows": [[[j, float(v)] for j, v in enumerate(row) if v != 0] for row in d["x"]],
            "labels": d["y"].tolist(),
            "weights": None if d["w"] is None else d["w"].tolist(),
        }
        for name, d in data.items()
    },
    "logistic_regression": solved,
    "naive_bayes": bayes,
}
Path(__file__).with_name("spark.json").write_text(json.dumps(goldens, separators=(",", ":")) + "\n")
