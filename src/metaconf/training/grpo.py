"""Stage 2: TRL's GRPOTrainer with our sampler, rewards by segment and an expected confidence score.

How it differs from plain GRPO:
1. Replies come from `rollout`: the adapter is merged, a prompt is computed once for its replies,
   and random numbers are keyed by (step, question, sample), so a resumed run draws the same ones.
   Or vLLM servers draw them, which get each policy first (`policy_servers`).
2. Replies are decoded, parsed, graded and rewarded once a batch, in `_calculate_rewards`. Its
   `TrainingSignal` holds what the rest of the step needs.
3. A recipe that credits segments has an advantage for each token, (B, T); a recipe that credits
   the whole reply leaves the normalisation to TRL.
4. The tokens of a stated confidence need no sampled reward: they get the exact gradient of an
   expected score over the model's distribution on the levels, which is added to TRL's loss.
5. One forward pass, inside the wrapper of the model, gives the log-probabilities for TRL's loss and
   the levels for ours. Both losses are means over all processes and micro-batches.
6. A reply whose reward is unknown takes no part. A loss that is not finite stops the run.
7. The gap between the sampler's and the trainer's log-probabilities is logged, and checked, in each
   step: `policy_gap`.

Shape suffixes: B replies of a batch, T tokens of the longest reply, K confidence levels (11).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from accelerate.utils import gather
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from metaconf.generation.local import LocalModel
from metaconf.generation.sampler import Draw, Sampling, draw
from metaconf.prompts.chat import render
from metaconf.rewards.advantages import TrainingSignal
from metaconf.rewards.recipe import Recipe
from metaconf.training.checkpoints import ResumableTrainer
from metaconf.training.encode import Encoded, decode, encoded
from metaconf.training.forward import Reading, read_replies
from metaconf.training.levels import expectation, level_tokens
from metaconf.training.merged import merged_adapter
from metaconf.training.policy_gap import Gap, GapCheck, gap_sums
from metaconf.training.policy_servers import PolicyServers
from metaconf.training.processes import inside, whole
from metaconf.training.score import expected_score_losses
from metaconf.training.segments import to_token_advantages, without_confidence

IGNORE = -1
"""The place of the level in a reply that states none: it takes no part in the confidence loss."""


class ScoredBatch(NamedTuple):
    """A generation batch: what it teaches, and where the segments of its replies are."""

    signal: TrainingSignal
    replies: list[Encoded]


class ConfidenceGRPOTrainer(ResumableTrainer, GRPOTrainer):
    """GRPOTrainer that trains by `recipe` (see the module).

    `compute_rewards(questions, texts, step)` gives the training signal of a batch, with `parsed`
    and `metrics`; `questions` are the rows' column of that name. `servers` draw the replies where
    there are any.
    """

    def __init__(
        self,
        *args: Any,
        recipe: Recipe,
        compute_rewards: Callable[[Sequence[str], Sequence[str], int], TrainingSignal],
        servers: PolicyServers | None = None,
        **kwargs: Any,
    ):
        columns = [_column(name) for name in recipe.weights]
        super().__init__(*args, reward_funcs=columns, rollout_func=rollout, **kwargs)  # pyright: ignore
        self.recipe, self.compute_rewards = recipe, compute_rewards
        self.levels = level_tokens(self.processing_class)
        self.aux_loss_enabled = False  # nothing of a router is read
        self.servers = servers
        if servers is not None:  # set now: before, TRL would have built a client of its own
            self.use_vllm, self._last_loaded_step = True, -1
            self.vllm_generation: Any = SimpleNamespace(sync_weights=self._push_policy)
        self.check_gap = GapCheck(self.model, self.args.bf16 or self.args.fp16)  # pyright: ignore

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        sampler: Any = super()._get_train_sampler(*args, **kwargs)
        return EpochSampler(sampler, lambda: self.state.epoch)

    # Rollout → rewards → advantages

    def _push_policy(self) -> None:
        """TRL calls it before the replies of each new step."""
        assert self.servers is not None
        with whole(self) as model:
            self.servers.push(model, self.accelerator, self.state.global_step)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        # TRL calls `rollout`, then `_calculate_rewards`, which adds the column "scored".
        batch = super()._generate_and_score_completions(inputs)
        signal, replies = inputs[0]["scored"]
        ids_BT, mask_BT = batch["completion_ids"], batch["completion_mask"]
        places = [IGNORE if reply.level_at is None else reply.level_at for reply in replies]
        # A reply that TRL masks (cut, under `mask_truncated_completions`) teaches no number either.
        batch["level_at"] = ids_BT.new_tensor(places).where(mask_BT.any(1), IGNORE)  # (B,)
        for name in ("outcome", "target", "weight"):  # (B,) each
            values = getattr(signal, name)
            batch[name] = torch.tensor(values, dtype=torch.float32, device=ids_BT.device)
        # Counted before TRL splits the batch: a reply weighs the same wherever it falls.
        known_B = (batch["level_at"] != IGNORE) & ~batch["target"].isnan()
        batch["known"] = self.accelerator.reduce(known_B.sum().float(), "sum")
        batch["advantages"] = self._advantages(batch["advantages"], signal, replies, len(ids_BT[0]))
        return batch

    def _calculate_rewards(
        self,
        inputs: list[dict[str, Any]],
        prompts: Any,
        completions: Any,
        completion_ids_list: list[list[int]],
    ) -> torch.Tensor:
        """Decode, parse, grade and reward the batch. Returns the rewards (B, parts) of all
        processes, NaN in every part of a reply that takes no part."""
        decoded = [decode(self.processing_class, list(ids)) for ids in completion_ids_list]
        questions = [row["question"] for row in inputs]
        texts = [text for text, _ in decoded]
        signal = self.compute_rewards(questions, texts, self.state.global_step)
        replies = [
            encoded(list(ids), offsets, parsed)
            for ids, (_, offsets), parsed in zip(
                completion_ids_list, decoded, signal.parsed, strict=True
            )
        ]
        for row in inputs:
            row["scored"] = ScoredBatch(signal, replies)
        for name, value in signal.metrics.items():
            self._log_metric(name, value)
        columns = [torch.tensor(signal.rewards[name]) for name in self.recipe.weights]
        return gather(torch.stack(columns, 1).float().to(self.accelerator.device))  # pyright: ignore

    def _advantages(
        self, whole_B: torch.Tensor, signal: TrainingSignal, replies: list[Encoded], width: int
    ) -> torch.Tensor:
        """TRL's advantages of whole replies (B,), or the signal's by segment as (B, T); 0 on the
        confidence where the expected score trains it."""
        advantages = whole_B
        if signal.advantages is not None:
            of_segments = {w: torch.as_tensor(a).to(whole_B) for w, a in signal.advantages.items()}
            advantages = to_token_advantages(of_segments, replies, width).to(whole_B)
        if self.recipe.expected_score.coef:
            return without_confidence(advantages, replies, width)
        return advantages

    # Forward pass → loss

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        scored = bool(self.recipe.expected_score.coef)
        places = (inputs["level_at"], self.levels) if scored else ()
        read = self._read(model, ids, mask, inputs["completion_ids"].shape[1], *places)
        self._compare_policies(inputs.get("old_per_token_logps", read.logps), inputs)
        # TRL only hands the model on to `_get_per_token_logps_and_entropies`.
        loss = super()._compute_loss(read, inputs)
        if read.levels is not None:
            loss = loss + self.recipe.expected_score.coef * self._confidence_loss(
                read.levels, inputs
            )
        return loss

    def _compare_policies(self, logps_BT: torch.Tensor, inputs: dict[str, Any]) -> None:
        """Log and check the gap between the policy that drew the replies and the one that is
        trained, as it was then: `logps_BT` of the replies' tokens, before any update on them."""
        own = gap_sums(logps_BT, inputs["sampling_per_token_logps"], inputs["completion_mask"])
        total, divergence, count = self.accelerator.reduce(own, "sum").tolist()  # pyright: ignore
        if not count:
            return
        gap = Gap(total / count, divergence / count)
        mode = "train" if self.model.training else "eval"  # pyright: ignore
        self._metrics[mode]["sampling/sampling_logp_difference/mean"].append(gap.mean)
        self._metrics[mode]["sampling/kl"].append(gap.kl)
        self.check_gap(gap, self.state.global_step)

    def _read(self, model: Any, ids: Any, mask: Any, length: int, *places: Any) -> Reading:
        how = (ids, mask, length, self.temperature, *places)
        return inside(self.accelerator, model, read_replies, *how)

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, **kwargs: Any
    ) -> tuple[Any, Any, Any]:
        """Log-probabilities (B, T) of the reply tokens, entropies (B, T) if asked for, and None.
        `model` may be what was already read."""
        if not isinstance(model, Reading):
            model = self._read(model, input_ids, attention_mask, logits_to_keep)
        return model.logps, model.entropies if kwargs.get("compute_entropy") else None, None

    def _confidence_loss(self, levels_BK: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
        """The weighted mean of the expected score's losses over the replies with a stated
        confidence and a known target; 0 where there is none."""
        rows = ((inputs["level_at"] != IGNORE) & ~inputs["target"].isnan()).nonzero()[:, 0]  # (n,)
        mode = "train" if self.model.training else "eval"  # pyright: ignore
        # As TRL's `num_items_in_batch`: of the generation batch, scaled to one update's share.
        count = inputs["known"].clamp(min=1.0) / self.accelerator.num_processes
        if mode == "train":
            micro_batches: Any = self.args.steps_per_generation  # pyright: ignore
            count = count * self.current_gradient_accumulation_steps / micro_batches
        if not len(rows):
            return levels_BK.sum() * 0  # every process takes part in the same backward pass
        levels_nK = levels_BK[rows]
        self.check_loss(levels_nK)
        expected = expectation(levels_nK.detach())
        brier = (expected - inputs["outcome"][rows]).square().mean()
        self._metrics[mode]["confidence/expected"].append(expected.mean().item())
        self._metrics[mode]["confidence/brier"].append(brier.item())
        losses = expected_score_losses(
            levels_nK, inputs["target"][rows], self.recipe.expected_score
        )
        return (inputs["weight"][rows] * losses).sum() / count


class EpochSampler(RepeatSampler):
    """TRL's sampler of questions in an order that depends on seed and epoch alone: TRL's own goes
    on from the epoch before, which a resumed run has not gone through."""

    def __init__(self, like: RepeatSampler, epoch: Callable[[], float | None]):
        self.__dict__.update(vars(like))
        self.epoch = epoch

    def __iter__(self) -> Generator[int]:
        if self.shuffle:
            self.generator.manual_seed((self.seed or 0) + int(self.epoch() or 0))
        yield from super().__iter__()


def _column(name: str) -> Callable[..., Any]:
    """A name for one column of `_calculate_rewards`, in the form in which TRL wants it."""

    def column(**_: Any) -> Any:
        raise AssertionError(f"{name} is computed in _calculate_rewards")

    column.__name__ = name
    return column


def rollout(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    """TRL's rollout function: draw the replies of one generation batch, with our sampler or by
    vLLM servers."""
    args, tokenizer = trainer.args, trainer.processing_class
    texts = [prompt[-1]["content"] for prompt in prompts]
    unique = {text: prompt for text, prompt in zip(texts, prompts, strict=True)}
    counts = {text: texts.count(text) for text in unique}
    step = trainer.state.global_step
    draws = [
        Draw(tuple(render(tokenizer, prompt)), f"{step}:{text}", tuple(range(counts[text])))
        for text, prompt in unique.items()
    ]
    autocast = trainer.accelerator.autocast
    ends = LocalModel(trainer.accelerator.unwrap_model(trainer.model), tokenizer).end_tokens
    how = Sampling(args.max_completion_length, ends, args.temperature, args.seed)
    if trainer.servers is not None:
        drawn = trainer.servers.draw(draws, how)
    else:
        with whole(trainer) as trained, autocast(), merged_adapter(trained) as model:
            drawn = draw(model, draws, how)
    rows = iter(drawn)
    by_text = {text: [next(rows) for _ in range(counts[text])] for text in unique}
    prompt_tokens = {text: list(d.prompt) for text, d in zip(unique, draws, strict=True)}
    replies = [by_text[text].pop(0) for text in texts]
    return {
        "prompt_ids": [prompt_tokens[text] for text in texts],
        "completion_ids": [reply.tokens for reply in replies],
        "logprobs": [reply.sampling_logprobs for reply in replies],
    }
