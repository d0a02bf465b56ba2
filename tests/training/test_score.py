"""The exact score of the confidence: where it rests and what it moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from metaconf.reply import format_reply
from metaconf.rewards.recipe import ConfidenceLoss, ExpectedScore
from metaconf.training.encode import encode_reply
from metaconf.training.forward import read_replies, right_padded
from metaconf.training.levels import LEVELS, expectation, level_tokens
from metaconf.training.score import expected_score_losses, narrow_target, tilted_target

SCALE = torch.linspace(0, 1, LEVELS)


def confidence_loss(levels: torch.Tensor, outcome: torch.Tensor, step: float) -> torch.Tensor:
    """The mean cross-entropy to the narrow target, which is held still."""
    weights = narrow_target(expectation(levels.detach()), outcome, step)
    return -(weights * levels.clamp_min(1e-8).log()).sum(-1).mean()


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


LOSSES: tuple[ConfidenceLoss, ...] = ("tilted", "expectation", "spoken")
STILL: dict[str, Callable[..., torch.Tensor]] = {
    "narrow": lambda p, target, step: narrow_target(expectation(p), target, step),
    "tilted": tilted_target,
}
"""Targets that are held still while the model moves."""


@pytest.mark.parametrize("right", [0.1, 0.35, 0.7])
def test_pulls_of_far_outcomes_add_up_to_the_share_right(right: float) -> None:
    """One small step from a distribution like a trained one's: tilted moves it by step·(P − E),
    while a narrow goal sinks what is right less than half of the time."""
    levels = torch.softmax(-((SCALE - right) ** 2) / (2 * 0.08**2), -1).double()[None]
    expected = expectation(levels)
    outcomes = torch.tensor([1.0, 0.0], dtype=torch.float64)
    shares = torch.tensor([right, 1 - right], dtype=torch.float64)
    goals = {name: make(levels.expand(2, -1), outcomes, 0.2) for name, make in STILL.items()}
    assert torch.allclose(goals["tilted"].sum(1), torch.ones(2, dtype=torch.float64))
    moved: dict[str, float] = {}
    for name, weights in goals.items():
        toward = torch.softmax(levels.log() + 0.1 * (shares @ weights - levels), -1)
        moved[name] = float((expectation(toward) - expected) / (0.1 * 0.2))
    assert abs(moved["tilted"] - (right - float(expected))) < 0.02
    assert abs(moved["tilted"]) < abs(moved["narrow"]) / 3 or abs(moved["narrow"]) < 0.005


def test_a_tilt_moves_the_mean_by_its_step_and_narrows() -> None:
    levels = random_levels(50, 3)
    outcomes = torch.rand(50, generator=torch.Generator().manual_seed(4)).double()
    goals = tilted_target(levels, outcomes, 0.3)
    expected = expectation(levels)
    assert torch.allclose(expectation(goals), expected + 0.3 * (outcomes - expected), atol=1e-9)
    spread = tilted_target(levels, expected, 0.3) @ SCALE.double().square() - expected.square()
    before = levels @ SCALE.double().square() - expected.square()
    assert (spread < before).all()


def random_levels(n: int, seed: int = 0) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.softmax(2 * torch.randn(n, LEVELS, generator=made, dtype=torch.float64), -1)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name: ConfidenceLoss) -> None:
    score = ExpectedScore(1.0, name, step=0.3)
    target = torch.tensor([0.0, 1.0, 0.35, 0.5], dtype=torch.float64)
    logits = random_levels(4, 1).log()
    if name in STILL:
        still = STILL[name](torch.softmax(logits, -1), target, 0.3)

        def loss(z: torch.Tensor) -> torch.Tensor:
            return -(still * torch.log_softmax(z, -1)).sum()
    else:

        def loss(z: torch.Tensor) -> torch.Tensor:
            return expected_score_losses(torch.softmax(z, -1), target, score).sum()

    free = logits.clone().requires_grad_()
    losses = expected_score_losses(torch.softmax(free, -1), target, score)
    found = torch.autograd.grad(losses.sum(), free)[0]
    for row in range(4):
        for k in range(LEVELS):
            nudge = torch.zeros_like(logits)
            nudge[row, k] = 1e-5
            slope = (loss(logits + nudge) - loss(logits - nudge)) / 2e-5
            assert found[row, k].item() == pytest.approx(slope.item(), abs=1e-7)


def test_the_expected_score_is_the_sum_over_the_levels() -> None:
    levels, target = random_levels(3), torch.tensor([0.0, 1.0, 0.4], dtype=torch.float64)
    mean_loss, level_loss = (
        expected_score_losses(levels, target, ExpectedScore(1.0, name))
        for name in ("expectation", "spoken")
    )
    for row, (p, t) in enumerate(zip(levels.tolist(), target.tolist(), strict=True)):
        mean = sum(p[k] * k / 10 for k in range(LEVELS))
        expected = sum(p[k] * (k / 10 - t) ** 2 for k in range(LEVELS))
        assert level_loss[row].item() == pytest.approx(expected)
        assert mean_loss[row].item() == pytest.approx((mean - t) ** 2)


@pytest.mark.parametrize("right", [0.3, 1.0])
@pytest.mark.parametrize("name", ["expectation", "spoken"])
def test_each_score_is_proper(right: float, name: ConfidenceLoss) -> None:
    """A population that is right so often: what the descent ends at."""
    score = ExpectedScore(1.0, name)
    z = torch.zeros(1, LEVELS, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([z], lr=0.1)
    for _ in range(200):
        levels = torch.softmax(z, -1)
        of_right, of_wrong = (
            expected_score_losses(levels, torch.full((1,), a, dtype=torch.float64), score).sum()
            for a in (1.0, 0.0)
        )
        optimizer.zero_grad()
        (right * of_right + (1 - right) * of_wrong).backward()
        optimizer.step()
    levels = torch.softmax(z.detach(), -1)
    mean = (levels @ torch.linspace(0, 1, LEVELS, dtype=torch.float64)).item()
    assert mean == pytest.approx(right, abs=0.03)
    if name == "spoken":  # all on one level; of the expectation the breadth is free
        assert levels.max() > 0.8 and levels.argmax().item() == round(10 * right)


@pytest.mark.parametrize("name", LOSSES)
def test_certainty_stays_finite_whatever_the_score(name: ConfidenceLoss) -> None:
    levels = torch.zeros(2, LEVELS)
    levels[0, 10] = levels[1, 0] = 1.0
    levels.requires_grad_()
    score = ExpectedScore(1.0, name, step=1.0)
    loss = expected_score_losses(levels, torch.tensor([0.0, 1.0]), score).sum()
    loss.backward()
    assert loss.isfinite() and levels.grad is not None and levels.grad.isfinite().all()
    # And there is a way back from being surely wrong.
    assert levels.grad[0, 10] > levels.grad[0, 0] or name in STILL


@pytest.mark.parametrize("digits", ["single", "ten", "metaspace"])
def test_the_expected_score_is_that_of_all_replies_enumerated(
    local_of: Callable[..., Any], digits: str
) -> None:
    """Every number that a reply can end with, each run as a reply of its own: "10" is one or two
    tokens, and its share is that of both."""
    local = local_of(digits=digits)
    prompt = list(local.reply_prompt("What is 1 + 2?"))
    replies = [
        encode_reply(local.tokenizer, format_reply("3", "I know it.", k / 10))
        for k in range(LEVELS)
    ]
    at = replies[0].level_at or 0
    whole = [[*prompt, *reply.tokens] for reply in replies]
    ids, mask = right_padded(whole)
    tokens = level_tokens(local.tokenizer)
    places = {"at": torch.full((len(ids),), at), "tokens": tokens}
    with torch.no_grad():
        levels = read_replies(local.model, ids, mask, ids.shape[1] - len(prompt), **places).levels
        assert levels is not None
        share = torch.tensor([probability_at(local.model, r, len(prompt) + at) for r in whole])
    if tokens.ten_next is not None:  # a "1" is 10 where "0" follows, and else 1
        after = torch.softmax(local.model(ids[10:11]).logits[0, len(prompt) + at].detach(), -1)
        ten = share[1] * after[tokens.ten_next]
        share[1], share[10] = share[1] - ten, ten
    share = share / share.sum()
    assert torch.allclose(levels[0], share, atol=1e-5)
    for outcome in (0.0, 1.0):
        score = ExpectedScore(1.0, "spoken")
        found = expected_score_losses(levels[:1], torch.tensor([outcome]), score)
        wanted = sum(p * (k / 10 - outcome) ** 2 for k, p in enumerate(share.tolist()))
        assert found.item() == pytest.approx(wanted, abs=1e-5)


def probability_at(model: Any, row: list[int], place: int) -> float:
    """Probability of the token at `place` of a reply, from a plain pass of its own."""
    logits = model(torch.tensor([row])).logits[0, place - 1]
    return torch.softmax(logits, -1)[row[place]].item()
