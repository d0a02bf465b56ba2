"""What is compared: ways of asking one model for an answer and how sure it is of it.

Each gives one row a question in the same form, so that tables, report and ablations need not know
where a confidence came from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from metaconf.evaluation.names import ANSWER_TOKENS, REPLY_TOKENS
from metaconf.generation.local import LocalModel, sample_answers, sample_replies
from metaconf.generation.remote import Chat, Remote
from metaconf.generation.sampler import GREEDY, Sampling
from metaconf.generation.store import Key, collect
from metaconf.grading import grade_answer, same_answer
from metaconf.prompts.chat import ANSWER_ONLY, EXAMPLES, answer_turns, messages, render
from metaconf.records import Parsed, Question, Reply, Span
from metaconf.reply import format_reply, parse_reply

Kind = Literal["asked", "probability", "samples8", "reply"]
Row = dict[str, Any]
"""question_id, system, kind, prompt, family, cause, split, answer, reflection, confidence,
correctness, truth, text, problems, why, tokens (written for it, samples included); short answers
also `probability` and `agreement`."""
SAMPLES = 8
_CUT = "cut off at the token limit"
_FAILED = "the call failed"
Engine = LocalModel | Remote
"""What is asked: a model in this process, or behind a server."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Token limits of replies and of short answers, replies in flight, seed of the samples."""

    reply_tokens: int = REPLY_TOKENS
    answer_tokens: int = ANSWER_TOKENS
    rows: int = 256
    seed: int = 0

    def longer(self, tokens: int) -> Settings:
        """The same with room for `tokens` more in a reply."""
        return replace(self, reply_tokens=self.reply_tokens + tokens)


DEFAULT = Settings()


def evaluate(
    local: Engine,
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
        turns = worked_turns() if kind == "asked" else []
        replies = full_replies(local, questions, (GREEDY,), out, name, settings, turns)
        return [reply_row(q, replies[q.id, GREEDY], kind, name) for q in questions]
    samples = range(SAMPLES) if kind == "samples8" else ()
    replies = short_answers(local, questions, (GREEDY, *samples), out, name, settings)
    rows: list[Row] = []
    for question in questions:
        greedy, drawn = replies[question.id, GREEDY], [replies[question.id, i] for i in samples]
        agrees = agreement(question, greedy.text, texts_of(drawn))
        if kind == "samples8":
            row = answer_row(question, greedy, kind, agrees, drawn, name)
            rows.append({**row, "agreement": agrees})
        else:
            rows.append(answer_row(question, greedy, kind, greedy.probability, (), name))
    return rows


def short_answers(
    local: Engine,
    questions: Sequence[Question],
    samples: Sequence[int],
    out: Path,
    label: str = "short answers",
    settings: Settings = DEFAULT,
    trained: bool = False,
) -> dict[Key, Reply]:
    """Short answers by (question id, sample), from `out` where they stand there already.

    A `trained` model is asked as for a reply, and stopped after its answer's line. A server cannot
    be made to go on after "Answer:": of its reply the first line is taken, without the label.
    """
    how = Sampling(settings.answer_tokens, seed=settings.seed, rows=settings.rows)

    def ask(
        asked: Sequence[Question], wanted: tuple[int, ...], keep: Callable[[list[Reply]], None]
    ) -> None:
        if isinstance(local, Remote):
            chat = lambda q: messages(q.prompt, ANSWER_ONLY, answer_turns())  # noqa: E731
            local.sample(asked, wanted, how, keep, chat, first_line)
            return
        prompt = local.policy_prompt if trained else local.answer_prompt
        sample_answers(local, asked, wanted, how, keep, prompt)

    return collect(out, questions, samples, ask, label)


def first_line(text: str) -> Span:
    """Where the first line stands that says something, without "Answer:"."""
    lines = (line.strip() for line in text.splitlines())
    line = next((line for line in lines if line), "")
    bare = line.removeprefix("Answer:").strip()
    # From the label on, or an answer "A" would be found in it.
    start = text.index(bare, text.index(line) + len(line) - len(line.removeprefix("Answer:")))
    return start, start + len(bare)


def full_replies(
    local: Engine,
    questions: Sequence[Question],
    samples: Sequence[int],
    out: Path,
    label: str,
    settings: Settings = DEFAULT,
    turns: Sequence[tuple[str, str]] = (),
    chat: Chat | None = None,
) -> dict[Key, Reply]:
    """Whole replies by (question id, sample), from `out` where they stand there already; asked for
    after worked `turns`, or by the conversation that `chat` makes."""
    how = Sampling(settings.reply_tokens, seed=settings.seed, rows=settings.rows)
    asked_by = chat or (lambda question: messages(question.prompt, turns=turns))

    def ask(
        asked: Sequence[Question], wanted: tuple[int, ...], keep: Callable[[list[Reply]], None]
    ) -> None:
        if isinstance(local, Remote):
            local.sample(asked, wanted, how, keep, asked_by)
            return
        tokenizer = local.tokenizer
        tokens = lambda question: tuple(render(tokenizer, asked_by(question)))  # noqa: E731
        sample_replies(local, asked, wanted, how, keep, tokens)

    return collect(out, questions, samples, ask, label)


def worked_turns() -> list[tuple[str, str]]:
    """The worked examples as turns (question, full reply) for a model that was not trained yet."""
    return [(q, format_reply(answer, why, level / 10)) for q, answer, why, level in EXAMPLES]


def texts_of(samples: Sequence[Reply]) -> list[str]:
    """What samples say; one that failed is not known and says nothing, which is not the same as
    an empty one."""
    return [sample.text for sample in samples if sample.status != "failed"]


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


def reply_row(question: Question, reply: Reply, kind: str, name: str) -> Row:
    """The row of a reply in the format; `confidence` is the one that it states."""
    parsed = parse_reply(reply.text)
    cut = reply.status == "cut"
    if reply.status == "failed":
        return _failed(question, kind, name)
    return {
        **_start(question, parsed.answer, kind, name),
        "reflection": parsed.reflection,
        "confidence": None if cut and _torn(parsed, reply.text) else parsed.confidence,
        "text": reply.text,
        "problems": [*parsed.problems, *([_CUT] if cut else [])],
        "tokens": reply.tokens,
    }


def _failed(question: Question, kind: str, name: str) -> Row:
    """The row of a question that got no reply: neither right nor wrong, and counted."""
    return {
        **_start(question, None, kind, name),
        **{"correctness": None, "why": _FAILED, "problems": [_FAILED]},
        **{"reflection": None, "confidence": None, "text": "", "tokens": 0},
    }


def _torn(parsed: Parsed, text: str) -> bool:
    """Whether a cut reply ends in its number, of which more may have followed: "1" of "10"."""
    return "confidence" in parsed.spans and parsed.spans["confidence"][1] == len(text)


def answer_row(
    question: Question,
    greedy: Reply,
    kind: str,
    confidence: float | None,
    samples: Sequence[Reply] = (),
    name: str | None = None,
) -> Row:
    """The row of a short answer, with a confidence in it that `samples` may have helped to find;
    without an answer there is none."""
    if greedy.status == "failed":
        return {**_failed(question, kind, name or kind), "probability": None}
    return {
        **_start(question, greedy.text or None, kind, name or kind),
        "reflection": None,
        "confidence": confidence if greedy.text else None,
        "text": greedy.text,
        "problems": [_CUT] if greedy.status == "cut" else [],
        "probability": greedy.probability if greedy.text else None,
        "tokens": greedy.tokens + sum(sample.tokens for sample in samples),
    }


def _start(question: Question, answer: str | None, kind: str, name: str) -> Row:
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
