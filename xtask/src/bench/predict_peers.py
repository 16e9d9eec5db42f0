"""What `cargo xtask bench predict` needs of Python: predict_peers.py TASK ARGUMENT… writes one JSON object to its last argument.

data CASE ROWS FILE OUTPUT: rows of the case as Parquet.
sklearn|onnx|spark CASE TRAIN ASK ANSWERS ROUNDS OUTPUT: a model of TRAIN asked for the rows of ASK; the median of the seconds from
the file ASK to the file ANSWERS, with the class of each row and its probability.
"""

import json
import statistics
import sys
import time

CLASSES = {"1": 3, "2": 176}
NUMBERS, WORDS = ["size", "year"], ["kind", "language"]


def data(case, rows, file):
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(int(rows))
    rows, classes = int(rows), CLASSES[case]
    country = rng.integers(0, classes, rows)
    names = np.array([f"country {number:03}" for number in range(classes)])
    columns = {"id": np.arange(rows), "country": names[country]}
    if case == "1":
        columns["kind"] = np.array(["person", "group", "other"])[(country + (rng.random(rows) < 0.2)) % 3]
        columns["language"] = np.array([f"l{number}" for number in range(40)])[(country * 13 + rng.integers(0, 20, rows)) % 40]
        columns["size"] = rng.normal(country, 2.0, rows)
        columns["year"] = rng.integers(1900, 2020, rows).astype(float)
    else:
        syllables = np.array([a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ["", "n", "r", "s"]])
        parts = [syllables[(country * 7 + rng.integers(0, 60, rows)) % len(syllables)] for _ in range(4)]
        columns["name"] = np.char.add(np.char.add(parts[0], parts[1]), np.char.add(parts[2], parts[3]))
    pq.write_table(pa.table(columns), file, row_group_size=131072)
    return {"rows": rows}


def timed(rounds, work):
    seconds = []
    for _ in range(int(rounds)):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds)}


def fitted(case, train):
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = pd.read_parquet(train)
    if case == "1":
        encode = ColumnTransformer(
            [("words", OneHotEncoder(handle_unknown="ignore"), WORDS), ("numbers", StandardScaler(), NUMBERS)]
        )
    else:
        hashed = HashingVectorizer(analyzer="char", ngram_range=(1, 3), n_features=2**18, norm=None, alternate_sign=False)
        encode = ColumnTransformer([("name", hashed, "name")])
    # The coefficients of 176 classes and their corrections are some 7 GB while they are fitted; asked, both are one product.
    learner = LogisticRegression(max_iter=5) if case == "1" else MultinomialNB()
    return make_pipeline(encode, learner).fit(rows, rows["country"])


def write(rows, classes, probabilities, answers):
    import numpy as np

    best = probabilities.argmax(axis=1)
    rows["prediction"] = np.asarray(classes)[best]
    rows["probability"] = probabilities[np.arange(len(best)), best]
    rows.to_parquet(answers, compression="zstd")


def sklearn(case, train, ask, answers, rounds):
    import pandas as pd

    model = fitted(case, train)

    def work():
        rows = pd.read_parquet(ask)
        write(rows, model.classes_, model.predict_proba(rows), answers)

    return timed(rounds, work)


def onnx(case, train, ask, answers, rounds):
    import onnxruntime
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    model = fitted(case, train)
    types = [(name, StringTensorType([None, 1])) for name in WORDS] + [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    graph = to_onnx(model, initial_types=types, options={id(model): {"zipmap": False}})
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])

    def work():
        rows = pd.read_parquet(ask)
        feed = {name: rows[[name]].to_numpy(dtype=object if name in WORDS else "float32") for name in WORDS + NUMBERS}
        write(rows, model.classes_, session.run(None, feed)[1], answers)

    return timed(rounds, work)


def spark(case, train, ask, answers, rounds):
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression, NaiveBayes
    from pyspark.ml.feature import HashingTF, IndexToString, NGram, OneHotEncoder, RegexTokenizer, StringIndexer, VectorAssembler
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[2]").config("spark.driver.memory", "4g").config("spark.ui.enabled", "false").getOrCreate()
    rows = session.read.parquet(train)
    label = StringIndexer(inputCol="country", outputCol="label").fit(rows)
    if case == "1":
        index = StringIndexer(inputCols=WORDS, outputCols=[n + "_i" for n in WORDS], handleInvalid="keep")
        one_hot = OneHotEncoder(inputCols=[n + "_i" for n in WORDS], outputCols=[n + "_o" for n in WORDS])
        together = VectorAssembler(inputCols=[n + "_o" for n in WORDS] + NUMBERS, outputCol="features")
        encode = [index, one_hot, together]
    else:
        letters = RegexTokenizer(inputCol="name", outputCol="letters", pattern="", gaps=True)
        grams = [NGram(n=n, inputCol="letters", outputCol=f"g{n}") for n in (1, 2, 3)]
        hashed = [HashingTF(inputCol=f"g{n}", outputCol=f"h{n}", numFeatures=2**17) for n in (1, 2, 3)]
        together = VectorAssembler(inputCols=["h1", "h2", "h3"], outputCol="features")
        encode = [letters, *grams, *hashed, together]
    # As above.
    learner = LogisticRegression(maxIter=5) if case == "1" else NaiveBayes()
    answer = IndexToString(inputCol="prediction", outputCol="class", labels=label.labels)
    model = Pipeline(stages=[*encode, learner, answer]).fit(label.transform(rows))

    def work():
        answered = model.transform(session.read.parquet(ask)).select("id", "class", "probability")
        answered.write.mode("overwrite").parquet(answers + ".spark")

    result = timed(rounds, work)
    session.stop()
    return result


task, *arguments, output = sys.argv[1:]
result = globals()[task](*arguments)
with open(output, "w") as file:
    json.dump(result, file)
