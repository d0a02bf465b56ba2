"""Tiny tokenizers and models, and a headless browser, made once a session where they are used."""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tiny import tiny_model, tiny_tokenizer

# The tests compare with tensors on the processor, in float32: on a machine with a GPU they hide it.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# The suite draws the same examples every time; `make fuzz` draws others, and many more.
settings.register_profile("tests", max_examples=100, deadline=None, derandomize=True)
settings.register_profile(
    "fuzz", max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tests"))

# accelerate reads the metadata of packages many times in each run of a trainer.
importlib.metadata.metadata = cache(importlib.metadata.metadata)

MakeTokenizer = Callable[..., Any]
MakeLocal = Callable[..., Any]


def pytest_collection_finish() -> None:
    """What is imported by now stays, and need not be looked through each time that a trainer frees
    its memory, which would take a quarter of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tokenizer_of() -> MakeTokenizer:
    """`tokenizer_of(digits, system=True)`: see `tiny.tiny_tokenizer`."""
    return cache(tiny_tokenizer)


@pytest.fixture(scope="session")
def local_of(tmp_path_factory: pytest.TempPathFactory) -> MakeLocal:
    """`local_of(architecture, digits)`: a random LocalModel in float32, shared by all tests, which
    leave it as it is; take `fresh_local` to train one."""
    import torch

    from metaconf.generation.local import load_local

    torch.set_num_threads(1)

    @cache
    def local(architecture: str = "llama", digits: str = "single") -> Any:
        folder: Any = tiny_model(tmp_path_factory.mktemp("tiny"), architecture, digits)  # pyright: ignore
        return load_local(str(folder), torch.float32)

    return local


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models load in float32 also where the processor is quicker in bfloat16: for comparisons that
    its rounding would drown."""
    import torch

    monkeypatch.setattr("metaconf.generation.local.default_dtype", lambda: torch.float32)


@pytest.fixture
def fresh_local(local_of: MakeLocal) -> MakeLocal:
    """The same, but a copy of its own for a test that changes the weights."""
    import copy

    from metaconf.generation.local import LocalModel

    def fresh(architecture: str = "llama", digits: str = "single") -> LocalModel:
        local = local_of(architecture, digits)
        return LocalModel(copy.deepcopy(local.model), local.tokenizer)

    return fresh


@pytest.fixture(scope="session")
def chromium() -> ModuleType:
    """benchmarks/chromium.py, which is no part of the package."""
    place = Path(__file__).parents[1] / "benchmarks" / "chromium.py"
    spec = importlib.util.spec_from_file_location("chromium", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def browser(chromium: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    binary = chromium.find_chromium()
    if binary is None and not os.environ.get("CI"):
        pytest.skip(f"none of {', '.join(chromium.NAMES)} is installed: pages cannot be opened")
    assert binary is not None, "CI needs a Chromium-like browser"
    with chromium.Chromium(binary, tmp_path_factory.mktemp("browser")) as opened:
        opened.view(1280, 900)
        yield opened
