"""The run directory: its lock, marker and checkpoints, and what its model was made from.

A run writes its marker first of all, so that its folder is never taken for free, and holds a lock
for as long as it lives. What was asked is written beside it and compared when the run is resumed.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

import metaconf
from metaconf.config.blocks import EMBEDDED, Config, Judge, Teacher
from metaconf.config.load import resolved
from metaconf.config.values import read_yaml
from metaconf.embedded.model import HUB_ID, folder_of
from metaconf.errors import UserError
from metaconf.files import write_json, write_text
from metaconf.model_files import fingerprint
from metaconf.prompts import chat
from metaconf.records import FACTS
from metaconf.safe_text import loads_bounded

RUN_MARKER = "run.json"
RESUME_KEY = "resume_from_checkpoint"
LOCK, HOLDER = ".lock", ".holder.json"
MANIFEST = "manifest.json"
"""The last file that a checkpoint gets: the size and SHA-256 of each of its files."""
LAUNCH = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What `torchrun` and `accelerate launch` give every process that they start."""


def is_main_process() -> bool:
    """Whether this process writes the run's files: all but it leave the run directory alone, where
    `torchrun` or `accelerate launch` started several."""
    return os.environ.get("RANK", "0") == "0"


def ignore_half_a_launch() -> None:
    """Take variables of a launch out of the environment where others are missing, and say so on
    stderr: a stray RANK=1 would end a run without a model."""
    given = [name for name in LAUNCH if name in os.environ]
    stray = [name for name in given if name in LAUNCH[:3]]
    if not stray or len(given) == len(LAUNCH):
        return
    for name in stray:
        del os.environ[name]
    lacking = ", ".join(name for name in LAUNCH if name not in given)
    print(
        f"metaconf: {', '.join(stray)} ignored, for {lacking} is not set: this is one process; to"
        " start several, use torchrun or accelerate launch",
        file=sys.stderr,
    )


# The folder


def check_output_dir(path: Path, resume: bool) -> None:
    """Refuse a run directory that would be overwritten, that cannot be resumed, or that another
    process is at work in.

    A run that ended before it made anything does not count. Raises UserError; writes nothing.
    """
    ignore_half_a_launch()
    if not is_main_process():  # it would find the run that the first one has begun
        return
    _check_place(path)
    if (path / LOCK).is_file() and _holder_row(path).get("pid") != os.getpid():
        with held(path):
            pass
    _check_free(path, resume)


def _check_place(path: Path) -> None:
    """Refuse what cannot become a folder, or cannot be written."""
    try:
        existing = next(p for p in (path, *path.absolute().parents) if p.is_symlink() or p.exists())
    except OSError as error:  # a name that is too long
        raise UserError(f"{path}: {error.strerror}; give another output_dir") from error
    if existing.is_symlink() and not existing.exists():
        raise UserError(f"{existing}: is a link to nothing; remove it, or give another output_dir")
    if not existing.is_dir():
        raise UserError(f"{existing}: is a file; output_dir must be a folder, give another one")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{existing}: may not be written; give another output_dir")


def _check_free(path: Path, resume: bool) -> None:
    has_run = (path / RUN_MARKER).exists()
    if resume and not has_run:
        raise UserError(f"{path}: holds no run to resume (no {RUN_MARKER}); check output_dir")
    if has_run and not resume and not _made_nothing(path):
        raise UserError(f"{path}: holds another run; give another output_dir, or resume that run")
    if not has_run and path.is_dir() and _visible(path):
        raise UserError(f"{path}: is not empty and no run of metaconf; give another output_dir")


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder but for hidden files, such as our lock."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _made_nothing(run: Path) -> bool:
    """Whether a run ended before it left anything to keep: no checkpoint and no weights of a
    stage, no file but marker and configuration of anything else."""
    marker, files = _marker(run), _visible(run)
    if marker.get("stage") in ("sft", "grpo") and "engine" not in marker:
        return not any(
            path.name.startswith("checkpoint-") or path.suffix == ".safetensors" for path in files
        )
    started = "stage" in marker or "command" in marker
    return started and {path.name for path in files} <= {RUN_MARKER, "config.yaml"}


def _marker(run: Path) -> dict[str, Any]:
    path = run / RUN_MARKER
    try:
        found = loads_bounded(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); start anew in another folder") from error
    return found if isinstance(found, dict) else {}


