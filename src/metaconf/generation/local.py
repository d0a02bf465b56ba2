"""A local transformers model: loaded once, asked for short answers or for full replies."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tqdm import tqdm

from metaconf.embedded.model import resolve_model
from metaconf.errors import UserError
from metaconf.generation.decoding import reply_text
from metaconf.generation.loaded import check_loaded
from metaconf.generation.prefill import prefilled
from metaconf.generation.sampler import Draw, Drawn, Sampling, draw
from metaconf.model_files import ADAPTER, VOCABULARIES, base_of
from metaconf.prompts.chat import (
    ANSWER_ONLY,
    answer_turns,
    messages,
    render,
    with_template,
)
from metaconf.records import FACTS, Question, Reply
from metaconf.runs import model_identity

ANSWER_START = "Answer:"


def default_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it fast, float32 elsewhere (16 against 100 GFLOP/s
    on a processor with AVX2 only; 400 against 180 on two cores with AVX512-BF16)."""
    flags = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    fast = any(getattr(torch.cpu, flag, lambda: False)() for flag in flags)
    return torch.bfloat16 if torch.cuda.is_available() or fast else torch.float32


@dataclass
class LocalModel:
    """A causal language model, its tokenizer, and what draws its replies."""

    model: Any
    tokenizer: Any
    draw: Callable[..., list[Drawn]] = draw
    identity: str = ""
    """What the model is by content (`runs.model_identity`); its replies are stored with it."""

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end a reply: the tokenizer's and the generation configuration's."""
        config = getattr(self.model, "generation_config", None)
        ids: Any = getattr(config, "eos_token_id", None)
        listed = ids if isinstance(ids, list) else [ids]
        return frozenset(i for i in [*listed, self.tokenizer.eos_token_id] if i is not None)

    @cached_property
    def newline_tokens(self) -> frozenset[int]:
        """Tokens that hold a line break: a short answer ends there."""
        texts = self.tokenizer.batch_decode([[i] for i in range(len(self.tokenizer))])
        return frozenset(i for i, text in enumerate(texts) if "\n" in text)

    def answer_prompt(self, question: str) -> tuple[int, ...]:
        """Tokens that ask for the bare answer, with worked examples and "Answer:" begun."""
        chat = messages(question, ANSWER_ONLY, answer_turns())
        start = self.tokenizer.encode(ANSWER_START, add_special_tokens=False)
        return (*render(self.tokenizer, chat), *start)

    def policy_prompt(self, question: str) -> tuple[int, ...]:
        """The reply prompt with "Answer:" begun: what the model answers in a reply of its own."""
        start = self.tokenizer.encode(ANSWER_START, add_special_tokens=False)
        return (*self.reply_prompt(question), *start)

    def reply_prompt(self, question: str) -> tuple[int, ...]:
        """Tokens that ask for answer, reflection and confidence."""
        return tuple(render(self.tokenizer, messages(question)))

    def decode(self, tokens: Sequence[int]) -> str:
        return reply_text(self.tokenizer, tokens)


def load_local(name_or_path: str, dtype: torch.dtype | None = None) -> LocalModel:
    """Load a hub id, a local folder or "embedded"; adapters (PEFT folders) are merged. Without a
    `dtype` the weights are in the machine's format, or in that of the training of ours.

    Raises UserError where the folder or hub id cannot be loaded, and as `check_loaded`.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # loading takes a second; our own bars are what one watches
    with _named(name_or_path):
        tokenizer = load_tokenizer(name_or_path)
        path = resolve_model(name_or_path)
        model, info = _load_weights(path, dtype or _trained_in(Path(path)) or default_dtype())
    check_loaded(name_or_path, model, tokenizer, info)
    return LocalModel(model.eval(), tokenizer, identity=model_identity(name_or_path))


def _trained_in(folder: Path) -> torch.dtype | None:
    """float32 where a training of ours saved a model in it: in another format a small update would
    be rounded away."""
    if (folder / FACTS).is_file() and (folder / "config.json").is_file():
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return torch.float32 if config.get("dtype") == "float32" else None
    return None


def load_tokenizer(name_or_path: str) -> Any:
    """The tokenizer alone, without the weights; of an adapter that has none, its base's; with a
    plain chat template where it has none (a base model). Raises UserError as `load_local`."""
    from transformers import AutoTokenizer

    with _named(name_or_path):
        folder = Path(resolve_model(name_or_path))
        own = any((folder / name).is_file() for name in (*VOCABULARIES, "tokenizer_config.json"))
        if (folder / ADAPTER).is_file() and not own:
            return load_tokenizer(base_of(folder))
        found = AutoTokenizer.from_pretrained(folder if folder.is_dir() else name_or_path)
    return with_template(found)


