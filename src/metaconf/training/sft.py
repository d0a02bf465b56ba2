"""Stage 1: TRL's SFTTrainer with losses on the confidence.

It differs from plain SFT in these points (M: confidences of a batch; E: the model's expected
confidence Σ p_k·k/10; y: the target in [0, 1]):

1. loss = L_text + w·L_after_reflection + v·L_after_answer. Each is a mean over its own tokens: in
   one common mean the confidence, one token in forty, has no effect.
2. L_text is the cross-entropy of the reply's tokens, without the level. The tokens that say how
   sure the reflection sounds weigh more (`rows.STANCE_WEIGHT`).
3. A confidence's loss is −Σ_k q_k(t)·log p_k. q(t) lies on the two levels nearest to 10·t and has
   the mean t; p_k is the exact probability of level k over the whole vocabulary, "10" included.
4. Rows of answer and confidence alone come first, and t is their y: beside text the model learns
   the confidence several times more slowly. Then come rows with the opening of the reflection, then
   whole replies (docs/lab-notebook.md). Each of the two parts has its rise and fall of the learning
   rate (`schedule`).
5. Between the parts E is read once after the answer of each row (`own_confidences`), and what
   follows is for it: t = E after the answer and after the reflection, and of the reflection's
   wordings the one for E. The text explains the model's own number, and tells nothing that its
   state does not: from a wording for y the model would read y off the text. And the distribution
   over the levels, broad after the first part, narrows around E, so that the level that is written
   is as good as E.
6. A row's confidences are packed into one forward pass under a tree attention mask (`rows`).
7. Each mean is over all processes and micro-batches of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from metaconf.config.blocks import Confidence
from metaconf.training.checkpoints import ResumableTrainer
from metaconf.training.checks import taken_by
from metaconf.training.forward import Tree, decoder_of, forward_tree
from metaconf.training.levels import (
    LEVELS,
    LevelTokens,
    expectation,
    level_logprobs,
    level_tokens,
)
from metaconf.training.own_confidences import Key, TokenRow, key, own_confidences
from metaconf.training.processes import any_rank, check_processes, inside
from metaconf.training.rows import for_confidence, has_reflection
from metaconf.training.schedule import rate
from metaconf.training.score import taught_loss

PACKED = ("prefix", "input_ids", "position_ids", "attention_mask")
"""The tensors of a batch that are its `Tree`, in its order."""
PARTS = ("loss_text", "loss_confidence", "loss_confidence_only")
"""The losses: of the text, after the reflection, and straight after the answer."""


class ConfidenceSFTTrainer(ResumableTrainer, SFTTrainer):
    """SFTTrainer with the losses above, on batches of `rows.collate`.

    `how` holds their weights: `confidence_loss_weight` of both confidence losses in batches with
    whole replies, `confidence_only_loss_weight` of L_after_answer in batches of answers alone.
    `two_parts`: the learning rate follows `schedule.rate`, not TRL's schedule.
    """

    # The losses are means over the whole step: the Trainer has nothing to divide.
    loss_is_scaled_for_ga = True

    def __init__(self, *args: Any, how: Confidence, two_parts: bool = False, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.how = how
        self.two_parts = two_parts
        self.tokens: LevelTokens = level_tokens(self.processing_class)
        self.end: int = self.processing_class.eos_token_id  # pyright: ignore
        self.own: dict[Key, float] | None = None  # known once the first reflection is to be taught

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:
        """The schedule of the two parts, or TRL's."""
        if not self.two_parts or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        share = partial(
            rate,
            first=self._first_steps(),
            total=num_training_steps,
            warmup=self.args.get_warmup_steps(num_training_steps),
        )
        given: Any = optimizer or self.optimizer
        self.lr_scheduler = LambdaLR(given, share)
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def _first_steps(self) -> int:
        """The steps whose rows are all answers and confidences alone."""
        rows: Any = self.train_dataset
        alone = len(list(takewhile(_ends_with_the_answer, rows)))
        each = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        return alone // (each * self.accelerator.num_processes)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        if num_items_in_batch is None:
            num_items_in_batch = self._get_num_items_in_batch([inputs], self.args.device)
        text, levels = inside(self.accelerator, model, self._read, inputs)
        losses = {"loss_text": text, **self._confidence_losses(levels, inputs)}
        self._log_means(model, **losses, **_mean_confidences(levels, inputs))
        here = _counts(inputs)
        whole = dict[str, torch.Tensor](zip(PARTS, num_items_in_batch, strict=True))
        answers_alone = not whole["loss_confidence"]
        processes = self.accelerator.num_processes  # over which the wrapper takes the mean
        return sum(
            self._weight(name, answers_alone) * loss * (here[name] * processes / whole[name])
            for name, loss in losses.items()
        )

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], torch.Tensor]:
        """The step's micro-batches, each for the model's own confidences, and what is in them."""
        batches, _ = super().get_batch_samples(*args, **kwargs)
        if self.own is None and any_rank(any("rows" in batch for batch in batches)):
            self.own = self._own_confidences()
        chosen = [self._for_own(batch) for batch in batches]
        return chosen, self._get_num_items_in_batch(chosen, self.args.device)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> torch.Tensor:
        """How many there are of each of PARTS in these batches of all processes."""
        counts = [list(_counts(batch).values()) for batch in batch_samples]
        here = torch.tensor(counts, dtype=torch.float32, device=device).view(-1, len(PARTS)).sum(0)
        return self.accelerator.reduce(here, "sum")  # pyright: ignore

    def _read(
        self, model: Any, inputs: dict[str, Any], text: bool = True
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """The loss of the text, where it is wanted, and level log-probabilities (M, 11)."""
        decoder, head = decoder_of(model)
        hidden = forward_tree(decoder, Tree(*(inputs[name] for name in PACKED)))  # (B, T, D)
        row, predicts, after_one = inputs["level_positions"].T
        states = hidden[row, predicts], hidden[row, after_one]
        levels = level_logprobs(*states, head, self.tokens, self.end)
        said = text_loss(hidden, head, inputs["labels"], inputs["weights"]) if text else None
        return said, levels

    def _own_confidences(self) -> dict[Key, float]:
        """The model's own confidences in the rows with a reflection. A training without rows of
        answer and confidence alone has taught none yet, and takes the targets."""
        every: Any = self.train_dataset
        rows = [row for row in every if has_reflection(row)]
        read = self._expected if self.state.global_step else _targets
        folder, size = Path(str(self.args.output_dir)), self.args.per_device_train_batch_size
        return own_confidences(folder, rows, size, read)

    @torch.no_grad()
    def _expected(self, rows: Sequence[TokenRow]) -> list[float]:
        """The expected confidence straight after the answer of each row."""
        inputs = self._prepare_inputs(self.data_collator(list(rows)))
        _, levels = inside(self.accelerator, self.model_wrapped, self._read, inputs, False)
        expected = expectation(torch.softmax(levels, -1))  # (M, 11) -> (M,)
        return expected[inputs["without_reflection"]].tolist()  # (B,)

    def _for_own(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The batch whose rows with a reflection are for the model's own confidences."""
        if "rows" not in inputs or self.own is None:
            return inputs
        own, rows = self.own, inputs["rows"]
        chosen = [for_confidence(r, own[key(r)]) if has_reflection(r) else r for r in rows]
        made = self.data_collator(chosen)
        made.pop("rows", None)  # its choice is made
        return self._prepare_inputs(made)

    def _confidence_losses(
        self, levels: torch.Tensor, inputs: dict[str, Any]
    ) -> dict[str, torch.Tensor]:
        """The losses of level log-probabilities `levels` (M, 11) that the batch has: after the
        reflection "loss_confidence", after the answer "loss_confidence_only"."""
        self.check_loss(levels)
        after_answer = inputs["without_reflection"]  # (M,)
        targets = inputs["targets"].to(levels)  # (M,)
        places = {"loss_confidence": ~after_answer, "loss_confidence_only": after_answer}
        return {
            name: taught_loss(levels[at], targets[at]) for name, at in places.items() if at.any()
        }

    def _weight(self, name: str, answers_alone: bool) -> float:
        if name == "loss_text":
            return 1.0
        return (
            self.how.confidence_only_loss_weight
            if answers_alone and name == "loss_confidence_only"
            else self.how.confidence_loss_weight
        )

    def _log_means(self, model: Any, **values: torch.Tensor) -> None:
        for name, value in values.items():
            self._metrics["train" if model.training else "eval"][name].append(value.item())


def _ends_with_the_answer(row: TokenRow) -> bool:
    return not row["wordings"] and row["level_at"] is None


def _targets(rows: Sequence[TokenRow]) -> list[float]:
    return [row["continuation_target"][0] for row in rows]


def _counts(inputs: dict[str, Any]) -> dict[str, int]:
    """How many labels and confidences each loss is a mean of."""
    labels, after_answer = inputs["labels"][:, 1:] != -100, inputs["without_reflection"]
    found = labels.sum(), (~after_answer).sum(), after_answer.sum()
    return dict(zip(PARTS, map(int, found), strict=True))


def _mean_confidences(levels: torch.Tensor, inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Means over the confidences after the answer: expected, of the likeliest level, and target."""
    levels = levels.detach()  # (M, 11)
    expected = expectation(torch.softmax(levels, -1))
    likeliest = levels.argmax(-1).to(expected) / (LEVELS - 1)
    means = {"expected": expected, "stated": likeliest, "target": inputs["targets"].to(expected)}
    at = inputs["without_reflection"]
    return {f"mean_{name}": values[at].mean() for name, values in means.items()}


def text_loss(
    hidden: torch.Tensor,
    head: Callable[..., torch.Tensor],
    labels: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy times `weights` (B, T), as a mean over the tokens `labels` (B, T) that are not
    -100, from hidden states (B, T, D) and the model's head. A weight above 1 takes nothing from the
    other tokens: a weighted mean would have them learnt less (docs/lab-notebook.md)."""
    at = (labels[:, 1:] != -100).nonzero(as_tuple=True)  # N positions
    # Selected rows are contiguous; with a sliced view the product would copy the head for each row.
    logits = head(hidden[:, :-1][at])  # (N, V)
    losses = torch.nn.functional.cross_entropy(logits, labels[:, 1:][at], reduction="none")
    weighed = 1.0 if weights is None else weights[:, 1:][at].to(losses)
    return (losses * weighed).mean()


def sft_config(trainer: dict[str, Any]) -> SFTConfig:
    """TRL's configuration with what our rows need. Raises UserError for what TRL refuses."""
    silent: dict[str, Any] = {
        "report_to": "none",
        # Rows of answer and confidence alone come first.
        "train_sampling_strategy": "sequential",
    }
    fixed: dict[str, Any] = {
        "remove_unused_columns": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
    }
    with taken_by("SFTConfig"):
        args = SFTConfig(**{**silent, **trainer, **fixed})
    check_processes(args)
    return args
