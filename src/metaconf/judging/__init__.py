"""Who judges answers and reflections: a model behind a server, or a small reader of words."""

from metaconf.judging.ask import FAILED, Judge, Judged, judge_of, unjudged
from metaconf.judging.reader import reader_input
from metaconf.judging.verdict import read_verdict

__all__ = [
    "FAILED",
    "Judge",
    "Judged",
    "judge_of",
    "read_verdict",
    "reader_input",
    "unjudged",
]
