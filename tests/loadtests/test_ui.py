"""The web UI: a real Locust page, driven through the requests that its form sends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadtests import child, handover, plan, ui
from loadtests.handover import Desk, Payloads
from serveoff import process, storage
from serveoff.console import Console
from serveoff.errors import NotReadyError, UsageError
from serveoff.results import CellJob
from serveoff.selection import Selection
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import MakeTarget, ServeModel
    from .http_stand_in import HttpStandIn

pytestmark = pytest.mark.integration

A, B = "a.pytorch.onnx.float32@embedded.process", "b.keras.saved_model.float32@embedded.process"


class Page:
    """Locust's page, as a browser speaks to it."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self._url + path, timeout=10) as response:
            body: str = response.read().decode()
        return body

    def post(self, path: str, **form: str) -> Any:
        with urllib.request.urlopen(self._url + path, urllib.parse.urlencode(form).encode(), timeout=10) as response:
            return json.load(response)

    def start(self, target: str, protocol: str, **form: str) -> Any:
        return self.post("/swarm", user_count="3", spawn_rate="3", target=target, protocol=protocol, **form)

    def stats(self) -> Any:
        return json.loads(self.get("/stats/requests"))

    def wait_for(self, what: Callable[[], bool]) -> None:
        for _ in range(200):
            if what():
                return
            time.sleep(0.1)
        pytest.fail(f"this did not come true: {what}")

    def answers(self) -> bool:
        try:
            return bool(self.get("/"))
        except OSError:
            return False


@pytest.fixture
def page(http_stand_in: HttpStandIn, make_target: MakeTarget, tmp_path: Path) -> Iterator[Page]:
    """A desk with two targets; one of them speaks one protocol only. The bodies tell which was loaded."""
    jobs: list[CellJob] = []
    for target, protocol in ((A, "tfs_rest"), (A, "tfs_grpc"), (B, "tfs_rest")):
        file = f"{len(jobs)}.msgpack"
        body = f'{{"instances": [["{target}"]]}}'.encode()
        handover.pack(tmp_path / file, Payloads(transport="http", path="/ok", headers={}, bodies=(body,)))
        job = CellJob(
            target=make_target(http_stand_in.port, protocol, target),
            protocol=protocol,
            profile=plan.parse("closed"),
            plan=plan.make(),
            payloads=file,
        )
        jobs.append(job)
    storage.write(tmp_path / "desk.json", Desk(jobs=tuple(jobs)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    locust = subprocess.Popen(
        child.command("desk_locustfile.py", "--web-host", "127.0.0.1", "--web-port", str(port)),
        env=dict(child.environment(tmp_path, tmp_path / "desk.json")),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        page = Page(port)
        page.wait_for(page.answers)
        yield page
    finally:
        locust.kill()
        locust.wait()


def test_a_person_picks_target_protocol_and_load_on_the_page(page: Page, http_stand_in: HttpStandIn) -> None:
    html = page.get("/")
    assert "<title>serveoff load test</title>" in html
    assert "MutationObserver" in html
    options = json.loads(html.split("window.templateArgs = ")[1].split("\n")[0])["extra_options"]
    assert list(options) == [
        "target",
        "protocol",
        "load_profile",
        "rate_rps",
        "base_rps",
        "spike_rps",
        "spike_s",
        "start_rps",
        "end_rps",
        "steps",
    ]
    assert options["target"]["choices"] == [A, B]
    assert options["protocol"]["choices"] == ["tfs_rest", "tfs_grpc"]
    assert {"closed", "constant"} <= set(options["load_profile"]["choices"])

    assert page.start(A, "tfs_rest", load_profile="closed")["success"]
    page.wait_for(lambda: len(http_stand_in.bodies) > 20)
    assert page.post("/stop")["success"]
    assert {A.encode() in body for body in http_stand_in.bodies} == {True}
    names = {row["name"]: row for row in page.stats()["stats"]}
    assert names[f"{A} tfs_rest"]["num_failures"] == 0
    least, median, most = (names[f"{A} tfs_rest"][f"{which}_response_time"] for which in ("min", "median", "max"))
    assert 0 < least <= median <= most
    assert {type(each) for each in (least, median, most)} == {float}, "whole milliseconds would not do"

    # What is picked next counts from the next start on: another target, and an open loop.
    http_stand_in.bodies.clear()
    assert page.start(B, "tfs_rest", load_profile="constant", rate_rps="50")["success"]
    page.wait_for(lambda: len(http_stand_in.bodies) > 20)
    page.wait_for(lambda: any(row["name"] == f"{B} tfs_rest" and row["num_requests"] > 20 for row in page.stats()["stats"]))
    assert {B.encode() in body for body in http_stand_in.bodies} == {True}
    page.post("/stop")


def test_a_start_that_cannot_work_is_refused_with_the_reason(page: Page, http_stand_in: HttpStandIn) -> None:
    for form, message in (
        ({"target": B, "protocol": "tfs_grpc", "load_profile": "closed"}, f"{B} does not speak tfs_grpc; it speaks tfs_rest"),
        ({"target": A, "protocol": "tfs_rest", "load_profile": "constant", "rate_rps": "fast"}, "could not convert"),
        ({"target": A, "protocol": "tfs_rest", "load_profile": "constant", "rate_rps": "-5"}, "rate_rps is -5, allowed is 0.1 to"),
        ({"target": A, "protocol": "tfs_rest", "load_profile": "constnat"}, "did you mean 'constant'?"),
    ):
        answer = page.start(**form)
        assert not answer["success"]
        assert message in answer["message"]
    assert http_stand_in.bodies == []


def test_the_command_shows_the_page_and_ctrl_c_ends_everything(model_workspace: Workspace, serve_model: ServeModel) -> None:
    serve_model("good")
    serve_model("wrong")
    command = subprocess.Popen(
        [sys.executable, "-m", "serveoff", "ui", "--port", "0"],
        env={**os.environ, "SERVEOFF_WORKSPACE": str(model_workspace.root)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert command.stderr is not None
        assert "sums.pytorch.onnx.float32@wrong.process over tfs_rest gives wrong answers" in command.stderr.readline()
        line = command.stderr.readline()
        page = Page(int(line.split("http://127.0.0.1:")[1].split()[0]))
        page.wait_for(page.answers)
        command.send_signal(signal.SIGINT)
        assert command.wait(timeout=30) == 0
        assert not page.answers()
        assert process.owned(model_workspace.root) == []
    finally:
        command.kill()
        command.wait()
        if command.stderr is not None:
            command.stderr.close()


def test_nothing_to_load_and_a_port_in_use(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="nothing is being served"):
        ui.ui(Selection(), Workspace(tmp_path), Console(quiet=True), 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} cannot be used"):
            ui.ui(Selection(), Workspace(tmp_path), Console(quiet=True), port)
