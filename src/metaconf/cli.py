"""The command line. Each command checks what it was given, then imports what it runs.

`metaconf --help` answers at once and bad input is refused in a second, because nothing heavy is
imported before a command's checks have passed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metaconf import __version__
from metaconf.errors import UserError

QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "DATASETS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}
"""What other libraries would print between our lines; a value that is set already stays."""
MODEL = "hub id, model folder, or `embedded`"
QUESTIONS = "JSONL file with question and answer, or `embedded`"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 2 for bad input (one line on stderr) or 130 when interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = _read(words)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            # Libraries telling each other what they will rename: nothing that a user can act on.
            warnings.simplefilter("ignore", FutureWarning)
            args.run(args)
    except UserError as error:
        print("metaconf: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nmetaconf: stopped; {_how_to_go_on(args, words)}", file=sys.stderr)
        return 130
    return 0


# Commands


def _model(args: argparse.Namespace) -> None:
    from metaconf.embedded.model import embedded_model

    print(embedded_model())


def _prepare(args: argparse.Namespace) -> None:
    from metaconf.preflight import prepare_config

    overrides = [*_overrides(args), "--output_dir", str(args.output_dir)]
    config = prepare_config(args.config, overrides, args.resume)
    args.run_dir = args.output_dir

    from metaconf.train import prepare

    prepare.run(config, args.resume)


def _sft(args: argparse.Namespace) -> None:
    from metaconf.preflight import stage_config

    if args.questions is not None:
        raise UserError(
            f"--questions {args.questions}: stage 1 learns from prepared rows; run `metaconf"
            " prepare --questions …` first, then sft with --train_file FOLDER/sft.jsonl"
        )
    if args.engine == "llama-factory":
        _llama_factory(args)
        return
    config = stage_config(args.config, "sft", _overrides(args), args.resume)
    args.run_dir = Path(config.output_dir)

    from metaconf.train import stage1

    print(stage1.run(config))


def _llama_factory(args: argparse.Namespace) -> None:
    from metaconf.preflight import llama_factory_keys
    from metaconf.train import llama_factory

    if args.resume:
        raise UserError("--resume: give LLaMA-Factory its own --resume_from_checkpoint FOLDER")
    program = llama_factory.find_program(args.llama_factory)
    keys = llama_factory_keys(args.config, _overrides(args))
    print(llama_factory.run(keys, program))


def _grpo(args: argparse.Namespace) -> None:
    from metaconf.preflight import stage_config

    config = stage_config(args.config, "grpo", _overrides(args), args.resume)
    args.run_dir = Path(config.output_dir)

    from metaconf.train import stage2

    print(stage2.run(config))


def _evaluate(args: argparse.Namespace) -> None:
    if args.replies is not None:
        from metaconf.evaluation import given

        print(given.measure(args.replies, args.output_dir, args.seed))
        return
    from metaconf.preflight import check_run

    check_run(args.model, args.questions, args.output_dir, args.resume)
    args.run_dir = args.output_dir

    from metaconf.evaluation import run as evaluation

    report = evaluation.run(
        args.model,
        args.questions,
        args.output_dir,
        limit=args.limit,
        seed=args.seed,
        resume=args.resume,
        baselines=args.baselines,
    )
    print(report)


def _report(args: argparse.Namespace) -> None:
    if not args.folder.is_dir():
        raise UserError(f"{args.folder}: no such folder; give the folder of a run")

    from metaconf.report import write_report

    print(write_report(args.folder))


def _compare(args: argparse.Namespace) -> None:
    from metaconf.evaluation import compare

    found = compare.compare(args.runs, args.system, args.seed)
    if args.output is not None:
        from metaconf.evaluation.run import write_json

        write_json(args.output, found)
    print(compare.markdown(found))


def _calibrate(args: argparse.Namespace) -> None:
    from metaconf.decide import run

    print(run.calibrate(args.replies, args.output, args.alpha, args.delta, args.system))


def _decide(args: argparse.Namespace) -> None:
    from metaconf.decide import run

    print(run.decide(args.replies, args.calibration, args.output, args.system))


def _ask(args: argparse.Namespace) -> None:
    from metaconf import ask

    ask.run(args.question, args.model)


def _demo(args: argparse.Namespace) -> None:
    from metaconf.preflight import RUN_MARKER, check_run

    begun = (args.output_dir / RUN_MARKER).is_file()  # a demo goes on where it was
    check_run("embedded", "embedded", args.output_dir, resume=begun)
    args.run_dir = args.output_dir

    from metaconf import demo

    demo.run(args.output_dir, args.seed)


def _overrides(args: argparse.Namespace) -> list[str]:
    """The `--key value` words of a training command, its shorthands written out."""
    model = ["--model_name_or_path", args.model] if args.model is not None else []
    questions = ["--questions.path", args.questions] if args.questions is not None else []
    return [*args.rest, *model, *questions]


def _how_to_go_on(args: argparse.Namespace, words: Sequence[str]) -> str:
    """What an interrupted user types next: --resume where there is something to resume."""
    from metaconf.preflight import RUN_MARKER, checkpoints

    again = shlex.join(["metaconf", *words])
    folder = getattr(args, "run_dir", None)
    if folder is None or args.run is _demo or not (folder / RUN_MARKER).is_file():
        return f"go on with: {again}"
    if args.run in (_sft, _grpo) and not checkpoints(folder):
        return f"no checkpoint was saved yet; remove {folder}, then: {again}"
    return f"go on with: {again}{'' if args.resume else ' --resume'}"


# Arguments


def _read(words: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    args, rest = parser.parse_known_args(words)
    if rest and args.run not in (_prepare, _sft, _grpo):
        parser.error(f"unknown argument {rest[0]}; see metaconf {words[0]} --help")
    args.rest = rest
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "metaconf",
        description="Language models that state a calibrated confidence and explain it.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"metaconf {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _add_model(commands)
    prepare = _add_stage(commands, "prepare", _prepare, "sample answers, write rows for stage 1")
    _add_output_dir(prepare, "runs/prepare")
    sft = _add_stage(commands, "sft", _sft, "stage 1: learn answer, reflection and confidence")
    engines = ("trl", "llama-factory")
    sft.add_argument("--engine", choices=engines, default="trl", help="what trains (default: trl)")
    sft.add_argument("--llama_factory", type=Path, metavar="CLI", help="its llamafactory-cli")
    _add_stage(commands, "grpo", _grpo, "stage 2: learn from rewards for one's own replies")
    _add_evaluate(commands)
    report = _add(commands, "report", _report, "write report.html of a run")
    report.add_argument("folder", type=Path, metavar="RUN", help="folder of the run")
    _add_decisions(commands)
    ask = _add(commands, "ask", _ask, "ask the trained model one question")
    ask.add_argument("question", metavar="QUESTION")
    ask.add_argument("--model", help=f"{MODEL} (default: the newest of the demo)")
    demo = _add(commands, "demo", _demo, "everything, on the embedded model and questions")
    _add_output_dir(demo, "runs/demo")
    _add_seed(demo)
    return parser


def _add(commands: Any, name: str, run: Any, text: str, **more: Any) -> argparse.ArgumentParser:
    one = commands.add_parser(name, help=text, description=text, allow_abbrev=False, **more)
    one.set_defaults(run=run)
    return one


def _add_model(commands: Any) -> None:
    model = _add(commands, "model", _model, "the embedded model")
    model.add_argument("action", choices=["get"], help="convert it once and print its folder")


def _add_stage(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    one = _add(commands, name, run, text, add_help=False)
    one.add_argument("-h", "--help", action=_Help, nargs=0, help="show this help and all keys")
    needed = name != "prepare"
    one.add_argument("--config", type=Path, metavar="FILE", required=needed, help="YAML file")
    one.add_argument("--model", help=f"{MODEL}: short for --model_name_or_path")
    one.add_argument("--questions", help=f"{QUESTIONS}: short for --questions.path")
    _add_resume(one)
    return one


def _add_evaluate(commands: Any) -> None:
    one = _add(commands, "evaluate", _evaluate, "ask a model held-out questions and measure it")
    one.add_argument("--model", default="embedded", help=f"{MODEL} (default: embedded)")
    one.add_argument("--questions", default="embedded", help=f"{QUESTIONS} (default: embedded)")
    _add_output_dir(one, "runs/evaluate")
    _add_resume(one)
    one.add_argument("--limit", type=_count, metavar="N", help="ask only N of the questions")
    _add_seed(one)
    one.add_argument("--baselines", action="store_true", help="measure other confidences as well")
    one.add_argument("--replies", type=Path, help="ask nothing: measure the replies of this JSONL")


def _add_decisions(commands: Any) -> None:
    compare = _add(commands, "compare", _compare, "runs side by side, with paired intervals")
    compare.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder or JSONL file")
    compare.add_argument("--system", help="which system's replies, where files hold several")
    compare.add_argument("--output", type=Path, help="also write the comparison as JSON")
    _add_seed(compare)
    calibrate = _add(commands, "calibrate", _calibrate, "from labelled replies: when to answer")
    decide = _add(commands, "decide", _decide, "answer or abstain, by a rule of calibrate")
    for one in (calibrate, decide):
        one.add_argument("replies", type=Path, metavar="REPLIES", help="JSONL, as evaluate writes")
        one.add_argument("--system", help="which system's replies, where the file holds several")
    calibrate.add_argument("--alpha", type=_share, default=0.1, help="error allowed (default: 0.1)")
    calibrate.add_argument("--delta", type=_share, default=0.1, help="risk of more (default: 0.1)")
    decide.add_argument("--calibration", type=Path, required=True, help="what calibrate wrote")
    for one, name in ((calibrate, "calibration.json"), (decide, "decisions.jsonl")):
        default = Path(name)
        one.add_argument("--output", type=Path, default=default, help=f"new file (default: {name})")


class _Help(argparse.Action):
    """Help with the configuration's keys below; they are looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from metaconf.config import help_lines

        parser.print_help()
        print("\nAny key of the YAML can be given as --key value; the keys that are not TRL's:")
        print("\n".join(f"  {line}" for line in help_lines()))
        parser.exit()


def _add_output_dir(one: argparse.ArgumentParser, default: str) -> None:
    one.add_argument(
        "--output_dir", type=Path, default=Path(default), help=f"a new folder (default: {default})"
    )


def _add_resume(one: argparse.ArgumentParser) -> None:
    one.add_argument("--resume", action="store_true", help="go on with an interrupted run")


def _add_seed(one: argparse.ArgumentParser) -> None:
    one.add_argument("--seed", type=_whole, default=42, help="of everything random (default: 42)")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number; give one like 42")
    return int(text)


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} does not lie between 0 and 1; give one like 0.1"
        )
    return number


def _count(text: str) -> int:
    if not (number := _whole(text)):
        raise argparse.ArgumentTypeError("0 is too small; give at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
