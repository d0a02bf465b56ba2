"""What is compared: ways of asking one model for an answer and how sure it is of it.

Each gives one row a question in the same form, so that tables, report and ablations need not know
where a confidence came from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from metaconf.engines.local import LocalModel, sample_answers, sample_replies
from metaconf.engines.sampler import GREEDY, Sampling
from metaconf.engines.store import Key, collect
from metaconf.graders import grade_answer, same_answer
from metaconf.prompts.chat import EXAMPLES
from metaconf.records import Parsed, Question, Reply
from metaconf.reply import format_reply, parse_reply

Kind = Literal["asked", "probability", "samples8", "reply"]
Row = dict[str, Any]
"""question_id, system, kind, prompt, family, cause, split, answer, reflection, confidence,
correctness, truth, text, problems, why; short answers also `probability` and `agreement`."""
SAMPLES = 8
_CUT = "cut off at the token limit"


@dataclass(frozen=True, slots=True)
class Settings:
    """Token limits of replies and of short answers, replies in flight, seed of the samples."""

    reply_tokens: int = 96
    answer_tokens: int = 12
    rows: int = 256
    seed: int = 0


DEFAULT = Settings()


def evaluate(
    local: LocalModel,
    questions: Sequence[Question],
    kind: Kind,
    out: Path,
    name: str | None = None,
    settings: Settings = DEFAULT,
) -> list[Row]:
    """Ask `local` every question in the way of `kind`; one row a question, in their order.

    * asked: greedy reply of an untrained model, with worked turns; the stated confidence.
    * reply: greedy reply of a trained model, without them; the stated confidence.
    * probability: greedy short answer; confidence is the probability of its tokens.
    * samples8: the same answer; confidence is the share of 8 samples that agree with it.

    Raw replies are kept in the JSONL file `out`, and only what it lacks is asked for. Both kinds
    of short answers may share one file; any other two systems need files of their own. `name` is
    the rows' system (default: `kind`). Raises UserError for a task that has no grader.
    """
    name = name or kind
    if kind in ("asked", "reply"):
        replies = _full_replies(local, questions, kind == "asked", out, name, settings)
        return [_reply_row(q, replies[q.id, GREEDY], kind, name) for q in questions]
    samples = range(SAMPLES) if kind == "samples8" else ()
    replies = short_answers(local, questions, (GREEDY, *samples), out, name, settings)
    return [
        _answer_row(q, replies[q.id, GREEDY], [replies[q.id, i] for i in samples], kind, name)
        for q in questions
    ]


def short_answers(
    local: LocalModel,
    questions: Sequence[Question],
    samples: Sequence[int],
    out: Path,
    label: str = "short answers",
    settings: Settings = DEFAULT,
    trained: bool = False,
) -> dict[Key, Reply]:
    """Short answers by (question id, sample), from `out` where they stand there already.

    A `trained` model is asked as for a reply, and stopped after its answer's line.
    """
    how = Sampling(settings.answer_tokens, seed=settings.seed, rows=settings.rows)

    def ask(
        asked: Sequence[Question], wanted: tuple[int, ...], keep: Callable[[list[Reply]], None]
    ) -> None:
        prompt = local.policy_prompt if trained else local.answer_prompt
        sample_answers(local, asked, wanted, how, keep, prompt)

    return collect(out, questions, samples, ask, label)


def _full_replies(
    local: LocalModel,
    questions: Sequence[Question],
    untrained: bool,
    out: Path,
    label: str,
    settings: Settings,
) -> dict[Key, Reply]:
    how = Sampling(settings.reply_tokens, seed=settings.seed, rows=settings.rows)
    turns = worked_turns() if untrained else []

    def ask(
        asked: Sequence[Question], wanted: tuple[int, ...], keep: Callable[[list[Reply]], None]
    ) -> None:
        sample_replies(local, asked, wanted, how, keep, turns)

    return collect(out, questions, (GREEDY,), ask, label)


def worked_turns() -> list[tuple[str, str]]:
    """The worked examples as turns (question, full reply) for a model that was not trained yet."""
    return [(q, format_reply(answer, why, level / 10)) for q, answer, why, level in EXAMPLES]


def agreement(question: Question, answer: str, samples: Sequence[str]) -> float | None:
    """Share of `samples` that say the same as `answer`, in [0, 1]; an empty sample does not.

    None where there is no answer or no sample.
    """
    if not answer or not samples:
        return None
    return sum(bool(s) and same_answer(answer, s, question.task) for s in samples) / len(samples)


def truth(question: Question) -> str:
    """The reference as readers see it: main spellings, with their credit where it is not 1."""
    parts = [
        target.texts[0] + ("" if target.credit == 1 else f" ({target.credit:.2g})")
        for target in question.targets
    ]
    return " or ".join(parts)


def _reply_row(question: Question, reply: Reply, kind: Kind, name: str) -> Row:
    parsed = parse_reply(reply.text)
    cut = reply.status == "cut"
    return {
        **_start(question, parsed.answer, kind, name),
        "reflection": parsed.reflection,
        "confidence": None if cut and _torn(parsed, reply.text) else parsed.confidence,
        "text": reply.text,
        "problems": [*parsed.problems, *([_CUT] if cut else [])],
    }


def _torn(parsed: Parsed, text: str) -> bool:
    """Whether a cut reply ends in its number, of which more may have followed: "1" of "10"."""
    return "confidence" in parsed.spans and parsed.spans["confidence"][1] == len(text)


def _answer_row(
    question: Question, greedy: Reply, samples: Sequence[Reply], kind: Kind, name: str
) -> Row:
    row = _start(question, greedy.text or None, kind, name)
    probability = greedy.probability if greedy.text else None
    agrees = agreement(question, greedy.text, [s.text for s in samples])
    row |= {
        "reflection": None,
        "confidence": agrees if kind == "samples8" else probability,
        "text": greedy.text,
        "problems": [_CUT] if greedy.status == "cut" else [],
        "probability": probability,
    }
    return row | ({"agreement": agrees} if samples else {})


def _start(question: Question, answer: str | None, kind: Kind, name: str) -> Row:
    correctness, why = grade_answer(question, answer)
    return {
        "question_id": question.id,
        "system": name,
        "kind": kind,
        "prompt": question.prompt,
        "family": question.family,
        "cause": question.cause,
        "split": question.split,
        "truth": truth(question),
        "answer": answer,
        "correctness": correctness,
        "why": why,
    }
