"""The adapter that ships (`embedded-sft`) beside the model that it was made from.

    python benchmarks/adapter.py --model runs/bench-default/seed42/stage1

Asks both the held-out questions; adds to benchmarks/results/serve.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import record
from default import asked_in_domain
from scoring import SCORES, apart_over_seeds, mean_right, over_seeds, pairs, scores, well_formed

from metaconf.embedded.model import ADAPTER
from metaconf.evaluation.generate import evaluate
from metaconf.evaluation.readings import reading_figures, with_readings
from metaconf.evaluation.rows import EvaluatedReply, in_domain
from metaconf.generation.local import load_local

PACKAGES = ("torch", "transformers")


def replies(model: str, path: Path, name: str) -> list[EvaluatedReply]:
    return in_domain(evaluate(load_local(model), asked_in_domain(), "reply", path, name))


def figures(small: list[EvaluatedReply], whole: list[EvaluatedReply]) -> dict[str, record.Figure]:
    found = scores("adapter", [pairs(small)])
    found |= {
        f"{name}_adapter_less_whole": apart_over_seeds([pairs(small)], [pairs(whole)], score)
        for name, score in SCORES.items()
    }
    found["format_rate_adapter"] = over_seeds([well_formed(small)], mean_right)
    rate = reading_figures(with_readings(small))["contradiction_rate"].value
    if rate is not None:
        found["contradictions_adapter"] = record.figure(round(rate, 4))
    size = (ADAPTER / "adapter_model.safetensors").stat().st_size / 1e6
    return found | {"adapter_megabytes": record.figure(round(size, 2), None, "MB", "<= 8")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the stage-1 model in full")
    model: Path = parser.parse_args().model
    whole = replies(str(model), model / "heldout.jsonl", model.name)
    small = replies("embedded-sft", model.parent / "adapter.jsonl", "adapter")
    note = "adapter: of rank 12, the nearest to what the named model changed"
    command = f"python benchmarks/adapter.py --model {model}"
    record.add("serve", command, figures(small, whole), [note], PACKAGES)


if __name__ == "__main__":
    main()
