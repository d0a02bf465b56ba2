"""A server on loopback in front of a model whose replies the test chooses."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from chat_server import Handler, Server, ok, serving

from metaconf.clients.endpoint import Endpoint
from metaconf.config.blocks import Client
from metaconf.serving.calibration import Calibration
from metaconf.serving.cascade import Step, read
from metaconf.serving.feedback import Feedback
from metaconf.serving.guard import Limits
from metaconf.serving.remote import RemoteBackend
from metaconf.serving.service import Service

GOOD = "Answer: Mali\nSelf-reflection: I know it well.\nConfidence: 8"
UNSURE = "Answer: Mali\nSelf-reflection: A guess.\nConfidence: 2"
Says = dict[str, Callable[[], web.Response]]


@dataclass
class Running:
    """A server: its address, its service, and how to ask it."""

    url: str
    service: Service
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """(status, headers, JSON or text) of a request; POST where there is a body."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        data = data.encode() if isinstance(data, str) else data
        sent = {"Content-Type": "application/json", **self.headers}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, sent)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.headers, _read(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, _read(error.read())

    def chat(self, text: str = "Where is Timbuktu?", **keys: Any) -> Any:
        """The reply to a question, as JSON."""
        turn = {"role": "user", "content": text}
        status, _, value = self.ask(
            "/v1/chat/completions", {"model": "m", "messages": [turn], **keys}
        )
        assert status == 200, value
        return value


def _read(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()


@contextmanager
def running(service: Service, limits: Limits | None = None) -> Iterator[Running]:
    """`service` behind uvicorn, in a thread."""
    from metaconf.serving.app import make_app
    from metaconf.serving.run import server as server_of

    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = server_of(make_app(service, limits or Limits()))
    server.config.timeout_graceful_shutdown = 1
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", service)
    finally:
        server.should_exit = True
        thread.join(20)


def says(text: str) -> Handler:
    """A model's server that always says this."""

    async def handler(*_: Any) -> Any:
        return ok(text)

    return handler


@contextmanager
def in_front(
    handler: Handler,
    folder: Path,
    calibration: Calibration | None = None,
    limits: Limits | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """The server in front of a model's server that replies by `handler`."""
    with serving(handler) as upstream:
        timeout = settings.get("timeout", 20.0)
        client = Client(upstream.url, model="upstream", max_retries=0, timeout=timeout)
        endpoint = Endpoint(f"{upstream.url}/v1/chat/completions", "upstream", "s3cret-key", client)
        feedback = Feedback(folder / "feedback.sqlite")
        service = Service(RemoteBackend(endpoint), feedback, calibration, **settings)
        with running(service, limits) as server:
            yield server


def said(text: str) -> Callable[[], web.Response]:
    return lambda: ok(text)


def listed(fitted: Path, folder: Path, *models: dict[str, Any]) -> Path:
    """The YAML file of a cascade."""
    path = folder / "cascade.yaml"
    path.write_text(yaml.safe_dump({"calibration": str(fitted), "models": list(models)}))
    return path


@contextmanager
def cascaded(fitted: Path, folder: Path, says: Says) -> Iterator[tuple[Running, list[Server]]]:
    """A server in front of models' servers, each of which says what `says` holds by its name."""

    def handler(name: str) -> Any:
        async def reply(*_: Any) -> Any:
            return says[name]()

        return reply

    with ExitStack() as stack:
        upstream = [stack.enter_context(serving(handler(name))) for name in says]
        models = [
            {"model": name, "base_url": one.url} for name, one in zip(says, upstream, strict=True)
        ]
        read_models = read(listed(fitted, folder, *models))
        steps = [
            Step(RemoteBackend(one), rule) for one, rule in read_models if isinstance(one, Endpoint)
        ]
        first, later = steps[0], tuple(steps[1:])
        feedback = Feedback(folder / "feedback.sqlite")
        service = Service(first.backend, feedback, first.calibration, later=later)
        yield stack.enter_context(running(service)), upstream
