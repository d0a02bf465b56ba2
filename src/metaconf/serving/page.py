"""The page at `/`: one file, its own style and script, nothing from elsewhere.

Its colours and typefaces are the report's. The policy lets only this style and script run, and
only this server be asked.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files


@cache
def page() -> tuple[bytes, str]:
    """The page, and its content-security policy."""
    tokens = _asset("metaconf.report", "report.css").partition("* {")[0]
    style = tokens + _asset("metaconf.serving", "page.css")
    script = _asset("metaconf.serving", "page.js")
    html = _asset("metaconf.serving", "page.html")
    html = html.replace("{{ style }}", style).replace("{{ script }}", script)
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)};"
        " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )
    return html.encode(), policy


def _asset(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
