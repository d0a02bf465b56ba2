"""A child process that compares mathematical expressions with math-verify; one JSON line a verdict.

It is run by path, not imported: symbolic algebra on text from a model can take all time and memory
there are, and only a process of its own can be stopped from any thread and limited in memory.
"""

from __future__ import annotations

import faulthandler
import json
import re
import sys
from typing import Any

MEMORY = 2 * 1024**3
"""Bytes of address space; the imports need about a quarter."""


def main() -> None:
    """Serve {"gold": …, "answer": …, "seconds": …} lines from stdin until it ends."""
    _limit_memory()
    import logging

    logging.disable(logging.CRITICAL)
    from math_verify import parse, verify

    def read(text: str) -> list[Any]:
        # Only LaTeX between dollars is read whole; bare text is reduced to its last number.
        # Zero turns off the library's alarm: it cannot stop code outside the interpreter.
        parsed = parse(f"${_as_latex(text)}$", parsing_timeout=0)
        return [item for item in parsed if not isinstance(item, str)]

    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        # Ends this process from a thread of its own, even while sympy holds the interpreter and
        # even if the parent is gone.
        faulthandler.dump_traceback_later(request["seconds"], exit=True)
        try:
            gold, answer = read(request["gold"]), read(request["answer"])
            equal = bool(gold and answer and verify(gold, answer, timeout_seconds=0))
            verdict = {"gold": bool(gold), "equal": equal}
        except (ArithmeticError, MemoryError, RecursionError, TypeError, ValueError) as error:
            verdict = {"gold": True, "equal": False, "error": type(error).__name__}
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(verdict), flush=True)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not a POSIX system: the time limit alone holds
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _as_latex(text: str) -> str:
    text = re.sub(r"(?<![\\a-zA-Z])sqrt\s*(?=[({])|√", "√", text)
    text = re.sub(r"√\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?))", r"\\sqrt{\1\2}", text)
    text = text.replace("**", "^").replace("·", r"\cdot ").replace("×", r"\times ")
    text = text.replace("π", r"\pi ").replace("−", "-").replace("√", r"\sqrt ")
    text = text.replace("≤", r"\le ").replace("≥", r"\ge ").replace("∞", r"\infty ")
    return re.sub(
        r"(?<![\\a-zA-Z])([pP]i|sin|cos|tan|log|ln|infty)(?![a-zA-Z])",
        lambda m: f"\\{m[1].lower()} ",
        text,
    )


if __name__ == "__main__":
    main()
