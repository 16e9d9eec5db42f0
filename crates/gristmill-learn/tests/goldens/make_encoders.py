"""Writes encoders.json: what scikit-learn makes of the inputs that the encoder tests use.

Run by hand when an input is added:  pip install scikit-learn && python make_encoders.py
"""

import json
import math
import pathlib
from collections import Counter

import numpy as np
import sklearn
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

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
                        "text": text,
                        "ngrams": dict(sorted(counts.items())),
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


goldens = {
    "scikit_learn": sklearn.__version__,
    "ngrams": list(ngram_cases()),
    "l2": list(l2_cases()),
    "buckets": list(bucket_cases()),
    "numeric": list(numeric_cases()),
}
path = pathlib.Path(__file__).with_name("encoders.json")
path.write_text(json.dumps(goldens, ensure_ascii=True, separators=(",", ":")) + "\n")
