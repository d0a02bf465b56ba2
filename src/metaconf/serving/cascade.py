"""A cascade as it is served: the models of a YAML file, under the rule of `metaconf calibrate`.

calibration: cascade.json
models:                  # in the order in which they were calibrated
  - model: embedded-sft
  - model: deepseek-chat
    base_url: https://api.deepseek.com
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaconf.clients.endpoint import Endpoint, endpoint_of
from metaconf.config.blocks import Client
from metaconf.config.load import check_model, known_keys
from metaconf.config.values import convert, read_yaml
from metaconf.decisions.abstain import Rule
from metaconf.decisions.cascade_run import Cascade, in_words, read_cascade
from metaconf.errors import UserError
from metaconf.serving.backend import Backend, name_of
from metaconf.serving.calibration import Calibration

KEYS = ("model", "base_url", "api_key_env", "extra_body", "input_price", "output_price")


@dataclass(frozen=True, slots=True)
class Step:
    """A model of a cascade. `calibration` has its own threshold and map, and of the whole cascade
    the rest: id, α and δ, and the labelled replies that would be served."""

    backend: Backend
    calibration: Calibration


def read(path: Path) -> list[tuple[str | Endpoint, Calibration]]:
    """The models that are asked, in their order: a name, or where it is asked. Where nothing is
    certified, the first alone. Raises UserError."""
    data, _ = read_yaml(path)
    if set(data) != {"calibration", "models"} or not isinstance(data["calibration"], str):
        raise UserError(f"{path}: give two keys: calibration (a file of calibrate) and models")
    file = Path(os.path.expanduser(data["calibration"]))
    found, listed = read_cascade(file), data["models"]
    count = len(found.maps)
    if not isinstance(listed, list) or len(listed) != count:
        raise UserError(f"{path}: models: {file} is of {count} models; list each, in that order")
    models = [_model(one, f"{path}: models[{place}]") for place, one in enumerate(listed)]
    names = tuple(name_of(one) if isinstance(one, str) else one.model for one in models)
    mark = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return [(models[place], _calibration(found, place, mark, names)) for place in found.rule.asked]


def _model(given: Any, where: str) -> str | Endpoint:
    if not isinstance(given, dict) or "model" not in given:
        raise UserError(f"{where}: name the model: {{model: NAME}}, and base_url of a server")
    if extra := [key for key in given if key not in KEYS]:
        raise UserError(f"{where}: unknown key {extra[0]}; known are {', '.join(KEYS)}")
    known = known_keys("sft")
    values = {k: convert(v, known[f"client.{k}"], f"{where}: {k}") for k, v in given.items()}
    if "base_url" in values:
        return endpoint_of(Client(**values), os.environ)
    if len(values) > 1:
        raise UserError(f"{where}: only a server has more keys than model; give base_url too")
    check_model(values["model"])
    return os.path.expanduser(values["model"])


def _calibration(cascade: Cascade, model: int, mark: str, names: tuple[str, ...]) -> Calibration:
    rule = cascade.rule
    numbers = (rule.labelled, sum(rule.answered_by), rule.error, None)
    own = Rule(rule.alpha, rule.delta, rule.thresholds[model], *numbers)
    about = (*cascade.final(), cascade.fitted_at, in_words(rule))
    return Calibration(mark, own, cascade.maps[model], *about, cascade, names)
