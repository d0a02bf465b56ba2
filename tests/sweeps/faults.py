"""A fault sweep in SQLite's manner: a tiny model through every command that makes a run, which is
killed, or whose disk fails, at each of its file operations in turn; and a signal at many moments.

    OMP_NUM_THREADS=1 python tests/sweeps/faults.py --work build/sweep [--commands sft,grpo]

After each fault: no traceback, nothing lost that was acknowledged, and the run goes on with
`--resume` (or as it is told to) to the same bytes as an undisturbed one. The operations are counted
and broken in the C library (faults.c), so that what torch, safetensors and tokenizers write counts
too. Everything is imported once, and each point is a fork of it. Points stand in
WORK/points.jsonl, and a sweep that is started again goes on there.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
SHIM = "METACONF_SWEEP"
"""The environment variable that names the library of faults.c to the process that has it loaded."""
FAULTS = {"kill": 0, "ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES}
TERM, MOMENTS = "SIGTERM", 30
ROWS = ("answers.jsonl", "raw/reply.jsonl")
"""Files whose lines are acknowledged once they are written."""
UNLIKE = {("sft", "config.yaml"), ("sft", "curve.json"), ("grpo", "config.yaml")}
UNLIKE |= {("grpo", "curve.json"), ("prepare", "README.md")}
"""Files that say that a run was resumed (its checkpoint, mean losses since then), or seconds."""
CHECKPOINT = re.compile(r"/(checkpoint-\d+)$")
AGAIN = ("without --resume", "holds no run to resume")
"""What `--resume` says where there is nothing to resume yet."""


class Point(NamedTuple):
    """A fault at the `at`-th operation of a command, or the signal at the `at`-th of MOMENTS."""

    command: str
    fault: str
    at: int


class Outcome(NamedTuple):
    """How a forked command ended: exit status (negative: by that signal), what it said, its file
    operations where they were asked for, seconds of processor time."""

    status: int
    said: str
    operations: list[str]
    seconds: float


class Base(NamedTuple):
    """An undisturbed run: its operations and seconds, and the files that are alike in every one."""

    operations: list[str]
    seconds: float
    files: dict[str, bytes]


# What is run


def words(command: str, place: Path) -> list[str]:
    """The command line of a run in `place`/run, which is the same at every point."""
    taught, asked = str(place / "taught"), str(place / "questions.jsonl")
    out = ["--output_dir", str(place / "run"), "--model", taught]
    steps = ["--max_steps", "2", "--save_steps", "1", "--save_total_limit", "1"]
    if command == "sft":
        rows = ["--train_file", str(place / "rows.jsonl"), "--per_device_train_batch_size", "2"]
        return ["sft", *out, *rows, *steps, "--learning_rate", "1e-3"]
    if command == "grpo":
        few = ["--num_generations", "2", "--per_device_train_batch_size", "2"]
        sizes = ["--max_completion_length", "40", "--learning_rate", "1e-3"]
        held = ["--eval_steps", "1", "--eval_questions", "1"]
        return ["grpo", *out, "--questions", asked, *few, *sizes, *steps, *held]
    if command == "prepare":
        return ["prepare", *out, "--questions", asked, "--confidence.target", "self_consistency"]
    return ["evaluate", *out, "--questions", asked, "--quiet"]


COMMANDS = ("prepare", "sft", "grpo", "evaluate")


def make_place(place: Path) -> None:
    """Rows, questions, and a tiny model that has learnt to state confidences, where missing."""
    from tiny import tiny_model

    from metaconf.cli import main

    if (place / "taught" / "config.json").is_file():
        return
    shutil.rmtree(place, ignore_errors=True)
    tiny_model(place / "model", spread=0.05)
    rows = "".join(json.dumps(_row(i)) + "\n" for i in range(8))
    (place / "rows.jsonl").write_text(rows)
    asked = (f'{{"question": "What is {i} + {i}?", "answer": {2 * i}}}\n' for i in range(3))
    (place / "questions.jsonl").write_text("".join(asked))
    learns = ["--max_steps", "90", "--learning_rate", "1e-2", "--use_peft", "false"]
    sizes = ["--per_device_train_batch_size", "8", "--save_strategy", "no"]
    paths = ["--train_file", str(place / "rows.jsonl"), "--model", str(place / "model")]
    whole = ["--confidence.confidence_only_epochs", "0", "--confidence.full_reply_fraction", "1"]
    out = ["--output_dir", str(place / "taught")]
    assert main(["sft", *paths, *out, *whole, *learns, *sizes]) == 0


def _row(number: int) -> dict[str, Any]:
    from metaconf.prompts.chat import INSTRUCTION
    from metaconf.reply import format_reply

    level = (0.2, 0.3, 0.7, 0.8)[number % 4]
    turns = [
        {"from": "human", "value": f"What is {number % 4} + {number % 4}?"},
        {"from": "gpt", "value": format_reply(str(number), "I know it.", level)},
    ]
    return {"id": str(number), "system": INSTRUCTION, "target": level, "conversations": turns}


def run(line: Sequence[str], place: Path, point: Point | None = None, after: float = 0) -> Outcome:
    """Run a command in a fork, with the fault of `point`, or SIGTERM `after` so many seconds of
    processor time."""
    said = place / "said"
    sys.stdout.flush()
    sys.stderr.flush()
    if (child := os.fork()) == 0:
        _be(line, place, said, point, after)
    _, status, used = os.wait4(child, 0)
    log = place / "operations"
    operations = log.read_text().splitlines() if point is None and log.is_file() else []
    text = said.read_text(errors="replace").replace("\r", "\n")
    status = os.waitstatus_to_exitcode(status)
    return Outcome(status, text, operations, used.ru_utime + used.ru_stime)


def _be(line: Sequence[str], place: Path, said: Path, point: Point | None, after: float) -> None:
    """What the fork does; it ends here, whatever happens."""
    status = 1
    try:
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        signal.alarm(1800)
        resource.setrlimit(resource.RLIMIT_CPU, (300, 300))
        if after:
            signal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
            signal.setitimer(signal.ITIMER_PROF, after)
        library = ctypes.CDLL(os.environ[SHIM])
        library.fault_log.restype = ctypes.c_char_p
        fails = point is not None and point.fault in FAULTS
        code = FAULTS[point.fault] if point and fails else 0
        library.fault_arm(str(place / "run").encode(), point.at if point and fails else 0, code)
        from metaconf.cli import main

        status = main(line)
        if point is None:
            (place / "operations").write_bytes(library.fault_log())
    except BaseException:  # noqa: BLE001 - the fork ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def undisturbed(command: str, place: Path) -> Base:
    """Two undisturbed runs of a command, and what of them is alike."""
    found = list[tuple[Outcome, dict[str, bytes]]]()
    for _ in range(2):
        shutil.rmtree(place / "run", ignore_errors=True)
        outcome = run(words(command, place), place)
        if outcome.status != 0:
            raise SystemExit(f"{command}: an undisturbed run fails: {outcome.said[-2000:]}")
        found.append((outcome, contents(place / "run")))
    (first, one), (_, other) = found
    alike = {name: data for name, data in one.items() if other.get(name) == data}
    same = {name: data for name, data in alike.items() if (command, name) not in UNLIKE}
    wanted = {"prepare": "sft.jsonl", "evaluate": "replies.jsonl"}
    if wanted.get(command, "model.safetensors") not in same:
        raise SystemExit(f"{command}: two undisturbed runs differ in all that matters")
    return Base(first.operations, first.seconds, same)


def contents(run: Path) -> dict[str, bytes]:
    """The files of a run but those of older checkpoints, the lock and the log of a sweep."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and not CHECKPOINT.search(str(path.parent)) and path.name[0] != "."
    }


