"""A server that speaks the routes of vLLM's that we use (read in vLLM 0.30), backed by a small
transformers model, and whose faults a test chooses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from metaconf.generation.local import load_local
from metaconf.generation.sampler import Draw, Sampling, draw

CUT, LOST = "cut", "lost"
LOCK = threading.Lock()
"""One for all servers: transformers does not load two models at once."""


class FakeVLLM:
    """`model` is the base model's folder. `asked`: (route, JSON) of each POST. `stale`: adapters
    and weights are taken, and those before go on being used. `forgets`: adapters are lost. `key`:
    what every request to a route under /v1 must show. `faults`: what befalls the next calls of a
    route: a status in place of what was asked, CUT before anything is done, LOST after it, or None.
    """

    def __init__(
        self,
        model: Path,
        stale: bool = False,
        forgets: bool = False,
        key: str = "",
        faults: Mapping[str, Sequence[int | str | None]] | None = None,
    ):
        self.stale, self.forgets, self.key, self.url = stale, forgets, key, ""
        self.faults = {route: list(those) for route, those in (faults or {}).items()}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.model: Any = load_local(str(model), torch.float32).model
        self.adapters: dict[str, Any] = {}
        self.roots: dict[str, str] = {}

    def names(self) -> list[dict[str, Any]]:
        return [
            {"id": "base", "root": "base", "parent": None},
            *({"id": n, "root": self.roots[n], "parent": "base"} for n in self.adapters),
        ]

    def answer(self, route: str, sent: dict[str, Any]) -> tuple[int, Any]:
        with LOCK:
            self.asked.append((route, sent))
            return getattr(self, route.strip("/").replace("/", "_"), self.unknown)(sent)

    def unknown(self, sent: dict[str, Any]) -> tuple[int, Any]:
        return 404, {"detail": "Not Found"}

    def v1_load_lora_adapter(self, sent: dict[str, Any]) -> tuple[int, Any]:
        name, folder = sent["lora_name"], Path(sent["lora_path"])
        if name in self.adapters:
            return 400, {
                "error": {"message": f"The lora adapter '{name}' has already been loaded."}
            }
        if not (folder / "adapter_config.json").is_file():
            return 404, {"error": {"message": f"No adapter found for {folder}"}}
        first = next(iter(self.adapters.values()), None) if self.stale else None
        self.roots[name] = sent["lora_path"]
        self.adapters[name] = first or load_local(str(folder), torch.float32).model
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def v1_unload_lora_adapter(self, sent: dict[str, Any]) -> tuple[int, Any]:
        if self.adapters.pop(sent["lora_name"], None) is None:
            return 404, {"error": {"message": "The lora adapter cannot be found."}}
        return 200, "Success"

    def collective_rpc(self, sent: dict[str, Any]) -> tuple[int, Any]:
        assert sent["method"] == "reload_weights"
        if not self.stale:
            folder = sent["kwargs"]["weights_path"]
            self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        return 200, {"results": [None]}

    def reset_prefix_cache(self, sent: dict[str, Any]) -> tuple[int, Any]:
        return 200, {"success": True}

    def v1_completions(self, sent: dict[str, Any]) -> tuple[int, Any]:
        name = sent["model"]
        if self.forgets:
            self.adapters.clear()
        if name != "base" and name not in self.adapters:
            return 404, {"error": {"message": f"The model `{name}` does not exist.", "code": 404}}
        assert sent["return_token_ids"] and sent["ignore_eos"] and sent["logprobs"] == 0
        stop = frozenset(sent["stop_token_ids"])
        how = Sampling(sent["max_tokens"], stop, sent["temperature"], sent["seed"])
        one = Draw(tuple(sent["prompt"]), "", tuple(range(sent["n"])))
        rows = draw(self.adapters.get(name, self.model), [one], how)
        choices = [
            {
                "index": row.sample,
                "token_ids": row.tokens,
                "prompt_token_ids": sent["prompt"],
                "logprobs": {"token_logprobs": row.sampling_logprobs},
                "finish_reason": "stop" if row.ended else "length",
            }
            for row in reversed(rows)
        ]
        return 200, {"model": name, "choices": choices}


@contextmanager
def serving(model: Path, **faults: Any) -> Iterator[FakeVLLM]:
    fake = FakeVLLM(model, **faults)

    class Handler(BaseHTTPRequestHandler):
        def reply(self, status: int, value: Any) -> None:
            text = (value if isinstance(value, str) else json.dumps(value)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            if self.allowed():
                self.reply(200, {"object": "list", "data": fake.names()})

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            coming = fake.faults.get(self.path)
            fault = coming.pop(0) if coming else None
            if fault == CUT or not self.allowed():
                return
            if isinstance(fault, int):
                return self.reply(fault, {"error": {"message": "The engine is busy."}})
            status, value = fake.answer(self.path, sent)
            if fault != LOST:
                self.reply(status, value)

        def allowed(self) -> bool:
            shown = self.headers.get("Authorization", "")
            if not fake.key or shown == f"Bearer {fake.key}" or not self.path.startswith("/v1"):
                return True
            self.reply(401, {"error": f"Unauthorized: {shown}"})
            return False

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
