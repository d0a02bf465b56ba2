"""`metaconf` in float32 on every processor, for tests that compare what several processes learn."""

from __future__ import annotations

import sys

import torch

from metaconf.cli import main
from metaconf.generation import local

if __name__ == "__main__":
    local.default_dtype = lambda: torch.float32
    sys.exit(main())
