"""Writes training.json: small problems with the solutions that scikit-learn finds.

    pip install scikit-learn==1.9.1 && python make_training.py

scikit-learn minimises C * sum(loss) + |w|²/2, which has its minimum where mean(loss) + reg/2 * |w|² has, with
C = 1 / (reg * n). Standardisation divides each feature by its unbiased standard deviation, without centring;
the coefficients are given in the units of the raw features, softmax intercepts with mean 0.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

rng = np.random.default_rng(7)


def problem(name, rows, features, classes, density, reg, standardization, constant=False):
    x = rng.normal(size=(rows, features)) * (rng.random((rows, features)) < density)
    x *= np.exp(rng.normal(size=features))
    if constant:
        x[:, 0] = 2.5
    x = x.astype(np.float32).astype(np.float64)
    truth = rng.normal(size=(features, classes))
    y = np.array([rng.choice(classes, p=p) for p in softmax(x @ truth + rng.normal(size=classes))])
    deviation = x.std(axis=0, ddof=1)
    scale = np.where(deviation > 0, deviation, np.inf) if standardization else np.where(deviation > 0, 1.0, np.inf)
    model = LogisticRegression(C=1 / (reg * rows), tol=1e-12, max_iter=100_000, solver="lbfgs")
    model.fit(x / scale, y)
    coefficients = model.coef_ / scale
    intercepts = model.intercept_ - (model.intercept_.mean() if classes > 2 else 0)
    margins = x @ coefficients.T + intercepts
    if classes == 2:
        margins = np.hstack([np.zeros((rows, 1)), margins])
    loss = -np.log(softmax(margins)[np.arange(rows), y]).mean()
    return {
        "name": name,
        "classes": classes,
        "features": features,
        "reg_param": reg,
        "standardization": standardization,
        "rows": [[[j, float(v)] for j, v in enumerate(row) if v != 0] for row in x],
        "labels": y.tolist(),
        "coefficients": coefficients.T.tolist(),
        "intercepts": intercepts.tolist(),
        "objective": loss + reg / 2 * float((model.coef_**2).sum()),
    }


def softmax(margins):
    e = np.exp(margins - margins.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


problems = [
    problem("binomial", 120, 5, 2, 1.0, 0.01, True),
    problem("binomial, raw units", 120, 5, 2, 0.6, 0.05, False),
    problem("multinomial", 200, 6, 4, 0.5, 0.01, True),
    problem("multinomial, raw units", 200, 6, 4, 0.5, 0.02, False),
    problem("constant feature", 150, 4, 3, 0.8, 0.01, True, constant=True),
]
Path(__file__).with_name("training.json").write_text(json.dumps(problems, separators=(",", ":")) + "\n")
