"""The exact score of the confidence: where it rests and what it moves."""

from __future__ import annotations

import pytest
import torch

from metaconf.train.levels import LEVELS
from metaconf.train.score import confidence_loss

SCALE = torch.linspace(0, 1, LEVELS)


def at_rest(right: float, step: float) -> torch.Tensor:
    """The distribution that the loss does not move when a share `right` of replies is right."""
    found = torch.zeros(LEVELS)
    for outcome, share in ((1.0, right), (0.0, 1 - right)):
        goal = 10 * (right + step * (outcome - right))
        low = min(int(goal), 9)
        found[low] += share * (1 - (goal - low))
        found[low + 1] += share * (goal - low)
    return found


def gradient(logits: torch.Tensor, outcomes: torch.Tensor, step: float) -> torch.Tensor:
    logits = logits.clone().requires_grad_()
    levels = torch.softmax(logits, -1).expand(len(outcomes), -1)
    return torch.autograd.grad(confidence_loss(levels, outcomes, step), logits)[0]


@pytest.mark.parametrize(("right", "step"), [(0.7, 0.3), (0.25, 0.1), (0.5, 1.0)])
def test_it_rests_where_the_expectation_is_the_share_right(right: float, step: float) -> None:
    outcomes = torch.tensor([1.0] * int(100 * right) + [0.0] * (100 - int(100 * right)))
    rest = at_rest(right, step)
    assert rest @ SCALE == pytest.approx(right, abs=1e-6)
    logits = rest.clamp_min(1e-12).log()
    assert gradient(logits, outcomes, step).abs().max() < 1e-5
    # With other outcomes it does not rest there.
    assert gradient(logits, 1 - outcomes, step).abs().max() > 1e-2 or right == 0.5


@pytest.mark.parametrize("right", [0.1, 0.45, 0.8])
def test_what_is_spoken_follows(right: float) -> None:
    logits = torch.zeros(LEVELS)
    outcomes = torch.tensor([1.0] * int(100 * right) + [0.0] * (100 - int(100 * right)))
    for _ in range(400):
        logits = logits - 2 * gradient(logits, outcomes, 0.2)
    levels = torch.softmax(logits, -1)
    assert levels @ SCALE == pytest.approx(right, abs=0.03)
    assert abs(int(levels.argmax()) / 10 - right) <= 0.1
    assert levels[(SCALE - right).abs() < 0.25].sum() > 0.9


def test_a_graded_outcome_moves_towards_itself() -> None:
    even = torch.zeros(LEVELS)
    for outcome, sign in ((0.8, 1), (0.2, -1)):
        moved = torch.softmax(even - gradient(even, torch.tensor([outcome]), 0.5), -1)
        assert sign * (moved @ SCALE - 0.5) > 0.01


def test_the_mean_is_over_replies() -> None:
    levels = torch.softmax(torch.randn(3, LEVELS, generator=torch.Generator().manual_seed(0)), -1)
    outcomes = torch.tensor([1.0, 0.0, 0.4])
    each = [confidence_loss(levels[i : i + 1], outcomes[i : i + 1], 0.3) for i in range(3)]
    assert confidence_loss(levels, outcomes, 0.3) == pytest.approx(torch.stack(each).mean())


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_certainty_stays_finite(outcome: float) -> None:
    levels = torch.zeros(1, LEVELS)
    levels[0, 10] = 1.0
    levels.requires_grad_()
    loss = confidence_loss(levels, torch.tensor([outcome]), 1.0)
    loss.backward()
    assert loss.isfinite() and levels.grad is not None and levels.grad.isfinite().all()
