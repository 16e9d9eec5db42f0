"""Writes encoders.json: what scikit-learn makes of the inputs that the encoder tests use.

Run by hand when an input is added:  pip install scikit-learn && python make_encoders.py
"""

import datetime
import json
import math
import pathlib
import sys
import unicodedata
from collections import Counter

import numpy as np
import sklearn
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    MultiLabelBinarizer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

TEXTS = [
    "",
    " ",
    "a",
    "ab",
    "Ann Lee",
    "  Ann   Lee ",
    "tab\tand\nline",
    "tab\t\tand\r\nline",
    "Björk Guðmundsdóttir",
    "ΟΔΥΣΣΕΥΣ ΣΑΣ",
    "İstanbul IŞIK",
    "ß ﬁ Ǆ",
    "坂本 龍一",
    "坂本\u3000\u3000龍一",
    "no\u00a0break\u2003em",
    "sep\u001ca\u001d\u001eb",
    "🎷 sax 🎷🎷",
    "e\u0301cole",
    "'Til \"quoted\" (x)",
]
RANGES = [(1, 1), (1, 3), (2, 4), (5, 5)]
# Texts that a form of Unicode changes, and words of scripts whose vowels are marks.
NORMALIZED = [
    "e\u0301cole ÉCOLE E\u0301COLE",
    "J\u030cAN \u01f0an",
    "ﬁn ①② ＡＢＣ ℡ ½",
    "हिन्दी भाषा का",
    "നന്\u200d ക്\u200cഷ",
    "สวัสดี ชาวโลก",
    "AC/DC, Guns N\u2019 Roses & co. (1985) snake_case",
]
# `\w` of Python has no marks and no joiners; that of UTS #18 has.
MARKS = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] == "M")
WORD = f"(?u)[\\w\u200c\u200d{MARKS}]+"


def ngram_cases():
    for analyzer in ["char", "char_wb"]:
        for ngram_range in RANGES:
            for lowercase in [True, False]:
                vectorizer = CountVectorizer(analyzer=analyzer, ngram_range=ngram_range, lowercase=lowercase)
                analyze = vectorizer.build_analyzer()
                for text in TEXTS:
                    # HashingVectorizer uses this same analyzer.
                    hashing = HashingVectorizer(
                        analyzer=analyzer, ngram_range=ngram_range, lowercase=lowercase,
                        alternate_sign=False, norm=None,
                    )
                    counts = Counter(analyze(text))
                    assert math.isclose(hashing.transform([text]).sum(), sum(counts.values()))
                    yield {
                        "analyzer": analyzer,
                        "range": ngram_range,
                        "lowercase": lowercase,
                        "normalize": "none",
                        "text": text,
                        "ngrams": dict(sorted(counts.items())),
                    }


def preprocessor(form, lowercase):
    normal = (lambda text: text) if form == "none" else (lambda text: unicodedata.normalize(form.upper(), text))
    return (lambda text: normal(normal(text).lower())) if lowercase else normal


def normalized_cases():
    """Words, and characters after a form of Unicode."""
    for analyzer, ngram_range in [("word", (1, 1)), ("word", (1, 3)), ("word", (2, 2)), ("char", (1, 2))]:
        for form in ["none", "nfc", "nfkc"]:
            for lowercase in [True, False]:
                analyze = CountVectorizer(
                    analyzer=analyzer, ngram_range=ngram_range, token_pattern=WORD,
                    preprocessor=preprocessor(form, lowercase),
                ).build_analyzer()
                for text in TEXTS + NORMALIZED:
                    yield {
                        "analyzer": analyzer,
                        "range": ngram_range,
                        "lowercase": lowercase,
                        "normalize": form,
                        "text": text,
                        "ngrams": dict(sorted(Counter(analyze(text)).items())),
                    }


def weighting_cases():
    """The value of each bucket of each row, of the rows that the document frequencies are of."""
    texts = ["the cat the hat", "the dog", "", "a cat a cat a cat", "dog dog dog dog", "the the"]
    for analyzer, ngram_range in [("word", (1, 2)), ("char_wb", (1, 3))]:
        for weighting, sublinear, smooth in [
            ("tf", False, True),
            ("tf", True, True),
            ("binary", False, True),
            ("tf_idf", False, True),
            ("tf_idf", True, True),
            ("tf_idf", False, False),
            ("tf_idf", True, False),
        ]:
            for norm in ["l2", "none"]:
                counts = HashingVectorizer(
                    analyzer=analyzer, ngram_range=ngram_range, token_pattern=WORD, n_features=2**18,
                    alternate_sign=False, norm=None, binary=weighting == "binary",
                ).transform(texts)
                weights = TfidfTransformer(
                    use_idf=weighting == "tf_idf", smooth_idf=smooth, sublinear_tf=sublinear,
                    norm=None if norm == "none" else norm,
                )
                if weighting == "tf_idf" and not smooth:
                    # It divides by the rows of buckets that no row fills.
                    with np.errstate(divide="ignore"):
                        rows = weights.fit_transform(counts)
                else:
                    rows = weights.fit_transform(counts)
                rows = [sorted(zip(row.col.tolist(), row.data.tolist())) for row in map(lambda row: row.tocoo(), rows)]
                yield {
                    "analyzer": analyzer, "range": ngram_range, "weighting": weighting, "sublinear_tf": sublinear,
                    "smooth_idf": smooth, "norm": norm, "texts": texts, "rows": rows,
                }


