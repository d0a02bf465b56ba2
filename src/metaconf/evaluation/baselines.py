"""Rows of the other methods of `methods.METHODS`, and their confidences recalibrated.

All are asked of the same model, graded by the same graders, and keep their raw replies, so that a
killed run asks only for what is missing. What they cost is in each row: `tokens` written for it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from metaconf.evaluation.generate import (
    DEFAULT,
    SAMPLES,
    Engine,
    Plain,
    Settings,
    evaluate,
    full_replies,
    short_answers,
    worked_turns,
)
from metaconf.evaluation.methods import METHODS, THINKING_TOKENS
from metaconf.evaluation.rows import (
    EvaluatedReply,
    answer_row,
    complete,
    in_domain,
    reply_row,
    texts_of,
)
from metaconf.evaluation.tables import pair
from metaconf.generation.local import next_share
from metaconf.generation.sampler import GREEDY
from metaconf.generation.store import Key
from metaconf.grading import same_answer
from metaconf.metrics import Figure, apply_isotonic, fit_isotonic, summarise
from metaconf.prompts.chat import (
    EXAMPLES,
    REVIEW,
    THINK_FIRST,
    Message,
    messages,
    p_true_question,
    render,
)
from metaconf.records import Question, Reply
from metaconf.reply import format_reply, parse_reply

TOGETHER = range(SAMPLES)
Replies = Mapping[Key, Reply]
ENOUGH = 20
"""Fewer calibration replies than this are no basis for a map."""


def measure(
    engine: Engine,
    questions: Sequence[Question],
    calibration: Sequence[Question],
    methods: Sequence[str],
    folder: Path,
    settings: Settings = DEFAULT,
) -> dict[str, list[EvaluatedReply]]:
    """Rows of each method: of the questions in their order, then of the calibration questions.

    The probe is fitted on the calibration questions; their own rows get cross-fitted predictions.
    Raw replies are kept in `folder`.
    """
    every = [*questions, *calibration]
    found: dict[str, list[EvaluatedReply]] = {}
    for method in methods:
        asked = Asked(engine, every, folder / f"{METHODS[method].file}.jsonl", settings)
        if method == "probe":
            found[method] = _probe(asked, len(questions))
        elif method in MAKERS:
            found[method] = MAKERS[method](asked)
        else:
            plain = cast(Plain, method)
            found[method] = evaluate(engine, every, plain, asked.path, settings=settings)
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked what, and the file that keeps the raw replies. `engine` is a LocalModel where a
    method needs hidden states or logits."""

    engine: Any
    questions: Sequence[Question]
    path: Path
    settings: Settings

    def full(self, label: str, samples: Sequence[int] = (GREEDY,), **how: Any) -> Replies:
        """As `full_replies`."""
        more = {"settings": self.settings, **how}
        return full_replies(self.engine, self.questions, samples, self.path, label, **more)

    def short(self, label: str, samples: Sequence[int] = (GREEDY,)) -> Replies:
        """As `short_answers`."""
        return short_answers(self.engine, self.questions, samples, self.path, label, self.settings)


def recalibrated(
    rows: Sequence[EvaluatedReply], calibration: Sequence[EvaluatedReply], seed: int = 0
) -> dict[str, Figure]:
    """`brier_recalibrated` and `ece_recalibrated`: after the isotonic map of `calibration`."""
    known = complete(calibration)
    names = ("brier", "ece")
    if len(known) < ENOUGH:
        why = f"{len(known)} calibration replies with confidence and grade; {ENOUGH} are needed"
        empty = Figure(n=len(known), reason=why)
        return {f"{name}_recalibrated": empty for name in names}
    fitted = fit_isotonic(*pair(known))
    headline = complete(in_domain(rows))
    stated, right = pair(headline)
    mapped = apply_isotonic(fitted, stated) if headline else stated
    ids = [row.question_id for row in headline]
    figures = summarise(mapped.tolist(), right, ids, names, seed=seed)
    return {f"{name}_recalibrated": figures[name] for name in names}


# Asked in words


def thinking_turns() -> list[tuple[str, str]]:
    """The worked examples with the reason thought before the answer."""
    return [(q, format_reply(a, why, level / 10, why)) for q, a, why, level in EXAMPLES]


