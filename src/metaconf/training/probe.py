"""A linear probe on the model's hidden state: what the model knows about its answer.

L2-regularised logistic regression on the hidden state of one layer at the answer's last token; the
label is the answer's correctness. Answers that the probe is fitted on get the prediction of a fold
that left their question out (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metaconf.errors import UserError
from metaconf.generation.prefill import common_prefix
from metaconf.metrics import logistic
from metaconf.training.forward import decoder_of, right_padded, run_after_prefix

FOLDS = 5
FEATURE_REPEAT = 10
"""Each column that is appended to the hidden state is repeated so often, which weakens its L2
penalty against that of the D hidden dimensions (best of 1, 3 and 10 on held-out questions)."""


def append_features(states: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Features (n, D + k·FEATURE_REPEAT) of hidden states (n, D) and other columns (n, k)."""
    return np.hstack([states, np.repeat(columns, FEATURE_REPEAT, axis=1)])


def logprob_features(chance: np.ndarray) -> np.ndarray:
    """Log-probability and log-odds (n, 2) of the answers' probabilities `chance` (n,) in [0, 1]."""
    inside = np.clip(chance, 1e-6, 1 - 1e-4)
    return np.stack([np.log(inside), np.log(inside / (1 - inside))], 1)


def probe_layer(layers: int) -> int:
    """How many layers are run before the probe reads the state: 0.47 of all `layers` (14 of 30 in
    the embedded model), where the probe was best."""
    return max(1, round(layers * 0.47))


def answer_states(
    local: Any,
    prompts: Sequence[tuple[int, ...]],
    answers: Sequence[str],
    layer: int,
    rows: int = 64,
) -> np.ndarray:
    """Hidden states (n, D) after `layer` layers at the last token of each answer, which follows its
    prompt; `rows` sequences a batch."""
    encode = local.tokenizer.encode
    coded = [encode(f" {a}" if a else " ", add_special_tokens=False) for a in answers]
    whole = [[*prompt, *answer] for prompt, answer in zip(prompts, coded, strict=True)]
    return last_states(local.model, whole, layer, rows)


@torch.inference_mode()
def last_states(
    model: Any, tokens: Sequence[Sequence[int]], layer: int, rows: int = 64
) -> np.ndarray:
    """Hidden states (n, D) after `layer` layers at the last token of each of the n sequences;
    `rows` sequences a batch, whose common prefix is computed once."""
    states = np.zeros((len(tokens), model.config.get_text_config().hidden_size), np.float32)
    for batch, hidden, last in runs(model, tokens, layer, rows):
        states[batch] = hidden[torch.arange(len(batch)), last].float().cpu().numpy()
    return states


def runs(
    model: Any, tokens: Sequence[Sequence[int]], layer: int, rows: int = 64
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Run the first `layer` layers over the sequences `tokens`, `rows` a batch. Yields for each
    batch: the b sequences' indices, hidden states (b, T, D) after the batch's common prefix, and
    the position (b,) of each last token in them."""
    decoder = FirstLayers(decoder_of(model)[0], layer)
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    for start in range(0, len(order), rows):
        batch = order[start : start + rows]
        whole = [list(tokens[i]) for i in batch]
        shared = common_prefix(whole)
        ids, mask = right_padded([row[shared:] for row in whole], model.device)
        prefix = torch.tensor([whole[0][:shared]], device=model.device)
        hidden = run_after_prefix(decoder, prefix, ids, mask)
        yield batch, hidden, mask.sum(1) - 1


class FirstLayers:
    """A decoder that stops after `layer` layers and leaves out the final norm. One whose parts have
    other names is run to its end."""

    def __init__(self, decoder: Any, layer: int):
        self.decoder, self.layer, self.config = decoder, layer, decoder.config

    def __call__(self, **inputs: Any) -> Any:
        decoder = self.decoder
        if not (hasattr(decoder, "layers") and hasattr(decoder, "norm")):
            out = decoder(**inputs, output_hidden_states=True)
            out.last_hidden_state = out.hidden_states[self.layer]
            return out
        layers, norm = decoder.layers, decoder.norm
        decoder.layers, decoder.norm = layers[: self.layer], torch.nn.Identity()
        try:
            return decoder(**inputs)
        finally:
            decoder.layers, decoder.norm = layers, norm


def cross_fitted(features: np.ndarray, labels: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Out-of-fold probabilities (n,) that each answer is right; rows of a group share a fold.

    `features` (n, F); `labels` (n,) in [0, 1] may be graded. Raises UserError for fewer groups than
    folds.
    """
    if (count := len(set(groups))) < FOLDS:
        raise UserError(
            f"{count} graded questions: a probe is fitted on {FOLDS} parts of them, each left out "
            "in turn; take more questions, or confidence.target share"
        )
    return logistic.cross_fitted(_regression(), features, labels, groups, FOLDS)


def fit(features: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], NDArray[np.float64]]:
    """A function from features (m, F) to probabilities (m,), fitted on `features` (n, F) and
    `labels` (n,) in [0, 1]; rows whose label is NaN are left out."""
    return _regression().fit(features, labels).predict


def _regression() -> logistic.GradedLogistic:
    return logistic.GradedLogistic(C=0.01, standardize=True)
