"""A hub on 127.0.0.1 that serves one model, and any of its files in an odd way."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

REPO = "owner/model"
COMMIT = "c" * 40
SLOW_S = 0.05

REFUSALS = ("404", "404 without a code", "401", "403", "410", "416", "429", "500", "502", "503", "599", "200 of HTML")
REDIRECTS = (
    "redirected once",
    "redirected for ever",
    "redirected to nowhere",
    "redirected to a file",
    "redirected to another host",
)
BODIES = (
    *("cut short", "longer than it says", "no length", "no body", "a length of 10^15", "a length that is no number"),
    *(
        "hung up on",
        "slow",
        "slow, then hung up on",
        "other bytes of the same length",
        "said to be gzip",
        "chunked badly",
    ),
)
HEADERS = (
    *(
        "no etag",
        "an odd etag",
        "a long etag",
        "another etag for GET",
        "no commit",
        "an odd commit",
    ),
    *("a commit that leads out", "another commit", "another size", "a negative size", "a sha256 that is not its own"),
)
WAYS = (*REFUSALS, *REDIRECTS, *BODIES, *HEADERS)
FAITHFUL = ("redirected once", "longer than it says", "no length", "slow", *HEADERS)
"""Ways in which the bytes that arrive, if any do, are the file's own."""


@dataclass
class Served:
    """What the server holds, and how."""

    files: dict[str, bytes] = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)  # file -> one of WAYS
    asked: int = 0


class Server:
    """Serves in a thread, one request at a time, until the process ends."""

    def __init__(self) -> None:
        self.served = Served()
        handler = type("Handler", (_Handler,), {"served": self.served})
        self._server = HTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="hub", daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    served: Served
    timeout = 5

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.served.asked += 1
        path, _, query = self.path.partition("?")
        name = path.strip("/").partition("/resolve/")[2].partition("/")[2]
        if "/resolve/" not in path or name not in self.served.files:
            self._refuse(404, "EntryNotFound" if "/resolve/" in path else "RepoNotFound")
            return
        way = self.served.ways.get(name, "")
        if way in REFUSALS and way != "200 of HTML":
            self._refuse(int(way[:3]), {"404": "EntryNotFound", "401": "GatedRepo", "403": "GatedRepo"}.get(way, ""))
        elif way in REDIRECTS and "again" not in query:
            self._redirect(way)
        else:
            self._serve(name, way)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _redirect(self, way: str) -> None:
        to = {
            "redirected once": f"{self.path}?again=1",
            "redirected for ever": self.path,
            "redirected to nowhere": "http://127.0.0.1:9/nothing",
            "redirected to a file": "file:///etc/passwd",
            "redirected to another host": "http://localhost.invalid/x",
        }[way]
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _serve(self, name: str, way: str) -> None:
        content = self.served.files[name]
        digest = hashlib.sha256(content).hexdigest()
        body, length = content, str(len(content))
        etag, commit, size = digest, COMMIT, str(len(content))
        if way == "other bytes of the same length":
            body = (
                content[: len(content) // 2]
                + bytes([content[len(content) // 2] ^ 1])
                + content[len(content) // 2 + 1 :]
            )
        elif way == "200 of HTML":
            body = b"<html><body>Please log in</body></html>"
            length = str(len(body))
        etag = {"an odd etag": '"\x7f %00"', "a long etag": "e" * 5000}.get(way, etag)
        if way == "another etag for GET" and self.command == "GET":
            etag = "f" * 64
        if way == "a sha256 that is not its own":
            etag = "0" * 64
        commit = {"an odd commit": "no commit", "a commit that leads out": "../../out", "another commit": "d" * 40}.get(
            way, commit
        )
        size = {"another size": str(len(content) + 1), "a negative size": "-1"}.get(way, size)
        length = {
            "a length of 10^15": str(10**15),
            "a length that is no number": "many",
            "cut short": str(len(content) + 99),
        }.get(way, length)
        if way == "longer than it says":
            body = content + b" " * 50
        if way == "hung up on":
            self.close_connection = True
            return
        self.send_response(200)
        if way != "no commit":
            self.send_header("X-Repo-Commit", commit)
        if way != "no etag":
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Linked-Etag", f'"{etag}"')
        self.send_header("X-Linked-Size", size)
        if way == "said to be gzip":
            self.send_header("Content-Encoding", "gzip")
        if way == "chunked badly":
            self.send_header("Transfer-Encoding", "chunked")
        elif way != "no length":
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD" or way == "no body":
            return
        if way.startswith("slow"):
            time.sleep(SLOW_S)
            body = body[: len(body) // 2] if "hung" in way else body
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
