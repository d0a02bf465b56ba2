"""The OpenAPI document is kept to: odd requests are answered or refused as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from front import GOOD, in_front, says

from metaconf.serving.calibration import Calibration


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_request_breaks_the_contract(tmp_path: Path, calibration: Calibration) -> None:
    """Forty cases an operation; benchmarks/serve.py has a thousand."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings

    with in_front(says(GOOD), tmp_path, calibration) as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        operations: list[Any] = [one.ok() for one in schema.get_all_operations()]  # pyright: ignore
        assert len(operations) >= 9

        for operation in operations:

            @given(case=operation.as_strategy())
            @settings(
                max_examples=40,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=[*HealthCheck],  # pyright: ignore
            )
            def check(case: schemathesis.Case) -> None:
                case.call_and_validate()

            check()
