"""A headless Chromium driven over its debugging pipe: no server, no port, no extra package.

Used by the report's tests and its benchmark. The pipe carries JSON messages that end with NUL.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    """Path of a Chromium-like browser, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One page of a fresh browser; a context manager. `folder` holds its profile and downloads."""

    def __init__(self, binary: str, folder: Path, patience: float = 60) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self._patience = patience
        self._last = 0
        self._rest = b""
        self._session: str | None = None
        self._process, self._write, self._read = _start(binary, folder)

    def __enter__(self) -> Self:
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Log", "Runtime"):
            self._call(f"{domain}.enable")
        self._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.folder))
        return self

    def __exit__(self, *_: object) -> None:
        self._call("Browser.close")
        os.close(self._write)
        os.close(self._read)
        os.waitpid(self._process, 0)

    def open(self, page: Path | str, fragment: str = "") -> None:
        """Load a page from disk, or an address, and wait until it is complete."""
        url = page if isinstance(page, str) else page.resolve().as_uri()
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=url + fragment)
        self.until("location.protocol !== 'about:' && document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """Value of an expression in the page. Raises RuntimeError where it throws."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, script: str) -> None:
        """Wait for an expression to become true."""
        end = time.monotonic() + self._patience
        while not self.evaluate(script):
            if time.monotonic() > end:
                raise TimeoutError(script)
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """Press and release a key, where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def type(self, text: str) -> None:
        """Enter text, where the focus is."""
        self._call("Input.insertText", text=text)

    def view(self, width: int, height: int, *, dark: bool = False, paper: bool = False) -> None:
        """Set the window's size in pixels, the colour scheme, and screen or print."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        media = "print" if paper else "screen"
        self._call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        """Keep errors of the page: exceptions, blocked styles and scripts, failed loads."""
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(event["params"]["exceptionDetails"]))
        entry = event.get("params", {}).get("entry", {})
        if event.get("method") == "Log.entryAdded" and entry.get("level") == "error":
            self.problems.append(entry["text"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended before it answered")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


def _start(binary: str, folder: Path) -> tuple[int, int, int]:
    """Start the browser with the pipe on descriptors 3 (it reads) and 4 (it writes).

    Returns (process id, descriptor to write to, descriptor to read from).
    """
    browser_reads, write = os.pipe()
    read, browser_writes = os.pipe()
    # Moved out of the way first, so that placing one on 3 or 4 cannot overwrite the other.
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (browser_reads, browser_writes)]
    actions = [
        (os.POSIX_SPAWN_DUP2, high[0], 3),
        (os.POSIX_SPAWN_DUP2, high[1], 4),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    command = [binary, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    process = os.posix_spawn(binary, command, os.environ, file_actions=actions)
    for end in (browser_reads, browser_writes, *high):
        os.close(end)
    return process, write, read
