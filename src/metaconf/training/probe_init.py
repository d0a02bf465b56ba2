"""Initialises one MLP neuron with a linear probe of the confidence targets, before training.

A linear map of the hidden state predicts whether an answer is right. Gradient descent needs
thousands of rows to find that map, because each row gives one number. Here the map is fitted by
ridge regression and written into the least used neuron of one gated MLP. The neuron's gate is open
at the answer's last token, where the map is best, and shut elsewhere. Its output adds the direction
that raises the expected confidence, without the directions that change the next tokens, so that
the answer ends as before (docs/lab-notebook.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from metaconf.errors import UserError
from metaconf.generation.local import LocalModel
from metaconf.training.forward import decoder_of, right_padded
from metaconf.training.levels import expectation, level_probabilities, level_tokens, logprobs
from metaconf.training.probe import FirstLayers, probe_layer, runs
from metaconf.training.rows import Continuation, Row

PENALTY, PENALTY_RAW = 300.0, 30.0
"""L2 penalties of the ridge regressions on standardised and on raw states."""
OPEN = 4.0
"""The gate's input where it is open; where it is shut, the input is the negative."""
STRENGTHS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""The strengths tried: what one unit of log-odds adds, as a share of the state's length."""
TRIED = 96
"""Rows on which the direction, the strength and the gate are fitted."""
ROWS = 16
"""Rows a batch; the gradients take memory."""
LIKELY = 4
"""The probabilities of the line break and of so many likeliest next tokens are preserved."""
LEFT = 1 / 9
"""Share of the hidden dimensions that are removed from the direction to preserve them."""
CERTAIN = 0.01
"""Targets are clipped to [CERTAIN, 1 − CERTAIN], so that their log-odds are finite."""
WEIGHTS = ("gate", "up", "down")
Pair = tuple[Row, Continuation]