def _cot(asked: Asked) -> list[EvaluatedReply]:
    def chat(question: Question) -> list[Message]:
        return messages(question.prompt, THINK_FIRST, thinking_turns())

    longer = asked.settings.longer(THINKING_TOKENS)
    replies = asked.full("cot", settings=longer, chat=chat)
    return [reply_row(q, replies[q.id, GREEDY], "cot") for q in asked.questions]


def _refine(asked: Asked) -> list[EvaluatedReply]:
    first = _in_words(replace(asked, path=asked.path.with_name("asked.jsonl")), (GREEDY,))

    def chat(question: Question) -> list[Message]:
        given = first[question.id, GREEDY].text
        return messages(REVIEW, turns=[*worked_turns(), (question.prompt, given)])

    replies = asked.full("refine", chat=chat)
    rows = [reply_row(q, replies[q.id, GREEDY], "refine") for q in asked.questions]
    return [
        replace(row, tokens=(row.tokens or 0) + first[row.question_id, GREEDY].tokens)
        for row in rows
    ]


def _in_words(asked: Asked, samples: Sequence[int]) -> Replies:
    return asked.full("asked", samples, turns=worked_turns())


def _verbal2(asked: Asked) -> list[EvaluatedReply]:
    replies = _in_words(asked, (0, 1))
    return [two_in_words(q, replies[q.id, 0], replies[q.id, 1]) for q in asked.questions]


def two_in_words(question: Question, one: Reply, two: Reply) -> EvaluatedReply:
    """The first reply's row, its confidence the mean of both replies' mean confidence and of
    whether their answers agree (the two signals of arXiv 2603.19118, weighed evenly)."""
    row = replace(reply_row(question, one, "verbal2"), tokens=one.tokens + two.tokens)
    other = parse_reply(two.text)
    first, second = row.confidence, other.confidence
    if first is None or second is None or row.answer is None or other.answer is None:
        return replace(row, confidence=None)
    agree = same_answer(row.answer, other.answer, question.task)
    return replace(row, confidence=((first + second) / 2 + agree) / 2)


def _verbal8(asked: Asked) -> list[EvaluatedReply]:
    replies = _in_words(asked, (GREEDY, *TOGETHER))
    return _mean_stated(asked.questions, replies, "verbal8")


def _replies8(asked: Asked) -> list[EvaluatedReply]:
    replies = asked.full("replies8", (GREEDY, *TOGETHER))
    return _mean_stated(asked.questions, replies, "replies8")


def _expected(asked: Asked) -> list[EvaluatedReply]:
    """The expected level of each greedy reply. All are None, with a message, for a tokenizer that
    does not tell levels apart."""
    replies = asked.full("expected")
    rows = [reply_row(q, replies[q.id, GREEDY], "expected") for q in asked.questions]
    try:
        return as_expected(asked.engine, rows)
    except ValueError as error:
        print(f"metaconf: expected: not known of any reply: {error}", file=sys.stderr)
        return [replace(row, confidence=None) for row in rows]


def as_expected(local: Any, rows: Sequence[EvaluatedReply]) -> list[EvaluatedReply]:
    """The rows of `local`'s replies with the mean of its distribution over the levels after its own
    reflection, in [0, 1], in the place of the number that it says; None where the reply holds no
    answer or no reflection. Raises ValueError for a tokenizer that does not tell levels apart."""
    from metaconf.training.forced_decoding import confidence_given

    starts = {
        row.question_id: reply_start(row.answer, row.reflection)
        for row in rows
        if row.answer is not None and row.reflection is not None
    }
    prompts = [local.reply_prompt(row.prompt) for row in rows if row.question_id in starts]
    read = confidence_given(local, prompts, list(starts.values()))
    means = {name: float(mean) for name, (_, mean) in zip(starts, read, strict=True)}
    return [replace(row, confidence=means.get(row.question_id)) for row in rows]


def reply_start(answer: str, reflection: str) -> str:
    """The reply up to its confidence."""
    return f"Answer: {answer}\nSelf-reflection: {reflection}\nConfidence:"


def _mean_stated(
    questions: Sequence[Question], replies: Replies, method: str
) -> list[EvaluatedReply]:
    """The greedy reply's rows with the mean confidence of those samples that state one."""
    rows: list[EvaluatedReply] = []
    for question in questions:
        row = reply_row(question, replies[question.id, GREEDY], method)
        drawn = [replies[question.id, i] for i in TOGETHER]
        stated = [c for r in drawn if (c := parse_reply(r.text).confidence) is not None]
        tokens = (row.tokens or 0) + sum(reply.tokens for reply in drawn)
        mean = float(np.mean(stated)) if stated else None
        rows.append(replace(row, confidence=mean, tokens=tokens))
    return rows


