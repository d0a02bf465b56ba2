"""The interface over HTTP: OpenAI's chat completions, and verify, score, feedback beside them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from metaconf import __version__
from metaconf.errors import UserError
from metaconf.serving import calibration as calibrations
from metaconf.serving import schema, score
from metaconf.serving.backend import Call
from metaconf.serving.guard import Guard, Limits, error_body
from metaconf.serving.live import LiveAnswer
from metaconf.serving.page import page
from metaconf.serving.reply import Served
from metaconf.serving.service import RETRY_AFTER, Head, Refused, Reply, Service

FAILED = {
    400: "bad input",
    401: "no key, or a wrong one",
    403: "a host or a site that may not ask",
    408: "the body came too slowly",
    413: "the body is too large",
    429: "too many requests; come again after Retry-After seconds",
    502: "the model's server failed",
    504: "the model took too long",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schema.Error, "description": text} for status, text in FAILED.items()
}
EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
CHAT: dict[int | str, dict[str, Any]] = {
    **ERRORS,
    200: {
        "model": schema.ChatCompletion,
        "content": {"text/event-stream": {"schema": EVENT}},
    },
}
NO_KEY: dict[int | str, dict[str, Any]] = {403: ERRORS[403]}


def make_app(service: Service, limits: Limits) -> Any:
    """The ASGI application of one service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for backend in service.backends:
            await backend.close()
        service.feedback.close()

    app = FastAPI(
        title="MetaConf",
        version=__version__,
        summary="Chat completions with a calibrated confidence and a decision",
        docs_url=None,  # both pages would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_errors(app)
    _add_chat(app, service)
    _add_state(app, service)
    _add_measures(app, service)
    guarded: Any = Guard(app, limits, service.meters)
    if limits.origins:
        from starlette.middleware.cors import CORSMiddleware

        shown = ["x-metaconf-confidence", "x-metaconf-decision", "x-metaconf-model"]
        origins, headers = list(limits.origins), ["authorization", "content-type"]
        guarded = CORSMiddleware(guarded, origins, ["GET", "POST"], headers, expose_headers=shown)
    return guarded


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return _error(error.status, error.message, error.code)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return _error(400, f"{where or 'body'}: {first['msg']}", "invalid_request")

    @app.exception_handler(UserError)
    async def bad_input(_: Request, error: UserError) -> Response:
        return _error(400, str(error), "invalid_request")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return _error(error.status_code, str(error.detail), headers=error.headers)


def _error(status: int, message: str, code: str | None = None, headers: Any = None) -> Response:
    more = dict(headers or {})
    if status == 429:
        more["Retry-After"] = str(RETRY_AFTER)
    return Response(error_body(status, message, code), status, more, "application/json")


class ChatRoute(APIRoute):
    """Reads a good request straight into its model. FastAPI's own way takes several times as long;
    it is left to what is no good request, which it describes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        usual = super().get_route_handler()

        async def handler(request: Request) -> Response:
            if request.headers.get("content-type") != "application/json":
                return await usual(request)
            try:
                body = schema.ChatRequest.model_validate_json(await request.body())
            except ValidationError:
                return await usual(request)
            return await self.endpoint(body)

        return handler


def _add_chat(app: FastAPI, service: Service) -> None:
    async def chat_completions(body: schema.ChatRequest) -> Response:
        ask = body.metaconf or schema.Ask()  # pyright: ignore[reportCallIssue]
        call, ignored = _call(body, service), body.ignored(service.takes)
        how = ask.stream or ("live" if service.calibration is None else "hold")
        if body.stream and how == "live" and not service.later:
            return _events(_live(service, call, body, ask, ignored))
        reply = await service.answer(call, body.model)
        if body.stream:
            return _events(_held(reply, body, ask, ignored), _headers(reply.served))
        whole = ask.content == "reply"
        return _json(_completion(reply, whole, ignored), _headers(reply.served))

    app.router.add_api_route(
        "/v1/chat/completions",
        chat_completions,
        methods=["POST"],
        responses=CHAT,
        route_class_override=ChatRoute,
    )

    @app.get("/v1/models", responses=ERRORS)
    async def models() -> schema.Models:
        more: Any = {"object": "model", "created": 0, "owned_by": "metaconf"}
        data = [schema.Model(id=backend.name, **more) for backend in service.backends]
        return schema.Models(object="list", data=data)


def _call(body: schema.ChatRequest, service: Service) -> Call:
    texts = [(turn.role, turn.text()) for turn in body.messages]
    asked = body.max_completion_tokens or body.max_tokens or service.max_new_tokens
    extra = {**(body.model_extra or {}), "top_p": body.top_p, "stop": body.stop}
    return Call(
        tuple({"role": role, "content": text} for role, text in texts if _is_turn(role)),
        tuple(text for role, text in texts if not _is_turn(role)),
        min(asked, service.max_new_tokens),
        body.temperature or 0.0,
        body.seed,
        more={k: v for k, v in extra.items() if k in service.takes and v is not None},
    )


def _is_turn(role: str) -> bool:
    return role in ("user", "assistant")


def _completion(reply: Reply, whole: bool, ignored: list[str]) -> dict[str, Any]:
    served = reply.served
    message = {"role": "assistant", "content": served.content(whole), "refusal": None}
    finish = served.last.finish
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": served.last.model,
        "choices": [choice],
        "usage": _usage(served),
        "metaconf": {**served.object, "ignored": ignored},
    }


def _usage(served: Served) -> dict[str, int]:
    """Tokens of all attempts."""
    read = sum(one.tokens_in for one in served.attempts)
    wrote = sum(one.tokens_out for one in served.attempts)
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


def _headers(served: Served) -> dict[str, str]:
    value = served.object["confidence"]["value"]
    model = served.last.model.encode("ascii", "replace").decode()
    return {
        "x-metaconf-confidence": "unknown" if value is None else f"{value:.4g}",
        "x-metaconf-decision": served.action,
        "x-metaconf-model": "".join(sign for sign in model if sign.isprintable()),
    }


def _json(value: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(json.dumps(value, allow_nan=False), 200, headers, "application/json")


def _events(chunks: AsyncIterator[str], headers: dict[str, str] | None = None) -> Response:
    quiet = {"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})}
    return StreamingResponse(chunks, 200, quiet, "text/event-stream")


def _event(value: Any) -> str:
    return f"data: {json.dumps(value, allow_nan=False)}\n\n"


async def _held(
    reply: Reply, body: schema.ChatRequest, ask: schema.Ask, ignored: list[str]
) -> AsyncIterator[str]:
    """A reply that is decided on, as events."""
    chunk = _chunk(reply.id, reply.created, reply.served.last.model)
    yield _event(chunk({"role": "assistant", "content": ""}))
    yield _event(chunk({"content": reply.served.content(ask.content == "reply")}))
    for event in _end(chunk, reply, body, ignored):
        yield event


async def _live(
    service: Service, call: Call, body: schema.ChatRequest, ask: schema.Ask, ignored: list[str]
) -> AsyncIterator[str]:
    """A reply as it is written. A failure is an event too: the status was sent before it."""
    whole, live = ask.content == "reply", LiveAnswer()
    head = Head()
    chunk = _chunk(head.id, head.created, service.backend.name)
    yield _event(chunk({"role": "assistant", "content": ""}))
    try:
        async for item in service.live(call, head):
            if isinstance(item, Reply):
                if left := live.rest(item.served.content(whole)):
                    yield _event(chunk({"content": left}))
                for event in _end(chunk, item, body, ignored):
                    yield event
            elif more := live.added(item) if whole else live.more(item):
                yield _event(chunk({"content": more}))
    except Refused as error:
        yield f"data: {error_body(error.status, error.message, error.code).decode()}\n\n"


def _chunk(reply_id: str, created: int, model: str) -> Any:
    head = {"id": reply_id, "object": "chat.completion.chunk", "created": created, "model": model}

    def chunk(delta: dict[str, str] | None, finish: str | None = None, **more: Any) -> Any:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": [] if delta is None else [choice], **more}

    return chunk


def _end(chunk: Any, reply: Reply, body: schema.ChatRequest, ignored: list[str]) -> list[str]:
    served = reply.served
    usage = body.stream_options is not None and body.stream_options.include_usage
    more = {"usage": _usage(served)} if usage else {}
    own = {**served.object, "ignored": ignored}
    return [
        _event(chunk({}, served.last.finish)),
        _event(chunk(None, metaconf=own, **more)),
        "data: [DONE]\n\n",
    ]


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        html, policy = page()
        headers = {"content-security-policy": policy, "cache-control": "no-cache"}
        return Response(html, 200, headers, "text/html; charset=utf-8")

    @app.get("/healthz", responses=NO_KEY)
    @app.get("/health", include_in_schema=False)
    async def healthz() -> schema.Health:
        state = calibrations.described(service.calibration, service.watch.state)
        return schema.Health(
            status="ok",
            server="metaconf",
            version=__version__,
            model=service.name,
            calibration=schema.CalibrationState(**state),
        )

    @app.get("/metrics", response_class=Response, responses={**ERRORS, 200: _text("text/plain")})
    async def metrics() -> Response:
        return Response(service.meters.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/calibration", responses=ERRORS)
    async def calibration() -> schema.CalibrationShown:
        return schema.CalibrationShown(**await asyncio.to_thread(score.shown, service))


def _text(kind: str) -> dict[str, Any]:
    return {"content": {kind: {"schema": {"type": "string"}}}}


def _add_measures(app: FastAPI, service: Service) -> None:
    @app.post("/verify", responses=ERRORS)
    async def verify(body: schema.VerifyRequest) -> schema.Verified:
        answer = " ".join(body.answer.split())
        served = None
        if answer:
            served = await service.verify(body.question, answer, body.context or "")
        return schema.Verified(**score.verified(service, body.threshold, answer, served))

    @app.post("/v1/score", responses=ERRORS)
    async def score_replies(body: schema.ScoreRequest) -> schema.Scored:
        return schema.Scored(**await asyncio.to_thread(score.figures, body.replies))

    missing: dict[int | str, dict[str, Any]] = {
        404: {"model": schema.Error, "description": "no reply of this id is remembered"},
        507: {"model": schema.Error, "description": "the label cannot be kept"},
    }

    @app.post("/feedback", responses={**ERRORS, **missing})
    async def feedback(body: schema.LabelRequest) -> schema.Labelled:
        try:
            await asyncio.to_thread(service.label, body.id, float(body.correctness))
        except sqlite3.Error as error:
            why = f"the label was not kept: {error}"
            raise Refused(507, why, "not_kept") from error
        await asyncio.to_thread(service.relabel)
        service.meters.labels.inc()
        watch = service.watch
        return schema.Labelled(id=body.id, labelled=watch.labelled, state=watch.state)

    @app.get(
        "/v1/labels",
        response_class=Response,
        responses={**ERRORS, 200: _text("application/jsonl")},
    )
    async def labels() -> Response:
        """The labels as `metaconf calibrate` reads them, a reply a line."""
        rows = await asyncio.to_thread(service.feedback.rows)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        return Response(lines, media_type="application/jsonl")