# What becomes of it


def judge(point: Point, base: Base, place: Path) -> dict[str, Any]:
    """Make a fault, go on as the user is told to, and say what went wrong."""
    out, line = place / "run", words(point.command, place)
    shutil.rmtree(out, ignore_errors=True)
    start = time.monotonic()
    at = base.seconds * point.at / (MOMENTS + 1) if point.fault == TERM else 0
    broken = run(line, place, point, at)
    rows = {name: whole_lines(out / name) for name in ROWS}
    lost = lost_checkpoint(point, base, out, broken) if broken.status else []
    resumed = run([*line, "--resume"], place, Point(point.command, "", 0))
    if resumed.status == 2 and any(one in resumed.said for one in AGAIN):
        resumed = run(line, place, Point(point.command, "", 0))
    after = contents(out) if out.is_dir() else {}
    lost += [name for name, text in rows.items() if not after.get(name, b"").startswith(text)]
    apart = [name for name, data in base.files.items() if after.get(name) != data]
    operation = base.operations[point.at - 1] if point.fault in FAULTS else ""
    row = point._asdict() | {"operation": operation.replace(str(place), ""), "lost": lost}
    row |= {"status": broken.status, "said": last(broken.said), "unclear": unclear(point, broken)}
    row |= {"resumed": resumed.status, "different": apart if resumed.status == 0 else []}
    row |= {"refused": last(resumed.said) if resumed.status else ""}
    row["traceback"] = any(map(is_traceback, (broken.said, resumed.said)))
    return row | {"seconds": round(time.monotonic() - start, 2)}


