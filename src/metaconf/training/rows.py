"""The training rows of stage 1: from prepared rows to packed token rows to tensors.

A token row is a prompt, its reply, and continuations of the reply: other tokens that follow some
position of it, up to where a confidence is written. All of them run in one forward pass under a
tree attention mask, in which each token attends to its own ancestors only. A separate pass for a
continuation of five tokens would cost as much as that of the whole row, because each pass writes a
gradient of the size of the model.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from metaconf.errors import UserError
from metaconf.generation.local import LocalModel
from metaconf.generation.prefill import common_prefix
from metaconf.prompts.chat import messages, render
from metaconf.records import Span
from metaconf.reply import format_reply, parse_reply
from metaconf.training.curriculum import ordered
from metaconf.training.encode import encode_reply
from metaconf.training.forward import right_padded
from metaconf.training.levels import lead_in

STANCE_WEIGHT = 12.0
"""Weight in the text loss of the tokens in which a row's wordings differ. They alone decide how
sure the reflection sounds, and are one token in eight (docs/lab-notebook.md)."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """`tokens` in place of the reply's from position `at` on, up to where a confidence is written.

    `target` in [0, 1] is the confidence to be written there. `without_reflection`: no reflection
    precedes it.
    """

    at: int
    tokens: list[int]
    target: float
    without_reflection: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One training row: the tokens of prompt and reply, and the continuations.

    `level_at` is the position in the reply of the level's first token, which the text loss leaves
    out; None in a reply that ends before it. `wordings` are whole replies with the same answer, of
    which the trainer takes the one nearest to the model's own expected confidence
    (`for_confidence`); the row itself then ends with the answer. `stance` (start, end) are the
    tokens of the reply in which the wordings differ.
    """

    prompt: list[int]
    reply: list[int]
    level_at: int | None
    continuations: tuple[Continuation, ...]
    wordings: tuple[tuple[float, Row], ...] = ()
    stance: Span = (0, 0)

    def columns(self) -> dict[str, Any]:
        """The row as plain columns of a dataset."""
        return {
            "prompt": self.prompt,
            "reply": self.reply,
            "level_at": self.level_at,
            "stance": list(self.stance),
            "continuation_at": [c.at for c in self.continuations],
            "continuation_tokens": [c.tokens for c in self.continuations],
            "continuation_target": [c.target for c in self.continuations],
            "without_reflection": [c.without_reflection for c in self.continuations],
            "wordings": [row.columns() for _, row in self.wordings],
            "wording_confidences": [confidence for confidence, _ in self.wordings],
        }


def train_rows(
    local: LocalModel,
    rows: Sequence[dict[str, Any]],
    alone: float = 0,
    opening: float = 0,
    whole: float = 1,
) -> list[Row]:
    """Prepared (sharegpt) rows → token rows, in the order of `curriculum.ordered`.

    First the rows `alone` times, whose reply ends with the line break after the answer and
    whose only continuation is the confidence straight after it. Then those of the share `opening`
    that have several `reflections`: one reply for each, up to where they are the same again. Then
    the share `whole`, with the whole reply and the confidence both straight after the answer and
    after the reflection, also with one reply for each of the `reflections`. Raises UserError, with
    the row's id, where a reply states no answer or no confidence.
    """
    label = lead_in(local.tokenizer)
    first, middle, last = ordered(rows, alone, opening, whole)
    # A row comes several times, and encoding it takes milliseconds.
    by_id = {id(row): row for row in rows}
    short = cache(lambda own: _train_row(local, by_id[own], label, whole=False))
    full = cache(lambda own: _whole_row(local, by_id[own], label, short(own)))
    return [
        *(short(id(row)) for row in first),
        *(_opening(full(id(row))) for row in middle if row.get("reflections")),
        *(full(id(row)) for row in last),
    ]


