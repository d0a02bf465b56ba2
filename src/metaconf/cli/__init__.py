"""The command line. Each command checks what it was given, then imports what it runs.

`metaconf --help` answers at once and bad input is refused in a second, because nothing heavy is
imported before a command's checks have passed.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metaconf.cli import arguments as cli_arguments
from metaconf.cli import plan as cli_plan
from metaconf.cli import train as cli_train
from metaconf.errors import UserError
from metaconf.signals import end, handled

if TYPE_CHECKING:
    from metaconf.clients.endpoint import Endpoint

QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "DATASETS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}
"""What other libraries would print between our lines; a value that is set already stays."""
SPIN_COUNT = "1000"
"""How long an idle thread of OpenMP spins (libgomp's GOMP_SPINCOUNT). Without it, two threads on a
machine with other work keep each other from running: a step took 46 s instead of 5 to 19."""


ASKING = (
    *("model", "questions", "map", "columns", "name"),
    *("limit", "max_new_tokens", "resume", "baselines", "calibration", "base_url", "engine"),
    *("judge", "dry_run"),
    *("input_price", "output_price", "extra_body", "api_key_env"),
)
"""Arguments of `evaluate` that say nothing where no model is asked."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0 (`audit`, `doctor`: 1 where they found a defect, `plan`: 1 where a
    training does not fit), 2 for bad input or a disk that fails (one line on stderr), 128 + the
    number of a signal that ended it (130 for Ctrl-C). No argument at all: say what to do next."""
    if sys.stdout.errors == "strict":  # what the terminal cannot show is no reason to stop
        sys.stdout.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()
    except OSError as error:  # stdout is a closed pipe, or a device that is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            return 128 + signal.SIGPIPE
        print(f"metaconf: error: stdout: {error.strerror}", file=sys.stderr)
        return 2


def _run(words: list[str]) -> int:
    if not words:
        from metaconf.cli.start import next_steps

        print(next_steps())
        return 0
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if "OMP_WAIT_POLICY" not in os.environ:  # which says the same
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    # transformers loads DeepSpeed where it is installed, whose warnings go to stdout, as data do.
    logging.getLogger("DeepSpeed").addFilter(lambda record: record.levelno > logging.WARNING)
    args = argparse.Namespace()
    try:
        args = cli_arguments.read(words)
        with warnings.catch_warnings(), handled(end):
            # Libraries telling each other what they will rename: nothing that a user can act on.
            warnings.simplefilter("ignore", FutureWarning)
            return COMMANDS[args.command](args) or 0
    except UserError as error:
        print("metaconf: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"\nmetaconf: stopped; {_how_to_go_on(args, words)}", file=sys.stderr)
        return 128 + getattr(stopped, "number", signal.SIGINT)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        what = f"{error.filename}: " if error.filename else ""
        why = " ".join((error.strerror or str(error)).split())
        remedy = f"put it right, then {_how_to_go_on(args, words)}"
        print(f"metaconf: error: {what}{why}; {remedy}", file=sys.stderr)
        return 2


# Commands


def _model(args: argparse.Namespace) -> None:
    from metaconf.embedded.model import embedded_model

    print(embedded_model())


def _questions(args: argparse.Namespace) -> None:
    from metaconf.cli.questions import reading, show

    print(show(args.path, reading(args.map, args.columns, args.name), args.against))


def _evaluate(args: argparse.Namespace) -> None:
    if args.replies is not None:
        for name in ASKING:
            if getattr(args, name) not in (None, False):
                raise UserError(f"--{name}: --replies asks no model; leave one of the two out")

        from metaconf.evaluation import external_replies

        report = external_replies.measure(args.replies, args.output_dir, args.seed)
        _show_figures(args.output_dir, report)
        return
    from metaconf.cli.preflight import check_engine, judge_config
    from metaconf.cli.questions import reading
    from metaconf.config.blocks import EMBEDDED
    from metaconf.evaluation.methods import REPLY_TOKENS, chosen

    judge = judge_config(args.judge) if args.judge else None
    how = reading(args.map, args.columns, args.name)
    endpoint = _endpoint(args)
    vllm = args.engine == "vllm"
    check_engine(args.engine or "transformers")
    if endpoint is not None and vllm:
        raise UserError("--engine vllm: the server of --base_url draws; leave one of the two out")
    baselines = chosen(args.baselines, endpoint is not None, vllm)
    if args.calibration is not None and not baselines:
        raise UserError("--calibration: only baselines are recalibrated; give --baselines too")

    from metaconf.evaluation.run import Evaluation, dry_run, run

    told = Evaluation(
        args.model or EMBEDDED,
        args.questions or EMBEDDED,
        args.limit,
        args.seed,
        baselines,
        args.calibration,
        endpoint,
        how,
        judge,
        args.engine or "transformers",
        args.max_new_tokens or REPLY_TOKENS,
    )
    if args.dry_run:
        print(dry_run(told))
        return
    args.run_dir = args.output_dir
    report = run(told, args.output_dir, args.resume, show=not args.quiet)
    _show_figures(args.output_dir, report)


def _show_figures(run: Path, report: Path) -> None:
    """The main figures of an evaluation, and where the rest is."""
    from metaconf.cli.demo import table

    print(table(run), report, sep="\n\n")


def _endpoint(args: argparse.Namespace) -> Endpoint | None:
    """The server that --base_url names, if any."""
    if args.base_url is None:
        for name in ("input_price", "output_price", "extra_body", "api_key_env"):
            if getattr(args, name) is not None:
                raise UserError(f"--{name}: only a server has a use for it; give --base_url too")
        return None
    from metaconf.clients.endpoint import endpoint_of
    from metaconf.config.blocks import Client

    if args.model is None:
        raise UserError("--base_url: give the server's name of the model as well: --model NAME")
    prices = {"input_price": args.input_price, "output_price": args.output_price}
    key = {} if args.api_key_env is None else {"api_key_env": args.api_key_env}
    more = {"model": args.model, "extra_body": args.extra_body, **prices, **key}
    client = Client(args.base_url, **more)
    return endpoint_of(client, os.environ)


def _report(args: argparse.Namespace) -> None:
    if not args.folder.is_dir():
        raise UserError(f"{args.folder}: no such folder; give the folder of a run")

    from metaconf.report import write_report

    print(write_report(args.folder))


def _card(args: argparse.Namespace) -> None:
    for folder in filter(None, (args.model, args.results)):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give the folder of a model, or of a run")
    if args.method is not None and args.results is None:
        raise UserError("--method: only a run has methods; give its folder as --results too")

    from metaconf.report.card import write_card

    print(write_card(args.model, args.results, args.method))


def _compare(args: argparse.Namespace) -> None:
    from metaconf.evaluation import compare

    if args.output_dir is not None:
        from metaconf.runs import check_output_dir

        check_output_dir(args.output_dir, False)
    runs = compare.load(args.runs, args.method)
    found = compare.compare(runs, args.seed)
    if args.output is not None:
        from metaconf.files import write_json

        write_json(args.output, found)
    print(compare.markdown(found))
    if args.output_dir is not None:
        print(compare.report(runs, found, args.output_dir, args.seed))


def _calibrate(args: argparse.Namespace) -> None:
    from metaconf.decisions import cascade_run, run

    goal = (args.output, args.alpha, args.delta, args.method)
    if len(args.replies) > 1:
        print(cascade_run.calibrate(args.replies, args.costs or (), *goal, args.abstention_cost))
        return
    for name in ("costs", "abstention_cost"):
        if getattr(args, name) is not None:
            raise UserError(f"--{name}: only a cascade has costs; give a file of each model")
    print(run.calibrate(args.replies[0], *goal))


def _decide(args: argparse.Namespace) -> None:
    from metaconf.decisions import run

    print(run.decide(args.replies, args.calibration, args.output, args.method))


def _ask(args: argparse.Namespace) -> None:
    from metaconf.cli import ask

    ask.run(args.question, args.model, args.calibration)


def _serve(args: argparse.Namespace) -> None:
    from metaconf.cli.ask import default_model
    from metaconf.serving import run

    endpoint = _endpoint(args)
    if args.cascade is not None:
        for name in ("model", "base_url", "calibration"):
            if getattr(args, name) is not None:
                raise UserError(f"--{name}: --cascade says it too; leave one of the two out")
    args.model = args.model or default_model()
    run.run(args, endpoint)


def _demo(args: argparse.Namespace) -> None:
    from metaconf.cli import demo

    counts = {"heldout": args.heldout, "out_of_domain": args.out_of_domain}
    asked = demo.read(args.config, args.rest, seed=args.seed, **counts)
    args.run_dir = args.output_dir
    demo.run(args.output_dir, asked)


def _doctor(args: argparse.Namespace) -> int:
    from metaconf.cli import doctor

    return doctor.run()


def _how_to_go_on(args: argparse.Namespace, words: Sequence[str]) -> str:
    """What an interrupted user types next: --resume where there is something to resume."""
    from metaconf.runs import RUN_MARKER, checkpoints

    again = shlex.join(["metaconf", *words])
    folder = getattr(args, "run_dir", None)
    if folder is None or args.command == "demo" or not (folder / RUN_MARKER).is_file():
        return f"go on with: {again}"
    if args.command in ("sft", "grpo") and not checkpoints(folder):
        return f"no checkpoint was saved yet; start again with: {again}"
    return f"go on with: {again}{'' if args.resume else ' --resume'}"


COMMANDS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "model": _model,
    "questions": _questions,
    "prepare": cli_train.prepare,
    "sft": cli_train.sft,
    "grpo": cli_train.grpo,
    "audit": cli_train.audit,
    "plan": cli_plan.plan,
    "evaluate": _evaluate,
    "report": _report,
    "card": _card,
    "compare": _compare,
    "calibrate": _calibrate,
    "decide": _decide,
    "ask": _ask,
    "serve": _serve,
    "demo": _demo,
    "doctor": _doctor,
}


if __name__ == "__main__":
    sys.exit(main())
