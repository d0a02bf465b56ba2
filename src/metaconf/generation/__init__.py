"""What draws replies: transformers in this process, vLLM in this process, or a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metaconf.generation.local import LocalModel


def load_engine(
    model: str, engine: str = "transformers", options: Mapping[str, Any] | None = None
) -> LocalModel:
    """The model (hub id, folder or "embedded") as `engine` holds it. Raises UserError."""
    if engine == "vllm":
        from metaconf.generation.vllm import load_vllm

        return load_vllm(model, options)
    from metaconf.generation.local import load_local

    return load_local(model)
