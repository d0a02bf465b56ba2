"""`metaconf serve`: checks what it was given, loads the model, then listens.

Nothing is logged of a request: no text, no key, no address. What is counted is at `/metrics`.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaconf.config.load import check_model
from metaconf.errors import UserError
from metaconf.serving.calibration import Calibration, load

if TYPE_CHECKING:
    from argparse import Namespace

    import uvicorn

    from metaconf.clients.endpoint import Endpoint
    from metaconf.serving.backend import Backend
    from metaconf.serving.service import Service

KEY = "METACONF_API_KEY"
"""The environment variable with the key that clients must send."""
MAX_RETRIES = 2
"""Of calls to another server: a client of ours has a timeout of its own."""
BACKLOG = 2048


def run(args: Namespace, endpoint: Endpoint | None) -> None:
    """Serve until a signal ends it. Raises UserError for what cannot be served."""
    key = os.environ.get(KEY, "").strip() or None
    check_host(args.host, key)
    models = _models(args, endpoint)
    listener = listen(args.host, args.port)
    try:
        service = _service(args, [(_backend(one, args.timeout), rule) for one, rule in models])
        app = _app(args, service, key)
        print("\n".join(greeting(listener, service.name, service.calibration)), flush=True)
        gc.collect()
        gc.freeze()  # what is there now stays: looking through it again costs tens of milliseconds
        server(app).run(sockets=[listener])
    finally:
        listener.close()


def check_host(host: str, key: str | None) -> None:
    """Raises UserError for an address beyond this machine without a key."""
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback and key is None:
        raise UserError(
            f"--host {host}: others than this machine could ask; export {KEY}=…, which clients then"
            " send as their key, or leave --host out"
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UserError where it cannot."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"--host {host} --port {port}: cannot listen ({why}); give another, such as --port 0"
        ) from error


def _models(
    args: Namespace, endpoint: Endpoint | None
) -> Sequence[tuple[str | Endpoint, Calibration | None]]:
    """The models in the order in which they are asked, each with its rule. Raises UserError."""
    if args.cascade is not None:
        from metaconf.serving import cascade

        return cascade.read(args.cascade)
    calibration = load(args.calibration) if args.calibration else None
    if endpoint is None:
        check_model(args.model)
    return [(endpoint or args.model, calibration)]


def _backend(model: str | Endpoint, timeout: int) -> Backend:
    if not isinstance(model, str):
        from metaconf.serving.remote import RemoteBackend

        limits = replace(model.limits, timeout=float(timeout), max_retries=MAX_RETRIES)
        return RemoteBackend(replace(model, limits=limits))
    from metaconf.serving import local

    return local.load(model)


def _service(args: Namespace, models: Sequence[tuple[Backend, Any]]) -> Service:
    from metaconf.serving.cascade import Step
    from metaconf.serving.feedback import Feedback
    from metaconf.serving.service import Service

    (backend, calibration), *later = models
    numbers = (float(args.timeout), args.max_new_tokens)
    more = tuple(Step(*one) for one in later)
    return Service(backend, Feedback(Path(args.feedback)), calibration, *numbers, more)


def _app(args: Namespace, service: Service, key: str | None) -> Any:
    from metaconf.serving.app import make_app
    from metaconf.serving.guard import Limits

    sites = (frozenset(args.allowed_hosts), frozenset(args.cors))
    return make_app(service, Limits(key, *sites, max_concurrency=args.max_concurrency))


def greeting(listener: socket.socket, model: str, calibration: Calibration | None) -> list[str]:
    """What is served, where, and whether answers are decided on."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    lines = [f"Serving {model} at http://{shown}:{port} (page, and /v1); Ctrl-C ends it."]
    if calibration is None:
        lines.append("No calibration: nothing is decided. Make one: metaconf calibrate REPLIES")
    elif calibration.rule.threshold is None:
        lines.append("The calibration certifies nothing: every question is abstained from.")
    return lines


def server(app: Any) -> uvicorn.Server:
    """The server of an application; of requests it logs nothing."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)