def l2_cases():
    """Sorted values of L2-normalised rows: equal to ours as long as no two n-grams share a bucket."""
    for text in ["Ann Lee", "banana", "Björk"]:
        vectorizer = HashingVectorizer(
            analyzer="char", ngram_range=(1, 3), n_features=2**20, alternate_sign=False, norm="l2"
        )
        yield {"text": text, "values": sorted(vectorizer.transform([text]).data.tolist())}


def bucket_cases():
    """The buckets of a text's n-grams and how many fall into each: those of HashingVectorizer, which hashes with murmur3."""
    for bits in [1, 8, 18, 24]:
        hashing = HashingVectorizer(
            analyzer="char", ngram_range=(1, 5), n_features=2**bits, alternate_sign=False, norm=None
        )
        for text in TEXTS:
            row = hashing.transform([text]).tocoo()
            counts = sorted(zip(row.col.tolist(), map(int, row.data.tolist())))
            yield {"bits": bits, "text": text, "buckets": counts}


def numeric_cases():
    nan = None
    columns = [
        [1.0, 2.0, 3.0, 4.0, 10.0],
        [1.0, nan, 3.0, nan, 10.0],
        [-1e6, 1e-3, nan, 7.0, 2.5, 2.5, 1e6],
        [5.0, 5.0, nan, 5.0],
        [1e9 + 1, 1e9 + 2, nan, 1e9 + 4],
    ]
    for values in columns:
        for impute in ["mean", "median", "constant"]:
            imputer = SimpleImputer(strategy=impute, fill_value=2.0 if impute == "constant" else None)
            x = np.array([[np.nan if v is None else v] for v in values])
            filled = imputer.fit_transform(x)
            scaled = StandardScaler().fit_transform(filled)[:, 0]
            # scikit-learn divides by the population's deviation, Spark ML (and this crate) by the sample's.
            n = len(values)
            yield {
                "values": values,
                "impute": impute,
                "filled": filled[:, 0].tolist(),
                "scaled": (scaled * math.sqrt((n - 1) / n)).tolist(),
            }


def scaling_cases():
    """Imputed, then transformed, then scaled."""
    nan = None
    columns = [
        [1.0, 2.0, 3.0, 4.0, 10.0],
        [1.0, nan, 3.0, nan, 10.0, -7.5],
        [-1e6, 1e-3, nan, 7.0, 2.5, 2.5, 1e6],
        [5.0, 5.0, nan, 5.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 9.0, -1.0],
    ]
    transforms = {
        "none": lambda x: x,
        "log1p": lambda x: np.sign(x) * np.log1p(np.abs(x)),
        "sqrt": lambda x: np.sign(x) * np.sqrt(np.abs(x)),
    }
    scalers = {"min_max": MinMaxScaler, "max_abs": MaxAbsScaler, "robust": RobustScaler}
    for values in columns:
        for impute in ["mean", "constant"]:
            imputer = SimpleImputer(
                strategy=impute, fill_value=2.0 if impute == "constant" else None, add_indicator=True
            )
            x = np.array([[np.nan if v is None else v] for v in values])
            filled = imputer.fit_transform(x)
            for transform, of in transforms.items():
                for scale, scaler in scalers.items():
                    yield {
                        "values": values,
                        "impute": impute,
                        "transform": transform,
                        "scale": scale,
                        "scaled": scaler().fit_transform(of(filled[:, :1]))[:, 0].tolist(),
                        # Without missing values scikit-learn has no such column.
                        "missing": filled[:, 1].tolist() if filled.shape[1] > 1 else [0.0] * len(values),
                    }


