"""The LLM judge: many requests at once; each returns a verdict or is counted as failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from metaconf.clients import Completion, Endpoint, Outcome, Request, complete_all, endpoint_of
from metaconf.config.blocks import Judge as Settings
from metaconf.errors import UserError
from metaconf.judging.verdict import REASON, Verdict, read_verdict
from metaconf.prompts.judge import (
    REFLECTION_FIELDS,
    VERSION,
    Task,
    answer_task,
    reading_task,
    reflection_task,
    same_task,
    steps_task,
)
from metaconf.prompts.slots import clean
from metaconf.records import Grade, Parsed, Question

Judged = tuple[Question, Parsed, Grade]
"""A reply as it was parsed, and graded by rule."""
MAX_TOKENS = 300
CREDIT = {"right": 1.0, "partly": 0.5, "wrong": 0.0}
MAX_SAID = 100
"""Characters of a failed call's message that are shown."""
FAILED = "the judge failed"
ENOUGH = 20
"""Verdicts that must have been asked for before the share of failed ones can stop a run."""


@dataclass
class Judge:
    """Grades answers that rules cannot grade, and scores reflections. `cache` keeps its replies.

    `asked` and `failed` count verdicts over the judge's whole life. `why` counts failures by kind,
    `said` holds the server's first message of each kind. `trouble` is set by a caller that goes on
    without the judge: why it could not be asked.
    """

    endpoint: Endpoint
    settings: Settings
    cache: Path | None = None
    asked: int = 0
    failed: int = 0
    why: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    trouble: str = ""

    def __call__(self, replies: Sequence[Judged]) -> list[Grade]:
        """The grades with the judge's: correctness of what no rule could grade (and of wrong
        calculations, by steps, where the settings say so), then the reflection's quality.

        A failed verdict leaves its part None. Raises UserError where no call makes sense.
        """
        # The rule-based score of a reflection is no verdict.
        graded = [replace(g, quality=None, parts={}) for g in self._answers(replies)]
        again = [(q, p, g) for (q, p, _), g in zip(replies, graded, strict=True)]
        return self._rubric(again)

    def answers(self, replies: Sequence[Judged]) -> list[Grade]:
        """The grades with the judge's verdicts on answers alone.

        Raises UserError as a call, and where not one verdict could be used."""
        grades = self._answers(replies)
        if self.silent:
            raise UserError(self.silent)
        return grades

    def same(self, pairs: Sequence[tuple[str, str, str]]) -> list[bool | None]:
        """Whether the two answers of each (question, answer, other answer) say the same; None where
        the verdict failed. Raises UserError as a call."""
        verdicts = self._verdicts([same_task(*pair) for pair in pairs])
        return [None if v is None else v["verdict"] == "same" for _, v in verdicts]

    def readings(self, reflections: Sequence[str | None]) -> list[float | None]:
        """How sure the writer of each reflection sounds, in [0, 1], from its text alone; None where
        there is none, where its words do not tell, and where the verdict failed. Raises UserError
        as a call."""
        found: list[float | None] = [None] * len(reflections)
        for place, verdict in self._verdicts([reading_task(r) if r else None for r in reflections]):
            if verdict is not None and verdict["tells"] == "yes":
                found[place] = verdict["sureness"] / 100
        return found

    @property
    def failing(self) -> str:
        """Why a run should stop: too large a share of all verdicts failed; "" where not."""
        share = self.failed / max(self.asked, 1)
        if self.asked < ENOUGH or share <= self.settings.max_failed:
            return ""
        return (
            f"judge.max_failed {self.settings.max_failed:g}: {self.failed} of {self.asked} verdicts"
            f" of {self.endpoint.model} failed ({self._kinds()}); use a model that replies in JSON,"
            " or raise the limit"
        )

    @property
    def silent(self) -> str:
        """A message where every verdict failed, however few were asked for; else ""."""
        if not self.asked or self.failed < self.asked:
            return ""
        return (
            f"judge {self.endpoint.model}: not one of {self.asked} verdicts could be used"
            f" ({self._kinds()}); use a model that replies in JSON, and see what it says at"
            f" {self.endpoint.url}"
        )

    def _kinds(self) -> str:
        """The kinds of failure with their counts, and the first message of each."""
        return ", ".join(
            f"{count} {kind}" + (f": {said}" if (said := self.said.get(kind)) else "")
            for kind, count in self.why.items()
        )

    def _answers(self, replies: Sequence[Judged]) -> list[Grade]:
        tasks = [self._answer_task(*reply) for reply in replies]
        grades = [grade for _, _, grade in replies]
        for place, verdict in self._verdicts(tasks):
            credit = None if verdict is None else _credit(verdict)
            why = FAILED if verdict is None else f"judge: {verdict[REASON]}"
            grades[place] = replace(grades[place], correctness=credit, why=why)
        return grades

    def _answer_task(self, question: Question, parsed: Parsed, grade: Grade) -> Task | None:
        """The request about an answer; None where the rules have graded it."""
        if not parsed.answer or not parsed.answer.strip():
            return None
        references = [text for target in question.targets for text in target.texts]
        wrong_sum = question.task == "math" and grade.correctness == 0.0
        if self.settings.steps and wrong_sum and parsed.thinking:
            return steps_task(question.prompt, parsed.thinking, parsed.answer, references)
        if question.task != "long" or grade.correctness is not None or not references:
            return None
        return answer_task(question.prompt, parsed.answer, references)

    def _rubric(self, replies: Sequence[Judged]) -> list[Grade]:
        grades = [grade for _, _, grade in replies]
        tasks = [
            reflection_task(q.prompt, p.answer, p.reflection, p.confidence)
            if p.answer and p.reflection
            else None
            for q, p, _ in replies
        ]
        for place, verdict in self._verdicts(tasks):
            grades[place] = _with_points(grades[place], verdict)
        return grades

    def _verdicts(self, tasks: Sequence[Task | None]) -> list[tuple[int, Verdict | None]]:
        """(place, verdict) of each task that is one."""
        asked = [(place, task) for place, task in enumerate(tasks) if task is not None]
        if not asked:
            return []
        requests = [
            Request(task.messages, max_tokens=MAX_TOKENS, json=True, version=VERSION)
            for _, task in asked
        ]
        readers = {r: t for r, (_, t) in zip(map(_key, requests), asked, strict=True)}
        readable: Callable[[Request, str], bool] = lambda request, text: (  # noqa: E731
            _read_task(readers[_key(request)], text) is not None
        )
        outcomes = complete_all(
            requests, self.endpoint, cache=self.cache, progress=False, readable=readable
        )
        return [
            (place, self._counted(task, outcome))
            for (place, task), outcome in zip(asked, outcomes, strict=True)
        ]

    def _counted(self, task: Task, outcome: Outcome) -> Verdict | None:
        self.asked += 1
        verdict = _read_task(task, outcome.text) if isinstance(outcome, Completion) else None
        if verdict is None:
            self.failed += 1
            kind, said = (
                ("unreadable", outcome.text)
                if isinstance(outcome, Completion)
                else (outcome.kind, outcome.detail)
            )
            self.why[kind] = self.why.get(kind, 0) + 1
            self.said.setdefault(kind, clean(" ".join(said.split()))[:MAX_SAID])
        return verdict


