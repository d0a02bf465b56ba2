"""Questions, what one model replies to them, and what `metaconf evaluate` says of its replies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiohttp import web
from chat_server import completion, serving

from metaconf import harnesses
from metaconf.cli import main
from metaconf.reply import format_reply

FIGURES = harnesses.FIGURES
SUMS = [f"What is {i} + {i}?" for i in range(12)]
ROWS: list[dict[str, Any]] = [
    *({"question": sum_, "answer": 2 * i, "task": "math"} for i, sum_ in enumerate(SUMS)),
    {"question": "Where is Timbuktu?", "answer": "Mali", "aliases": ["ML"]},
    {"question": "Which is a town?", "answer": "Lyon", "choices": ["Rhine", "Lyon"]},
    {"question": "Say {nothing}.", "answer": "x"},
]
LONG = {"question": "Be long.", "answer": "x"}
REPLIES = {
    **{
        sum_: format_reply(str(2 * i + i % 3 // 2), "A sum.", (3 * i % 11) / 10)
        for i, sum_ in enumerate(SUMS)
    },
    SUMS[4]: format_reply("8", "A sum.", 0.6) + "\n\nThat is all.",
    "Where is Timbuktu?": format_reply("ML", "I know it well.", 0.9),
    "Which is a town?": format_reply("B", "Lyon is one.", 0.8),
    "Say {nothing}.": "I say {nothing}.",
    "Be long.": format_reply("x", "It was cut, maybe within 10.", 0.1),
}


def reply(prompt: str) -> str:
    """The reply to a prompt whose first line is one of the questions."""
    return REPLIES[prompt.splitlines()[0]]


async def answers(request: web.Request, sent: Any, n: int) -> web.Response:
    """The model behind a server."""
    prompt = sent["messages"][-1]["content"]
    said = completion(reply(prompt), "length" if prompt == "Be long." else "stop")
    said["choices"][0]["index"] = 0  # lm-eval takes a choice without one for a refusal
    return web.json_response(said)


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of questions."""
    path = folder / "heldout.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def evaluated(questions: Path) -> dict[str, float]:
    """FIGURES of `metaconf evaluate` on the model behind a server."""
    out = questions.parent / "out"
    with serving(answers) as server:
        asked = ["--base_url", server.url, "--model", "m", "--questions", str(questions)]
        assert main(["evaluate", *asked, "--output_dir", str(out), "--quiet"]) == 0
    (method,) = json.loads((out / "metrics.json").read_text())["methods"]
    return {name: method["figures"][name]["value"] for name in FIGURES}
