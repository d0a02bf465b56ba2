"""Questions from the package, a file or the hub, as records that the rest can trust.

Everything about a user's rows is checked here, once, so that no later step meets an answer that is
null, a year that became "1912.0" or two questions of one id. What reads Parquet or the hub is
imported only when it is needed: a bad file is refused at once.
"""

from metaconf.data.load import (
    SPLITS,
    check_reading,
    embedded_heldout,
    embedded_questions,
    load_questions,
    pick,
)
from metaconf.data.rows import question_from_row
from metaconf.data.same import duplicates, overlap

__all__ = [
    "SPLITS",
    "check_reading",
    "duplicates",
    "embedded_heldout",
    "embedded_questions",
    "load_questions",
    "overlap",
    "pick",
    "question_from_row",
]
