"""Cross-fitted logistic regression on graded labels, against scikit-learn called step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from metaconf.metrics.logistic import GradedLogistic, cross_fitted


def data(graded: bool, n: int = 200) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 12))
    y = (x[:, 0] + rng.normal(size=n) > 0).astype(float)
    if graded:
        y = np.clip(y + 0.3 * rng.normal(size=n), 0, 1)
    return x, y, [f"q{i // 4}" for i in range(n)]


def by_hand(x: np.ndarray, y: np.ndarray, scale: bool, others: np.ndarray) -> np.ndarray:
    """Each row twice, as a right answer of weight y and as a wrong one of weight 1 − y."""
    x, classes, weights = np.concatenate([x, x]), np.repeat([1, 0], len(y)), [*y, *(1 - y)]
    kept = np.array(weights) > 0
    scaler = StandardScaler().fit(x[kept]) if scale else None
    fitted = LogisticRegression(C=0.5, max_iter=500).fit(
        scaler.transform(x[kept]) if scaler else x[kept], classes[kept], np.array(weights)[kept]
    )
    return fitted.predict_proba(scaler.transform(others) if scaler else others)[:, 1]


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_the_predictions_are_those_of_a_loop_over_the_folds(graded: bool, scale: bool) -> None:
    x, y, groups = data(graded)
    wanted = np.zeros(len(y))
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(x, groups=groups):
        assert not {groups[i] for i in train} & {groups[i] for i in test}
        wanted[test] = by_hand(x[train], y[train], scale, x[test])
    estimator = GradedLogistic(C=0.5, standardize=scale)
    assert np.abs(cross_fitted(estimator, x, y, groups) - wanted).max() < 1e-9
    assert wanted.std() > 0.1


def test_sparse_features_give_the_same() -> None:
    x, y, groups = data(graded=True)
    dense, sparse = (
        cross_fitted(GradedLogistic(C=0.5), kind(x), y, groups) for kind in (np.array, csr_matrix)
    )
    assert sparse == pytest.approx(dense, abs=1e-4)


def test_a_row_without_a_label_is_predicted_and_changes_no_fit() -> None:
    x, y, groups = data(graded=True)
    alone = cross_fitted(GradedLogistic(standardize=True), x, y, groups)
    more, labels = np.concatenate([x, 9 * x[::-1]]), np.concatenate([y, np.full(len(y), np.nan)])
    found = cross_fitted(GradedLogistic(standardize=True), more, labels, groups + groups[::-1])
    assert found[: len(y)] == pytest.approx(alone, abs=1e-12)
    assert not np.isnan(found).any()
    assert np.corrcoef(found[len(y) :], x[::-1, 0])[0, 1] > 0.5


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_class_gives_that_label(value: float) -> None:
    labels: Any = np.array([value, value, np.nan])
    found = GradedLogistic().fit(np.ones((3, 2)), labels).predict(np.zeros((4, 2)))
    assert found == pytest.approx([value] * 4)


def test_fewer_groups_than_folds_are_refused() -> None:
    x, y, _ = data(graded=False)
    with pytest.raises(ValueError, match="n_splits=5"):
        cross_fitted(GradedLogistic(), x[:8], y[:8], ["a", "b", "c", "d"] * 2)
