"""`metaconf ask`: one question, one greedy reply, taken apart for a person to read.

It says of a reply what `metaconf serve` says of it, and asks a server that runs here, so that no
model need be loaded.

What a model wrote is hostile to a terminal: escape sequences can hide, recolour or rewrite lines,
so all control characters are removed before anything is printed.
"""

from __future__ import annotations

import json
import os
import unicodedata
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from metaconf.config.blocks import EMBEDDED_SFT
from metaconf.config.load import check_model
from metaconf.errors import UserError
from metaconf.records import Question, Reply
from metaconf.safe_text import loads_bounded

TRAINED = (Path("runs/demo/stage2"), Path("runs/demo/stage1"))
"""Where the demo leaves its models, the latest stage first."""
MAX_NEW_TOKENS = 128
SERVER = "http://127.0.0.1:8000"
"""Where `metaconf serve` listens unless it is told otherwise."""
Shown = dict[str, Any]


def run(question: str, model: str | None = None, calibration: Path | None = None) -> None:
    """Ask `model` (None: a running server's, else `default_model`) and print answer, reflection and
    confidence; with a calibration the decision too.

    Raises UserError for an empty question, and a model or a calibration that is none.
    """
    if not question.strip():
        raise UserError('the question is empty; write it in quotes: metaconf ask "…?"')
    if model is None and calibration is None and (found := _served(question)) is not None:
        print("\n".join([*shown_lines(found), f"(asked {SERVER})"]))
        return
    from metaconf.serving.calibration import load

    known = load(calibration) if calibration else None
    name = model or default_model()
    check_model(name)
    print("\n".join(lines(_reply(question, name), known)))


def _served(question: str) -> Shown | None:
    """What a server of ours on this machine replies; None where none runs, or it refuses."""
    try:
        with urllib.request.urlopen(f"{SERVER}/healthz", timeout=1) as reply:
            if loads_bounded(reply.read()).get("server") != "metaconf":
                return None
        turn = {"role": "user", "content": question}
        body = {"model": "", "messages": [turn], "metaconf": {"content": "reply"}}
        request = urllib.request.Request(f"{SERVER}/v1/chat/completions", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Bearer {os.environ.get('METACONF_API_KEY', '')}")
        with urllib.request.urlopen(request, timeout=180) as reply:
            value = loads_bounded(reply.read())
        choice = value["choices"][0]
        more = {"text": choice["message"]["content"], "cut": choice["finish_reason"] == "length"}
        return {**value["metaconf"], **more, "tokens": value["usage"]["completion_tokens"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def default_model() -> str:
    """The newest model of the demo, else the embedded one after stage 1."""
    return str(next(filter(is_model, TRAINED), EMBEDDED_SFT))


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model, or an adapter."""
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))


def _reply(question: str, model: str) -> Reply:
    from metaconf.generation.local import load_local, sample_replies
    from metaconf.generation.sampler import GREEDY, Sampling

    replies: list[Reply] = []
    asked = Question("ask", question, ())
    how = Sampling(MAX_NEW_TOKENS)
    sample_replies(load_local(model), [asked], [GREEDY], how, replies.extend)
    return replies[0]


def lines(reply: Reply, calibration: Any = None) -> list[str]:
    """The reply as lines to print, with whatever is missing said plainly."""
    from metaconf.serving.reply import Attempt, served

    attempt = Attempt("", reply.text, tokens_out=reply.tokens)
    state = "unsupported" if calibration is None else "calibrated"
    found, cut = served((attempt,), calibration, state), reply.status == "cut"
    return shown_lines({**found.object, "text": reply.text, "cut": cut, "tokens": reply.tokens})


def shown_lines(found: Shown) -> list[str]:
    """The object `metaconf` of a reply, with `text`, `cut` and `tokens`, as lines to print."""
    shown = [
        f"Answer:      {_shown(found['answer'])}",
        f"Reflection:  {_shown(found['reflection'])}",
        f"Confidence:  {_confidence(found['confidence'])}",
    ]
    if found["calibration"]["id"] is not None:
        decision = found["decision"]
        shown.append(f"Decision:    {decision['action']}. {clean(decision['reason'])}")
    if found["answer"] is None:
        shown.append(f"The whole reply: {clean(found['text']) or '(empty)'}")
    if found["problems"]:
        shown.append(f"Not well formed: {clean('; '.join(found['problems']))}")
    if found["cut"]:
        shown.append(f"The reply was cut off after {found['tokens']} tokens.")
    return shown


def _shown(value: str | None) -> str:
    return "(missing)" if value is None else clean(value)


def _confidence(found: dict[str, float | None]) -> str:
    stated, value = found["stated"], found["value"]
    if stated is None or value is None:
        return "(missing)"
    more = "" if value == stated else f", {value:.0%} once recalibrated"
    return f"{stated * 10:.4g} of 10{more}"


def clean(text: str) -> str:
    """`text` on one line, without control and formatting characters or half surrogates."""
    spaced = " ".join(text.split())
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
