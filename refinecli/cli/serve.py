"""`refinecli serve`."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.bad_lines import check_lines
from refinecli.cli.ending import conclude
from refinecli.cli.file_checks import check_files
from refinecli.cli.job import reporter_of
from refinecli.cli.options import InputOptions, ModelOptions, OutputOptions, rubric_of, takes
from refinecli.cli.run_cache import cache_for
from refinecli.errors import UsageError
from refinecli.models.traffic import traffic_words

if TYPE_CHECKING:
    from refinecli.display.reporter import Reporter
    from refinecli.reward.server.rows import Rows
    from refinecli.reward.server.service import Ungraded
    from refinecli.runs.lifecycle import Ended, Started
    from refinecli.runs.run import Input
    from refinecli.runs.run_cache import RunCache
    from refinecli.settings.load import Settings
    from refinecli.types import JSONObject

TOKEN = "REFINECLI_SERVE_TOKEN"  # the variable; a token is in no flag, file or log
# Each connection of a trainer is an open file, and a batch may be thousands.
_OPEN_FILES = 16_384
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServeOptions(ModelOptions):
    """The models that grade, and the ways of asking."""

    max_calls: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            rich_help_panel="Run",
            help="Send N requests at most, then answer 503.",
        ),
    ] = None
    max_total_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            rich_help_panel="Run",
            help="Use N tokens at most, then answer 503.",
        ),
    ] = None
    max_cost: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0,
            rich_help_panel="Run",
            help="Spend X at most, by the roles' input_price and output_price, then answer 503.",
        ),
    ] = None
    keep_going: bool = field(init=False, default=False)
    restart: bool = field(init=False, default=False)
    dry_run: bool = field(init=False, default=False)
    max_errors: str | None = field(init=False, default="100%")  # a request is asked again


@takes(models=ServeOptions)
def serve(
    models: ServeOptions,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A JSONL file of datapoints, whose ids are the labels of requests.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen; for other machines 0.0.0.0, with a token in "
            "REFINECLI_SERVE_TOKEN.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Which port; 0 takes a free one.")
    ] = 8700,
    ungraded: Annotated[
        str,
        typer.Option(
            metavar="hold|error|VALUE",
            help="For a response that stays ungraded: hold the request and ask again, answer 503 "
            "at once, or reward it with VALUE.",
        ),
    ] = "hold",
) -> int:
    """Serve the rubric as a reward to the trainers of all ranks and machines, over HTTP.

    One process owns pace, budget, cache and de-duplication.

    \b
    refinecli serve train.jsonl --grader-model GRADER --cache replies.db
    refinecli serve train.jsonl --host 0.0.0.0 --max-cost 50
    curl -d @datapoint.json http://127.0.0.1:8700/grade
    """
    from refinecli.models.engine import check_endpoints
    from refinecli.reward.server.rows import Rows

    settings = models.settings()
    if models.show_config:
        from refinecli.cli.show_config import show_config

        return show_config(settings, ("grader",))
    policy, address = _policy(ungraded), _Address(host, port, _token(host))
    rubric = rubric_of(models)
    rows = _input(data, rubric, settings)
    cache = cache_for(models)
    try:
        check_files(InputOptions(data), OutputOptions(), models)
        roles = _roles(rows, rubric, settings)
        check_endpoints(settings, roles, offline=models.offline)
        serving = _Serving(settings, Rows(rows, rubric), policy, address, roles, cache)
        return _run(serving, rows, rubric, models)
    finally:
        if cache is not None:
            cache.end(2, whole=False, locked=False)


def _policy(text: str) -> Ungraded:
    if text in ("hold", "error"):
        return "hold" if text == "hold" else "error"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"--ungraded {text}: must be hold, error or a number", "hold is usual")
    return value


def _token(host: str) -> str:
    token = os.environ.get(TOKEN, "").strip()
    if not token and host not in _LOOPBACK:
        raise UsageError(
            f"--host {host}: other machines can reach it, and there is no token",
            f'export {TOKEN}="$(openssl rand -hex 16)", and give the trainer the same',
        )
    return token


def _input(data: str | None, rubric: Sequence[JSONObject], settings: Settings) -> Input | None:
    from refinecli.data.sources import Source
    from refinecli.runs.run import Input

    if data is None:
        return None
    source = Source(data, most=settings.run.line_bytes)
    if not source.rereadable:
        raise UsageError(f"{source.name}: must be a file", "DATA is read before anyone asks")
    return Input(source, rubric)


def _roles(rows: Input | None, rubric: Sequence[JSONObject], settings: Settings) -> Sequence[str]:
    """Return the roles to ask: nobody where code grades all of DATA and no grader is named."""
    asks_grader = any(item.get("check") is None for item in rubric)
    if rows is not None:
        asks_grader |= check_lines(rows, keep_going=False).asks_grader
    from refinecli.api.given import is_set
    from refinecli.settings.roles import chain

    named = any(is_set(role, settings) for role in chain("grader")) or settings.jury
    return ("grader",) if rows is None or asks_grader or named else ()


# ------------------------------------------------------------------ running


@dataclass(frozen=True)
class _Address:
    host: str
    port: int
    token: str


@dataclass(frozen=True)
class _Serving:
    """A server before it starts: its rows, its graders, and where it listens."""

    settings: Settings
    rows: Rows
    ungraded: Ungraded
    address: _Address
    roles: Sequence[str]
    cache: RunCache | None

    async def until_stopped(self, started: Started, reporter: Reporter) -> None:
        """Serve until a signal comes, and then answer what is in flight."""
        from refinecli.models.engine import allow_open_files
        from refinecli.reward.server.service import Service
        from refinecli.reward.server.web import listening

        allow_open_files(_OPEN_FILES)
        service = Service(
            started,
            self.settings,
            self.rows,
            self.ungraded,
            has_grader=bool(self.roles),
            forget=self._forget,
            notice=reporter.notice,
            on_outcome=reporter.advance,
        )
        at = self.address
        most = self.settings.run.line_bytes
        async with listening(
            service,
            at.host,
            at.port,
            token=at.token,
            most_bytes=most,
            report=lambda text: print(text, file=sys.stderr, flush=True),
        ) as url:
            secured = ", with the token" if at.token else ""
            reporter.notice(f"serving {_counted(len(self.rows))} at {url}{secured}; Ctrl-C stops")
            await _stopped()
            reporter.notice("stopping: what is in flight is answered; again ends at once")

    def _forget(self) -> None:
        """Let replies without a verdict be asked for again."""
        if self.cache is not None and self.cache.calls is not None:
            self.cache.calls.runs.end(complete=False)


def _counted(rows: int) -> str:
    if not rows:
        return "what requests bring along,"
    return f"{rows:,} {'row' if rows == 1 else 'rows'}, by id,"


async def _stopped() -> None:
    """Return when the first signal comes, which cancels the task: it is the usual end."""
    import asyncio  # which the help of commands does without

    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()


def _run(
    serving: _Serving, rows: Input | None, rubric: Sequence[JSONObject], models: ServeOptions
) -> int:
    from refinecli.runs.lifecycle import Job, carry_out
    from refinecli.runs.run import place_of

    reporter = reporter_of("serve", models)
    place = place_of("serve", rows, None) if rows else {"command": "serve", "rubric": list(rubric)}
    job = Job(
        settings=serving.settings,
        roles=serving.roles,
        place={**place, "output": "-"},
        body=lambda started: serving.until_stopped(started, reporter),
        cache=serving.cache,
        summary=models.summary,
        log_requests=models.log_requests,
    )
    ended = carry_out(job, reporter)
    return conclude(ended, reporter, close=lambda: _close(ended, reporter))


def _close(ended: Ended, reporter: Reporter) -> bool:
    """Say what the server did; there is no gate to miss."""
    summary = ended.summary
    traffic = traffic_words(ended.traffic, summary.seconds)
    reporter.notice(f"serve: {summary.counts}; {traffic}")
    for line in summary.notices:
        reporter.notice(line)
    return False