@dataclass(frozen=True, slots=True)
class Unit:
    """One neuron of a gated MLP."""

    mlp: Any
    place: int

    def weights(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Views of its gate, up and down weights, (D,) each."""
        gate, up, down = (getattr(self.mlp, f"{kind}_proj").weight for kind in WEIGHTS)
        return gate[self.place], up[self.place], down[:, self.place]

    @torch.no_grad()
    def put(self, new: Sequence[torch.Tensor]) -> None:
        """Set its gate, up and down weights."""
        for old, values in zip(self.weights(), new, strict=True):
            old.copy_(values)


@dataclass(frozen=True, slots=True)
class Written:
    """Mean square error of the confidence expected straight after an answer, `before` the probe was
    written and `after`; its `strength` (0: nothing was written), the `unit`, and its weights before
    (`kept`)."""

    before: float
    after: float
    strength: float
    unit: Unit = field(repr=False)
    kept: tuple[torch.Tensor, ...] = field(repr=False)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """A context in which the model is what it was before; for passes without gradients."""
        written = [weights.clone() for weights in self.unit.weights()]
        self.unit.put(self.kept)
        try:
            yield
        finally:
            self.unit.put(written)


@torch.no_grad()
def write_probe(local: LocalModel, rows: Sequence[Row]) -> Written:
    """Write a probe of the targets of `rows` into `local`, in the layer of `probe.probe_layer`, at
    the strength (0 included) that lowers the mean square error most. Raises UserError for a model
    whose MLPs have no gate."""
    decoder, _ = decoder_of(local.model)
    depth = probe_layer(len(decoder.layers))
    layer = decoder.layers[depth - 1]
    mlp = _gated(layer.mlp, local.model.config.model_type)
    taught = [(row, c) for row in rows for c in row.continuations if c.without_reflection]
    targets = np.array([c.target for _, c in taught])
    few = np.random.default_rng(0).permutation(len(taught))[:TRIED].tolist()
    pairs, goals = [taught[i] for i in few], torch.from_numpy(targets[few]).float()
    with _watched(mlp) as seen:
        inputs, used, length = _at_ends(local, taught, depth, seen)
        shut = _elsewhere(local, pairs, depth, seen)
    used *= mlp.down_proj.weight.float().norm(dim=0).cpu().numpy()
    unit, way = Unit(mlp, int(used.argmin())), length * _way(local, layer, pairs)
    gate = torch.from_numpy(OPEN * gate_direction(inputs, shut))
    up = torch.from_numpy(_map(inputs, targets) / float(mlp.act_fn(torch.tensor(OPEN))))
    kept = tuple(weights.clone() for weights in unit.weights())

    choices: dict[float, Sequence[torch.Tensor]] = {0.0: kept}
    choices |= {strength: (gate, up, strength * way) for strength in STRENGTHS}
    errors: dict[float, float] = {}
    for strength, weights in choices.items():
        unit.put(weights)
        expected = torch.cat([_expected(local, some) for some in _batches(pairs)])
        errors[strength] = float((expected - goals).square().mean())
    best = min(errors, key=errors.__getitem__)
    unit.put(choices[best])
    return Written(errors[0.0], errors[best], best, unit, kept)


def _gated(mlp: Any, kind: str) -> Any:
    if not all(hasattr(mlp, name) for name in (*(f"{kind}_proj" for kind in WEIGHTS), "act_fn")):
        raise UserError(
            f"confidence.init_probe_neuron: the MLPs of {kind} have no gate_proj, up_proj and"
            " down_proj, into which a probe could be written; leave it out"
        )
    return mlp


@contextmanager
def _watched(mlp: Any) -> Iterator[dict[str, torch.Tensor]]:
    """The last "inputs" (B, T, D) of the MLP and activations "units" (B, T, H) of its neurons."""
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        mlp.register_forward_pre_hook(lambda _, given: seen.update(inputs=given[0])),
        mlp.down_proj.register_forward_pre_hook(lambda _, given: seen.update(units=given[0])),
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _up_to(pair: Pair) -> list[int]:
    """The tokens of prompt and answer."""
    row, continuation = pair
    return [*row.prompt, *row.reply[: continuation.at]]


def _at_ends(
    local: LocalModel, taught: Sequence[Pair], depth: int, seen: dict[str, torch.Tensor]
) -> tuple[np.ndarray, np.ndarray, float]:
    """At the last tokens of the answers: the MLP's inputs (n, D), its neurons' mean absolute
    activations (H,), and the mean length of the layer's output."""
    ends = [_up_to(pair) for pair in taught]
    inputs = np.zeros((len(ends), local.model.config.hidden_size))
    units, length = list[np.ndarray](), 0.0
    for batch, hidden, last in runs(local.model, ends, depth):
        places = torch.arange(len(batch)), last
        inputs[batch] = seen["inputs"][places].float().cpu().numpy()
        units.append(seen["units"][places].abs().float().sum(0).cpu().numpy())
        length += float(hidden[places].float().norm(dim=1).sum())
    return inputs, np.sum(units, axis=0) / len(ends), length / len(ends)


def _elsewhere(
    local: LocalModel, pairs: Sequence[Pair], depth: int, seen: dict[str, torch.Tensor]
) -> np.ndarray:
    """The MLP's inputs (m, D) at all other positions of the pairs' prompts and replies."""
    first, found = FirstLayers(decoder_of(local.model)[0], depth), list[np.ndarray]()
    for row, continuation in pairs:
        tokens = [*row.prompt, *row.reply]
        first(input_ids=torch.tensor([tokens], device=local.model.device), use_cache=False)
        end = len(row.prompt) + continuation.at - 1
        found.append(np.delete(seen["inputs"][0].float().cpu().numpy(), end, axis=0))
    return np.concatenate(found)


def _map(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The linear map (D,) of `inputs` (n, D) to the targets' log-odds less their mean. A neuron has
    no bias; its constant comes from the direction in which all inputs have the same component."""
    from sklearn.linear_model import Ridge

    inside = np.clip(targets, CERTAIN, 1 - CERTAIN)
    odds = np.log(inside / (1 - inside))
    mean, spread = inputs.mean(0), inputs.std(0) + 1e-6
    found = Ridge(alpha=PENALTY).fit((inputs - mean) / spread, odds - odds.mean())
    slope = found.coef_ / spread
    alike = Ridge(alpha=PENALTY_RAW, fit_intercept=False).fit(inputs, np.ones(len(inputs))).coef_
    return slope + (found.intercept_ - slope @ mean) * alike


def gate_direction(opened: np.ndarray, shut: np.ndarray) -> np.ndarray:
    """The direction (D,) along which `opened` (n, D) lie at 1 and `shut` (m, D) at −1 (ridge
    regression, both sets with the same total weight)."""
    from sklearn.linear_model import Ridge

    both = np.concatenate([opened, shut])
    sides = np.repeat([1.0, -1.0], [len(opened), len(shut)])
    weights = np.repeat([1.0, len(opened) / len(shut)], [len(opened), len(shut)])
    return Ridge(alpha=PENALTY_RAW, fit_intercept=False).fit(both, sides, weights).coef_


def _batches(pairs: Sequence[Pair]) -> list[Sequence[Pair]]:
    return [pairs[i : i + ROWS] for i in range(0, len(pairs), ROWS)]


@contextmanager
def _pushed(layer: Any, pairs: Sequence[Pair], width: int) -> Iterator[torch.Tensor]:
    """Zeros (n, D) that are added to the layer's output at the answers' last tokens, and have its
    gradients."""
    pushed = torch.zeros(len(pairs), width, requires_grad=True)
    places = torch.arange(len(pairs)), torch.tensor([len(_up_to(pair)) - 1 for pair in pairs])
    hook = layer.register_forward_hook(
        lambda _, __, states: states.index_put(places, pushed.to(states), accumulate=True)
    )
    try:
        with torch.enable_grad():
            yield pushed
    finally:
        hook.remove()


def _way(local: LocalModel, layer: Any, pairs: Sequence[Pair]) -> torch.Tensor:
    """The unit direction (D,) of the layer's output at the answers' last tokens that raises the
    expected confidence, on average, without changing the next tokens' probabilities."""
    width = local.model.config.hidden_size
    total, words = torch.zeros(width), list[torch.Tensor]()
    for some in _batches(pairs):
        with _pushed(layer, some, width) as pushed:
            total += torch.autograd.grad(_expected(local, some).sum(), pushed)[0].sum(0)
            for said in _next_words(local, some):
                words += torch.autograd.grad(said.sum(), pushed, retain_graph=True)
    left = torch.linalg.svd(torch.cat(words), full_matrices=False)[2][: round(LEFT * width)]
    return torch.nn.functional.normalize(total - left.T @ (left @ total), dim=0)


def _next_words(local: LocalModel, pairs: Sequence[Pair]) -> torch.Tensor:
    """Log-probabilities (1 + LIKELY, n) of the line break after each answer and of the likeliest
    tokens there."""
    breaks = torch.tensor([c.tokens[:1] for _, c in pairs], device=local.model.device)
    last, head = _last_states(local, [_up_to(pair) for pair in pairs])
    said = logprobs(last, head)
    return said.gather(1, torch.cat([breaks, said.topk(LIKELY).indices], 1)).T


def _last_states(
    local: LocalModel, tokens: Sequence[list[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The decoder's states (n, D) at each row's last token, and the output matrix (V, D)."""
    ids, mask = right_padded(tokens, local.model.device)
    decoder, head = decoder_of(local.model)
    states = decoder(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return states[torch.arange(len(tokens)), mask.sum(1) - 1], head


def _expected(local: LocalModel, pairs: Sequence[Pair]) -> torch.Tensor:
    """The expected confidence (n,) in [0, 1] straight after the answers."""
    last, head = _last_states(local, [[*_up_to(pair), *pair[1].tokens] for pair in pairs])
    # "10" counts as "1", which is exact enough for direction and strength.
    never = torch.zeros(len(pairs), device=last.device)
    levels = level_probabilities(last, head, level_tokens(local.tokenizer), never)
    return expectation(levels).cpu()
