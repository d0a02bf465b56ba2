"""A probe written into the model itself: what it knows of its answer, where training can say it.

Whether an answer is right can be read off the hidden state by a linear map, which gradient descent
takes thousands of rows to find again: each row gives one number. So the map is fitted in one go,
and put into one unit of one MLP, the least used. It works at the answer's last token, where the
state tells most: its gate is open there and shut elsewhere, and what it adds to the state is the
direction in which the confidence rises that the model states, less those in which the next words
change, so that the answer ends as it did. So the model says more of what it knows at once, and
stage 1 teaches it the rest (docs/lab-notebook.md).
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
from metaconf.training.rows import Branch, Row

PENALTY, PENALTY_AS_GIVEN = 300.0, 30.0
"""Of a ridge on standardized states, and of one on states as they are."""
OPEN = 4.0
"""The gate's input where it is open, and its negative where it is shut."""
STRENGTHS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""What one unit of log-odds adds to a state, as a share of its length."""
TRIED = 96
"""Rows on which direction and strength are found, and where the gate is to be shut."""
ROWS = 16
"""Of these so many at once, for the gradients take memory."""
LIKELY = 4
"""So many likeliest words after an answer are to stay as likely, and the line break."""
LEFT = 1 / 9
"""Share of all directions of a state that are left alone for them."""
CERTAIN = 0.01
"""Targets count as lying in [CERTAIN, 1 − CERTAIN]: their log-odds are finite."""
WEIGHTS = ("gate", "up", "down")
Pair = tuple[Row, Branch]


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of a gated MLP, by its place."""

    mlp: Any
    place: int

    def weights(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Views of its gate (D,), up (D,) and down (D,)."""
        gate, up, down = (getattr(self.mlp, f"{kind}_proj").weight for kind in WEIGHTS)
        return gate[self.place], up[self.place], down[:, self.place]

    @torch.no_grad()
    def put(self, new: Sequence[torch.Tensor]) -> None:
        """Put `new` gate, up and down into its place."""
        for old, values in zip(self.weights(), new, strict=True):
            old.copy_(values)


@dataclass(frozen=True, slots=True)
class Written:
    """Mean square distance of the confidence expected straight after an answer from its target,
    before the probe was written and after, with what strength it was (0: it was not), into which
    unit, and what that held before."""

    before: float
    after: float
    strength: float
    unit: Unit = field(repr=False)
    kept: tuple[torch.Tensor, ...] = field(repr=False)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """The model as it was before, for a pass without gradients."""
        written = [weights.clone() for weights in self.unit.weights()]
        self.unit.put(self.kept)
        try:
            yield
        finally:
            self.unit.put(written)


@torch.no_grad()
def write_probe(local: LocalModel, rows: Sequence[Row]) -> Written:
    """Write into `local` the probe that the `rows`' targets teach, in the layer that
    `probe.probe_layer` names. Raises UserError for a model whose MLPs have no gate."""
    decoder, _ = decoder_of(local.model)
    depth = probe_layer(len(decoder.layers))
    layer = decoder.layers[depth - 1]
    mlp = _gated(layer.mlp, local.model.config.model_type)
    taught = [(row, branch) for row in rows for branch in row.branches if branch.direct]
    targets = np.array([branch.target for _, branch in taught])
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
            f"confidence.written: the MLPs of {kind} have no gate_proj, up_proj and down_proj, into"
            " which a probe could be written; leave it out"
        )
    return mlp


@contextmanager
def _watched(mlp: Any) -> Iterator[dict[str, torch.Tensor]]:
    """What the MLP was given last, "inputs" (B, T, D), and what its units said, "units"."""
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
    row, branch = pair
    return [*row.prompt, *row.reply[: branch.at]]


def _at_ends(
    local: LocalModel, taught: Sequence[Pair], depth: int, seen: dict[str, torch.Tensor]
) -> tuple[np.ndarray, np.ndarray, float]:
    """At the last token of each answer: (n, D) what the MLP is given, (H,) what its units say on
    average, without the sign, and the length of the state that the layer gives on."""
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
    """(m, D) what the MLP is given in all other places of some replies and their prompts."""
    first, found = FirstLayers(decoder_of(local.model)[0], depth), list[np.ndarray]()
    for row, branch in pairs:
        tokens = [*row.prompt, *row.reply]
        first(input_ids=torch.tensor([tokens], device=local.model.device), use_cache=False)
        end = len(row.prompt) + branch.at - 1
        found.append(np.delete(seen["inputs"][0].float().cpu().numpy(), end, axis=0))
    return np.concatenate(found)


def _map(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(D,) the linear map of `inputs` (n, D) to the targets' log-odds, less their mean. A unit has
    no constant: of that serves the direction in which all inputs lie alike."""
    from sklearn.linear_model import Ridge

    inside = np.clip(targets, CERTAIN, 1 - CERTAIN)
    odds = np.log(inside / (1 - inside))
    mean, spread = inputs.mean(0), inputs.std(0) + 1e-6
    found = Ridge(alpha=PENALTY).fit((inputs - mean) / spread, odds - odds.mean())
    slope = found.coef_ / spread
    alike = (
        Ridge(alpha=PENALTY_AS_GIVEN, fit_intercept=False).fit(inputs, np.ones(len(inputs))).coef_
    )
    return slope + (found.intercept_ - slope @ mean) * alike


def gate_direction(opened: np.ndarray, shut: np.ndarray) -> np.ndarray:
    """(D,) the direction along which the first (n, D) lie at 1 and the second (m, D) at −1: what
    an activation lets through there is one number for all, and elsewhere all but nothing."""
    from sklearn.linear_model import Ridge

    both = np.concatenate([opened, shut])
    sides = np.repeat([1.0, -1.0], [len(opened), len(shut)])
    weights = np.repeat([1.0, len(opened) / len(shut)], [len(opened), len(shut)])
    return Ridge(alpha=PENALTY_AS_GIVEN, fit_intercept=False).fit(both, sides, weights).coef_


def _batches(pairs: Sequence[Pair]) -> list[Sequence[Pair]]:
    return [pairs[i : i + ROWS] for i in range(0, len(pairs), ROWS)]


@contextmanager
def _pushed(layer: Any, pairs: Sequence[Pair], width: int) -> Iterator[torch.Tensor]:
    """(n, D) zeros that are added to the layer's states at the answers' last tokens: gradients to
    them are those to the states."""
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
    """(D,) of length 1: the direction in which the layer's states at the answers' last tokens raise
    the confidence expected after them, on average, and the words next to them least."""
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
    """(1 + LIKELY, n) log-probabilities of the line break after each answer and of the likeliest
    words there."""
    breaks = torch.tensor([branch.tokens[:1] for _, branch in pairs], device=local.model.device)
    last, head = _last_states(local, [_up_to(pair) for pair in pairs])
    said = logprobs(last, head)
    return said.gather(1, torch.cat([breaks, said.topk(LIKELY).indices], 1)).T


def _last_states(
    local: LocalModel, tokens: Sequence[list[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, D) the decoder's states at the last of each row's tokens, and (V, D) the head."""
    ids, mask = right_padded(tokens, local.model.device)
    decoder, head = decoder_of(local.model)
    states = decoder(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return states[torch.arange(len(tokens)), mask.sum(1) - 1], head


def _expected(local: LocalModel, pairs: Sequence[Pair]) -> torch.Tensor:
    """(n,) the confidence in [0, 1] expected straight after the answers."""
    last, head = _last_states(local, [[*_up_to(pair), *pair[1].tokens] for pair in pairs])
    # "10" counts as "1": direction and strength are rough.
    never = torch.zeros(len(pairs), device=last.device)
    levels = level_probabilities(last, head, level_tokens(local.tokenizer), never)
    return expectation(levels).cpu()
