"""What the tests of whole evaluations share."""

from __future__ import annotations

from functools import partial

import pytest

from metaconf.evaluation import tables


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty resamples instead of a thousand, which are most of the time of a small evaluation: for
    tests that look at no interval; those of tables, comparisons and metrics do."""
    monkeypatch.setattr(tables, "tables", partial(tables.tables, replicates=50))
