"""Signs in a batch's confidences."""

from __future__ import annotations

import numpy as np
import pytest

from metaconf.rewards.audit import replies
from metaconf.rewards.confidence_stats import confidence_stats
from metaconf.rewards.recipe import RolloutBatch

NAN = float("nan")


def batch(confidence: list[float], correctness: list[float]) -> RolloutBatch:
    one = replies(correctness, 0.0)
    return RolloutBatch(
        one.correctness, np.array(confidence), one.well_formed, one.quality, one.group
    )


def test_share_and_number_of_levels() -> None:
    found = confidence_stats(batch([0.3, 0.3, 0.3, 0.8, NAN], [1, 0, 1, 1, 0]))
    assert found == {}  # four are too few
    assert len(confidence_stats(batch([0.3, 0.3, 0.3, 0.8, 0.8], [1.0] * 5))) == 2  # five are not
    found = confidence_stats(batch([0.3] * 6 + [0.8] * 2 + [NAN] * 4, [1.0] * 12))
    assert found["confidence/mode_fraction"] == pytest.approx(0.75)
    assert found["confidence/effective_levels"] == pytest.approx(1 / (0.75**2 + 0.25**2))
    assert "confidence/right_at_0" not in found


def test_how_often_those_that_say_zero_are_right() -> None:
    found = confidence_stats(batch([0.0] * 7 + [1.0], [1, 0, 0, 0, 1, NAN, NAN, 1]))
    assert found["confidence/right_at_0"] == pytest.approx(0.4)
