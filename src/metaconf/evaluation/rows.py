"""One row a question and method: a reply, parsed and graded. Tables, report and ablations take rows
in this form and need not know where a confidence came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from metaconf.grading import grade_answer, same_answer
from metaconf.records import Parsed, Question, Reply
from metaconf.reply import parse_reply

CUT = "cut off at the token limit"
FAILED = "the call failed"


@dataclass(frozen=True, slots=True)
class EvaluatedReply:
    """A row of replies.jsonl. None: not known, or not stated; never 0."""

    question_id: str
    method: str = ""
    """The key of what was measured: a method of `methods.METHODS`, a stage, a run."""
    prompt: str = ""
    family: str = ""
    cause: str | None = None
    split: str = ""
    truth: str = ""
    """The reference as readers see it."""
    answer: str | None = None
    reflection: str | None = None
    confidence: float | None = None
    correctness: float | None = None
    why: str = ""
    """The reason of the grade."""
    text: str = ""
    problems: tuple[str, ...] = ()
    """What is wrong with the reply's form; empty for a well-formed one."""
    formatted: bool = False
    """Whether the format was asked for, so that the reply counts in `format_rate`."""
    tokens: int | None = None
    """Tokens written for it, samples included."""
    probability: float | None = None
    """Of the answer's tokens, their product; of short answers."""
    agreement: float | None = None
    """Share of samples that agree with the answer."""
    quality: float | None = None
    """What a judge gave the reflection, in [0, 1]."""
    judged: str | None = None
    """The judge's reason for it."""
    reading: float | None = None
    """How sure the reflection sounds, from its words alone, in [0, 1]."""
    task: str | None = None
    """How the answer was graded, by the names of `grading`."""

    @property
    def kind(self) -> str:
        """What kind of question it is of: the family, else the cause, else the task, else ""."""
        return self.family or self.cause or self.task or ""

    @property
    def complete(self) -> bool:
        """Whether it has both a confidence and a grade."""
        return self.confidence is not None and self.correctness is not None

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object; of the last fields those that are known."""
        row = {one.name: getattr(self, one.name) for one in fields(self)}
        unknown = [name for name in _OPTIONAL if row[name] is None]
        for name in unknown:
            del row[name]
        return row | {"problems": list(self.problems)}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        """What `to_json` wrote; other keys are left out, absent ones are not known."""
        known: dict[str, Any] = {one.name: row[one.name] for one in fields(cls) if one.name in row}
        known["problems"] = tuple(row.get("problems") or ())
        return cls(**known)


_OPTIONAL = (
    "tokens",
    "probability",
    "agreement",
    "quality",
    "judged",
    "reading",
    "task",
)


def reply_row(question: Question, reply: Reply, method: str) -> EvaluatedReply:
    """The row of a reply in the format; `confidence` is the one that it states."""
    if reply.status == "failed":
        return _failed(question, method, formatted=True)
    parsed, cut = parse_reply(reply.text), reply.status == "cut"
    correctness, why = grade_answer(question, parsed.answer)
    return EvaluatedReply(
        **_of_question(question),
        method=method,
        answer=parsed.answer,
        reflection=parsed.reflection,
        confidence=None if cut and _torn(parsed, reply.text) else parsed.confidence,
        correctness=correctness,
        why=why,
        text=reply.text,
        problems=(*parsed.problems, *((CUT,) if cut else ())),
        formatted=True,
        tokens=reply.tokens,
    )


def answer_row(
    question: Question,
    greedy: Reply,
    method: str,
    confidence: float | None,
    samples: Sequence[Reply] = (),
) -> EvaluatedReply:
    """The row of a short answer, with a confidence in it that `samples` may have helped to find;
    without an answer there is none."""
    if greedy.status == "failed":
        return _failed(question, method, formatted=False)
    answer = greedy.text or None
    correctness, why = grade_answer(question, answer)
    return EvaluatedReply(
        **_of_question(question),
        method=method,
        answer=answer,
        confidence=confidence if answer else None,
        correctness=correctness,
        why=why,
        text=greedy.text,
        problems=(CUT,) if greedy.status == "cut" else (),
        tokens=greedy.tokens + sum(sample.tokens for sample in samples),
        probability=greedy.probability if answer else None,
    )


def agreement(question: Question, answer: str, samples: Sequence[str]) -> float | None:
    """Share of `samples` that say the same as `answer`, in [0, 1]; an empty sample does not.

    None where there is no answer or no sample.
    """
    if not answer or not samples:
        return None
    return sum(bool(s) and same_answer(answer, s, question.task) for s in samples) / len(samples)


def texts_of(samples: Sequence[Reply]) -> list[str]:
    """What samples say. A call that failed says nothing, which is not an empty answer."""
    return [sample.text for sample in samples if sample.status != "failed"]


def truth(question: Question) -> str:
    """The reference as readers see it: main spellings, with their credit where it is not 1."""
    parts = [
        target.texts[0] + ("" if target.credit == 1 else f" ({target.credit:.2g})")
        for target in question.targets
    ]
    return " or ".join(parts)


def in_domain(rows: Sequence[EvaluatedReply]) -> list[EvaluatedReply]:
    """Rows of families that were trained on (all, where every one is of families kept out)."""
    return [row for row in rows if row.split != "ood"] or list(rows)


def complete(rows: Sequence[EvaluatedReply]) -> list[EvaluatedReply]:
    """Rows that have both a confidence and a grade."""
    return [row for row in rows if row.complete]


def _failed(question: Question, method: str, formatted: bool) -> EvaluatedReply:
    """The row of a question that got no reply: neither right nor wrong, and counted."""
    grade_answer(question, None)  # refuses a task that has no grader, as other rows do
    return EvaluatedReply(
        **_of_question(question),
        method=method,
        why=FAILED,
        problems=(FAILED,),
        formatted=formatted,
        tokens=0,
    )


def _of_question(question: Question) -> dict[str, Any]:
    return {
        "question_id": question.id,
        "prompt": question.prompt,
        "family": question.family,
        "cause": question.cause,
        "split": question.split,
        "task": question.task,
        "truth": truth(question),
    }


def _torn(parsed: Parsed, text: str) -> bool:
    """Whether a cut reply ends in its number, of which more may have followed: "1" of "10"."""
    return "confidence" in parsed.spans and parsed.spans["confidence"][1] == len(text)
