"""A server on loopback in front of a model whose replies the test chooses."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chat_server import Handler, ok, serving

from metaconf.clients.endpoint import Endpoint
from metaconf.config.blocks import Client
from metaconf.serving.calibration import Calibration
from metaconf.serving.feedback import Feedback
from metaconf.serving.guard import Limits
from metaconf.serving.service import Service

GOOD = "Answer: Mali\nSelf-reflection: I know it well.\nConfidence: 8"
UNSURE = "Answer: Mali\nSelf-reflection: A guess.\nConfidence: 2"


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
    from metaconf.serving.remote import RemoteBackend

    with serving(handler) as upstream:
        timeout = settings.get("timeout", 20.0)
        client = Client(upstream.url, model="upstream", max_retries=0, timeout=timeout)
        endpoint = Endpoint(f"{upstream.url}/v1/chat/completions", "upstream", "s3cret-key", client)
        feedback = Feedback(folder / "feedback.sqlite")
        service = Service(RemoteBackend(endpoint), feedback, calibration, **settings)
        with running(service, limits) as server:
            yield server
