"""Stage 1: TRL's SFTTrainer on question, answer, reflection and confidence.

Three losses, apart: cross-entropy on the text (beside answers alone it may be the divergence from
what the model said before: `confidence.text`); on the confidence, cross-entropy to a narrow
distribution over the levels whose mean is the target (mixed into the text's it drowns, one token in
forty); and the same straight after the answer, in a branch that leaves the reflection out: the
wording of a given reflection tells the level, so after it the model need not look into itself.
After the reflection its goal is therefore what it expects straight after the answer.

The last of the three is taught alone first: beside the text the model learns to read its own
certainty several times more slowly (docs/lab-notebook.md).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from metaconf.config.blocks import Confidence
from metaconf.training.checks import taken_by
from metaconf.training.forward import decoder_of, run_trees
from metaconf.training.levels import (
    LEVELS,
    LevelTokens,
    expectation,
    level_logprobs,
    level_tokens,
    logprobs,
)
from metaconf.training.processes import average_gradients, check_processes
from metaconf.training.score import taught_loss


class ConfidenceSFTTrainer(SFTTrainer):
    """SFTTrainer with the three losses. `taught` has the weight of the confidence's beside the text
    of whole replies (`weight`), and in batches of answers alone (`direct`); the text's is 1.
    Within `undone` the model is what it was before anything was written into it."""

    # Ours are means of a micro-batch: the Trainer divides them by the accumulation steps.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        *args: Any,
        taught: Confidence,
        undone: Callable[[], AbstractContextManager[None]] = nullcontext,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.taught, self.undone = taught, undone
        self.tokens: LevelTokens = level_tokens(self.processing_class)
        self.end: int = self.processing_class.eos_token_id  # pyright: ignore
        check_processes(self.accelerator)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        whole = self.accelerator.unwrap_model(model)
        decoder, head = decoder_of(whole)
        trees = [inputs[name] for name in ("prefix", "input_ids", "position_ids", "sees")]
        held = self.taught.text == "held" and bool(inputs["direct"].all())
        before = None
        if held:  # what the model said before is what it says without its adapter
            with torch.no_grad(), whole.disable_adapter(), self.undone():
                before = run_trees(decoder, *trees)
        hidden = run_trees(decoder, *trees)
        row, place, after_one = inputs["spots"].T
        states = hidden[row, place], hidden[row, after_one]
        said = level_logprobs(*states, head, self.tokens, self.end)
        direct, targets = inputs["direct"], inputs["targets"].to(said)
        own = expectation(torch.softmax(said.detach(), -1))
        step = step_at(self.state.global_step / max(self.state.max_steps, 1), self.taught.sharp)
        goals = {
            "loss_confidence": own_where_told(own, row, targets, direct),
            "loss_direct": own + step * (targets - own),
        }
        losses = {"loss_text": text_loss(hidden, head, inputs["labels"], before)}
        for name, kind in (("loss_confidence", ~direct), ("loss_direct", direct)):
            if kind.any():
                losses[name] = taught_loss(said[kind], goals[name][kind])
        spoken = said.detach().argmax(-1).to(own) / (LEVELS - 1)
        means = {"expected": own, "spoken": spoken, "taught": targets}
        self._note(model, **losses, **{f"mean_{k}": v[direct].mean() for k, v in means.items()})
        beside_answer = "loss_confidence" not in losses
        weights = {
            "loss_confidence": self.taught.weight,
            "loss_direct": self.taught.direct if beside_answer else self.taught.weight,
        }
        return sum(weights.get(name, 1.0) * loss for name, loss in losses.items())

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(model, *args, **kwargs)
        average_gradients(self.accelerator, model)
        return loss

    def _note(self, model: Any, **values: torch.Tensor) -> None:
        for name, value in values.items():
            self._metrics["train" if model.training else "eval"][name].append(value.item())


def step_at(done: float, sharp: float) -> float:
    """How far a goal goes from the model's expectation to the target when the share `done` of the
    training is done: all the way up to 0.7, then ever less, `sharp` from 0.9 on.

    First the model learns what to expect, and its distribution over the levels stays broad; then it
    is narrowed around its own expectation, so that the level spoken is as good as the expectation.
    Not before it has learnt: what it then cannot tell apart it hardly learns any more.
    """
    return 1 - (1 - sharp) * min(max((done - 0.7) / 0.2, 0.0), 1.0)


def own_where_told(
    own: torch.Tensor, row: torch.Tensor, targets: torch.Tensor, direct: torch.Tensor
) -> torch.Tensor:
    """Targets (M,) in which a confidence after a reflection is to be what the model itself expects
    straight after the answer of the same row: `own` (M,) expectations, `row` (M,).

    The wording of a given reflection tells the row's target, and the model would learn to read that
    instead of itself: in its own replies the likeliest wording then drew the number down with it
    (docs/lab-notebook.md). Of its own expectation the wording tells nothing that it does not know.
    """
    of_row = own.new_full((int(row.max()) + 1,), torch.nan)
    of_row[row[direct]] = own[direct]
    expected = of_row[row]
    return torch.where(direct | expected.isnan(), targets.to(own), expected)


def text_loss(
    hidden: torch.Tensor,
    head: torch.Tensor,
    labels: torch.Tensor,
    before: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean loss of the tokens `labels` (B, T), -100 left out: hidden (B, T, D). Cross-entropy;
    or where there are hidden states `before` (B, T, D), the divergence KL(before ‖ now) of the
    model's distributions in those places, whichever tokens stand there."""
    at = (labels[:, 1:] != -100).nonzero(as_tuple=True)
    # Selected rows are contiguous: a sliced view would make the product copy the head a row.
    logits = (hidden[:, :-1][at] @ head.T).float()
    if before is None:
        return torch.nn.functional.cross_entropy(logits, labels[:, 1:][at])
    now = torch.log_softmax(logits, -1)
    then = logprobs(before[:, :-1][at], head)
    return torch.nn.functional.kl_div(now, then, reduction="batchmean", log_target=True)


def sft_config(trainer: dict[str, Any]) -> SFTConfig:
    """TRL's configuration with what our rows need. Raises UserError for what TRL refuses."""
    silent: dict[str, Any] = {
        "report_to": "none",
        # The rows that teach the confidence alone come first.
        "train_sampling_strategy": "sequential",
    }
    fixed: dict[str, Any] = {
        "remove_unused_columns": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }
    with taken_by("SFTConfig"):
        return SFTConfig(**{**silent, **trainer, **fixed})
