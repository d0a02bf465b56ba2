"""What the command line takes: every command with its arguments, and nothing of what they do."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from metaconf import __version__
from metaconf.errors import UserError

MODEL = "hub id, model folder, `embedded`, or `embedded-sft`"
QUESTIONS = "JSONL, JSON, CSV or Parquet file, hub data set ID:SPLIT, or `embedded`"
WITH_KEYS = ("prepare", "sft", "grpo", "audit", "plan", "demo")
"""Commands that take any key of their configuration as `--key value`."""
PATHS = ("model", "questions", "path", "against", "calibration", "runs")
"""Arguments that are texts because they may name other things than a path too."""
_NOTHING = Path()
"""What an empty text is as a path: as a Path it could not be told from the folder "."."""


def read(words: Sequence[str]) -> argparse.Namespace:
    """The arguments, with the command's name as `command` and other words as `rest`. "~" in a path
    is the home folder. Raises UserError for an argument that is given and empty."""
    parser = command_line()
    args, rest = parser.parse_known_args(words)
    if rest and args.command not in WITH_KEYS:
        parser.error(f"unknown argument {rest[0]}; see metaconf {words[0]} --help")
    for name, value in list(vars(args).items()):
        for one in value if isinstance(value, list) else [value]:
            if one is _NOTHING or (isinstance(one, str) and not one.strip()):
                raise UserError(f"{_written(parser, args.command, name)}: is empty; give a value")
        if name in PATHS:
            setattr(args, name, _at_home(value))
    args.rest = rest
    return args


def _written(parser: argparse.ArgumentParser, command: str, name: str) -> str:
    """How the argument called `name` is written on the command line."""
    groups = [action for action in parser._actions if isinstance(action.choices, dict)]
    one = groups[0].choices[command] if groups else parser  # pyright: ignore
    for action in one._actions:
        if action.dest == name:
            return action.option_strings[-1] if action.option_strings else str(action.metavar)
    return name


def _at_home(value: Any) -> Any:
    if isinstance(value, list):
        return [_at_home(one) for one in value]
    return os.path.expanduser(value) if isinstance(value, str) else value


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text)) if text.strip() else _NOTHING


def command_line() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        "metaconf",
        description="Language models that state a calibrated confidence and explain it.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"metaconf {__version__}")
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", title="commands", dest="command"
    )
    _add_model(commands)
    _add_questions(commands)
    prepare = _add_stage(commands, "prepare", "sample answers, write rows for stage 1")
    _add_output_dir(prepare, "runs/prepare")
    sft = _add_stage(commands, "sft", "stage 1: supervised fine-tuning on the rows of prepare")
    engines = ("trl", "llama-factory")
    sft.add_argument("--engine", choices=engines, default="trl", help="what trains (default: trl)")
    sft.add_argument("--llama_factory", type=_path, metavar="CLI", help="its llamafactory-cli")
    _add_stage(commands, "grpo", "stage 2: GRPO on the model's own replies")
    audit = _add(commands, "audit", "what a recipe rewards, and how that could be exploited")
    grpo = "YAML of grpo (default: our defaults)"
    audit.add_argument("--config", type=_path, metavar="FILE", help=grpo)
    _add_plan(commands)
    _add_evaluate(commands)
    report = _add(commands, "report", "write report.html of a run")
    report.add_argument("folder", type=_path, metavar="RUN", help="folder of the run")
    card = _add(commands, "card", "write a trained model's README.md, with a run's figures")
    card.add_argument("model", type=_path, metavar="MODEL", help="folder of the model")
    card.add_argument("--results", type=_path, metavar="RUN", help="folder of an evaluation of it")
    card.add_argument("--method", help="the model's key in the run (default: the last)")
    _add_decisions(commands)
    ask = _add(commands, "ask", "ask a model one question")
    ask.add_argument("question", metavar="QUESTION")
    default = "that of a running server, else the newest of the demo, else embedded-sft"
    ask.add_argument("--model", help=f"{MODEL} (default: {default})")
    ask.add_argument("--calibration", type=_path, metavar="FILE", help="what calibrate wrote")
    _add_serve(commands)
    _add_demo(commands)
    _add(commands, "doctor", "check packages, hardware and keys, and say what would be used")
    return parser


def _add(commands: Any, name: str, text: str, **more: Any) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=text, allow_abbrev=False, **more)


def _add_model(commands: Any) -> None:
    model = _add(commands, "model", "the embedded model")
    model.add_argument("action", choices=["get"], help="convert it once and print its folder")


def _add_questions(commands: Any) -> None:
    one = _add(commands, "questions", "read a question set and show it: tasks, examples, repeats")
    one.add_argument("path", metavar="QUESTIONS", help=QUESTIONS)
    one.add_argument(
        "--against", metavar="OTHER", help="a set that it must not share questions with"
    )
    _add_reading(one)


def _add_reading(one: argparse.ArgumentParser) -> None:
    """How questions are read, where no configuration says it."""
    one.add_argument("--map", help="ready map of columns, such as gsm8k (default: where one fits)")
    one.add_argument(
        "--columns", metavar="MAP", help="which column holds what: '{question: q, answer: a}'"
    )
    one.add_argument("--name", help="configuration of a hub data set, such as main")


def _add_stage(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    one = _add(commands, name, text, add_help=False)
    one.add_argument("-h", "--help", action=_Help, nargs=0, help="show this help and all keys")
    one.add_argument(
        "--config", type=_path, metavar="FILE", help="YAML file (default: our defaults)"
    )
    one.add_argument("--model", help=f"{MODEL}: short for --model_name_or_path")
    asks = f"{QUESTIONS}: short for --questions.path" if name != "sft" else argparse.SUPPRESS
    one.add_argument("--questions", help=asks)  # sft refuses it, with the remedy
    _add_resume(one)
    return one


def _add_plan(commands: Any) -> None:
    text = "memory per GPU, tokens and seconds of a step, and whether it fits; nothing is loaded"
    one = _add(commands, "plan", text, epilog="--key value changes any key of the file")
    one.add_argument(
        "--config", type=_path, metavar="FILE", help="YAML of sft or grpo (default: our defaults)"
    )
    one.add_argument("--model", help="model folder, or `embedded`: short for --model_name_or_path")
    one.add_argument(
        "--gpus", type=_whole, default=1, metavar="N", help="0: processors alone (default: 1)"
    )
    one.add_argument(
        "--gpu_memory", type=_size, default=80.0, metavar="GIB", help="of each (default: 80)"
    )
    ways = ("ddp", "zero2", "zero3", "fsdp2")
    what = "how several GPUs share the model, as in configs/accelerate (default: ddp)"
    one.add_argument("--sharding", choices=ways, default="ddp", help=what)
    rate = "rate in training (default: 125, 40 %% of an A100's; .1 without a GPU)"
    one.add_argument("--tflops", type=_size, metavar="X", help=rate)
    one.add_argument("--json", action="store_true", help="print JSON, in bytes")


def _add_demo(commands: Any) -> None:
    one = _add(
        commands,
        "demo",
        "everything, on the embedded model and questions",
        epilog="--sft.KEY value and --grpo.KEY value change any key of the file's sections, such as"
        " --sft.learning_rate 1e-4; `metaconf sft --help` and `grpo --help` list them",
    )
    file = "YAML with sections sft and grpo (default: configs/demo.yaml, which ships)"
    one.add_argument("--config", type=_path, metavar="FILE", help=file)
    _add_output_dir(one, "runs/demo")
    for name, what in (
        ("--heldout", "held-out questions to measure with"),
        ("--out_of_domain", "the same, of families that are not trained on"),
    ):
        one.add_argument(name, type=_count, metavar="N", help=f"{what} (default: the file's)")
    one.add_argument("--seed", type=_whole, help="of everything random (default: the file's)")


def _add_evaluate(commands: Any) -> None:
    one = _add(commands, "evaluate", "ask a model held-out questions and measure it")
    one.add_argument("--model", help=f"{MODEL} (default: embedded)")
    one.add_argument("--questions", help=f"{QUESTIONS} (default: embedded)")
    _add_reading(one)
    _add_output_dir(one, "runs/evaluate")
    _add_resume(one)
    one.add_argument("--limit", type=_count, metavar="N", help="ask only N of the questions")
    one.add_argument(
        "--max_new_tokens",
        type=_count,
        metavar="N",
        help="room for a full reply (default: 96); a model that thinks needs some thousands",
    )
    _add_seed(one)
    one.add_argument(
        "--baselines",
        nargs="?",
        const="all",
        metavar="NAMES",
        help="other confidences of the model as well: all of them (of a server those that need "
        "text alone), or asked,probability,…",
    )
    one.add_argument("--calibration", metavar="FILE", help="questions to recalibrate baselines on")
    _add_server(one)
    one.add_argument(
        "--engine",
        choices=("transformers", "vllm"),
        help="what generates the replies (default: transformers); vllm needs the extra `vllm`",
    )
    one.add_argument(
        "--judge",
        type=_path,
        metavar="FILE",
        help="YAML with a judge block: that model grades long answers and reads reflections",
    )
    one.add_argument("--dry_run", action="store_true", help="only show what would be asked")
    one.add_argument("--quiet", action="store_true", help="do not show what is going to be asked")
    one.add_argument("--replies", type=_path, help="ask nothing: measure the replies of this JSONL")


def _add_server(one: argparse.ArgumentParser) -> None:
    """Where a model behind a server is asked."""
    one.add_argument(
        "--base_url", metavar="URL", help="ask this OpenAI-compatible server; --model is its name"
    )
    one.add_argument(
        "--api_key_env",
        metavar="NAME",
        help="environment variable with the server's key (default: DEEPSEEK_API_KEY)",
    )
    one.add_argument(
        "--extra_body",
        type=_mapping,
        metavar="KEYS",
        help="more keys of the requests to the server, as YAML; null leaves one of ours out:"
        " '{temperature: null}'",
    )
    for price, what in (("--input_price", "read"), ("--output_price", "written")):
        one.add_argument(
            price, type=_price, metavar="X", help=f"what a million tokens {what} cost at the server"
        )


def _add_serve(commands: Any) -> None:
    one = _add(commands, "serve", "answer over HTTP, with a confidence and a decision, and a page")
    default = "the newest of the demo, else embedded-sft"
    one.add_argument("--model", help=f"{MODEL} (default: {default})")
    _add_server(one)
    one.add_argument("--calibration", type=_path, metavar="FILE", help="what calibrate wrote")
    one.add_argument(
        "--cascade",
        type=_path,
        metavar="FILE",
        help="YAML with the models of a cascade and what calibrate wrote of it",
    )
    for name, default, what in (
        ("--host", "127.0.0.1", "address to listen at"),
        ("--feedback", "runs/serve/feedback.sqlite", "where labels are kept"),
    ):
        one.add_argument(name, default=default, help=f"{what} (default: {default})")
    one.add_argument("--port", type=_whole, default=8000, help="0: any free one (default: 8000)")
    for name, count, what in (
        ("--max_new_tokens", 256, "most tokens of a reply"),
        ("--max_concurrency", 512, "most requests in flight"),
        ("--timeout", 120, "seconds for one reply"),
    ):
        one.add_argument(
            name, type=_count, default=count, metavar="N", help=f"{what} (default: {count})"
        )
    for name, what in (
        ("--allowed_hosts", "names that the server is reached by, beside addresses and localhost"),
        ("--cors", "sites whose pages may ask, such as https://example.org (default: none)"),
    ):
        one.add_argument(name, nargs="+", default=[], metavar="NAME", help=what)


def _add_decisions(commands: Any) -> None:
    compare = _add(commands, "compare", "runs side by side, with paired intervals")
    compare.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder or JSONL file, or either with :METHOD"
    )
    compare.add_argument("--method", help="which method's replies, where files hold several")
    compare.add_argument("--output", type=_path, help="also write the comparison as JSON")
    compare.add_argument(
        "--output_dir",
        type=_path,
        metavar="DIR",
        help="also write JSON, Markdown and a report here",
    )
    _add_seed(compare)
    calibrate = _add(
        commands, "calibrate", "from labelled replies: the confidence from which to answer"
    )
    decide = _add(commands, "decide", "answer or abstain, by what calibrate wrote")
    jsonl = "JSONL, as evaluate writes"
    several = f"{jsonl}; several files: a cascade of their models, asked in this order"
    calibrate.add_argument("replies", type=_path, nargs="+", metavar="REPLIES", help=several)
    decide.add_argument("replies", type=_path, metavar="REPLIES", help=jsonl)
    for one in (calibrate, decide):
        one.add_argument("--method", help="which method's replies, where the file holds several")
    calibrate.add_argument(
        "--costs", type=_cost, nargs="+", metavar="X", help="cascade: what a call of each costs"
    )
    calibrate.add_argument(
        "--abstention_cost",
        type=_price,
        metavar="X",
        help="cascade: what a question costs that is not answered (default: ten times the dearest)",
    )
    calibrate.add_argument("--alpha", type=_share, default=0.1, help="error allowed (default: 0.1)")
    calibrate.add_argument("--delta", type=_share, default=0.1, help="risk of more (default: 0.1)")
    decide.add_argument("--calibration", type=_path, required=True, help="what calibrate wrote")
    for one, name in ((calibrate, "calibration.json"), (decide, "decisions.jsonl")):
        default = Path(name)
        one.add_argument(
            "--output", type=_path, default=default, help=f"new file (default: {name})"
        )


class _Help(argparse.Action):
    """Help with the configuration's keys below, from the list that `python -m tools.docs_pages`
    writes: to look them up in `config.blocks` takes longer than all else here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        parser.print_help()
        print("\nAny key of the YAML can be given as --key value; the keys that are not TRL's:")
        print(files("metaconf.config").joinpath("keys.txt").read_text(encoding="utf-8"), end="")
        parser.exit()