def is_finished(run: Path) -> bool:
    """Whether a run of `sft` or `grpo` has saved its model."""
    return (run / RUN_MARKER).is_file() and _marker(run).get("finished") is True


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Within, no other process can work in the folder `run`, which is made where it is missing.

    The system gives the lock up when the process ends, however it ends. Raises UserError that
    names the process and host that hold it, or says why the folder cannot be used.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{run}: {_holder(run)} is at work there; wait for it to end, or give another"
            " output_dir"
        ) from None
    except OSError as error:
        raise UserError(
            f"{run}: cannot be written ({error.strerror}); give another output_dir"
        ) from error
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%c")}
    try:
        write_json(run / HOLDER, holder)
        yield
    finally:
        (run / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(run: Path) -> str:
    row = _holder_row(run)  # empty where it has the lock, and no more yet
    return "process {pid} on {host} (since {since})".format(**row) if row else "another process"


def _holder_row(run: Path) -> dict[str, Any]:
    try:
        return json.loads((run / HOLDER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


# Checkpoints


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run directory, the highest step last."""
    return [path for path in _saved(run) if not damage(path, contents=False)]


def _saved(run: Path) -> list[Path]:
    """The folders of checkpoints, whole or not, the highest step last."""
    steps = {
        int(number): path
        for path in run.glob("checkpoint-*")
        if (number := path.name.removeprefix("checkpoint-")).isdecimal()
    }
    return [steps[step] for step in sorted(steps)]


def damage(checkpoint: Path, contents: bool = True) -> str:
    """What a checkpoint lacks, by its manifest; "" for a whole one. Without `contents` only sizes
    are compared."""
    try:
        files = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, row in files.items():
            size = (checkpoint / name).stat().st_size
            if size != row["bytes"]:
                return f"{name} has {size} of {row['bytes']} bytes"
            if contents and file_digest(checkpoint / name) != row["sha256"]:
                return f"{name} is not what was written"
    except OSError as error:
        return f"{Path(error.filename).name} cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    return ""


def newest_checkpoint(run: Path) -> Path:
    """The newest whole checkpoint; damaged ones that are passed over are named on stderr. Raises
    UserError where none is whole."""
    passed = list[str]()
    for path in reversed(_saved(run)):
        if not (lack := damage(path)):
            if passed:
                over = "; ".join(passed)
                print(f"metaconf: {run}: {over}: going on from {path.name}", file=sys.stderr)
            return path
        passed.append(f"{path.name} is damaged ({lack})")
    if not passed:
        raise UserError(
            f"{run}: holds no whole checkpoint, for none was saved yet; give the same command"
            " without --resume"
        )
    raise UserError(
        f"{run}: holds no whole checkpoint to resume from: {'; '.join(passed)}; start anew with"
        " another output_dir"
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


# What was asked


def check_same_settings(config: Config, resume: bool) -> None:
    """Refuse to resume a run with other settings than the ones that it wrote down."""
    stored = Path(config.output_dir) / "config.yaml"
    if resume and is_main_process() and stored.is_file():
        before, _ = read_yaml(stored)
        _refuse_other(Path(config.output_dir), before, resolved(config))


def mark_run(output_dir: Path, asked: Mapping[str, Any], resume: bool) -> None:
    """Write what was asked into a new run directory, or refuse to resume what was asked otherwise.

    `asked` is JSON data; the message names the keys that differ. Raises UserError.
    """
    marker = output_dir / RUN_MARKER
    text = json.dumps(asked, ensure_ascii=False, indent=1) + "\n"
    if not resume:
        write_text(marker, text)
        return
    _refuse_other(output_dir, _marker(output_dir), json.loads(text))


def _refuse_other(run: Path, before: Any, now: Any) -> None:
    was, is_ = dict(_flat(before)), dict(_flat(now))
    if apart := [name for name in {**was, **is_} if was.get(name) != is_.get(name)]:
        raise UserError(
            f"{run}: its run had another {', '.join(apart)}; resume with the same settings, or give"
            " another output_dir"
        )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by dotted name; where a run lies and its resume point are no settings of it."""
    if not isinstance(value, dict):
        yield name or "form", value
        return
    for key, item in value.items():
        if key not in (RESUME_KEY, "output_dir"):
            yield from _flat(item, f"{name}.{key}" if name else key)


@contextmanager
def begin(config: Config, resume: bool = False, prepares: bool = False) -> Iterator[Path]:
    """The run directory, held by this process within, with its marker and the resolved
    configuration; at the end, the marker says that the run is finished.

    Raises UserError where it is held by another process, where another run began in it meanwhile,
    and where a resumed stage would go on with another model or other data (`inputs_of`).
    """
    out = Path(config.output_dir)
    if not is_main_process():
        yield out
        return
    with held(out):
        _check_free(out, resume)
        inputs = inputs_of(config, prepares)
        if resume and not prepares:  # stored answers know what they belong to
            _check_inputs(out, _marker(out).get("inputs") or {}, inputs)
        stage = "prepare" if prepares else config.stage
        marker = {"stage": stage, "metaconf": metaconf.__version__, "inputs": inputs}
        write_json(out / RUN_MARKER, marker)
        text = yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True)
        write_text(out / "config.yaml", text)
        yield out
        write_json(out / RUN_MARKER, {**marker, "finished": True})


VERSIONS = ("torch", "transformers", "trl", "peft")


def inputs_of(config: Config, prepares: bool = False) -> dict[str, str]:
    """What goes into a run beside its settings, by content: name → SHA-256 or version.

    Files of data, the model's weights, configuration and tokenizer, prompts, packages. Of a name
    on the hub, the name alone.
    """
    asks = {"questions": config.questions.path, "eval_path": config.eval_path}
    data = asks if prepares or config.stage == "grpo" else {"train_file": config.train_file}
    files = {name: file_digest(Path(p)) for name, p in data.items() if p and Path(p).is_file()}
    prompts = repr((chat.INSTRUCTION, chat.ANSWER_ONLY, chat.EXAMPLES))
    return {
        **files,
        **{f"model: {name}": one for name, one in model_inputs(config.model_name_or_path).items()},
        "prompts": hashlib.sha256(prompts.encode()).hexdigest(),
        "metaconf": metaconf.__version__,
        **{name: metadata.version(name) for name in VERSIONS},
    }


def model_inputs(name_or_path: str) -> dict[str, str]:
    """`model_files.fingerprint` of a model's folder; nothing of one on the hub."""
    folder = folder_of(name_or_path)
    return fingerprint(folder) if folder.is_dir() else {}


def model_identity(name_or_path: str) -> str:
    """`model_inputs` in 16 digits; of a model on the hub its name."""
    parts = model_inputs(name_or_path)
    text = json.dumps(parts, sort_keys=True) if parts else name_or_path
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_inputs(run: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse other contents; other versions are named on stderr."""
    apart = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    versions = [name for name in apart if name in ("metaconf", *VERSIONS)]
    if contents := [name for name in apart if name not in versions]:
        raise UserError(
            f"{run}: was begun with another content of {', '.join(contents)}, so going on would mix"
            " two runs; put back what it began with, or start anew in another output_dir"
        )
    if versions:
        told = ", ".join(f"{n} {before.get(n)} → {now.get(n)}" for n in versions)
        print(f"metaconf: {run}: other versions than it was begun with: {told}", file=sys.stderr)


_PATHS = ("output_dir", "train_file", "resume_from_checkpoint", "deepspeed", "dataset_dir")


def note(out: Path, config: Config, data: str, count: int) -> None:
    """`note_stage` of one of our own trainers."""
    if not is_main_process():
        return
    settings = resolved(config)
    settings["questions"] = {**settings["questions"], "path": shown(config.questions.path)}
    settings["judge"] = who(config.judge)
    # The teacher taught the rows, whatever this stage was told; the server is nobody's business.
    settings = {k: v for k, v in settings.items() if k not in ("teacher", "client")}
    begun = _marker(out) if (out / RUN_MARKER).is_file() else {}
    inputs = begun.get("inputs") or inputs_of(config)
    note_stage(out, config.stage, config.model_name_or_path, data, count, settings, inputs)


def note_stage(
    out: Path,
    stage: str,
    model: str,
    data: str,
    count: int,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str] | None = None,
) -> None:
    """Write what the model in `out` was made from: its base, and each stage with data, settings and
    `inputs_of` it.

    A model that was trained from one of ours goes on with its history. Of local paths only the last
    part is kept: the file is meant to be shared.
    """
    before = folder_of(model) / FACTS
    known = json.loads(before.read_text(encoding="utf-8")) if before.is_file() else {}
    base = known.get("base_model", shown(model))
    kept = {key: value for key, value in settings.items() if key not in _PATHS}
    done = {
        "stage": stage,
        "data": shown(data),
        "count": count,
        "settings": {**kept, "model_name_or_path": shown(model)},
        **({"inputs": dict(inputs)} if inputs else {}),
        **({"teacher": _teacher_of(Path(data))} if stage == "sft" else {}),
    }
    facts = {
        "metaconf": metaconf.__version__,
        "base_model": HUB_ID if base == EMBEDDED else base,
        "stages": [*known.get("stages", []), done],
    }
    text = json.dumps(facts, ensure_ascii=False, indent=1, default=str)
    write_text(out / FACTS, text + "\n")


def _teacher_of(rows: Path) -> dict[str, Any] | None:
    """Who wrote the reflections in `rows`, as noted beside them; None where that is missing."""
    path = rows.parent / FACTS
    return json.loads(path.read_text(encoding="utf-8")).get("teacher") if path.is_file() else None


def who(one: Judge | Teacher) -> dict[str, str]:
    """What may be told of a judge or teacher: no address, and no name of a variable."""
    return {"kind": one.kind, "model": one.client.model}


def shown(name: str) -> str:
    """A hub id as it is; of a local path the last part."""
    return Path(name).name if Path(name).expanduser().exists() else name
