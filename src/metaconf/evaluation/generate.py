"""Replies of one model: full ones in the format, and short answers. They are kept as JSONL, so that
a killed run asks only for what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from metaconf.evaluation.methods import Settings
from metaconf.evaluation.rows import EvaluatedReply, agreement, answer_row, reply_row, texts_of
from metaconf.generation.local import LocalModel, sample_answers, sample_replies
from metaconf.generation.remote import Chat, Remote
from metaconf.generation.sampler import GREEDY, Sampling
from metaconf.generation.store import Key, collect
from metaconf.prompts.chat import ANSWER_ONLY, EXAMPLES, answer_turns, messages, render
from metaconf.records import Question, Reply, Span
from metaconf.reply import format_reply

Plain = Literal["asked", "probability", "samples8", "reply"]
"""Methods that `evaluate` knows; those of `baselines.MAKERS` build on them."""
SAMPLES = 8
Engine = LocalModel | Remote
"""What is asked: a model in this process, or behind a server."""


DEFAULT = Settings()


def evaluate(
    engine: Engine,
    questions: Sequence[Question],
    method: Plain,
    out: Path,
    key: str | None = None,
    settings: Settings = DEFAULT,
) -> list[EvaluatedReply]:
    """Ask `engine` every question by `method`; one row a question, in their order.

    * asked: greedy reply of an untrained model, with worked turns; the stated confidence.
    * reply: greedy reply of a trained model, without them; the stated confidence.
    * probability: greedy short answer; confidence is the probability of its tokens.
    * samples8: the same answer; confidence is the share of 8 samples that agree with it.

    Raw replies are kept in the JSONL file `out`, and only what it lacks is asked for. The two
    methods of short answers may share one file; any others need files of their own. `key` is the
    rows' `method` (default: `method`). Raises UserError for a task that has no grader.
    """
    key = key or method
    if method in ("asked", "reply"):
        turns = worked_turns() if method == "asked" else []
        replies = full_replies(engine, questions, (GREEDY,), out, key, settings, turns)
        return [reply_row(q, replies[q.id, GREEDY], key) for q in questions]
    samples = range(SAMPLES) if method == "samples8" else ()
    replies = short_answers(engine, questions, (GREEDY, *samples), out, key, settings)
    rows: list[EvaluatedReply] = []
    for question in questions:
        greedy, drawn = replies[question.id, GREEDY], [replies[question.id, i] for i in samples]
        if method == "samples8":
            agrees = agreement(question, greedy.text, texts_of(drawn))
            row = answer_row(question, greedy, key, agrees, drawn)
            rows.append(replace(row, agreement=agrees))
        else:
            rows.append(answer_row(question, greedy, key, greedy.probability))
    return rows


def short_answers(
    engine: Engine,
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
        if isinstance(engine, Remote):
            chat = lambda q: messages(q.prompt, ANSWER_ONLY, answer_turns())  # noqa: E731
            engine.sample(asked, wanted, how, keep, chat, first_line)
            return
        prompt = engine.policy_prompt if trained else engine.answer_prompt
        sample_answers(engine, asked, wanted, how, keep, prompt)

    return collect(out, questions, samples, ask, label, engine.identity)


def first_line(text: str) -> Span:
    """Where the first line stands that says something, without "Answer:"."""
    lines = (line.strip() for line in text.splitlines())
    line = next((line for line in lines if line), "")
    bare = line.removeprefix("Answer:").strip()
    # From the label on, or an answer "A" would be found in it.
    start = text.index(bare, text.index(line) + len(line) - len(line.removeprefix("Answer:")))
    return start, start + len(bare)


def full_replies(
    engine: Engine,
    questions: Sequence[Question],
    samples: Sequence[int],
    out: Path,
    label: str,
    settings: Settings = DEFAULT,
    turns: Sequence[tuple[str, str]] = (),
    chat: Chat | None = None,
) -> dict[Key, Reply]:
    """Full replies by (question id, sample), from `out` where they stand there already; asked for
    after worked `turns`, or by the conversation that `chat` makes."""
    how = Sampling(settings.reply_tokens, seed=settings.seed, rows=settings.rows)
    asked_by = chat or (lambda question: messages(question.prompt, turns=turns))

    def ask(
        asked: Sequence[Question], wanted: tuple[int, ...], keep: Callable[[list[Reply]], None]
    ) -> None:
        if isinstance(engine, Remote):
            engine.sample(asked, wanted, how, keep, asked_by)
            return
        tokenizer = engine.tokenizer
        tokens = lambda question: tuple(render(tokenizer, asked_by(question)))  # noqa: E731
        sample_replies(engine, asked, wanted, how, keep, tokens)

    return collect(out, questions, samples, ask, label, engine.identity)


def worked_turns() -> list[tuple[str, str]]:
    """The worked examples as turns (question, full reply) for a model that was not trained yet."""
    return [(q, format_reply(answer, why, level / 10)) for q, answer, why, level in EXAMPLES]
