"""The probe: states of the right token and layer, and predictions without a label of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metaconf.errors import UserError
from metaconf.training.probe import answer_states, cross_fitted, fit

PLACES = ("Lyon", "a town that hardly anyone knows", "Rome", "Oslo", "Kyiv")
ANSWERS = ("Quito", "Kenya or Lima", "", "7", "Timbuktu")


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
@pytest.mark.parametrize("layer", [1, 2])
def test_states_are_those_after_the_answers_last_token(
    local_of: Callable[..., Any], architecture: str, layer: int
) -> None:
    local = local_of(architecture)
    prompts = [local.answer_prompt(f"In which country is {place}?") for place in PLACES]
    states = answer_states(local, prompts, ANSWERS, layer, rows=2)
    assert states.shape == (5, 32) and len(local.model.model.layers) == 2
    for state, prompt, answer in zip(states, prompts, ANSWERS, strict=True):
        tokens = local.tokenizer.encode(f" {answer}", add_special_tokens=False)
        kept: list[torch.Tensor] = []
        hook = local.model.model.layers[layer - 1].register_forward_hook(
            lambda _module, _inputs, out, kept=kept: kept.append(
                out if isinstance(out, torch.Tensor) else out[0]
            )
        )
        with torch.no_grad():
            local.model(torch.tensor([[*prompt, *tokens]]))
        hook.remove()
        assert state == pytest.approx(kept[0][0, -1].numpy(), abs=1e-4)


def data(n: int = 200) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, 6))
    labels = (features[:, 0] + 0.5 * rng.normal(size=n) > 0).astype(float)
    return features, labels, [f"g{i // 4}" for i in range(n)]


def test_predictions_know_no_label_of_their_own_group() -> None:
    features, labels, groups = data()
    before = cross_fitted(features, labels, groups)
    own = np.array([g == "g7" for g in groups])
    changed = np.where(own, 1 - labels, labels)
    after = cross_fitted(features, changed, groups)
    assert (before[own] == after[own]).all()
    assert (before[~own] != after[~own]).any()
    assert np.corrcoef(before, labels)[0, 1] > 0.5
    assert ((before > 0) & (before < 1)).all()


def test_too_few_questions_are_refused() -> None:
    features, labels, _ = data()
    with pytest.raises(UserError, match=r"4 graded questions.*confidence\.target share"):
        cross_fitted(features[:8], labels[:8], ["a", "b", "c", "d"] * 2)


def test_a_graded_label_is_a_share_of_a_right_answer() -> None:
    features = np.zeros((50, 2))
    predict = fit(features, np.full(50, 0.3))
    assert predict(np.zeros((3, 2))) == pytest.approx([0.3] * 3, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_class_gives_a_constant(value: float) -> None:
    labels = np.array([value, value, np.nan])
    assert fit(np.ones((3, 2)), labels)(np.zeros((4, 2))) == pytest.approx([value] * 4)
