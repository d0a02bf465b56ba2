"""A run directory: what was asked for is written first, so that it is never taken for free."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

import metaconf
from metaconf.config import RUN_MARKER, resolved
from metaconf.config_blocks import Config


def begin(config: Config) -> Path:
    """Create the run directory with its marker and the resolved configuration; returns it."""
    out = Path(config.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    marker = {"stage": config.stage, "metaconf": metaconf.__version__}
    (out / RUN_MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
    text = yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True)
    (out / "config.yaml").write_text(text, encoding="utf-8")
    return out
