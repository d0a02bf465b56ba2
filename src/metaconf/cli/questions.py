"""`metaconf questions`: what a set looks like once it is read, before anything is run on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from metaconf.config.blocks import AS_IS, Questions
from metaconf.config.load import known_keys
from metaconf.config.values import convert, read_value
from metaconf.data import check_reading, duplicates, load_questions, overlap
from metaconf.data.load import map_name
from metaconf.data.same import Pair
from metaconf.errors import UserError
from metaconf.evaluation.preview import conversation, printable
from metaconf.records import Question

EXAMPLES = 3


def reading(ready: str | None, columns: str | None, name: str | None) -> Questions:
    """How questions are read, from the words of a command line. Raises UserError."""
    words = {"map": ready, "columns": columns, "name": name}
    kinds = known_keys("sft")
    given = {
        key: convert(
            read_value(text) if key == "columns" else text, kinds[f"questions.{key}"], f"--{key}"
        )
        for key, text in words.items()
        if text is not None
    }
    return replace(AS_IS, **given)


def show(source: str, how: Questions, against: str | None = None) -> str:
    """Count, tasks, three examples (prompt as text, target), repeats and, with `against`, overlap.

    Raises UserError where either set cannot be read.
    """
    check_reading(source, how)
    questions = load_questions(source, how)
    tasks = Counter(question.task for question in questions)
    told = ", ".join(f"{task} {count}" for task, count in tasks.most_common())
    by = map_name(source, how) or "none"
    parts = [f"{source}: {len(questions)} questions ({told}); map: {by}"]
    parts += [_example(i, question) for i, question in enumerate(questions[:EXAMPLES], 1)]
    parts.append(_told("repeated in this set", duplicates(questions), len(questions)))
    if against is not None:
        others = _other(against, how)
        parts.append(_told(f"also in {against}", overlap(questions, others), len(questions)))
    return "\n".join(parts)


def _other(against: str, how: Questions) -> Sequence[Question]:
    """The other set: in the same form, or in one of its own."""
    try:
        return load_questions(against, how)
    except UserError:
        if how == AS_IS:
            raise
        return load_questions(against)


def _example(number: int, question: Question) -> str:
    prompt = conversation(question.prompt)
    targets = " | ".join(
        " = ".join(target.texts) + ("" if target.credit == 1 else f" ({target.credit:g})")
        for target in question.targets
    )
    return printable(
        f"── example {number}: {question.id}\n{prompt}\n── target ({question.task}): {targets}"
    )


def _told(what: str, pairs: Sequence[Pair], total: int) -> str:
    first = f"; first: {pairs[0][0].id} and {pairs[0][1].id}" if pairs else ""
    return printable(f"── {what}: {len(pairs)} of {total}{first}")
