"""The libraries that others use, where they are installed and valid: binary and off the edges."""

from __future__ import annotations

import numpy as np
import pytest

from metaconf import metrics as m

RNG = np.random.default_rng(3)
C = RNG.random(2000)
Y = (RNG.random(2000) < C**1.5).astype(int)


def test_netcal_ece():
    netcal = pytest.importorskip("netcal.metrics")
    for bins in (10, 15):
        assert m.ece(C, Y, bins=bins) == pytest.approx(netcal.ECE(bins).measure(C, Y), abs=1e-9)


def test_torchmetrics_ece():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    theirs = functional.binary_calibration_error(
        torch.tensor(C, dtype=torch.float64), torch.tensor(Y), n_bins=15
    )
    assert m.ece(C, Y) == pytest.approx(float(theirs), abs=1e-9)


def test_relplot_smooth_ece():
    """relplot stops its search for the bandwidth at 1/1024.

    It also gives half their weight to replies at exactly 0 and 1 (its mirror image holds the end
    points once), so only confidences between them are comparable.
    """
    relplot = pytest.importorskip("relplot")
    for c in (C, np.clip(np.round(C, 1), 0.1, 0.9)):
        assert m.compute("smooth_ece", c, Y) == pytest.approx(relplot.smECE(c, Y), abs=2e-3)
