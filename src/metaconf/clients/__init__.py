"""Chat completions from any OpenAI-compatible server: many at once, cached, within a budget.

    endpoint = endpoint_of(Client(model="deepseek-chat"), os.environ)
    outcomes = complete_all(requests, endpoint, cache=Path("runs/judge.sqlite"), label="judge")

A failed call is a typed `Failure`, never a score. What was paid for is kept: a run that was killed
asks again only for what was in flight.
"""

from metaconf.clients.endpoint import Endpoint, endpoint_of
from metaconf.clients.run import complete_all
from metaconf.clients.types import Completion, Failure, Outcome, Request

__all__ = [
    "Completion",
    "Endpoint",
    "Failure",
    "Outcome",
    "Request",
    "complete_all",
    "endpoint_of",
]
