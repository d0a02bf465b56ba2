"""Tests a recipe before training: computes the reward of each kind of reply and looks for defects.

A policy takes a reward literally. Each check names a way in which a reward was exploited before,
and says with this recipe's numbers where that can happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metaconf.rewards.parts import total_reward
from metaconf.rewards.recipe import Recipe, RolloutBatch, Scale, Segment
from metaconf.rewards.targets import Array

LEVELS = np.linspace(0, 1, 11)
CHANCES = LEVELS
GROUP = 20
"""Replies in an imagined group: every tenth is a whole number of right ones."""
NAN = float("nan")
EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect. It is `fatal` where a policy learns to state a confidence that is not its chance
    of being right, or is rewarded for a malformed reply; else something to know before training."""

    check: str
    sentence: str
    fatal: bool = True


@dataclass(frozen=True, slots=True)
class Payoff:
    """The reward of one kind of reply, alone in its group; None: left out of the update."""

    correctness: float
    confidence: float | None
    well_formed: bool
    pay: float | None


def audit(recipe: Recipe, scale: Scale | None = None) -> list[Finding]:
    """The defects of `recipe`, the fatal ones first; `scale` as it is going to be trained."""
    found = [one for check in CHECKS for one in check(recipe)]
    if (scale or recipe.scale) == "group" and _sampled(recipe):
        found.append(Finding("scale", SCALED, fatal=False))
    return sorted(found, key=lambda one: not one.fatal)


SCALED = (
    "pay is divided by each group's standard deviation: on questions that are right by chance this"
    " pushes towards overconfidence; consider scale_rewards: none"
)


def payoffs(recipe: Recipe) -> list[Payoff]:
    """Right, partly right and wrong replies at confidence 0, 5 and 10; without one; and well
    stated out of the format."""
    found: list[Payoff] = []
    for a in (1.0, 0.5, 0.0):
        for c, ok in ((0.0, True), (0.5, True), (1.0, True), (NAN, False), (a, False)):
            pay = float(_pay(recipe, replies([a], c, ok))[0])
            stated = None if np.isnan(c) else c
            found.append(Payoff(a, stated, ok, None if np.isnan(pay) else pay))
    return found


def replies(
    correctness: list[float], confidence: float, well_formed: bool = True, quality: float = 0.5
) -> RolloutBatch:
    """One group of replies that differ in their correctness alone."""
    n = len(correctness)
    a = np.array(correctness, float)
    c, q = np.full(n, confidence), np.full(n, quality)
    return RolloutBatch(a, c, np.full(n, float(well_formed)), q, np.zeros(n, np.int64))


# Pay


def _pay(recipe: Recipe, asked: RolloutBatch, segment: Segment | None = None) -> Array:
    """(N,) the total reward of each reply, or the reward of one segment of it."""
    parts = recipe.parts(asked)
    total = np.zeros(len(asked.correctness))
    for where, weights in recipe.credit.items():
        if segment is None or segment in where:
            total = total + total_reward(parts, weights, asked)
    return total


def _expected(recipe: Recipe, chance: float, c: float, ok: bool = True) -> float:
    """Mean reward of a policy that is right with `chance` and always states `c`; −∞ where its
    replies are left out of the update."""
    pay = _pay(recipe, _group(chance, c, ok))
    return -np.inf if np.isnan(pay).any() else float(pay.mean())


def _stated(recipe: Recipe, chance: float) -> Array:
    """(11,) the same of the confidence's tokens alone, for each level said."""
    segment = lambda c: float(_pay(recipe, _group(chance, c), "confidence").mean())  # noqa: E731
    return np.array([segment(c) for c in LEVELS])


def _group(chance: float, c: float, ok: bool = True) -> RolloutBatch:
    right = round(chance * GROUP)
    return replies([1.0] * right + [0.0] * (GROUP - right), c, ok)


