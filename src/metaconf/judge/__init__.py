"""Who judges answers and reflections: a model behind a server, or a small reader of words."""

from metaconf.judge.ask import FAILED, Judge, Judged, judge_of, payer_of, unjudged
from metaconf.judge.reader import ReadBy, told_of
from metaconf.judge.verdict import read_verdict

__all__ = [
    "FAILED",
    "Judge",
    "Judged",
    "ReadBy",
    "judge_of",
    "payer_of",
    "read_verdict",
    "told_of",
    "unjudged",
]
