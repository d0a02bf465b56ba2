"""A tiny model that has learnt the reply format, for the tests that need replies with a number."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from taught import teach
from tiny import tiny_model

from metaconf.generation.local import LocalModel, load_local


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], LocalModel]:
    """Makes a model that `teach` has taught."""
    folder = tiny_model(tmp_path_factory.mktemp("taught"), spread=0.05)
    source = load_local(str(folder), torch.float32)
    teach(source)
    return lambda: LocalModel(copy.deepcopy(source.model), source.tokenizer)