def _sampled(recipe: Recipe) -> bool:
    """Whether the confidence's tokens are rewarded for the sampled number."""
    return not recipe.expected_score.coef and any("confidence" in where for where in recipe.credit)


# Checks


def _nothing_is_paid(recipe: Recipe) -> Iterator[Finding]:
    if not any(recipe.weights.values()) and not recipe.expected_score.coef:
        yield Finding("nothing", "every weight is 0: nothing is learnt")


def _honest_confidence_is_best(recipe: Recipe) -> Iterator[Finding]:
    if recipe.expected_score.coef:
        return  # a proper score of the distribution, whose best is its target
    for chance in CHANCES:
        pay = _stated(recipe, chance)
        best = LEVELS[pay > pay.max() - EQUAL]
        if len(best) == len(LEVELS):
            yield Finding("honest", "the confidence earns the same whatever it says: it will drift")
            return
        if not np.isclose(best, chance).any():
            told = ", ".join(f"{10 * level:.0f}" for level in best)
            yield Finding(
                "honest",
                f"of an answer that is right with chance {chance:.1f}, {told} earns most, not"
                f" {10 * chance:.0f}: honest confidence is not the best reply",
            )
            return


def _wrong_and_unsure_pays_less_than_right_and_sure(recipe: Recipe) -> Iterator[Finding]:
    wrong, right = (
        float(_pay(recipe, replies([a], a), "answer")[0])  # what moves the answer's tokens
        for a in (0.0, 1.0)
    )
    if not any("answer" in where for where in recipe.credit):
        yield Finding(
            "answer", "the answer is credited with nothing: accuracy is held by nothing", False
        )
    elif wrong > right - EQUAL:
        yield Finding(
            "answer",
            f"a wrong answer with confidence 0 earns {wrong:.2f}, a right one with 10"
            f" {right:.2f}: the policy may as well be wrong",
        )


def _malformed_replies_do_not_pay(recipe: Recipe) -> Iterator[Finding]:
    kinds = (("without a confidence", NAN), ("out of the format that states its confidence", None))
    for name, c in kinds:
        for chance in CHANCES:
            best = max(_expected(recipe, chance, level) for level in LEVELS)
            broken = _expected(recipe, chance, chance if c is None else c, ok=False)
            if broken > best - EQUAL:
                yield Finding(
                    "malformed",
                    f"a reply {name} earns {broken:.2f} where the best well-formed one gets"
                    f" {best:.2f} (right with chance {chance:.1f}): the format will decay",
                )
                break


def _silence_is_no_refuge(recipe: Recipe) -> Iterator[Finding]:
    sure = float(_pay(recipe, replies([0.0], 1.0))[0])
    silent = float(_pay(recipe, replies([0.0], NAN, well_formed=False))[0])
    if silent > sure + EQUAL:
        yield Finding(
            "silence",
            f"a wrong answer without a confidence earns {silent:.2f}, with confidence 10"
            f" {sure:.2f}: a confidence that is missing must not count as a low one",
        )


def _unknown_is_left_out(recipe: Recipe) -> Iterator[Finding]:
    # The parts themselves, for the sum leaves such a reply out.
    parts = recipe.parts(replies([1.0, NAN], 0.5))
    ungraded = sum(weight * parts[name][1] for name, weight in recipe.weights.items() if weight)
    if not np.isnan(ungraded):
        yield Finding("unknown", f"a reply that was not graded earns {ungraded:.2f}: leave it out")
    poor, good, judged = _with_quality(recipe, 0.0), _with_quality(recipe, 1.0), _unjudged(recipe)
    if good > poor + EQUAL and abs(judged - poor) < EQUAL:
        yield Finding(
            "unjudged",
            f"a reflection whose judgement failed earns {judged:.2f}, as the worst one: leave it"
            " out of that part",
        )


def _with_quality(recipe: Recipe, quality: float) -> float:
    return float(_pay(recipe, replies([1.0], 1.0, quality=quality))[0])