def is_wrong(row: dict[str, Any]) -> bool:
    """Whether a point ended as it should not."""
    return any(row[name] for name in ("traceback", "unclear", "lost", "different", "refused"))


def last(said: str) -> str:
    return said.strip().rpartition("\n")[2][:400]


def is_traceback(said: str) -> bool:
    return any(word in said for word in ("Traceback (most", "panicked at", "terminate called"))


def unclear(point: Point, broken: Outcome) -> bool:
    """Whether a command ended in a way that it should not."""
    if point.fault == "kill":
        return broken.status not in (-signal.SIGKILL, 0)
    if point.fault == TERM:
        return broken.status not in (128 + signal.SIGTERM, 0)
    return broken.status != 0 and not last(broken.said).startswith("metaconf: error:")


def whole_lines(path: Path) -> bytes:
    data = path.read_bytes() if path.is_file() else b""
    return data[: data.rfind(b"\n") + 1]


def lost_checkpoint(point: Point, base: Base, out: Path, broken: Outcome) -> list[str]:
    """The newest checkpoint that was made before the fault, if it is not whole; after a signal, the
    one that it promises."""
    from metaconf.runs import checkpoints, damage

    if point.fault == TERM:
        ended = broken.status == 128 + signal.SIGTERM and "with a checkpoint" in broken.said
        return ["checkpoint"] if ended and not checkpoints(out) else []
    done = base.operations[: point.at - 1]
    made = [one[1] for line in done if line[:6] == "rename" and (one := CHECKPOINT.search(line))]
    return [f"{made[-1]}: {lack}"] if made and (lack := damage(out / made[-1])) else []


# The sweep


def every(command: str, base: Base) -> Iterator[Point]:
    """All points of a command."""
    for at in range(1, MOMENTS + 1):
        yield Point(command, TERM, at)
    for at in range(1, len(base.operations) + 1):
        for fault in FAULTS:
            yield Point(command, fault, at)


def sweep(
    work: Path, commands: Sequence[str], kinds: Sequence[str], sample: int, seed: str
) -> list[dict[str, Any]]:
    """Judge all points of these commands and `kinds` of fault, or a `sample` of them; returns their
    rows."""
    import tqdm

    from metaconf.cli import main

    tqdm.tqdm.monitor_interval = 0  # a thread would not live on in a fork
    place, file = work.absolute() / "place", work / "points.jsonl"
    place.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        make_place(place)
        for command in commands:  # imports all that it needs
            shutil.rmtree(place / "run", ignore_errors=True)
            assert main(words(command, place)) == 0, command
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    known = {Point(row["command"], row["fault"], row["at"]) for row in rows}
    bases = {command: undisturbed(command, place) for command in commands}
    points = [point for command, base in bases.items() for point in every(command, base)]
    points = [point for point in points if point.fault in kinds]
    random.Random(seed).shuffle(points)
    for point in points[: sample or None]:
        if point not in known:
            rows.append(judge(point, bases[point.command], place))
            with file.open("a") as out:
                out.write(json.dumps(rows[-1]) + "\n")
    return rows


def build(work: Path) -> Path:
    """The library of faults.c, compiled."""
    work.mkdir(parents=True, exist_ok=True)
    library = work.absolute() / "faults.so"
    compiler = os.environ.get("CC", "cc")
    made = [compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "faults.c", "-ldl"]
    subprocess.run(made, check=True)
    return library


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/sweep"))
    parser.add_argument("--commands", default=",".join(COMMANDS))
    parser.add_argument("--faults", default=",".join([TERM, *FAULTS]))
    parser.add_argument("--sample", type=int, default=0, help="so many points; 0: all")
    parser.add_argument("--seed", default="", help="what the sample is drawn by")
    options = parser.parse_args()
    if SHIM not in os.environ:
        library = str(build(options.work))
        os.environ |= {SHIM: library, "LD_PRELOAD": library, "OMP_NUM_THREADS": "1"}
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
        os.execv(sys.executable, [sys.executable, *sys.argv])
    chosen = options.commands.split(","), options.faults.split(",")
    rows = sweep(options.work, *chosen, options.sample, options.seed)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
