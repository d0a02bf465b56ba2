"""The sampler against transformers' own `generate` and plain forward passes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

from metaconf.generation import shared_prefix
from metaconf.generation.prefill import common_prefix, prefilled
from metaconf.generation.sampler import GREEDY, Draw, Drawn, Sampling, _choose, draw, uniforms

SHARED = ("llama", "qwen3", "mistral", "gemma")
ALL = (*SHARED, "gemma2", "mistral_window")


def prompts(start: int = 20, lengths: tuple[int, ...] = (1, 7, 3, 12, 7)) -> list[tuple[int, ...]]:
    """Prompts that share `start` tokens and go on for some more each."""
    rng = random.Random(0)
    common = [rng.randrange(10, 300) for _ in range(start)]
    # Different next tokens, so that what they share is `start` exactly.
    own = [[10 + i, *(rng.randrange(10, 300) for _ in range(n - 1))] for i, n in enumerate(lengths)]
    return [(*common, *o) for o in own]


def draws(samples: tuple[int, ...], *args: Any) -> list[Draw]:
    return [Draw(prompt, f"q{i}", samples) for i, prompt in enumerate(prompts(*args))]


def generated(model: Any, prompt: tuple[int, ...], stop: frozenset[int], n: int) -> list[int]:
    out = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=n,
        eos_token_id=sorted(stop) or None,
        pad_token_id=0,
    )
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize("architecture", ALL)
@pytest.mark.parametrize("start", [0, 20])
def test_greedy_is_generate(local_of: Callable[..., Any], architecture: str, start: int) -> None:
    model = local_of(architecture).model
    assert shared_prefix.supports(model.config) == (architecture in SHARED)
    rows = draw(model, draws((GREEDY,), start), Sampling(10))
    assert [r.tokens for r in rows] == [
        generated(model, d.prompt, frozenset(), 10) for d in draws((GREEDY,), start)
    ]
    assert len({tuple(r.tokens) for r in rows}) > 1


@pytest.mark.parametrize("architecture", SHARED)
def test_the_shared_prefix_changes_nothing(
    local_of: Callable[..., Any], architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = local_of(architecture).model
    fast = draw(model, draws((GREEDY, 0, 1)), Sampling(10))
    monkeypatch.setattr(shared_prefix, "supports", lambda config: False)
    plain = draw(model, draws((GREEDY, 0, 1)), Sampling(10))
    assert [r.tokens for r in fast] == [r.tokens for r in plain]
    for a, b in zip(fast, plain, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_stop_ends_a_reply_as_in_generate(local_of: Callable[..., Any]) -> None:
    model = local_of().model
    free = draw(model, draws((GREEDY,)), Sampling(10))
    stop = frozenset({free[0].tokens[3], free[1].tokens[5]})
    rows = draw(model, draws((GREEDY,)), Sampling(10, stop))
    for row, d in zip(rows, draws((GREEDY,)), strict=True):
        assert row.tokens == generated(model, d.prompt, stop, 10)
        assert row.ended == (row.tokens[-1] in stop)
        assert not stop & set(row.tokens[:-1])
    assert rows[0].ended and len(rows[0].tokens) <= 4
    # The limit and the end in one: it ended.
    last = draw(model, draws((GREEDY,))[:1], Sampling(len(rows[0].tokens), stop))
    assert last[0].ended


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma2", "mistral_window"])
def test_logprobs_are_those_of_a_full_forward(
    local_of: Callable[..., Any], architecture: str
) -> None:
    model = local_of(architecture).model
    asked = draws((GREEDY, 0, 1))
    rows = draw(model, asked, Sampling(9, temperature=1.7))
    owners = [d for d in asked for _ in d.samples]
    for row, d in zip(rows, owners, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([[*d.prompt, *row.tokens]])).logits[0].float()
        logprobs = torch.log_softmax(logits, -1)[len(d.prompt) - 1 : -1]
        wanted = logprobs[torch.arange(len(row.tokens)), torch.tensor(row.tokens)]
        assert row.logprobs == pytest.approx(wanted.tolist(), abs=1e-4)


def by_key(rows: list[Drawn]) -> dict[tuple[str, int], list[int]]:
    return {(r.key, r.sample): r.tokens for r in rows}


def test_a_reply_does_not_depend_on_its_neighbours(local_of: Callable[..., Any]) -> None:
    model = local_of().model
    asked, how = draws((GREEDY, 0, 1, 2)), Sampling(8, frozenset(range(20)), temperature=1.3)
    whole = by_key(draw(model, asked, how))
    assert len({tuple(whole["q1", s]) for s in range(3)}) == 3
    assert whole == by_key(draw(model, asked[::-1], how))
    assert whole == by_key(draw(model, asked, Sampling(8, how.stop, 1.3, rows=3)))
    for d in asked:
        alone = [Draw(d.prompt, d.key, (s,)) for s in d.samples[::-1]]
        for one in alone:
            got = by_key(draw(model, [one], how))
            assert got[d.key, one.samples[0]] == whole[d.key, one.samples[0]]


def test_results_come_in_the_order_asked(local_of: Callable[..., Any]) -> None:
    model = local_of().model
    batches: list[list[Drawn]] = []
    asked = draws((0, GREEDY))
    rows = draw(model, asked, Sampling(2, rows=4), batches.append)
    assert [(r.key, r.sample) for r in rows] == [(d.key, s) for d in asked for s in (0, GREEDY)]
    assert len(batches) == 3
    assert by_key([r for batch in batches for r in batch]) == by_key(rows)


def test_longer_limits_only_add_tokens(local_of: Callable[..., Any]) -> None:
    model = local_of().model
    short, long = (draw(model, draws((0,)), Sampling(n)) for n in (4, 9))
    assert [r.tokens for r in short] == [r.tokens[:4] for r in long]


def test_another_seed_draws_others(local_of: Callable[..., Any]) -> None:
    model = local_of().model
    first, second = (draw(model, draws((0,)), Sampling(6, seed=s)) for s in (0, 1))
    assert by_key(first) != by_key(second)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_first_tokens_come_as_often_as_they_are_likely(
    local_of: Callable[..., Any], temperature: float
) -> None:
    model, prompt, n = local_of().model, prompts()[1], 1500
    rows = draw(
        model, [Draw(prompt, "q", tuple(range(n)))], Sampling(1, temperature=temperature, rows=n)
    )
    with torch.no_grad():
        logits = model(torch.tensor([prompt])).logits[0, -1].double()
    likely = torch.softmax(logits / temperature, -1)
    top = likely.topk(8).indices.tolist()
    counts = [sum(r.tokens == [t] for r in rows) for t in top]
    expected = [n * likely[t].item() for t in top]
    observed, wanted = [*counts, n - sum(counts)], [*expected, n - sum(expected)]
    assert chisquare(observed, wanted).pvalue > 0.001
    # The other temperature does not fit, so the test can tell.
    other = torch.softmax(logits / (3 - temperature), -1)
    expected = [n * other[t].item() for t in top]
    assert chisquare(observed, [*expected, n - sum(expected)]).pvalue < 0.001


def test_a_number_next_to_one_draws_a_likely_token() -> None:
    logits = torch.tensor([[0.0, 1.0, -1e4, -1e4]])
    numbers = torch.tensor([1 - 1e-12, 0.0], dtype=torch.float64)
    tokens, *_ = _choose(logits, [0, 0], numbers, torch.ones(2))
    assert tokens == [1, 0]


def test_lines_are_looked_up_by_owner() -> None:
    logits = torch.tensor([[9.0, -9.0, -9.0], [-9.0, -9.0, 9.0]])
    numbers = torch.full((5,), 0.5, dtype=torch.float64)
    tokens, logprobs, _ = _choose(logits, [1, 0, 1, 1, 0], numbers, torch.ones(5))
    assert tokens == [2, 0, 2, 2, 0]
    assert logprobs == pytest.approx([0.0] * 5, abs=1e-4)


def test_log_probabilities_are_given_at_one_and_at_the_temperature_drawn_at() -> None:
    logits = torch.tensor([[0.5, 1.0, -1.0], [2.0, 0.0, 1.0]])
    heat = torch.tensor([0.7, 0.0, 1.6])
    tokens, plain, sampled = _choose(logits, [0, 1, 1], torch.full((3,), 0.5).double(), heat)
    for row, (line, t) in enumerate(((0, 0.7), (1, 1.0), (1, 1.6))):
        assert plain[row] == pytest.approx(logits[line].log_softmax(-1)[tokens[row]].item())
        at = (logits[line] / t).log_softmax(-1)[tokens[row]].item()
        assert sampled[row] == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2, 3], [1, 2, 3]], 2),
        ([[1, 2], [1, 2, 3], [1, 2, 4]], 1),
        ([[5, 2], [1, 2]], 0),
        ([[1], [1, 2]], 0),
        ([[1, 2, 3]], 2),
        ([[1, 3, 3], [1, 2, 9], [1, 3, 3]], 1),
    ],
)
def test_common_prefix(rows: list[list[int]], expected: int) -> None:
    assert common_prefix(rows) == expected


def test_uniforms_are_their_own() -> None:
    keys = [(s, k, i) for s in (0, 1) for k in ("a", "b", "a1") for i in (GREEDY, 0, 1, 11)]
    numbers = [tuple(uniforms(*key, 5)) for key in keys]
    assert len(set(numbers)) == len(keys)
    assert all(0 <= x < 1 for row in numbers for x in row)
    assert tuple(uniforms(0, "a", 0, 3)) == numbers[keys.index((0, "a", 0))][:3]


def test_attention_is_put_back_after_an_error(local_of: Callable[..., Any]) -> None:
    model = local_of().model
    before = model.config._attn_implementation
    with pytest.raises(ZeroDivisionError), torch.no_grad(), prefilled(model, prompts()):
        assert model.config._attn_implementation == shared_prefix.NAME
        raise ZeroDivisionError
    assert model.config._attn_implementation == before