def _opening(row: Row) -> Row:
    """The row with its wordings cut after what says how sure the reflection sounds."""

    def cut(whole: Row) -> Row:
        reply = whole.reply[: whole.stance[1]]
        return replace(whole, reply=reply, level_at=None, continuations=whole.continuations[1:])

    return replace(row, wordings=tuple((c, cut(whole)) for c, whole in row.wordings))


def _whole_row(local: LocalModel, row: dict[str, Any], label: list[int], short: Row) -> Row:
    """The row with the whole reply; with wordings `short`, which ends with the answer, has them."""
    if not row.get("reflections"):
        return _train_row(local, row, label, whole=True)
    written = [
        _train_row(local, _reworded(row, text), label, whole=True) for _, text in row["reflections"]
    ]
    start = common_prefix([r.reply for r in written])
    end = common_prefix([r.reply[::-1] for r in written])
    marked = [replace(r, stance=(start, len(r.reply) - end)) for r in written]
    confidences = [confidence for confidence, _ in row["reflections"]]
    wordings = tuple(zip(confidences, marked, strict=True))
    return replace(short, wordings=wordings)


def _reworded(row: dict[str, Any], reflection: str) -> dict[str, Any]:
    """The row with another reflection in its reply."""
    question, reply = row["conversations"]
    parsed = parse_reply(reply["value"])
    if parsed.answer is None or parsed.confidence is None:
        return row  # refused by `_train_row`, which names it
    text = format_reply(parsed.answer, reflection, parsed.confidence)
    return {**row, "conversations": [question, {**reply, "value": text}]}


def has_reflection(row: dict[str, Any]) -> bool:
    """Whether a row (columns) teaches more than answer and confidence."""
    return bool(row["wordings"]) or row["level_at"] is not None


def for_confidence(row: dict[str, Any], confidence: float) -> dict[str, Any]:
    """A row (columns) that teaches this `confidence` in [0, 1] wherever one is written, and of its
    `wordings` the one for the nearest."""
    if row["wordings"]:
        away = [abs(each - confidence) for each in row["wording_confidences"]]
        row = row["wordings"][away.index(min(away))]
    return row | {"continuation_target": [confidence] * len(row["continuation_target"])}


def _train_row(local: LocalModel, row: dict[str, Any], label: list[int], whole: bool) -> Row:
    question, reply = (turn["value"] for turn in row["conversations"])
    prompt = render(local.tokenizer, messages(question, row["system"]))
    encoded = encode_reply(local.tokenizer, reply)
    if encoded.level_at is None or "answer" not in encoded.spans:
        raise UserError(
            f"row {row.get('id')}: the reply states no answer or no confidence; mend or drop it"
        )
    end = encoded.spans["answer"][1]
    after_answer = Continuation(end, label, row["target"])
    if not whole:
        # The line break is learnt too: an instruct model ends its turn after a short answer, and
        # in small families the whole replies alone do not teach it otherwise.
        return Row(prompt, encoded.tokens[: end + 1], None, (after_answer,))
    after_reflection = Continuation(encoded.level_at, [], row["target"], without_reflection=False)
    return Row(prompt, encoded.tokens, encoded.level_at, (after_reflection, after_answer))


def within(rows: Sequence[Row], longest: int | None) -> list[Row]:
    """The rows of at most `longest` tokens; those left out are counted on stderr, never cut."""
    fits = [r for r in rows if longest is None or len(r.prompt) + reply_length(r) <= longest]
    if left := len(rows) - len(fits):
        print(f"{left} of {len(rows)} rows are longer than max_length {longest}", file=sys.stderr)
    return fits


def reply_length(row: Row) -> int:
    """Tokens of the row's reply, or of its longest wording."""
    return max(len(r.reply) for r in (row, *(r for _, r in row.wordings)))


def collate_batch(rows: Sequence[dict[str, Any]], pad: int, one: int) -> dict[str, Any]:
    """`collate`, and the columns as "rows" where some have a reflection."""
    choice = {"rows": list(rows)} if any(map(has_reflection, rows)) else {}
    return collate(rows, pad, one) | choice


