"""Stage 2: TRL's GRPOTrainer with replies drawn by our sampler and an exact score of confidence.

What differs from TRL's trainer, and why:
* replies come from `rollout_func`: adapter merged, shared prompt computed once, random numbers
  keyed by (step, question, sample), so that a resumed run draws the same replies;
* the confidence need not be credited with a sampled advantage: its tokens get the gradient of a
  proper score over the model's own distribution on the levels, exact and in the same forward pass;
* segments of a reply are credited apart where the recipe says so, by advantages (B, T).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, NamedTuple

import torch
from trl.trainer.grpo_trainer import GRPOTrainer

from metaconf.errors import UserError
from metaconf.generation.local import LocalModel
from metaconf.generation.sampler import Draw, Sampling, draw
from metaconf.prompts.chat import render
from metaconf.rewards.credit import Lesson
from metaconf.rewards.recipes.base import Exact
from metaconf.training.encode import Encoded, locate
from metaconf.training.forward import (
    Pass,
    decoder_of,
    levels_after,
    run_replies,
    token_scores,
)
from metaconf.training.levels import expectation, level_tokens
from metaconf.training.merged import merged
from metaconf.training.moving_probe import MovingProbe, answer_features
from metaconf.training.processes import average_gradients, check_processes
from metaconf.training.score import exact_losses
from metaconf.training.segments import spread

IGNORE = -1
"""The place of the level in a reply that states none: it takes no part in the confidence loss."""


class _Told(NamedTuple):
    """The tokens of a reply until its answer ends, and the chance in [0, 1] of the answer's."""

    until: list[int]
    chance: float


def _told(reply: Encoded, logprobs: Sequence[float]) -> _Told:
    start, end = reply.spans.get("answer", (0, 0))
    return _Told(reply.tokens[:end], math.exp(sum(logprobs[start:end])) if end else 0.0)


class ConfidenceGRPOTrainer(GRPOTrainer):
    """GRPOTrainer with credit by segment and an exact expected score of the confidence.

    `lesson(inputs, texts)` says what the replies of a batch are to teach; `even`: segments weigh
    alike, whatever their length (see `segments.spread`); `probe` teaches the confidence in the
    place of the replies' own correctness.
    """

    def __init__(
        self,
        *args: Any,
        exact: Exact,
        lesson: Callable[[list[dict[str, Any]], list[str]], Lesson],
        reward_funcs: Sequence[Callable[..., Any]],
        even: bool = True,
        probe: MovingProbe | None = None,
        **kwargs: Any,
    ):
        checked = [_one_each(function) for function in reward_funcs]
        super().__init__(*args, reward_funcs=checked, rollout_func=rollout, **kwargs)  # pyright: ignore
        self.exact, self.lesson, self.even = exact, lesson, even
        self.probe = probe
        self.levels = level_tokens(self.processing_class)
        check_processes(self.accelerator)
        self._pass: Pass | None = None

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super()._generate_and_score_completions(inputs)
        ids, mask = batch["completion_ids"], batch["completion_mask"]
        tokens = [row[m.bool()].tolist() for row, m in zip(ids, mask, strict=True)]
        found = [locate(self.processing_class, row) for row in tokens]
        batch["level_at"] = ids.new_tensor(
            [IGNORE if f.level_at is None else f.level_at for f in found]
        )
        tokenizer: Any = self.processing_class
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        taught = self.lesson(inputs, texts)
        if self.probe is not None:
            taught = self._probed(self.probe, taught, batch, zip(found, inputs, strict=True))
        for name in ("outcome", "target", "weight"):
            values = getattr(taught, name)
            batch[name] = torch.tensor(values, dtype=torch.float32, device=ids.device)
        batch["advantages"] = self._advantages(batch["advantages"], taught, found, ids.shape[1])
        return batch

    def _probed(
        self,
        probe: MovingProbe,
        taught: Lesson,
        batch: dict[str, Any],
        replies: Iterable[tuple[Encoded, dict[str, Any]]],
    ) -> Lesson:
        """The lesson with the probe's targets in the place of the replies' own correctness."""
        told = [_told(reply, row["token_logprobs"]) for reply, row in replies]
        prompts = zip(batch["prompt_ids"], batch["prompt_mask"], strict=True)
        asked = [ids[mask.bool()].tolist() for ids, mask in prompts]
        rows = [[*prompt, *one.until] for prompt, one in zip(asked, told, strict=True)]
        with merged(self.accelerator.unwrap_model(self.model)) as model:
            features = answer_features(model, rows, [one.chance for one in told])
        step = self.state.global_step
        return replace(taught, target=probe.targets(features, taught.target, step))

    def _advantages(
        self, whole: torch.Tensor, taught: Lesson, found: list[Encoded], width: int
    ) -> torch.Tensor:
        """(B,) advantages of whole replies, or (B, T) by token: those of the lesson's segments in
        their place, and none where the confidence is taught exactly."""
        advantages = whole
        if taught.by_segment:
            mode = "train" if self.model.training else "eval"  # pyright: ignore
            self._metrics[mode]["unscored_segments"].append(taught.unscored)
            apart = {w: torch.as_tensor(a).to(whole) for w, a in taught.advantages.items()}
            advantages = spread(apart, found, width, self.even).to(whole)
        return _without_confidence(advantages, found, width) if self.exact.weight else advantages

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, **kwargs: Any
    ) -> tuple[Any, Any, Any]:
        decoder, head = decoder_of(self.accelerator.unwrap_model(model))
        done = run_replies(decoder, input_ids, attention_mask, logits_to_keep)
        real = attention_mask[:, -logits_to_keep:].bool()
        targets = input_ids[:, -logits_to_keep:]
        scores, entropy = token_scores(done.hidden[real], head, targets[real], self.temperature)
        logps = torch.zeros(real.shape, device=real.device).masked_scatter(real, scores)
        entropies = torch.zeros(real.shape, device=real.device).masked_scatter(real, entropy)
        self._pass = done
        return logps, entropies if kwargs.get("compute_entropy") else None, None

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss = super()._compute_loss(model, inputs)
        if self.exact.weight:
            loss = loss + self.exact.weight * self._confidence_loss(model, inputs)
        self._pass = None
        return loss

    def _confidence_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        known = (inputs["level_at"] != IGNORE) & ~inputs["target"].isnan()
        rows = known.nonzero()[:, 0]
        # Of all processes, so that a reply weighs the same whichever of them drew it.
        count = self.accelerator.reduce(known.sum().float(), "mean")
        if not len(rows) or self._pass is None:
            return inputs["target"].new_zeros(())
        decoder, head = decoder_of(self.accelerator.unwrap_model(model))
        levels = levels_after(
            self._pass, decoder, head, rows, inputs["level_at"][rows], self.levels
        )
        outcome = inputs["outcome"][rows]
        mode = "train" if model.training else "eval"
        expected = expectation(levels.detach())
        self._metrics[mode]["confidence/expected"].append(expected.mean().item())
        self._metrics[mode]["confidence/brier"].append((expected - outcome).square().mean().item())
        losses = exact_losses(levels, inputs["target"][rows], self.exact)
        loss = (inputs["weight"][rows] * losses).sum() / count
        return loss / self.current_gradient_accumulation_steps if model.training else loss

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(model, *args, **kwargs)
        average_gradients(self.accelerator, model)
        if not math.isfinite(loss.item()):
            raise UserError(
                f"the loss is {loss.item()} at step {self.state.global_step}; training stopped. "
                f"Last good checkpoint: {last_checkpoint(self.args.output_dir)}. "
                "Lower learning_rate or max_grad_norm and resume from it"
            )
        return loss


