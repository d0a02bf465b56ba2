"""A language model behind a server as the judge of answers and reflections, and as their reader."""

from metaconf.judge.ask import FAILED, Judge, Judged, judge_of, unjudged
from metaconf.judge.verdict import read_verdict

__all__ = ["FAILED", "Judge", "Judged", "judge_of", "read_verdict", "unjudged"]
