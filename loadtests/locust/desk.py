"""The web UI's side: a person picks target, protocol and load in Locust's start form; each start loads what was picked."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import locust.stats
from flask import Response, jsonify, request
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.web import WebUI

from serveoff import storage
from serveoff.errors import UsageError
from serveoff.registry import PROFILES
from serveoff.results import CellJob, ProfileChoice

from .. import handover
from ..profiles import Option, Profile, Search, resolve
from . import live_stats
from .recorder import Recorder
from .users import LoadUser, Session

_DRESS = {
    "<title>Locust</title>": "<title>serveoff load test</title>"
    "<style>.MuiFormControl-root:has(> .MuiInputBase-root > input[name=host]) { display: none }</style>",
    '"missing_host_warning": true': '"missing_host_warning": false',
    "</body>": f"<script>{Path(__file__).with_suffix('.js').read_text()}</script></body>",
}
"""Locust has hooks for tables and charts, none for the title or the form. What is not found in its page is left as it is."""


class DeskUser(LoadUser):
    abstract = False


class Desk:
    """The jobs that can be picked, by (target, protocol)."""

    def __init__(self, file: Path) -> None:
        self._directory = file.parent
        self.jobs = {(job.target.id, job.protocol): job for job in storage.read(file, handover.Desk).jobs}
        self.profiles: Mapping[str, Profile] = {n: p for n, p in PROFILES.all().items() if not isinstance(p, Search)}

    def options(self) -> dict[str, Option]:
        """What the start form asks for beside Locust's own fields: the options of all profiles, each name once."""
        found: dict[str, Option] = {}
        for option in (o for profile in self.profiles.values() for o in profile.options if o.in_form):
            found.setdefault(option.name, option)
        return found

    def job(self, picked: Mapping[str, Any]) -> tuple[CellJob, ProfileChoice]:
        """The job and the profile that somebody picked. Raises UsageError when they do not go together."""
        key = (str(picked["target"]), str(picked["protocol"]))
        if key not in self.jobs:
            spoken = ", ".join(protocol for target, protocol in self.jobs if target == key[0])
            raise UsageError(f"{key[0]} does not speak {key[1]}; it speaks {spoken or 'nothing, as there is no such target'}")
        name = str(picked["load_profile"])
        mine = {o.name for o in PROFILES.load(name).options if o.in_form}
        try:
            choice = ProfileChoice(name=name, options={option: float(picked[option]) for option in mine})
        except ValueError as error:
            raise UsageError(f"profile {name!r}: {error}") from None
        resolve(choice)
        return self.jobs[key], choice

    def session(self, picked: Mapping[str, Any]) -> Session:
        job, choice = self.job(picked)
        payloads = handover.unpack(self._directory / job.payloads, handover.Payloads)
        return Session(job, payloads, resolve(choice), Recorder(keep=False))


def prepare(file: Path) -> type[LoadUser]:
    """The user class of the web UI, with everything it needs registered with Locust."""
    desk = Desk(file)
    live_stats.install()

    def on_parser(parser: LocustArgumentParser) -> None:
        targets, protocols = (list(dict.fromkeys(key[i] for key in desk.jobs)) for i in (0, 1))
        parser.add_argument("--target", choices=targets, default=targets[0], help="which of the running ones")
        parser.add_argument("--protocol", choices=protocols, default=protocols[0], help="how to talk to it")
        summaries = "; ".join(f"{name}: {profile.summary}" for name, profile in desk.profiles.items())
        parser.add_argument("--load-profile", choices=list(desk.profiles), default="closed", help=summaries)
        for option in desk.options().values():
            users = [name for name, profile in desk.profiles.items() if option.name in {o.name for o in profile.options}]
            about = f"{option.unit}, for the profile {', '.join(users)}"
            parser.add_argument(f"--{option.name.replace('_', '-')}", type=float, default=float(option.default), help=about)

    def on_start(environment: Environment, **_: Any) -> None:
        assert environment.parsed_options is not None
        old = getattr(DeskUser, "session", None)
        if old is not None:
            old.close()
        DeskUser.session = desk.session(vars(environment.parsed_options))
        DeskUser.session.begin(endless=True)

    def on_init(environment: Environment, web_ui: WebUI | None, **_: Any) -> None:
        if web_ui is not None:
            _dress(web_ui, environment, desk)

    for event, listener in (
        (events.init_command_line_parser, on_parser),
        (events.test_start, on_start),
        (events.init, on_init),
    ):
        event.add_listener(listener)  # type: ignore[no-untyped-call]
    return DeskUser


def _dress(web_ui: WebUI, environment: Environment, desk: Desk) -> None:
    """Our title and form, our figures in the CSV downloads, and a start that cannot work is refused with a reason."""
    assert web_ui.app is not None
    web_ui.app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}  # the form shows the fields in the order in which we ask
    web_ui.stats_csv_writer = live_stats.PreciseCSV(environment, locust.stats.PERCENTILES_TO_REPORT)

    def refuse() -> Response | None:
        if request.path != "/swarm":
            return None
        options: Namespace | None = environment.parsed_options
        try:
            desk.job({**vars(options or Namespace()), **request.form.to_dict()})
        except UsageError as error:
            return jsonify({"success": False, "message": " ".join(filter(None, (error.message, error.hint))), "host": environment.host})
        return None

    def dress(response: Response) -> Response:
        if request.path == "/" and response.mimetype == "text/html":
            page = response.get_data(as_text=True)
            for plain, ours in _DRESS.items():
                page = page.replace(plain, ours)
            response.set_data(page)
        return response

    web_ui.app.before_request(refuse)
    web_ui.app.after_request(dress)