def hash_cases():
    """The bucket of each row; of several columns the JSON list of their values is hashed."""
    columns = [["Wien", "Zürich", "日本", "", "a\"b\\", "Wien"], ["bar", "x", "", "y", "\u0001é", "bar"]]
    for bits in [1, 8, 18, 24]:
        hashing = FeatureHasher(n_features=2**bits, input_type="string", alternate_sign=False)
        for used in [columns[:1], columns]:
            rows = list(zip(*used))
            texts = [row[0] if len(row) == 1 else json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
            buckets = [hashing.transform([[text]]).indices.tolist()[0] for text in texts]
            yield {"bits": bits, "rows": rows, "buckets": buckets}


def multi_hot_cases():
    """The categories in the order of ours, by frequency and then by value, and the row of each text."""
    texts = ["rock, jazz", "jazz", "", " pop ,rock,,rock", "jazz,folk"]
    rows = [[part.strip() for part in text.split(",") if part.strip()] for text in texts]
    binarizer = MultiLabelBinarizer()
    matrix = binarizer.fit_transform(rows)
    names = binarizer.classes_.tolist()
    order = sorted(range(len(names)), key=lambda n: (-matrix[:, n].sum(), names[n]))
    yield {"texts": texts, "categories": [names[n] for n in order], "rows": matrix[:, order].tolist()}


def interval_cases():
    """The interval of each value."""
    rng = np.random.default_rng(7)
    for values in [list(range(1, 13)), rng.normal(size=57).round(2).tolist(), [0.0, 0.5, 2.0, 2.0, 8.0, -3.0, 1e6, 4.0]]:
        for bins in [2, 3, 5]:
            binner = KBinsDiscretizer(
                n_bins=bins, encode="ordinal", strategy="quantile", quantile_method="linear", subsample=None
            )
            x = np.array(values).reshape(-1, 1)
            yield {
                "values": [float(value) for value in values],
                "quantiles": bins,
                "intervals": binner.fit_transform(x)[:, 0].astype(int).tolist(),
                "bounds": binner.bin_edges_[0][1:-1].tolist(),
            }


def date_parts_cases():
    """Year, month, weekday, hour and elapsed days of instants, as the standard library has them."""
    moments = [
        datetime.datetime(1970, 1, 1), datetime.datetime(1969, 12, 31, 23, 59, 59), datetime.datetime(2000, 2, 29, 12),
        datetime.datetime(1900, 3, 1, 6, 30), datetime.datetime(1, 1, 1), datetime.datetime(2024, 12, 31, 0, 0, 1),
        datetime.datetime(1582, 10, 15), datetime.datetime(9999, 12, 31, 23),
    ]
    epoch = datetime.datetime(1970, 1, 1)

    def scaled(numbers):
        x = StandardScaler().fit_transform(np.array(numbers, dtype=float).reshape(-1, 1))[:, 0]
        return x * math.sqrt((len(numbers) - 1) / len(numbers))

    def circle(numbers, of):
        angles = [2 * math.pi * number / of for number in numbers]
        return [math.sin(angle) for angle in angles], [math.cos(angle) for angle in angles]

    days = [(moment - epoch) / datetime.timedelta(days=1) for moment in moments]
    columns = [
        scaled([moment.year for moment in moments]),
        *circle([moment.month - 1 for moment in moments], 12),
        *circle([moment.weekday() for moment in moments], 7),
        *circle([moment.hour for moment in moments], 24),
        scaled(days),
    ]
    yield {
        "micros": [(moment - epoch) // datetime.timedelta(microseconds=1) for moment in moments],
        "rows": [list(map(float, row)) for row in zip(*columns)],
    }


def target_cases():
    """The encoding of each row by all rows, minus the mean; classes by frequency, then by name, and of two the second."""
    values = ["a", "b", None, "a", "c", "b", "b", "a", None, "d", "a", "b"]
    numbers = [1.0, -2.5, 4.0, 3.0, 100.0, 0.0, 7.0, 1.0, 5.0, -6.0, 2.0, 2.0]
    two = ["n", "n", "y", "n", "y", "n", "y", "n", "n", "n", "y", "n"]
    three = ["x", "y", "x", "x", "z", "y", "x", "z", "x", "y", "x", "y"]
    x = np.array(values, dtype=object).reshape(-1, 1)
    for kind, labels in [("continuous", numbers), ("binary", two), ("multiclass", three)]:
        for smooth in [0.0, 2.5, 10.0]:
            encoder = TargetEncoder(target_type=kind, smooth=smooth)
            rows = encoder.fit(x, np.array(labels)).transform(x) - encoder.target_mean_
            classes = []
            if kind != "continuous":
                counts = Counter(labels)
                classes = sorted(counts, key=lambda label: (-counts[label], label))
            if kind == "multiclass":
                rows = rows[:, [encoder.classes_.tolist().index(label) for label in classes]]
            yield {
                "values": values, "numbers": labels if kind == "continuous" else [],
                "labels": [] if kind == "continuous" else labels,
                "classes": classes, "smooth": smooth, "rows": rows.tolist(),
            }


goldens = {
    "scikit_learn": sklearn.__version__,
    "ngrams": list(ngram_cases()) + list(normalized_cases()),
    "weighting": list(weighting_cases()),
    "l2": list(l2_cases()),
    "buckets": list(bucket_cases()),
    "numeric": list(numeric_cases()),
    "scaling": list(scaling_cases()),
    "hash": list(hash_cases()),
    "multi_hot": list(multi_hot_cases()),
    "bucket": list(interval_cases()),
    "date_parts": list(date_parts_cases()),
    "target": list(target_cases()),
}
path = pathlib.Path(__file__).with_name("encoders.json")
path.write_text(json.dumps(goldens, ensure_ascii=True, separators=(",", ":")) + "\n")
