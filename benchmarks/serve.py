"""How `metaconf serve` holds up: overhead, throughput, batching, faults, kills, odd requests.

    python benchmarks/serve.py [--soak_seconds 600] [--cases 1000] [--only NAME …]

Writes benchmarks/results/serve.json. The server runs on one core, the model's server and the
clients on the other ones. `batching` draws with the embedded model; the other parts ask a stub.
`seed_command` trains two steps of stage 2 in a fresh clone, on all cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import record

from metaconf.reply import parse_reply
from metaconf.serving.feedback import Feedback

HERE = Path(__file__).parent
COMMAND = "python benchmarks/serve.py"
CHAT = "/v1/chat/completions"
QUESTION = "In which country is the city of Timbuktu?"
BODY = {"model": "m", "messages": [{"role": "user", "content": QUESTION}]}
TARGETS = {
    "overhead_ms_median": ("ms", "<= 5"),
    "overhead_ms_p99": ("ms", "<= 25"),
    "requests_per_second": ("1/s", ">= 800"),
    "requests_per_second_fastapi": ("1/s", None),
    "batch_ratio_16": ("", ">= 4"),
    "first_answer_seconds": ("s", "<= 2"),
    "schemathesis_failures": ("", "<= 0"),
    "feedback_lost": ("", "<= 0"),
    "soak_lost": ("", "<= 0"),
    "soak_memory_growth": ("", "<= 0.05"),
    "seed_command_seconds": ("s", "<= 120"),
    "seed_command_format_rate": ("", ">= 0.95"),
}
PLAIN = """
import sys, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
class Turn(BaseModel):
    role: str
    content: str
class Chat(BaseModel):
    model: str
    messages: list[Turn]
