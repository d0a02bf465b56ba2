"""Held-out figures while stage 2 trains, against the replies sampled and the seconds spent.

The rows go to the trainer's log, so that a resumed run has them, and from there to curve.json. The
best model by held-out Brier score is kept in `best`, because the reward can rise while calibration
gets worse.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from metaconf import metrics
from metaconf.config.blocks import EMBEDDED, Config
from metaconf.data import load_questions, pick
from metaconf.errors import UserError
from metaconf.files import filling, write_json
from metaconf.generation.local import LocalModel, sample_replies
from metaconf.generation.sampler import GREEDY, Sampling
from metaconf.grading import grade_answer
from metaconf.judging.reader import FEWEST, cross_fitted, reader_input
from metaconf.records import Parsed, Question, Reply
from metaconf.reply import parse_reply
from metaconf.training.checkpoints import saving
from metaconf.training.merged import merged_adapter
from metaconf.training.own_replies import refuse_constant

log = logging.getLogger("metaconf")
PREFIX = "heldout_"
NAMES = ("accuracy", "brier", "ece", "auroc", "auroc_within")
RESAMPLES = 1000
BRIER, COUNT = f"{PREFIX}brier", f"{PREFIX}n"
Split = tuple[list[Question], list[Question]]


def set_aside(questions: Sequence[Question], config: Config) -> Split:
    """(questions to train on, questions to measure on) by `eval_steps`; nothing to measure on
    where it is off. Raises UserError where nothing would be left to train on."""
    if not config.eval_steps:
        return list(questions), []
    if config.eval_path or config.questions.path == EMBEDDED:
        held = pick(
            load_questions(config.eval_path or "embedded:calibration"), config.eval_questions, 0
        )
        measured = {question.id for question in held}
        return [q for q in questions if q.id not in measured], held
    if len(questions) <= config.eval_questions:
        raise UserError(
            f"eval_questions {config.eval_questions} of {len(questions)} questions would be set"
            " aside to measure on; lower it, or name a file of others: eval_path"
        )
    ordered = pick(questions, None, config.seed)
    held = {question.id for question in ordered[-config.eval_questions :]}
    return [q for q in questions if q.id not in held], ordered[-config.eval_questions :]


def measure(
    local: LocalModel, questions: Sequence[Question], tokens: int, last: bool = False
) -> dict[str, float]:
    """Accuracy, Brier, ECE, AUROC over all and within kinds of greedy replies of at most `tokens`
    tokens, the number `n` of them that were graded and stated a confidence, the share in the
    format, and by how much their reflections lower a reader's Brier score. A figure that is not
    defined is left out. After the `last` step, logs `metrics.ranking_warning`, and raises UserError
    as `refuse_constant`."""
    found: dict[str, Reply] = {}
    sample_replies(
        local,
        questions,
        (GREEDY,),
        Sampling(tokens, local.end_tokens),
        lambda batch: found.update({reply.question_id: reply for reply in batch}),
    )
    parsed = [parse_reply(found[q.id].text) for q in questions]
    grades = [grade_answer(q, p.answer)[0] for q, p in zip(questions, parsed, strict=True)]
    ids = [question.id for question in questions]
    stated = [p.confidence for p in parsed]
    if last:
        refuse_constant(stated)
    figures = _figures(metrics.ScoredReplies(stated, grades, ids), questions, RESAMPLES * last)
    if last and (sentence := metrics.ranking_warning(figures)):
        log.warning("held-out replies after the last step: %s", sentence)
    rows = {name: figures[name].value for name in NAMES}
    both = sum(c is not None and g is not None for c, g in zip(stated, grades, strict=True))
    rows |= {"n": both, "format": float(np.mean([p.well_formed for p in parsed]))}
    rows["reader_gain"] = _reader_gain(questions, parsed, grades)
    return {f"{PREFIX}{name}": float(value) for name, value in rows.items() if value is not None}


def _figures(
    run: metrics.ScoredReplies, questions: Sequence[Question], replicates: int
) -> dict[str, metrics.Figure]:
    """NAMES of the replies, a reply a question."""
    kinds = [question.kind for question in questions]
    within = metrics.auroc_within_figure(run, kinds, replicates=replicates)
    figures = metrics.summarise(*run, metrics.METRICS.keys() & NAMES, replicates=replicates)
    return figures | {"auroc_within": within}


def _reader_gain(
    questions: Sequence[Question], parsed: Sequence[Parsed], grades: Sequence[float | None]
) -> float | None:
    """By how much the reflections lower the Brier score of a reader (`judging.reader`); None where
    the replies are too few."""
    read = [
        (inputs, grade, question.id)
        for question, reply, grade in zip(questions, parsed, grades, strict=True)
        if (inputs := reader_input(question.prompt, reply.answer, reply.reflection))
        and grade is not None
    ]
    if len(read) < FEWEST:
        return None
    inputs, right, ids = zip(*read, strict=True)
    without, with_reflection = cross_fitted(inputs, right, ids)[0]
    labels = np.array(right)
    return metrics.brier(without, labels) - metrics.brier(with_reflection, labels)


class HeldOut(TrainerCallback):
    """Measures before the first step and every `every` steps, and keeps the best model so far.

    `replies` gives how many replies have been sampled for training, and `gather` the model with all
    its weights, in every process; seconds are those of training alone, without the measuring. Of
    several processes the first one measures.
    """

    def __init__(
        self,
        tokenizer: Any,
        questions: Sequence[Question],
        every: int,
        out: Path,
        replies: Callable[[], int],
        gather: Callable[[], AbstractContextManager[Any]],
    ):
        self.tokenizer, self.questions, self.every = tokenizer, questions, every
        self.out, self.replies, self.gather = out, replies, gather
        self._started, self._spent = 0.0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        before = rows_of(state.log_history)
        # A resumed run goes on from the last row that its checkpoint has.
        self._started, self._spent = time.monotonic(), before[-1]["seconds"] if before else 0.0
        if not state.global_step:
            self._gather_and_note(args, state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._gather_and_note(args, state)

    def _gather_and_note(self, args: Any, state: Any) -> None:
        with self.gather() as model:
            if state.is_world_process_zero:
                self._note(args, state, model)

    def _note(self, args: Any, state: Any, model: Any) -> None:
        seconds = self._spent + time.monotonic() - self._started
        with merged_adapter(model) as merged:
            local = LocalModel(merged, self.tokenizer)
            last = state.global_step == state.max_steps
            found = measure(local, self.questions, args.max_completion_length, last)
        row = {"step": state.global_step, "replies": self.replies(), "seconds": seconds, **found}
        before = rows_of(state.log_history)
        best = min((r.get(BRIER, math.inf) for r in before), default=math.inf)
        state.log_history.append(row)
        if found.get(BRIER, math.inf) < best:
            self._keep(model, row)
        self._started, self._spent = time.monotonic(), seconds

    def _keep(self, model: Any, row: dict[str, float]) -> None:
        folder = self.out / "best"
        with saving(self.out):
            with filling(folder) as aside:
                model.save_pretrained(aside)
                self.tokenizer.save_pretrained(aside)
            write_json(self.out / "best.json", {**row, "folder": folder.name})


def rows_of(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The held-out rows of a trainer's log."""
    return [row for row in history if COUNT in row]
