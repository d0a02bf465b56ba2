"""Short answers and full replies from a local model, and how models are loaded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from metaconf.errors import UserError
from metaconf.generation.local import ANSWER_START, load_local, sample_answers, sample_replies
from metaconf.generation.sampler import GREEDY, Draw, Sampling, draw
from metaconf.records import Question, Reply, Target

EVEN = 50.0
"""A temperature that makes all tokens alike, line breaks and ends too."""
QUESTIONS = [Question(f"q{i}", f"What is {i} + 4?", (Target(("7",)),)) for i in range(3)]


def test_a_short_answer_ends_at_the_line(local_of: Callable[..., Any]) -> None:
    local = local_of()
    rows: list[Reply] = []
    wanted = (GREEDY, *range(40))
    sample_answers(local, QUESTIONS, wanted, Sampling(12, temperature=EVEN), rows.extend)
    assert {(r.question_id, r.sample) for r in rows} == {
        (q.id, s) for q in QUESTIONS for s in wanted
    }
    assert {r.status for r in rows} == {"ok", "cut"}
    assert all("\n" not in r.text and r.text == r.text.strip() for r in rows)
    assert all(r.tokens == 12 for r in rows if r.status == "cut")


def test_probability_is_that_of_the_answers_tokens(local_of: Callable[..., Any]) -> None:
    local, how = local_of(), Sampling(6, temperature=EVEN)
    rows: list[Reply] = []
    sample_answers(local, QUESTIONS[:1], range(60), how, rows.extend)
    ends, prompt = local.end_tokens | local.newline_tokens, local.answer_prompt(QUESTIONS[0].prompt)
    assert local.decode(prompt).endswith(ANSWER_START)
    drawn = draw(local.model, [Draw(prompt, "q0", tuple(range(60)))], replace(how, stop=ends))
    assert any(row.ended and len(row.tokens) > 1 for row in drawn)
    for row, one in zip(rows, drawn, strict=True):
        kept = one.logprobs[:-1] if one.ended else one.logprobs
        assert row.probability == (pytest.approx(math.exp(sum(kept))) if kept else None)


def test_an_empty_answer_has_no_probability(local_of: Callable[..., Any]) -> None:
    from metaconf.generation.local import _answer
    from metaconf.generation.sampler import Drawn

    local = local_of()
    ends = local.end_tokens | local.newline_tokens
    newline = min(local.newline_tokens)
    assert _answer(local, ends, Drawn("q", 0, [newline], [-0.1], True)).probability is None


def test_newline_tokens_hold_line_breaks(local_of: Callable[..., Any]) -> None:
    local = local_of(digits="metaspace")
    tokens = local.tokenizer.encode("Quito\nSelf-reflection:", add_special_tokens=False)
    assert local.newline_tokens & set(tokens)
    assert not local.newline_tokens & set(local.tokenizer.encode("Answer: Lima"))


def test_a_reply_keeps_its_lines(local_of: Callable[..., Any]) -> None:
    local = local_of()
    rows: list[Reply] = []
    sample_replies(local, QUESTIONS, range(40), Sampling(20, temperature=EVEN), rows.extend)
    assert any("\n" in r.text for r in rows)
    assert {r.status for r in rows} == {"ok", "cut"}
    assert not any("<|im_end|>" in r.text for r in rows)
    assert all(r.tokens == 20 for r in rows if r.status == "cut")


def test_end_tokens_come_from_tokenizer_and_generation_config(
    fresh_local: Callable[..., Any],
) -> None:
    local = fresh_local()
    local.model.generation_config.eos_token_id = [3, 5]
    assert local.end_tokens == {3, 5, local.tokenizer.eos_token_id}


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=tmp_path.name):
        load_local(str(tmp_path))


def test_an_adapter_folder_is_merged(fresh_local: Callable[..., Any], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    local = fresh_local()
    base, folder = tmp_path / "base", tmp_path / "adapter"
    local.model.save_pretrained(base)
    local.model.name_or_path = local.model.config._name_or_path = str(base)
    config = LoraConfig(target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model: Any = get_peft_model(local.model, config)
    model.save_pretrained(folder)
    local.tokenizer.save_pretrained(folder)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        wanted = model(ids).logits
        with model.disable_adapter():
            clean = model(ids).logits
        got = load_local(str(folder), torch.float32).model(ids).logits
    assert torch.allclose(got, wanted, atol=1e-4)
    assert not torch.allclose(got, clean, atol=1e-2)
