"""How long a question set of a million rows takes to load, and how much memory.

    python benchmarks/questions.py

Writes benchmarks/results/questions.json. Each set is loaded by a process of its own, so that the
peak is that of loading, checking, finding repeats and picking, and nothing else's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import record
from pyarrow import parquet

COMMAND = "python benchmarks/questions.py"
NOTES = (
    "1e6 rows with question, two right answers and a task, about 60 characters a question. Process "
    "time of one core, and the peak resident memory (VmHWM) of a process that loads the set, picks "
    "1,000 and looks for repeats, interpreter and imports included."
)
ROWS = 1_000_000
CHUNK = 50_000
MEASURE = """
import json, sys, time
from pathlib import Path
from metaconf.data import duplicates, load_questions, pick
start = time.process_time()
questions = load_questions(sys.argv[1])
loaded = time.process_time()
assert len(pick(questions, 1000, 0)) == 1000
picked = time.process_time()
assert not duplicates(questions)
done = time.process_time()
line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
print(json.dumps([loaded - start, picked - loaded, done - picked, int(line.split()[1]) / 2**20]))
"""


def rows() -> Iterator[dict[str, object]]:
    for i in range(ROWS):
        yield {
            "question": f"In which year was the northern settlement number {i} founded first?",
            "answer": [str(1000 + i % 1000), f"in {1000 + i % 1000}"],
            "task": "short",
        }


def write_jsonl(path: Path) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows())


def write_parquet(path: Path) -> None:
    schema = pa.schema(
        [("question", pa.string()), ("answer", pa.list_(pa.string())), ("task", pa.string())]
    )
    waiting: list[dict[str, object]] = []
    with parquet.ParquetWriter(path, schema) as out:
        for row in rows():
            waiting.append(row)
            if len(waiting) == CHUNK:
                out.write_table(pa.Table.from_pylist(waiting, schema))
                waiting.clear()


def measured(path: Path) -> list[float]:
    """Seconds to load, to pick and to find repeats; peak GiB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def main() -> None:
    figures: dict[str, record.Figure] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, write in (("jsonl", write_jsonl), ("parquet", write_parquet)):
            path = Path(folder) / f"set.{kind}"
            write(path)
            load, pick, repeats, peak = measured(path)
            path.unlink()
            figures[f"load_seconds_1e6_{kind}"] = record.figure(load, None, "s", "<= 30")
            figures[f"pick_seconds_1e6_{kind}"] = record.figure(pick, None, "s")
            figures[f"repeats_seconds_1e6_{kind}"] = record.figure(repeats, None, "s")
            figures[f"peak_gib_1e6_{kind}"] = record.figure(peak, None, "GiB", "<= 1")
    record.write("questions", COMMAND, figures, [0], NOTES, ["pyarrow"])


if __name__ == "__main__":
    main()