def collate(rows: Sequence[dict[str, Any]], pad: int, one: int) -> dict[str, torch.Tensor]:
    """Columns of B rows → tensors, without their wordings. `pad` is the padding token, `one` the
    token of level 1.

    * prefix (1, P): the tokens that all prompts begin with.
    * input_ids (B, T), right-padded: the rest of the prompt, the reply, and each continuation with
      the token `one` behind it (a "0" after it makes a 10, the reply's end a 1).
    * position_ids (B, T): positions along each token's own ancestors, the prefix included.
    * attention_mask (B, T, T): True where the first token attends to the second.
    * labels (B, T): the reply's tokens; -100 elsewhere, and on the level.
    * weights (B, T): of the labels in the text loss, STANCE_WEIGHT for a stance and 1 elsewhere.
    * level_positions (M, 3), of all M continuations: the row, the position that predicts the level,
      and the position of the token `one`.
    * targets (M,) in [0, 1] and without_reflection (M,): of the continuations.
    """
    shared = common_prefix([r["prompt"] for r in rows])
    begins = [len(r["prompt"]) - shared for r in rows]
    rest = [[*r["prompt"][shared:], *r["reply"], *_continued(r, one)] for r in rows]
    ids, _ = right_padded(rest, pad=pad)
    labels = torch.full_like(ids, -100)
    weights = torch.ones(ids.shape)
    mask = torch.eye(ids.shape[1], dtype=torch.bool).repeat(len(rows), 1, 1)
    positions = torch.zeros_like(ids)
    levels: list[tuple[int, int, int]] = []
    for i, (row, begin) in enumerate(zip(rows, begins, strict=True)):
        end = begin + len(row["reply"])
        labels[i, begin:end] = ids[i, begin:end]
        weights[i, begin + row["stance"][0] : begin + row["stance"][1]] = STANCE_WEIGHT
        if row["level_at"] is not None:
            labels[i, begin + row["level_at"]] = -100
        levels += [(i, *places) for places in _lay_out(mask[i], positions[i], begin, end, row)]
    return {
        "prefix": torch.tensor([rows[0]["prompt"][:shared]], dtype=torch.long),
        "input_ids": ids,
        "position_ids": positions + shared,
        "attention_mask": mask,
        "labels": labels,
        "weights": weights,
        "level_positions": torch.tensor(levels),
        "targets": torch.tensor([t for r in rows for t in r["continuation_target"]]),
        "without_reflection": torch.tensor([w for r in rows for w in r["without_reflection"]]),
    }


def _continued(row: dict[str, Any], one: int) -> list[int]:
    return [token for tokens in row["continuation_tokens"] for token in (*tokens, one)]


def _lay_out(
    mask: torch.Tensor, positions: torch.Tensor, begin: int, end: int, row: dict[str, Any]
) -> list[tuple[int, int]]:
    """Fill one row of `mask` (T, T) and `positions` (T,), whose reply is at `begin`:`end`. Returns
    for each continuation the position that predicts the level, and that of its last token."""
    causal = torch.ones(mask.shape, dtype=torch.bool).tril()
    mask[:end, :end] = causal[:end, :end]
    positions[:end] = torch.arange(end)
    start, places = end, list[tuple[int, int]]()
    for at, tokens in zip(row["continuation_at"], row["continuation_tokens"], strict=True):
        stop, fork = start + len(tokens) + 1, begin + at
        mask[start:stop, :fork] = True
        mask[start:stop, start:stop] = causal[start:stop, start:stop]
        positions[start:stop] = torch.arange(fork, fork + stop - start)
        # Without tokens of its own, the level is predicted by the reply's token before it.
        places.append((stop - 2 if tokens else fork - 1, stop - 1))
        start = stop
    return places
