"""The offline scorer of a reflection: four checks with a stated definition, no model needed.

* cause: the reflection names the question's true source of uncertainty (not scored where that is
  unknown).
* answers: of the other answers that it names, the share that the model itself gives; where it
  names none, 1 if the model's samples hold no other answer, else 0.
* agrees: 1 − |how sure it sounds (`grading.reading`) − stated confidence|, the faithfulness of Yona
  et al. (2024); not scored where its words do not tell.
* specific: it mentions what the question is about (not scored where no name or sum tells that).
"""

from __future__ import annotations

from collections.abc import Sequence

from metaconf.grading import same_answer
from metaconf.grading.reading import reading
from metaconf.prompts.causes import named_answers, named_causes
from metaconf.prompts.teacher import likely_cause, subject
from metaconf.records import Parsed, Question


def score_reflection(
    question: Question, parsed: Parsed, samples: Sequence[str]
) -> tuple[float | None, dict[str, float]]:
    """(mean of the checks that apply, the checks), all in [0, 1]; (None, {}) without a reflection.

    `samples` are answers of the same model to the same question, this reply's own among them.
    """
    if parsed.reflection is None or parsed.answer is None:
        return None, {}
    reflection, answer = parsed.reflection, parsed.answer
    parts = {"answers": _answers(question, answer, reflection, samples)}
    cause = likely_cause(question.task, question.cause)
    if (about := subject(question.prompt, cause)) != "this":
        parts["specific"] = float(about.casefold() in reflection.casefold())
    if question.cause is not None:
        parts["cause"] = float(question.cause in named_causes(reflection))
    read = reading(reflection)
    if parsed.confidence is not None and read is not None:
        parts["agrees"] = 1 - abs(read - parsed.confidence)
    return sum(parts.values()) / len(parts), parts


def named_share(question: Question, named: Sequence[str], samples: Sequence[str]) -> float | None:
    """Share of the named answers that stand among `samples`; None where none is named."""
    if not named:
        return None
    return sum(_stands_among(question, n, samples) for n in named) / len(named)


def _stands_among(question: Question, name: str, samples: Sequence[str]) -> bool:
    return any(same_answer(name, sample, question.task) for sample in samples)


def _answers(question: Question, answer: str, reflection: str, samples: Sequence[str]) -> float:
    named = named_answers(reflection, question.prompt, answer)
    share = named_share(question, named, samples)
    if share is not None:
        return share
    return float(all(same_answer(answer, s, question.task) for s in samples))
