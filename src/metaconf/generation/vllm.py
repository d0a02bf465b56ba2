"""vLLM in this process (extra `vllm`, a GPU): the same prompts as tokens, the same kind of replies.

It draws text and its tokens' log-probabilities; hidden states are not to be had from it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from metaconf.embedded.model import resolve_model
from metaconf.errors import UserError
from metaconf.generation.local import LocalModel, load_tokenizer
from metaconf.generation.sampler import GREEDY, Draw, Drawn, Sampling
from metaconf.runs import model_identity

REMEDY = "install the extra `vllm` of this package, or use transformers"
AT_ONCE = 4096
"""Replies between two times of writing them down; vLLM decides how many it draws side by side."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The loaded `vllm.LLM`, and the generation configuration that holds its end tokens."""

    llm: Any
    generation_config: Any


def load_vllm(name_or_path: str, options: Mapping[str, Any] | None = None) -> LocalModel:
    """Load a hub id, a local folder or "embedded" into vLLM; `options` are `vllm.LLM`'s own.

    Raises UserError where vLLM is not installed, for an adapter, and where it cannot load.
    """
    try:
        from vllm import LLM  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(f"engine vllm: cannot be imported ({error}); {REMEDY}") from error
    path = resolve_model(name_or_path)
    if (Path(path) / "adapter_config.json").is_file():
        raise UserError(f"{name_or_path}: an adapter, which vLLM takes merged; merge it first")
    tokenizer = load_tokenizer(name_or_path)
    told = {"load_format": "safetensors", "trust_remote_code": False, **(options or {})}
    try:
        llm = LLM(model=path, **told)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise UserError(f"{name_or_path}: vLLM cannot load it ({error})") from error
    engine = Engine(llm, _generation_config(path))
    return LocalModel(engine, tokenizer, draw, model_identity(name_or_path))


def draw(
    engine: Engine,
    draws: Sequence[Draw],
    how: Sampling,
    on_batch: Callable[[list[Drawn]], None] | None = None,
) -> list[Drawn]:
    """As `sampler.draw`: every reply of `draws`, in their order, samples within.

    Random numbers are vLLM's own, from a seed for each (seed, question id, sample): a sample does
    not depend on its neighbours, but is another one than the other engines draw.
    """
    rows: list[Drawn] = []
    asked = ((one, sample) for one in draws for sample in one.samples)
    for batch in _batches(asked, AT_ONCE):
        prompts = [{"prompt_token_ids": list(one.prompt)} for one, _ in batch]
        params = [_params(one.key, sample, how) for one, sample in batch]
        found = engine.llm.generate(prompts, params, use_tqdm=False)
        drawn = [_drawn(*pair, out.outputs[0]) for pair, out in zip(batch, found, strict=True)]
        rows += drawn
        if on_batch:
            on_batch(drawn)
    return rows


def _batches(asked: Iterable[tuple[Draw, int]], size: int) -> Iterator[list[tuple[Draw, int]]]:
    rest = iter(asked)
    while batch := list(islice(rest, size)):
        yield batch


def _params(key: str, sample: int, how: Sampling) -> Any:
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

    return SamplingParams(
        temperature=0.0 if sample == GREEDY else how.temperature,
        seed=_seed(how.seed, key, sample),
        max_tokens=how.max_new_tokens,
        stop_token_ids=sorted(how.stop),
        ignore_eos=True,  # the end tokens are among those that stop, and no others should
        logprobs=0,  # of the drawn token alone, before temperature
        detokenize=False,
    )


def _seed(seed: int, key: str, sample: int) -> int:
    digest = hashlib.sha256(f"{seed}\x1f{key}\x1f{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _drawn(one: Draw, sample: int, out: Any) -> Drawn:
    tokens = list(out.token_ids)
    logprobs = [
        position[token].logprob if position else math.nan
        for token, position in zip(tokens, out.logprobs, strict=True)
    ]
    return Drawn(one.key, sample, tokens, logprobs, out.finish_reason == "stop")


def _generation_config(path: str) -> Any:
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(path)
    except OSError:
        return None  # not every model has one; the tokenizer's end token is known all the same