# Short answers


def _token_mean(asked: Asked) -> list[EvaluatedReply]:
    replies = asked.short("token_mean")
    return [
        answer_row(q, replies[q.id, GREEDY], "token_mean", token_mean(replies[q.id, GREEDY]))
        for q in asked.questions
    ]


def token_mean(reply: Reply) -> float | None:
    """Geometric mean of the answer's token probabilities; the token that ends it does not count."""
    written = reply.tokens - (reply.status == "ok")
    count = written if reply.answer_tokens is None else reply.answer_tokens
    return None if reply.probability is None or count < 1 else reply.probability ** (1 / count)


def _entropy(asked: Asked) -> list[EvaluatedReply]:
    replies = asked.short("entropy", (GREEDY, *TOGETHER))
    rows: list[EvaluatedReply] = []
    for question in asked.questions:
        drawn = [replies[question.id, i] for i in TOGETHER]
        sure = certainty(question, texts_of(drawn))
        rows.append(answer_row(question, replies[question.id, GREEDY], "entropy", sure, drawn))
    return rows


def certainty(question: Question, samples: Sequence[str]) -> float | None:
    """1 − H / log n of n samples, H the entropy of their groups (discrete semantic entropy,
    Farquhar et al. 2024, with the grader's sameness in the place of entailment); None of fewer
    than two."""
    return certainty_of([len(group) for group in same_groups(question, samples)])


def same_groups(question: Question, samples: Sequence[str]) -> list[list[str]]:
    """Samples that the grader takes for one answer, in the order of their first."""
    groups: list[list[str]] = []
    for sample in samples:
        for group in groups:
            if same_answer(group[0], sample, question.task):
                group.append(sample)
                break
        else:
            groups.append([sample])
    return groups


def certainty_of(sizes: Sequence[int]) -> float | None:
    """1 − H / log n of groups with `sizes`, n in all; None where n < 2."""
    if (count := sum(sizes)) < 2:
        return None
    return 1 + sum(size / count * math.log(size / count) for size in sizes) / math.log(count)


def _p_true(asked: Asked) -> list[EvaluatedReply]:
    """The model's probability of "(A) True" beside "(B) False" (Kadavath et al. 2022)."""
    replies, local = asked.short("p_true"), asked.engine
    texts = [p_true_question(q.prompt, replies[q.id, GREEDY].text) for q in asked.questions]
    chats = [[{"role": "user", "content": text}] for text in texts]
    shares = next_share(local, [tuple(render(local.tokenizer, c)) for c in chats], "(", "AB")
    return [
        answer_row(q, replies[q.id, GREEDY], "p_true", share)
        for q, share in zip(asked.questions, shares, strict=True)
    ]


def _probe(asked: Asked, count: int) -> list[EvaluatedReply]:
    """Fitted on the questions from `count` on, which get cross-fitted predictions themselves."""
    from metaconf.training.probe import answer_states, cross_fitted, fit, probe_layer

    local, every, replies = asked.engine, asked.questions, asked.short("probe")
    rows = [answer_row(q, replies[q.id, GREEDY], "probe", None) for q in every]
    prompts = [local.answer_prompt(q.prompt) for q in every]
    layer = probe_layer(local.model.config.num_hidden_layers)
    states = answer_states(local, prompts, [row.answer or "" for row in rows], layer)
    known = [i for i in range(count, len(every)) if rows[i].correctness is not None]
    labels = np.array([rows[i].correctness for i in known], float)
    inside = cross_fitted(states[known], labels, [every[i].id for i in known])
    sure = np.full(len(every), np.nan)
    sure[:count] = fit(states[known], labels)(states[:count])
    sure[known] = inside
    return [
        replace(row, confidence=None if np.isnan(c) or row.answer is None else float(c))
        for row, c in zip(rows, sure, strict=True)
    ]


MAKERS: dict[str, Callable[[Asked], list[EvaluatedReply]]] = {
    "cot": _cot,
    "refine": _refine,
    "verbal2": _verbal2,
    "verbal8": _verbal8,
    "entropy": _entropy,
    "token_mean": _token_mean,
    "p_true": _p_true,
    "replies8": _replies8,
    "expected": _expected,
}