app = FastAPI()
@app.post("/v1/chat/completions")
async def chat(body: Chat) -> dict:
    return {"choices": [{"message": {"content": body.messages[-1].content}}]}
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False)
"""
SERVER_CORE, OTHER_CORES = 0, set(range(1, os.cpu_count() or 1)) or {0}


@contextmanager
def started(words: list[str], port: str, cores: set[int]) -> Iterator[tuple[Any, str]]:
    """A program, pinned to some cores, and its address: `port` finds that in its first line."""
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, cores)
    try:
        assert process.stdout is not None
        found = re.search(port, process.stdout.readline())
        assert found is not None, words
        yield process, f"http://127.0.0.1:{found[1]}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def served(folder: Path, *words: str) -> Iterator[tuple[Any, str]]:
    """`metaconf serve` on a core of its own, once it answers."""
    command = ["-m", "metaconf.cli", "serve", "--port", "0", *words]
    command += ["--feedback", str(folder / "labels.sqlite")]
    with started(command, r"http://127\.0\.0\.1:(\d+)", {SERVER_CORE}) as (process, url):
        wait_for(url)
        yield process, url


@contextmanager
def in_front(
    folder: Path, *stub: str, more: tuple[str, ...] = ()
) -> Iterator[tuple[Any, str, str]]:
    """(process, its address, the stub's address) of a server in front of the stub."""
    words = [str(HERE / "serve_stub.py"), *stub]
    with started(words, r"(\d+)", OTHER_CORES) as (_, upstream):
        address = ("--base_url", f"{upstream}/v1", "--model", "stub")
        with served(folder, *address, *more) as (process, url):
            yield process, url, upstream


def wait_for(url: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=1).read()
        except OSError:
            time.sleep(0.05)
        else:
            return


async def load(url: str, at_once: int, calls: int) -> list[float]:
    """Seconds of each call, `at_once` in flight, whose first ones are spread over a fifth of a
    second: clients do not come in step."""
    import aiohttp

    data, seconds = json.dumps(BODY).encode(), list[float]()
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def some(number: int) -> None:
            await asyncio.sleep(0.2 * number / at_once)
            for _ in range(calls // at_once):
                start = time.perf_counter()
                async with session.post(url + CHAT, data=data, headers=headers) as reply:
                    await reply.read()
                    assert reply.status == 200, reply.status
                seconds.append(time.perf_counter() - start)

        await asyncio.gather(*(some(number) for number in range(at_once)))
    return seconds


def overhead(folder: Path) -> dict[str, float]:
    """Milliseconds that the server adds to a model of 200 ms under 200 clients, beside the same
    clients that ask the model alone."""
    with in_front(folder, "200") as (_, url, upstream):
        asyncio.run(load(url, 200, 1000))
        through, alone = (asyncio.run(load(one, 200, 3000)) for one in (url, upstream))
    at = {"median": statistics.median, "p99": lambda s: statistics.quantiles(s, n=100)[98]}
    return {f"overhead_ms_{k}": 1000 * (f(through) - f(alone)) for k, f in at.items()}


def throughput(folder: Path) -> dict[str, float]:
    """Requests a second with a model that answers at once, and of plain FastAPI without a model."""
    with in_front(folder, "0") as (_, url, _upstream):
        ours = _rate(url)
    port = str(_free_port())
    process = subprocess.Popen([sys.executable, "-c", PLAIN, port])
    os.sched_setaffinity(process.pid, {SERVER_CORE})
    try:
        time.sleep(3)
        plain = _rate(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
    return {"requests_per_second": ours, "requests_per_second_fastapi": plain}


def _rate(url: str) -> float:
    asyncio.run(load(url, 32, 1000))
    start = time.perf_counter()
    asyncio.run(load(url, 32, 4000))
    return 4000 / (time.perf_counter() - start)


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def batching(folder: Path) -> dict[str, float]:
    """Replies a second of the embedded model with 16 clients against one, and the first answer of
    a server that has just started. It has all cores."""
    with served(folder, "--model", "embedded", "--max_new_tokens", "48") as (process, url):
        os.sched_setaffinity(process.pid, range(os.cpu_count() or 1))
        start = time.perf_counter()
        _asked(url, QUESTION)
        first = time.perf_counter() - start
        one, sixteen = (_replies_per_second(url, clients) for clients in (1, 16))
    return {"first_answer_seconds": first, "batch_ratio_16": sixteen / one}


def _replies_per_second(url: str, clients: int) -> float:
    places = [f"In which country is the city of place number {i}?" for i in range(4 * clients)]
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda text: _asked(url, text), places))
    return len(places) / (time.perf_counter() - start)


def _asked(url: str, text: str) -> Any:
    return _post(url, CHAT, {**BODY, "messages": [{"role": "user", "content": text}]})


def _post(url: str, path: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.load(reply)


def contract(folder: Path, cases: int) -> dict[str, float]:
    """Failures of schemathesis, `cases` an operation."""
    with in_front(folder, "0") as (_, url, _upstream):
        program = Path(sys.executable).with_name("schemathesis")
        command = [str(program), "run", f"{url}/openapi.json"]
        command += ["--max-examples", str(cases), "--workers", "1", "--no-color"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    failures = re.search(r"(\d+) unique failures?|(\d+) failures?", done.stdout)
    print(done.stdout[-3000:])
    if done.returncode and failures is None:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-2000:])
    return {"schemathesis_failures": float((failures[1] or failures[2]) if failures else 0)}


def kills(folder: Path, times: int = 20) -> dict[str, float]:
    """Acknowledged labels that are not there after `times` kills in the middle of them."""
    lost = kept_in_all = 0
    for number in range(times):
        place = folder / str(number)
        kept: list[str] = []
        with in_front(place, "0") as (process, url, _):
            ids = [_asked(url, f"question {i}")["id"] for i in range(200)]
            threads = [
                threading.Thread(target=_label, args=(url, ids[part::4], kept)) for part in range(4)
            ]
            for thread in threads:
                thread.start()
            time.sleep(0.02 + 0.01 * number)
            process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join()
        found = {row["reply_id"] for row in Feedback(place / "labels.sqlite").rows()}
        lost += len(set(kept) - found)
        kept_in_all += len(kept)
    print(f"{kept_in_all} labels were acknowledged")
    return {"feedback_lost": float(lost), "feedback_acknowledged": float(kept_in_all)}


def _label(url: str, ids: list[str], kept: list[str]) -> None:
    for one in ids:
        try:
            _post(url, "/feedback", {"id": one, "correctness": True})
        except OSError:
            return
        kept.append(one)


def soak(folder: Path, seconds: float) -> dict[str, float]:
    """Requests without an answer by the book, of 100 clients of a model that throttles, hangs,
    cuts and lies; and how much memory grew after the first tenth of the time."""
    more = ("--timeout", "5")
    with in_front(folder, "20", "--faults", more=more) as (process, url, _):
        counts: dict[str, int] = {}
        sizes = asyncio.run(_soaked(url, process.pid, seconds, counts))
    print(counts)
    book = ("200", "429", "502", "504")
    lost = sum(n for status, n in counts.items() if status not in book)
    tenth = max(len(sizes) // 10, 1)
    growth = sizes[-1] / sizes[tenth] - 1
    return {
        "soak_lost": float(lost),
        "soak_requests": float(sum(counts.values())),
        "soak_memory_growth": growth,
    }


async def _soaked(url: str, pid: int, seconds: float, counts: dict[str, int]) -> list[float]:
    """Resident sizes over time, in bytes; `counts` gets the replies by status, "bad" for one that
    does not have the form of its status, "lost" for none."""
    import aiohttp

    end, sizes = time.monotonic() + seconds, list[float]()
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def client(number: int) -> None:
            body = {**BODY, "stream": number % 2 == 1, "metaconf": {"stream": "hold"}}
            while time.monotonic() < end:
                try:
                    async with session.post(url + CHAT, json=body) as reply:
                        kind = _kind(reply.status, await reply.text())
                except (aiohttp.ClientError, TimeoutError):
                    kind = "lost"
                counts[kind] = counts.get(kind, 0) + 1
                await asyncio.sleep(0.5)

        async def watch() -> None:
            while time.monotonic() < end:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                sizes.append(pages * os.sysconf("SC_PAGE_SIZE"))
                await asyncio.sleep(1)

        await asyncio.gather(watch(), *(client(number) for number in range(100)))
    return sizes


def _kind(status: int, text: str) -> str:
    good = '"metaconf"' in text if status == 200 else '"error"' in text
    whole = not text.startswith("data:") or text.endswith("data: [DONE]\n\n")
    return str(status) if good and whole else "bad"


SEED_COMMAND = "train/grpo_train.py --config configs/grpo_train_config.yaml --max_steps 2"


def seed_command(folder: Path) -> dict[str, float]:
    """Seconds of SEED_COMMAND in a fresh clone, and the share of its replies in the format."""
    clone, cores = folder / "clone", range(os.cpu_count() or 1)
    subprocess.run(["git", "clone", "-q", str(HERE.parent), str(clone)], check=True)
    os.sched_setaffinity(0, cores)  # the command inherits them
    spent, start = os.times(), time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(clone / "src")}
    subprocess.run([sys.executable, *SEED_COMMAND.split()], cwd=clone, env=environment, check=True)
    seconds, now = time.perf_counter() - start, os.times()
    os.sched_setaffinity(0, OTHER_CORES)
    lines = (clone / "runs/grpo/replies.jsonl").read_text().splitlines()
    well = [parse_reply(json.loads(line)["text"]).well_formed for line in lines]
    return {
        "seed_command_seconds": seconds,
        "seed_command_format_rate": statistics.mean(well),
        "cpu": sum(now[2:4]) - sum(spent[2:4]),
        "replies": len(well),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak_seconds", type=float, default=600)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--only", nargs="+", default=[])
    args = parser.parse_args()
    os.sched_setaffinity(0, OTHER_CORES)
    parts: dict[str, Callable[[Path], dict[str, float]]] = {
        "overhead": overhead,
        "throughput": throughput,
        "batching": batching,
        "contract": lambda folder: contract(folder, args.cases),
        "kills": kills,
        "soak": lambda folder: soak(folder, args.soak_seconds),
        "seed_command": seed_command,
    }
    for name, part in parts.items():
        if not args.only or name in args.only:
            with tempfile.TemporaryDirectory() as folder:
                found = part(Path(folder))
            note = f"{name}: " + _NOTES[name].format(args=args, **found)
            figures = {
                one: record.figure(round(found[one], 3), None, *TARGETS[one])
                for one in found
                if one in TARGETS
            }
            versions = ("fastapi", "uvicorn", "aiohttp", "schemathesis")
            record.add("serve", COMMAND, figures, [note], versions)


_NOTES = {
    "overhead": "3,000 calls by 200 clients, a stub of 200 ms; the same calls to the stub alone",
    "throughput": "4,000 calls by 32 clients, a stub of 0 ms, the server on one core",
    "batching": "the embedded model, 48 tokens a reply at most",
    "contract": "{args.cases} cases an operation at most",
    "kills": "20 kills, {feedback_acknowledged:.0f} labels acknowledged before them",
    "soak": "{args.soak_seconds:.0f} s, 100 clients, {soak_requests:.0f} requests",
    "seed_command": "max_steps 2, {replies:.0f} replies, {cpu:.0f} seconds of one core",
}


if __name__ == "__main__":
    main()