def judge_of(settings: Settings, environ: Mapping[str, str], cache: Path | None) -> Judge | None:
    """The judge that the settings ask for; None where rules alone grade.

    Raises UserError as `endpoint_of`.
    """
    if settings.kind == "offline":
        return None
    return Judge(endpoint_of(settings.client, environ), settings, cache)


def unjudged(grade: Grade) -> Grade:
    """The grade where the judge could not be asked: the reflection's quality is not known."""
    return replace(grade, quality=None, parts={}, judged=FAILED)


def _key(request: Request) -> str:
    return request.messages[0]["content"] + "\n" + request.messages[1]["content"]


def _read_task(task: Task, text: str) -> Verdict | None:
    return read_verdict(text, task.ticket, task.fields)


def _credit(verdict: Verdict) -> float | None:
    if "verdict" in verdict:
        return CREDIT[verdict["verdict"]]
    # More right steps than steps is no verdict.
    return verdict["right"] / verdict["steps"] if verdict["right"] <= verdict["steps"] else None


def _with_points(grade: Grade, verdict: Verdict | None) -> Grade:
    if verdict is None:
        return unjudged(grade)
    parts = {name: verdict[name] / 2 for name in REFLECTION_FIELDS}
    quality = sum(parts.values()) / len(parts)
    return replace(grade, quality=quality, parts=parts, judged=verdict[REASON])
