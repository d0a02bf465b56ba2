"""What to do with a confidence: correct it, answer or abstain under a guarantee, vote."""

from metaconf.decisions.abstain import Rule, certify
from metaconf.decisions.recalibrate import Map, choose, fit
from metaconf.decisions.vote import vote, vote_until_settled

__all__ = [
    "Map",
    "Rule",
    "certify",
    "choose",
    "fit",
    "vote",
    "vote_until_settled",
]
