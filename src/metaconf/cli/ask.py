"""`metaconf ask`: one question, one greedy reply, taken apart for a person to read.

What a model wrote is hostile to a terminal: escape sequences can hide, recolour or rewrite lines,
so all control characters are removed before anything is printed.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from metaconf.config.load import check_model
from metaconf.errors import UserError
from metaconf.records import Parsed, Question, Reply
from metaconf.reply import parse_reply

TRAINED = (Path("runs/demo/stage2"), Path("runs/demo/stage1"))
"""Where the demo leaves its models, the latest stage first."""
MAX_NEW_TOKENS = 128


def run(question: str, model: str | None = None) -> None:
    """Ask `model` (None: the newest model of the demo) and print answer, reflection, confidence.

    Raises UserError for an empty question, a model that is none, or no model at all.
    """
    if not question.strip():
        raise UserError('the question is empty; write it in quotes: metaconf ask "…?"')
    name = model or trained_model()
    check_model(name)
    reply = _reply(question, name)
    print("\n".join(lines(reply)))


def trained_model() -> str:
    """The folder of the demo's newest model. Raises UserError where there is none."""
    for folder in TRAINED:
        if any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
            return str(folder)
    raise UserError(
        f"no trained model in {TRAINED[0]} or {TRAINED[1]}; run `metaconf demo` first, or name a"
        " model: --model FOLDER"
    )


def _reply(question: str, model: str) -> Reply:
    from metaconf.generation.local import load_local, sample_replies
    from metaconf.generation.sampler import GREEDY, Sampling

    replies: list[Reply] = []
    asked = Question("ask", question, ())
    how = Sampling(MAX_NEW_TOKENS)
    sample_replies(load_local(model), [asked], [GREEDY], how, replies.extend)
    return replies[0]


def lines(reply: Reply) -> list[str]:
    """The reply as lines to print, with whatever is missing said plainly."""
    parsed = parse_reply(reply.text)
    shown = [
        f"Answer:      {_shown(parsed.answer)}",
        f"Reflection:  {_shown(parsed.reflection)}",
        f"Confidence:  {_confidence(parsed)}",
    ]
    if parsed.answer is None:
        shown.append(f"The whole reply: {clean(reply.text) or '(empty)'}")
    if parsed.problems:
        shown.append(f"Not well formed: {clean('; '.join(parsed.problems))}")
    if reply.status == "cut":
        shown.append(f"The reply was cut off after {reply.tokens} tokens.")
    return shown


def _shown(value: str | None) -> str:
    return "(missing)" if value is None else clean(value)


def _confidence(parsed: Parsed) -> str:
    return "(missing)" if parsed.confidence is None else f"{parsed.confidence * 10:.4g} of 10"


def clean(text: str) -> str:
    """`text` on one line, without control and formatting characters or half surrogates."""
    spaced = " ".join(text.split())
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
