"""The form in which every benchmark writes its figures to benchmarks/results/NAME.json."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
Figure = dict[str, Any]


def figure(
    value: float, interval: Sequence[float] | None = None, unit: str = "", target: str | None = None
) -> Figure:
    """One figure; interval (low, high) is 95 %."""
    found: Figure = {"value": value, "unit": unit}
    if interval is not None:
        found["interval"] = [round(bound, 4) for bound in interval]
    return found if target is None else found | {"target": target}


def write(
    name: str,
    command: str,
    figures: dict[str, Figure],
    seeds: Sequence[int],
    notes: str,
    packages: Sequence[str],
    more: dict[str, Any] | None = None,
) -> None:
    """Write the record, with `more` that is no figure, beside those of the other benchmarks, and
    show it."""
    record = {
        "name": name,
        "command": command,
        "commit": _commit(),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": {package: version(package) for package in packages},
        "seeds": list(seeds),
        "figures": figures,
        "notes": notes,
        **(more or {}),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    text = json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n")
    print(text)


def add(
    name: str,
    command: str,
    figures: dict[str, Figure],
    notes: Sequence[str],
    packages: Sequence[str],
) -> None:
    """Write into the record of a benchmark that has several programs: what the others wrote stays,
    and of the notes those that begin otherwise, up to the first colon."""
    path = RESULTS / f"{name}.json"
    before: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    starts = tuple(note.partition(":")[0] for note in notes)
    kept = [one for one in before.get("notes", "").splitlines() if not one.startswith(starts)]
    commands = {*before.get("command", "").split("; "), command} - {""}
    write(
        name,
        "; ".join(sorted(commands)),
        before.get("figures", {}) | figures,
        before.get("seeds") or [0],
        "\n".join([*kept, *notes]),
        sorted({*packages, *before.get("versions", {})}),
    )


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "gpu": _gpu(),
    }


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
