"""The real command, serving a page on this machine: how tests start it, ask it and end it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from urllib.parse import urlsplit

# The command, with as many files as most systems allow, and a clock that ends it, should the tests not live to do so.
SERVE = (
    "import os, resource, threading\nresource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))\n"
    "clock = threading.Timer({seconds}, os._exit, (3,))\nclock.daemon = True\nclock.start()\n"
    "from faultcell.cli import main\nmain()"
)


def command(*words, seconds=240, stderr=subprocess.PIPE):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    pipes = {"stdout": subprocess.PIPE, "stderr": stderr, "text": True, "env": environment}
    return subprocess.Popen([sys.executable, "-c", SERVE.format(seconds=seconds), "serve", *map(str, words)], **pipes)


@contextlib.contextmanager
def serving(*words, **more):
    process = command(*words, "--port", 0, "--json", "--no-open", **more)
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        yield SimpleNamespace(process=process, **json.loads("".join(lines)))
    finally:
        process.kill()
        process.communicate()


class Answer(NamedTuple):
    """What came back: the status is 0 where nothing did, or not all of it."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


async def exchange(site, content, *, pause=0.0, patience=120.0):
    """Send bytes over a connection of their own, a byte at a time where there is a pause, and read until it ends."""
    address = urlsplit(site.page)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    sending = asyncio.ensure_future(_send(writer, content, pause))
    try:
        async with asyncio.timeout(patience):
            with contextlib.suppress(ConnectionError):
                return _answer(await reader.read())
            return Answer(0, {}, b"")
    finally:
        sending.cancel()
        writer.transport.abort()


async def _send(writer, content, pause):
    with contextlib.suppress(ConnectionError):
        for part in [content[place : place + 1] for place in range(len(content))] if pause else [content]:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)


def _answer(found):
    head, _, body = found.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/1.1 "):
        return Answer(0, {}, found)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if "content-length" in headers and len(body) != int(headers["content-length"]):
        return Answer(0, headers, body)
    return Answer(int(lines[0].split()[1]), headers, body)


def post(site, path, asked, **headers):
    """The bytes of a request, after which the connection ends."""
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    told = {"Host": urlsplit(site.page).netloc, "Connection": "close", "Content-Type": "application/json"}
    told |= {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def health(site):
    with urllib.request.urlopen(f"{site.api}/health", timeout=180) as answer:
        return json.load(answer)


def worker(site):
    """The process id of the one that draws; None while there is none."""
    found = [pid for pid in _children(site.process.pid) if b"spawn_main" in _read(pid, "cmdline")]
    return found[-1] if found else None


def files(site):
    """How many the server has open."""
    return len([*Path(f"/proc/{site.process.pid}/fd").iterdir()])


def resident(site):
    """MiB of memory that the server and the process that draws take."""
    return sum(_resident(pid) for pid in (site.process.pid, *_children(site.process.pid)))


def _resident(pid):
    lines = _read(pid, "status").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(b"VmRSS:")), 0.0)


def _children(pid):
    tasks = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
    return sorted(int(child) for task in tasks for child in _read(pid, f"task/{task}/children").split())


def _read(pid, name):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""
