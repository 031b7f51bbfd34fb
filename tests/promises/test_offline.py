"""No network, no telemetry: all tests, and all processes they start, run with every connection but loopback refused.

What refuses is `tests/offline`; a run in which anything tried to leave the machine fails as a whole, even where the attempt
itself was swallowed. Here it is shown that this holds, and that verbs work with no network at all.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import sitecustomize

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TRY = (
    "import socket, urllib.request\n"
    "for go in (lambda: socket.create_connection(('192.0.2.1', 80), 1), lambda: socket.getaddrinfo('example.org', 80),\n"
    "           lambda: urllib.request.urlopen('http://example.org', timeout=1)):\n"
    "    try: go()\n"
    "    except Exception as error: print('offline' in str(error))\n"
)


def test_whoever_tries_is_refused_and_noted_in_children_too(tmp_path, tally):
    notes = tmp_path / "notes"
    environment = {**ENVIRONMENT, sitecustomize.NOTES: str(notes)}
    done = subprocess.run([sys.executable, "-c", TRY], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 3
    tally("offline: attempts to leave the machine", 3, lost=3 - len(notes.read_text().splitlines()))
    assert len(notes.read_text().splitlines()) == 3


def test_here_too_and_loopback_is_free(monkeypatch, tmp_path):
    monkeypatch.setenv(sitecustomize.NOTES, str(tmp_path / "notes"))
    with pytest.raises(ConnectionRefusedError, match="tests are offline"):
        socket.getaddrinfo("example.org", 80)
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", True), ("192.0.2.1", False), ("example.org", False)],
)
def test_what_is_local(host, local):
    assert sitecustomize.is_local(host) == local


def test_verbs_work_on_a_machine_without_a_network(tuned, tmp_path, tally):
    """In a network namespace of its own, where there is not even loopback, and nothing in the process refuses anything."""
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("a machine without a network is made by a namespace, which this system does not allow")
    tuned.save(tmp_path / "bundle")
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2] / "src")
    words = (
        "sample",
        tmp_path / "bundle",
        "--fault",
        "overdischarge",
        "--peak-deviation-volt",
        "0.5",
        "--out",
        tmp_path / "set",
    )
    verbs = [words, ("show", tmp_path / "set"), ("doctor", "--json")]
    for words in verbs:
        command = ["unshare", "-rn", sys.executable, "-m", "faultcell", *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode in ((0, 1) if words[0] == "doctor" else (0,)), done.stderr
        if words[0] == "doctor":
            assert json.loads(done.stdout)
    tally("offline: verbs without a network", len(verbs))
