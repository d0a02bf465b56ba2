"""Inspect finds these by the entry point `metaconf`: a task, a solver and a scorer.

    inspect eval metaconf/questions -T path=heldout.jsonl --model MODEL
    inspect score LOG --scorer metaconf/confidence

Inspect loads this module when it looks for one of their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import anyio.to_thread
from inspect_ai import Task, task  # pyright: ignore[reportMissingImports]
from inspect_ai.dataset import MemoryDataset, Sample  # pyright: ignore[reportMissingImports]
from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
    ChatMessageSystem,
    GenerateConfig,
    ModelOutput,
)
from inspect_ai.scorer import (  # pyright: ignore[reportMissingImports]
    Metric,
    SampleScore,
    Score,
    Scorer,
    Target,
    metric,
    scorer,
)
from inspect_ai.solver import (  # pyright: ignore[reportMissingImports]
    Generate,
    Solver,
    TaskState,
    solver,
)

from metaconf import harnesses
from metaconf.data import question_from_row
from metaconf.evaluation.methods import REPLY_TOKENS
from metaconf.evaluation.rows import EvaluatedReply, reply_row
from metaconf.prompts.chat import INSTRUCTION
from metaconf.records import Question, Reply

QUESTION = "metaconf_question"
"""The key of a sample's metadata that holds its Question record."""
CUT = ("max_tokens", "model_length", "content_filter")
"""Reasons to stop of a reply that was not finished."""


@task
def questions(path: str = "embedded") -> Task:
    """Questions from any source of `metaconf evaluate --questions`, asked for the format."""
    samples = [_sample(question) for question in harnesses.questions(path)]
    return Task(
        dataset=MemoryDataset(samples, name=path),
        solver=reply_format(),
        scorer=confidence(),
        config=GenerateConfig(temperature=0.0, max_tokens=REPLY_TOKENS),
    )


@solver
def reply_format() -> Solver:
    """Ask for answer, reflection and confidence, with lettered choices where the sample has any."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.messages.insert(0, ChatMessageSystem(content=INSTRUCTION))
        if len(state.choices):
            state.user_prompt.text = _question(state, None).prompt
        return await generate(state)

    return solve


@metric(scores="unreduced")
def figures() -> Metric:
    """Accuracy, Brier score, AUROC, ECE and shares of well-formed and parsed replies, over every
    reply: the mean confidence of several epochs is none that the model stated."""

    def compute(scores: Sequence[SampleScore]) -> dict[str, float]:
        rows = [EvaluatedReply.from_json(one.score.metadata or {}) for one in scores]
        return harnesses.figures(rows)

    return compute


@scorer(metrics=[figures()])
def confidence(grader: str | None = None) -> Scorer:
    """Read and grade the reply. `grader` (short, math, choice or long) is how an answer is graded
    where the sample is not one of ours; its target is then the right answer, or several.

    The score's metadata is a row as `metaconf evaluate --replies` reads it.
    """

    async def score(state: TaskState, target: Target) -> Score:
        question = _question(state, grader)
        reply = Reply(question.id, state.epoch, state.output.completion, _status(state.output))
        # Grading can wait for a process, for seconds.
        row = await anyio.to_thread.run_sync(reply_row, question, reply, "reply")
        value = {"correctness": row.correctness, "confidence": row.confidence}
        value["well_formed"] = float(not row.problems)
        return Score(value=value, answer=row.answer, explanation=row.why, metadata=row.to_json())

    return score


def _status(output: ModelOutput) -> str:
    """The status of a Reply; a log that is scored again has samples whose call failed, too."""
    if output.empty:
        return "failed"
    return "cut" if output.stop_reason in CUT else "ok"


def _sample(question: Question) -> Sample:
    texts = [text for target in question.targets for text in target.texts]
    record = {QUESTION: question.to_json()}
    return Sample(question.prompt, target=texts, id=question.id, metadata=record)


def _question(state: TaskState, grader: str | None) -> Question:
    """The sample's question. Raises UserError for a target that cannot be graded by."""
    if record := state.metadata.get(QUESTION):
        return Question.from_json(record)
    name, texts = str(state.sample_id), [text for text in state.target if text]
    if not texts:
        return Question(name, state.input_text, (), grader or "short")
    answer = texts[0] if len(texts) == 1 else texts
    row = {"question": state.input_text, "answer": answer, "task": grader}
    if len(state.choices):
        row["choices"] = [choice.value for choice in state.choices]
    return replace(question_from_row(row, f"sample {name}", name), id=name)
