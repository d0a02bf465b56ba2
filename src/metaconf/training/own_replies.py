"""What a trained model replies to some of its training questions, looked at before it is used.

What was taught with given words has to hold with the model's own: the losses of training cannot
tell, because they are measured after the reflections of the rows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metaconf.errors import UserError
from metaconf.generation.local import LocalModel, sample_replies
from metaconf.generation.sampler import GREEDY, Sampling
from metaconf.judging.contradictions import contradiction_warning
from metaconf.metrics import ScoredReplies, auroc_within_figure, ranking_warning, summarise
from metaconf.records import Parsed, Question, Reply
from metaconf.reply import parse_reply

log = logging.getLogger("metaconf")
CHECKED = 64
"""Replies that are looked at, some seconds on two cores."""
MAX_BROKEN, MAX_MODE_FRACTION = 0.05, 0.95
"""Larger shares of replies that are not in the format, or that state one and the same confidence,
are worth a warning."""


CONSTANT = 20
"""From so many replies on, one and the same confidence in all of them is an error."""


def check_replies(
    local: LocalModel, rows: Sequence[Mapping[str, Any]], max_new_tokens: int
) -> None:
    """Log a warning for each thing that is wrong with the greedy replies to the questions of the
    first CHECKED of the prepared `rows`. Raises UserError as `refuse_constant`."""
    rows = rows[:CHECKED]
    prompts = [row["conversations"][0]["value"] for row in rows]
    asked = [Question(str(i), text, ()) for i, text in enumerate(prompts)]
    found: list[Reply] = []
    how = Sampling(max_new_tokens, local.end_tokens, rows=CHECKED)
    sample_replies(local, asked, (GREEDY,), how, found.extend)
    parsed = [parse_reply(reply.text) for reply in found]
    for sentence in faults(parsed, [rows[int(reply.question_id)] for reply in found]):
        log.warning("%d replies of the trained model were read: %s", len(found), sentence)
    refuse_constant([reply.confidence for reply in parsed])


def refuse_constant(confidences: Sequence[float | None]) -> None:
    """Raise UserError where all of CONSTANT or more stated `confidences` are the same."""
    stated = [one for one in confidences if one is not None]
    if len(stated) >= CONSTANT and len(set(stated)) == 1:
        raise UserError(
            f"the trained model states the confidence {stated[0]:g} in all {len(stated)} replies"
            " that were looked at, whatever the question, so training taught none; train on more"
            " rows or epochs, or with another learning_rate, in another output_dir"
        )


def faults(replies: Sequence[Parsed], rows: Sequence[Mapping[str, Any]] = ()) -> Iterator[str]:
    """A sentence for each thing that is wrong with the `replies` as a whole; with the prepared
    `rows` that they reply to, also where their confidence does not follow the rows' targets."""
    broken = [reply.problems[0] for reply in replies if not reply.well_formed]
    if len(broken) > MAX_BROKEN * len(replies):
        commonest = Counter(broken).most_common(1)[0][0]
        yield (
            f"{len(broken)} are not in the format (most often: {commonest}); train on more whole"
            " replies (confidence.full_reply_fraction, num_train_epochs)"
        )
    stated = [reply.confidence for reply in replies if reply.confidence is not None]
    mode, times = Counter(stated).most_common(1)[0] if stated else (0.0, 0)
    if len(stated) > 1 and times > MAX_MODE_FRACTION * len(stated):
        yield (
            f"{times} of {len(stated)} state the confidence {mode:g}: it was not learnt; train on"
            " more rows or more epochs"
        )
    elif rows and (sentence := _against_targets(replies, rows)):
        yield f"beside the targets of their rows, {sentence}; train on more rows or more epochs"
    if contradiction := contradiction_warning(replies):
        yield contradiction


def _against_targets(replies: Sequence[Parsed], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """`ranking_warning` of the stated confidences, the target as the share of a right answer."""
    targets, kinds = ([row.get(key) for row in rows] for key in ("target", "kind"))
    run = ScoredReplies([reply.confidence for reply in replies], targets, range(len(rows)))
    within = auroc_within_figure(run, kinds)
    return ranking_warning({**summarise(*run, ["auroc"]), "auroc_within": within})
