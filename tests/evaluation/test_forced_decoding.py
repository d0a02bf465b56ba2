"""The forced confidence against a plain forward pass of each text, without cache or padding."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaconf.evaluation.baselines import reply_start
from metaconf.evaluation.rows import EvaluatedReply
from metaconf.training.forced_decoding import _spoken_and_expected, confidence_given

STARTS = [
    "Answer: Kenya\nConfidence:",
    reply_start("Quito", "I know Quito well; I might also say Lima."),
    reply_start("12", "I hardly recall é 🦊."),
]


def plain(local: Any, prompt: tuple[int, ...], start: str, level: int) -> float:
    """Probability of the tokens of `level` after the text, as a product over them."""
    import torch

    whole, other = (
        local.tokenizer.encode(f"{start} {k}", add_special_tokens=False)
        for k in (level, (level + 5) % 10)
    )
    at = next(i for i, (a, b) in enumerate(zip(whole, other, strict=False)) if a != b)
    with torch.inference_mode():
        logits = local.model(torch.tensor([[*prompt, *whole]])).logits[0].double()
    logprobs = torch.log_softmax(logits, -1)
    said = [float(logprobs[len(prompt) + i - 1, whole[i]]) for i in range(at, len(whole))]
    return float(np.exp(sum(said)))


@pytest.mark.parametrize("digits", ["single", "glued", "ten", "metaspace"])
def test_it_equals_a_plain_forward_pass(local_of: Any, digits: str) -> None:
    local = local_of("llama", digits)
    prompts = [local.reply_prompt(q) for q in ("Where is Quito?", "6 + 6?", "A longer question?")]
    found = confidence_given(local, prompts, STARTS, rows=2)
    assert found.shape == (3, 2)
    for i, start in enumerate(STARTS):
        levels = np.array([plain(local, prompts[i], start, k) for k in range(11)])
        if digits != "ten":  # 10 begins as 1 does: the rest of the 1 is a plain 1
            levels[1] -= levels[10]
        expected = _spoken_and_expected(levels[None] / levels.sum())[0]
        assert found[i] == pytest.approx(expected, abs=1e-4)


def test_spoken_is_what_greedy_decoding_says() -> None:
    levels = np.zeros((3, 11))
    levels[0, [1, 9, 10]] = 0.2, 0.3, 0.5
    levels[1, [1, 9, 10]] = 0.3, 0.35, 0.35  # "1" leads with 0.65, then "0" follows
    levels[2, [1, 7, 10]] = 0.4, 0.3, 0.3
    found = _spoken_and_expected(levels)
    assert found[:, 0].tolist() == [1.0, 1.0, 0.1]
    assert found[:, 1] == pytest.approx([0.79, 0.695, 0.55])


def row(name: str, **fields: Any) -> EvaluatedReply:
    plain: dict[str, Any] = {"method": "stage2", "prompt": f"Where is {name}?", "family": "city"}
    plain |= {"answer": name, "confidence": 0.5, "truth": name, "formatted": True}
    plain |= {"reflection": f"I know {name} well.", "correctness": 1.0}
    return EvaluatedReply(name, **plain | fields)


def test_the_ablations_keep_answers_and_replace_what_comes_before_the_number(
    local_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    forced = importlib.import_module("forced")
    local, rows = local_of(), [row("Quito"), row("Kenya"), row("Lima", answer=None)]
    alone = forced.without_reflection(local, rows)
    assert [r.text for r in alone] == [
        "Answer: Quito\nConfidence:",
        "Answer: Kenya\nConfidence:",
        "",
    ]
    swapped = forced.with_other_reflection(local, rows[:2])
    assert [r.reflection for r in swapped] == ["I know Kenya well.", "I know Quito well."]
    assert swapped[0].text.startswith("Answer: Quito\nSelf-reflection: I know Kenya well.\n")
    expected = confidence_given(
        local, [local.reply_prompt(r.prompt) for r in rows[:2]], [r.text for r in swapped]
    )
    assert [r.confidence for r in swapped] == expected[:, 0].tolist()
    assert alone[2].confidence is None
    assert not any(r.formatted for r in [*alone, *swapped])  # their form is ours, not the model's
    assert [r.correctness for r in alone] == [1.0, 1.0, 1.0]


def test_nothing_to_ask_is_no_error(local_of: Any) -> None:
    assert confidence_given(local_of(), [], []).shape == (0, 2)
