"""A request for replies of a policy as vLLM's JSON, and what its answers mean: pure functions.

Fields are those of vLLM 0.30.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from metaconf.generation.sampler import Draw, Drawn, Sampling


def body(model: str, one: Draw, how: Sampling) -> dict[str, Any]:
    """From the whole distribution: the model's own generation configuration must not cut it."""
    digest = hashlib.sha256(f"{how.seed}\x1f{one.key}".encode()).digest()
    return {
        "model": model,
        "prompt": list(one.prompt),
        "n": len(one.samples),
        "max_tokens": how.max_new_tokens,
        "temperature": how.temperature,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "seed": int.from_bytes(digest[:8], "big") >> 2,  # vLLM adds the number of the sample
        "stop_token_ids": sorted(how.stop),
        "ignore_eos": True,  # the end tokens are among those that stop, and no others should
        "logprobs": 0,
        "return_token_ids": True,
    }


def read_completion(answer: Any, model: str, one: Draw, how: Sampling) -> list[Drawn]:
    """The replies in vLLM's answer. Raises ValueError, or as a wrong index does, where it is not
    the answer to what was asked: another policy, prompt or number of replies, or log-probabilities
    that are missing."""
    if answer["model"] != model:
        raise ValueError(f"it is of the model {answer['model']}")
    choices = sorted(answer["choices"], key=lambda choice: choice["index"])
    if len(choices) != len(one.samples):
        raise ValueError(f"{len(choices)} replies for {len(one.samples)}")
    return [_drawn(one, s, c, how) for s, c in zip(one.samples, choices, strict=True)]


def _drawn(one: Draw, sample: int, choice: dict[str, Any], how: Sampling) -> Drawn:
    tokens, known = choice["token_ids"], choice["logprobs"]["token_logprobs"]
    if tuple(choice["prompt_token_ids"]) != one.prompt:
        raise ValueError("the prompt was changed")
    if not 0 < len(tokens) == len(known) <= how.max_new_tokens:
        raise ValueError(f"{len(tokens)} tokens with {len(known)} log-probabilities")
    logprobs = [math.nan if value is None else float(value) for value in known]
    at_one = logprobs if how.temperature == 1 else [math.nan] * len(tokens)
    ended = tokens[-1] in how.stop
    return Drawn(one.key, sample, [int(token) for token in tokens], at_one, ended, logprobs)


NO_LIST = (AttributeError, IndexError, KeyError, TypeError)
"""What the functions below raise where a server's answer is no list of models."""


def base_model(models: Any) -> str:
    """The base model in a server's list."""
    found = [str(one["id"]) for one in models["data"] if not one.get("parent")]
    return found[0]


def adapters(models: Any) -> dict[str, str]:
    """Name → folder of the adapters in a server's list."""
    return {str(one["id"]): str(one["root"]) for one in models["data"] if one.get("parent")}
