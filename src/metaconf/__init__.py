"""MetaConf: language models that answer, reflect on the answer and say how sure they are.

    from metaconf import evaluate, parse_reply, reward_function, train_grpo, train_sft

The names of `api` can be imported from here. Each is looked up when it is first used, so that
importing the package loads nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

PUBLIC = (
    "prepare",
    "train_sft",
    "train_grpo",
    "evaluate",
    "calibrate",
    "reward_function",
    "compute_score",
    "format_reply",
    "parse_reply",
    "grade_answer",
    "Parsed",
    "Question",
    "Target",
    "UserError",
)


def __getattr__(name: str) -> object:
    if name in PUBLIC:
        return getattr(import_module("metaconf.api"), name)
    raise AttributeError(f"module 'metaconf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC]