def _unjudged(recipe: Recipe) -> float:
    """Pay of a reply whose judgement failed, beside a sibling whose reflection is perfect."""
    pair = replies([1.0, 1.0], 1.0)
    quality = np.array([NAN, 1.0])
    asked = RolloutBatch(pair.correctness, pair.confidence, pair.well_formed, quality, pair.group)
    return float(_pay(recipe, asked)[0])


def _every_part_is_used(recipe: Recipe) -> Iterator[Finding]:
    kinds = [
        recipe.parts(replies([a], c, ok, quality))
        for a in (0.0, 1.0)
        for c, ok in ((0.0, True), (1.0, True), (NAN, False))
        for quality in (0.0, 1.0)
    ]
    for name, weight in recipe.weights.items():
        values = {round(float(kind[name][0]), 9) for kind in kinds if not np.isnan(kind[name][0])}
        if weight and len(values) < 2:
            yield Finding(
                "unused", f"{name} has weight {weight:g} but is the same for every reply: it"
                " pays for nothing",
            )  # fmt: skip


def _pay_is_bounded(recipe: Recipe) -> Iterator[Finding]:
    for a in (0.0, 1.0):
        for c in (0.0, 1.0):
            if np.isinf(_pay(recipe, replies([a], c))[0]):
                yield Finding(
                    "bounded", f"confidence {10 * c:.0f} on a {'right' if a else 'wrong'} answer"
                    " earns without bound: clip it",
                )  # fmt: skip


def _no_hard_gate(recipe: Recipe) -> Iterator[Finding]:
    (right,), (wrong,) = (_pay(recipe, replies([a], a, well_formed=False)) for a in (1.0, 0.0))
    answers = any("answer" in where for where in recipe.credit)
    if answers and abs(right - wrong) < EQUAL:
        sentence = (
            f"out of the format right and wrong answers both earn {right:.2f}: a hard gate"
            " slows learning where replies are often malformed; reward format as a part of its own"
        )
        yield Finding("gate", sentence, fatal=False)


def _reflections_are_paid(recipe: Recipe) -> Iterator[Finding]:
    if abs(_with_quality(recipe, 1.0) - _with_quality(recipe, 0.0)) < EQUAL:
        yield Finding("reflection", "reflections earn nothing: they may decay", fatal=False)


CHECKS: tuple[Callable[[Recipe], Iterator[Finding]], ...] = (
    _nothing_is_paid,
    _honest_confidence_is_best,
    _wrong_and_unsure_pays_less_than_right_and_sure,
    _malformed_replies_do_not_pay,
    _silence_is_no_refuge,
    _unknown_is_left_out,
    _every_part_is_used,
    _pay_is_bounded,
    _no_hard_gate,
    _reflections_are_paid,
)


def table(recipe: Recipe, found: Sequence[Finding]) -> str:
    """Payoffs, and what `audit` found, for people."""
    names = {1.0: "right", 0.5: "partly", 0.0: "wrong"}
    heads = ("0", "5", "10", "none stated", "out of format")
    lines = [f"recipe {recipe.name}: the reward of each kind of reply", ""]
    lines.append(f"{'':8}" + "".join(f"{head:>15}" for head in heads))
    rows = payoffs(recipe)
    for start in range(0, len(rows), len(heads)):
        some = rows[start : start + len(heads)]
        cells = ("left out" if one.pay is None else f"{one.pay:.3f}" for one in some)
        lines.append(f"{names[some[0].correctness]:8}" + "".join(f"{cell:>15}" for cell in cells))
    lines.append("")
    if recipe.expected_score.coef:
        lines.append(
            f"the confidence's tokens: expected score `{recipe.expected_score.loss}`, not this pay"
        )
    lines += [f"{'DEFECT' if one.fatal else 'note'}: {one.sentence}" for one in found]
    return "\n".join(lines if found else [*lines, "no defect found"])