def _add_output_dir(one: argparse.ArgumentParser, default: str) -> None:
    one.add_argument(
        "--output_dir", type=_path, default=Path(default), help=f"a new folder (default: {default})"
    )


def _add_resume(one: argparse.ArgumentParser) -> None:
    one.add_argument("--resume", action="store_true", help="go on with an interrupted run")


def _add_seed(one: argparse.ArgumentParser) -> None:
    one.add_argument("--seed", type=_whole, default=42, help="of everything random (default: 42)")


def _price(text: str) -> float:
    return _number(text, lambda x: 0 <= x < math.inf, "is no price; give a number like 0.28")


def _cost(text: str) -> float:
    return _positive(_price(text), "give what a call costs, in any unit")


def _size(text: str) -> float:
    return _positive(_price(text), "give more")


def _mapping(text: str) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise argparse.ArgumentTypeError(f"{text[:60]!r} holds no keys; write '{{KEY: VALUE}}'")
    return value


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number; give one like 42")
    return int(text)


def _share(text: str) -> float:
    return _number(text, lambda x: 0 < x < 1, "does not lie between 0 and 1; give one like 0.1")


def _number(text: str, fits: Callable[[float], bool], refusal: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not fits(number):
        raise argparse.ArgumentTypeError(f"{text!r} {refusal}")
    return number


def _count(text: str) -> int:
    return _positive(_whole(text), "give at least 1")


def _positive(number: Any, remedy: str) -> Any:
    if not number:
        raise argparse.ArgumentTypeError(f"0 is too small; {remedy}")
    return number