def last_checkpoint(folder: str | None) -> str:
    """The newest checkpoint folder, or a sentence that there is none."""
    from transformers.trainer_utils import get_last_checkpoint

    return (get_last_checkpoint(folder) if folder else None) or "none was saved yet"


def _one_each(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reward function that is refused, by name, unless it gives one number a reply: TRL would
    give a single number to all."""

    @wraps(function)
    def checked(*args: Any, completions: Sequence[Any], **kwargs: Any) -> Any:
        found = function(*args, completions=completions, **kwargs)
        if len(found) != len(completions):
            raise UserError(
                f"reward function {function.__name__}: {len(found)} rewards for"
                f" {len(completions)} replies; return one each, None where it is not known"
            )
        return found

    return checked


def _without_confidence(advantages: torch.Tensor, found: list[Any], width: int) -> torch.Tensor:
    """Advantages (B,) or (B, T) → (B, T), zero on the tokens of the confidence's value where it
    is one."""
    by_token = advantages.dim() == 2
    apart = advantages.clone() if by_token else advantages[:, None].repeat(1, width)
    for row, reply in enumerate(found):
        if reply.level_at is not None:
            start, end = reply.spans["confidence"]
            apart[row, start:end] = 0
    return apart


def rollout(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    """TRL's rollout function: draw the replies of one generation batch with our sampler."""
    args, tokenizer = trainer.args, trainer.processing_class
    texts = [prompt[-1]["content"] for prompt in prompts]
    unique = {text: prompt for text, prompt in zip(texts, prompts, strict=True)}
    counts = {text: texts.count(text) for text in unique}
    step = trainer.state.global_step
    draws = [
        Draw(tuple(render(tokenizer, prompt)), f"{step}:{text}", tuple(range(counts[text])))
        for text, prompt in unique.items()
    ]
    with merged(trainer.accelerator.unwrap_model(trainer.model)) as model:
        local = LocalModel(model, tokenizer)
        how = Sampling(args.max_completion_length, local.end_tokens, args.temperature, args.seed)
        drawn = draw(model, draws, how)
    rows = iter(drawn)
    by_text = {text: [next(rows) for _ in range(counts[text])] for text in unique}
    ordered = [by_text[text].pop(0) for text in texts]
    prompt_tokens = {text: list(d.prompt) for text, d in zip(unique, draws, strict=True)}
    return {
        "prompt_ids": [prompt_tokens[text] for text in texts],
        "completion_ids": [row.tokens for row in ordered],
        "logprobs": None,  # TRL would take them for those of another engine
        "token_logprobs": [row.logprobs for row in ordered],
    }
