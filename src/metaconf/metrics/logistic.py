"""Logistic regression on graded labels, and its cross-fitted predictions.

Imported where it is used, not by `metaconf.metrics`: scikit-learn takes a second to import.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from metaconf.metrics.arrays import Array


class GradedLogistic(RegressorMixin, BaseEstimator):
    """Predicts the probability that an answer is right; a scikit-learn regressor.

    `fit(x, y)` takes features x (n, F), dense or sparse, and labels y (n,) in [0, 1]. A label of
    0.3 counts as 0.3 of a right and 0.7 of a wrong answer (sample weights). Rows whose label is NaN
    are left out. `predict(x)` returns probabilities (n,); where all labels are 0, or all are 1, it
    returns that label. `C` is the inverse penalty of scikit-learn's LogisticRegression;
    `standardize` scales the columns first (dense features only).
    """

    def __init__(self, C: float = 1.0, standardize: bool = False, max_iter: int = 500):
        self.C, self.standardize, self.max_iter = C, standardize, max_iter

    def fit(self, x: Any, y: Array) -> GradedLogistic:
        rows, classes, weights = _as_classes(y)
        self.constant_ = None if len(set(classes)) == 2 else float(np.nanmean(y))
        if self.constant_ is None:
            scaler = StandardScaler() if self.standardize else "passthrough"
            classifier = LogisticRegression(C=self.C, max_iter=self.max_iter)
            self.model_ = make_pipeline(scaler, classifier)
            self.model_.fit(x[rows], classes, logisticregression__sample_weight=weights)
        return self

    def predict(self, x: Any) -> Array:
        if self.constant_ is not None:
            return np.full(x.shape[0], self.constant_)
        return self.model_.predict_proba(x)[:, 1]


def cross_fitted(
    estimator: GradedLogistic, x: Any, y: Array, groups: Sequence[Hashable], folds: int = 5
) -> Array:
    """Out-of-fold probabilities (n,) for features x (n, F) and labels y (n,).

    Rows of one group share a fold, so that no row is predicted by a model that was fitted on a
    label of its group. Rows whose label is NaN are predicted and take no part in fitting. Raises
    ValueError for fewer groups than folds.
    """
    split = GroupKFold(folds, shuffle=True, random_state=0)
    return cross_val_predict(estimator, x, y, groups=list(groups), cv=split)  # pyright: ignore


def _as_classes(labels: Array) -> tuple[NDArray[np.intp], NDArray[np.int64], Array]:
    """Graded labels (n,) in [0, 1] as what a classifier takes: (row, class 1 or 0, weight), each
    label as that share of a right answer and the rest of a wrong one; weights of 0 left out."""
    rows = np.tile(np.arange(len(labels)), 2)
    classes = np.repeat([1, 0], len(labels))
    weights = np.concatenate([labels, 1 - labels])
    kept = weights > 0
    return rows[kept], classes[kept], weights[kept]