@contextmanager
def _named(name_or_path: str) -> Iterator[None]:
    """What cannot be loaded is said with its name and the remedy."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{name_or_path}: cannot be loaded as a causal language model ({error}); "
            "give a hub id, a folder with config.json and safetensors, or `embedded`"
        ) from error


def _load_weights(path: str, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    """The model on its device, and what transformers says of its weights."""
    from transformers import AutoModelForCausalLM

    gpu = os.environ.get("LOCAL_RANK", "0")  # each of several processes has its own
    device = f"cuda:{gpu}" if torch.cuda.is_available() else "cpu"
    if (Path(path) / ADAPTER).is_file():
        from peft import PeftModel

        base, info = _load_weights(resolve_model(base_of(Path(path))), dtype)
        tokens = len(load_tokenizer(path))
        if tokens > base.get_input_embeddings().weight.shape[0]:  # as the adapter was trained
            base.resize_token_embeddings(tokens)
        adapted: Any = PeftModel.from_pretrained(base, path)
        return adapted.merge_and_unload().to(device), info
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        path, dtype=dtype, use_safetensors=True, output_loading_info=True
    )
    model, info = loaded
    return model.to(device), info


def askable(
    local: LocalModel, draws: Sequence[Draw], on_batch: Callable[[list[Reply]], None]
) -> list[Draw]:
    """The draws whose prompt leaves room for a reply in the model's context; the others get
    replies of status "failed", and are counted on stderr. Raises UserError where none has room."""
    config = getattr(local.model, "config", None)
    context = getattr(config.get_text_config(), "max_position_embeddings", None) if config else None
    long = [one for one in draws if context and len(one.prompt) >= context]
    if not long:
        return list(draws)
    told = (
        f"{len(long)} of {len(draws)} prompts fill the model's context of {context} tokens (first:"
        f" {long[0].key} with {len(long[0].prompt)})"
    )
    if len(long) == len(draws):
        raise UserError(f"{told}; shorten the questions, or take a model with a longer context")
    tqdm.write(f"metaconf: {told}: they are not asked, and count as failed", file=sys.stderr)
    on_batch([Reply(one.key, sample, "", "failed") for one in long for sample in one.samples])
    return [one for one in draws if one not in long]


def sample_answers(
    local: LocalModel,
    questions: Sequence[Question],
    samples: Iterable[int],
    sampling: Sampling,
    on_batch: Callable[[list[Reply]], None],
    prompt: Callable[[str], tuple[int, ...]] | None = None,
) -> None:
    """Ask for short answers: sample GREEDY is greedy, the others are drawn. Results go to
    `on_batch` as they come; `Reply.probability` is that of the answer's tokens.

    `prompt` makes tokens of a question (default: `local.answer_prompt`, with worked examples; a
    trained model is asked with `local.policy_prompt`).
    """
    wanted = tuple(samples)
    ask = prompt or local.answer_prompt
    ends = local.end_tokens | local.newline_tokens
    draws = askable(local, [Draw(ask(q.prompt), q.id, wanted) for q in questions], on_batch)
    how = replace(sampling, stop=ends)
    local.draw(
        local.model, draws, how, lambda rows: on_batch([_answer(local, ends, r) for r in rows])
    )


def _answer(local: LocalModel, ends: frozenset[int], row: Drawn) -> Reply:
    kept = [(t, p) for t, p in zip(row.tokens, row.logprobs, strict=True) if t not in ends]
    probability = float(torch.tensor([p for _, p in kept]).sum().exp()) if kept else None
    text = local.decode([t for t, _ in kept]).strip()
    return Reply(
        row.key, row.sample, text, "ok" if row.ended else "cut", len(row.tokens), probability
    )


def sample_replies(
    local: LocalModel,
    questions: Sequence[Question],
    samples: Iterable[int],
    sampling: Sampling,
    on_batch: Callable[[list[Reply]], None],
    prompt: Callable[[Question], tuple[int, ...]] | None = None,
) -> None:
    """Ask for full replies (answer, reflection, confidence), as `sample_answers` does; `prompt`
    makes the tokens that ask for it (default: `local.reply_prompt`)."""
    wanted = tuple(samples)
    ask = prompt or (lambda question: local.reply_prompt(question.prompt))
    draws = askable(local, [Draw(ask(q), q.id, wanted) for q in questions], on_batch)
    how = replace(sampling, stop=local.end_tokens)
    local.draw(local.model, draws, how, lambda rows: on_batch([_reply(local, r) for r in rows]))


def _reply(local: LocalModel, row: Drawn) -> Reply:
    text = local.decode(row.tokens)
    return Reply(row.key, row.sample, text, "ok" if row.ended else "cut", len(row.tokens))


@torch.inference_mode()
def next_share(
    local: LocalModel,
    prompts: Sequence[tuple[int, ...]],
    start: str,
    options: str,
    rows: int = 64,
) -> list[float]:
    """Probability (n,) that the reply begins with `start` and the first of two `options`, among
    those two: after "(", "A" beside "B". Raises UserError for a tokenizer that cannot tell them
    apart by one token."""
    encode = local.tokenizer.encode
    one, two = (encode(f"{start}{option}", add_special_tokens=False) for option in options)
    if one[:-1] != two[:-1] or len(one) != len(two) or one[-1] == two[-1]:
        raise UserError(f"{start}{options[0]} and {start}{options[1]} differ by several tokens")
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    shares = [0.0] * len(prompts)
    for begin in range(0, len(order), rows):
        batch = order[begin : begin + rows]
        with prefilled(local.model, [(*prompts[i], *one[:-1]) for i in batch]) as state:
            logits = state.logits[:, [one[-1], two[-1]]].float()
        for i, share in zip(batch, torch.softmax(logits, -1)[:, 0].tolist(), strict=True):
            shares[i] = share
    return shares
