"""Who judges answers and reflections: a model behind a server, or a small reader of words."""

from metaconf.judging.ask import FAILED, Judge, Judged, judge_of, payer_of, unjudged
from metaconf.judging.reader import ReadBy, told_of
from metaconf.judging.verdict import read_verdict

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
