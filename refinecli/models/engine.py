"""From settings to completers that answer, for the length of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict
from functools import partial
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from refinecli.data.output_lines import Provenance
from refinecli.errors import RunError, UsageError, option
from refinecli.grading.verdict import GradeOptions
from refinecli.models.budget import Amount, Limits
from refinecli.models.resolve import LOCAL_SLOTS, Resolver
from refinecli.models.role_completers import Lazy, RoleCompleters
from refinecli.models.shaped_by import shaped_by
from refinecli.models.wrappers import Jury, Routed
from refinecli.settings.load import Settings
from refinecli.settings.roles import FETCHING, RoleSettings
from refinecli.settings.urls import shown_url
from refinecli.stats.wording import plural
from refinecli.text.json_text import digest
from refinecli.types import (
    ROLES,
    Completer,
    Completion,
    Datapoint,
    Draw,
    JSONObject,
    Message,
    Roles,
    Usable,
    Wants,
    classifier_in,
    role_traits,
)

if TYPE_CHECKING:
    from refinecli.models.attempt import RequestLog
    from refinecli.models.batch.waves import Waves
    from refinecli.models.cache.store import CallCache
    from refinecli.models.endpoint import Log
    from refinecli.models.function import FunctionModel
    from refinecli.models.http import HttpClient
    from refinecli.models.leases import Leases

_OTHER_FILES = 64  # open at the same time: the cache, the input, the output, modules


class Engine(NamedTuple):
    """The roles' completers of a run, their limits, and their models. `shaping` is all that shapes
    results; `failed_once` says whether the run came to a row before, in vain. Where an outage does
    not end the process, `resume` lets requests be sent again after a RunError; `stop` ends all
    sending with one, and what is in flight finishes."""

    roles: Roles
    limits: Limits
    made_with: Provenance
    shaping: JSONObject
    failed_once: Callable[[Datapoint], bool]
    resume: Callable[[], None] = lambda: None
    stop: Callable[[RunError], None] = lambda error: None


def check_endpoints(settings: Settings, names: Iterable[str], *, offline: bool = False) -> None:
    """Find what is missing (weights, keys, prices) before anything is read or started."""
    from refinecli.models.request import api_key

    for role in (*settings.asked(tuple(names)), *settings.classifiers.values()):
        if role.weights and classifier_in(role.name):
            continue  # its settings have checked it
        if role.weights:
            from refinecli.models.local.server import find_weights

            find_weights(role.weights, to_run=not offline)
        elif not offline:
            api_key(role)
        if settings.run.max_cost is not None and not role.has_prices:
            raise UsageError(
                f"{option('max_cost')}: the prices of the {role.name}'s model are not known",
                f"set both, for a million tokens: {option(f'{role.name}.input_price', '…')} "
                f"{option(f'{role.name}.output_price', '…')}",
            )


@asynccontextmanager
async def open_engine(
    settings: Settings,
    names: Sequence[str],
    shapes: JSONObject,
    log: Log,
    calls: CallCache | None = None,
    log_request: RequestLog | None = None,
    functions: Mapping[str, FunctionModel] = MappingProxyType({}),
    lazily: bool = False,
    waves: Waves | None = None,
    leases: Leases | None = None,
) -> AsyncIterator[Engine]:
    """Provide completers for the named roles, for as long as the block lasts.

    `shapes` is what else shapes results, for the digest. Says in the log which model and endpoint
    each role uses. With an offline cache nothing is started and nobody is asked. `functions`
    answer for the roles of these names. Opened `lazily`, a role is started and asked for its model
    when it is first called, and the digest is of what is known before. With `waves` nothing is
    sent: replies come from files. With `leases` other processes share the limits.
    """
    roles = {role.name: role for role in settings.asked(names)}
    asked = [role for role in roles.values() if role.name not in functions]
    more = leases.amount if leases else None
    limits = Limits(_concurrency(settings, asked, lazily, log), budget_of(settings), more)
    answering = _Answering({}, {})
    async with AsyncExitStack() as stack:
        if roles or settings.classifiers:  # else nobody is asked, and no HTTP client imported
            client = _client([*asked, *settings.classifiers.values()])
            stack.push_async_callback(client.aclose)
            chats = _Chats(client, limits, log, calls, log_request, waves, leases)
            answering = await chats.answering(settings, roles, functions, stack, lazily=lazily)
        settled = answering.settled
        warnings = settings.warnings if "grader" in names else ()
        for line in (*_described(settled), *warnings):
            log.notice(line)
        shaping = shaping_of(settings, settled, shapes)
        yield Engine(
            roles=_roles(answering.completers),
            limits=limits,
            made_with=Provenance(
                {
                    **(_models(settled) or _named_grader(settings)),
                    **_named_classifiers(settings),
                },
                digest(shaping),
                shaped_by(shaping, settled),
            ),
            shaping=shaping,
            failed_once=calls.runs.failed_once if calls else lambda datapoint: False,
            resume=answering.resume,
            stop=answering.stop,
        )


class _Answering(NamedTuple):
    """All who answer in a run: completers by role, the roles that ask an endpoint as they were
    resolved, and the Engine's `resume` and `stop`."""

    completers: Mapping[str, Completer]
    settled: Mapping[str, RoleSettings]
    resume: Callable[[], None] = lambda: None
    stop: Callable[[RunError], None] = lambda error: None


class _Chats(NamedTuple):
    """The parts that all chats of a run share."""

    client: HttpClient
    limits: Limits
    log: Log
    calls: CallCache | None
    log_request: RequestLog | None
    waves: Waves | None
    leases: Leases | None

    async def answering(
        self,
        settings: Settings,
        roles: Mapping[str, RoleSettings],
        functions: Mapping[str, FunctionModel],
        stack: AsyncExitStack,
        *,
        lazily: bool,
    ) -> _Answering:
        """Return a completer for each role, and for the classifiers next to the graders."""
        from refinecli.models.chat import Chat

        log, limits, calls = self.log, self.limits, self.calls
        sending = (self.log_request, self.waves, self.leases)
        chat = Chat(self.client, limits, log, calls, *sending)
        resolve = Resolver(self.client, stack, calls, log, chat.ending.pause)
        jury = Jury(sum(role.is_juror for role in roles.values()), chat.ending, log)
        making = RoleCompleters(settings, chat, resolve, jury, limits, log, functions, {})
        completers: dict[str, Completer] = {
            name: Lazy(partial(making.make, role)) if lazily else await making.make(role)
            for name, role in roles.items()
        }
        classifiers: dict[str, Completer] = {}
        if settings.classifiers:
            from refinecli.models.classifiers import Classifiers

            asking = (chat, self.client, stack, calls, self.log_request)
            classifiers = Classifiers(settings.classifiers, *asking).completers()
        _put_next_to_graders(classifiers, completers, settings)
        return _Answering(completers, making.settled, chat.resume, chat.ending.end)


def _put_next_to_graders(
    classifiers: dict[str, Completer], completers: dict[str, Completer], settings: Settings
) -> None:
    """Let the classifiers answer where an item names one, whoever is asked to grade."""
    if classifiers:  # they may grade all that there is
        completers.setdefault("grader", _nobody)
    for name in completers.keys() & {"grader", "judge", *(one.name for one in settings.jury)}:
        completers[name] = Routed(completers[name], classifiers)


def _roles(completers: Mapping[str, Completer]) -> Roles:
    """Return the roles; the grader fills the place of one that the command does not use, and is not
    asked."""
    grader = completers.get("grader", _nobody)
    unused = {name: grader for name, traits in ROLES.items() if not traits.optional}
    return Roles(
        **{**unused, **{name: one for name, one in completers.items() if name in ROLES}},
        jury={name: one for name, one in completers.items() if name not in ROLES},
    )


async def _nobody(
    messages: Sequence[Message],
    draw: Draw,
    usable: Usable | None = None,
    wants: Wants | None = None,
) -> Completion:
    raise AssertionError(f"the {draw.role} of this run was to be asked nothing")


def budget_of(settings: Settings) -> Amount:
    """Return all that a run may spend."""
    run = settings.run
    most = (run.max_calls, run.max_total_tokens, run.max_cost)
    return Amount(*(inf if amount is None else amount for amount in most))


def _concurrency(settings: Settings, asked: Sequence[RoleSettings], lazily: bool, log: Log) -> int:
    """Return how many requests may be in flight: no more than the embedded server or the system
    can take. Lazily, the server counts only where there is nobody else to ask."""
    most = settings.run.concurrency
    local = [bool(role.weights) for role in asked]
    if local and (all(local) if lazily else any(local)):
        most = min(most, LOCAL_SLOTS)
    if (allowed := allow_open_files(most + _OTHER_FILES)) < most + _OTHER_FILES:
        most = max(1, int(allowed) - _OTHER_FILES)
        log.notice(
            f"at most {plural(most, 'request')} in flight, since {allowed:g} files may be open "
            "(`ulimit -n` says how many)"
        )
    return most


def _client(asked: Sequence[RoleSettings]) -> HttpClient:
    from refinecli.models.http import HttpClient

    schemes = {urlsplit(role.base_url or "").scheme for role in asked}
    try:
        return HttpClient(tls="https" in schemes)
    except OSError as error:
        raise UsageError(
            f"the trusted certificates cannot be read: {error}",
            "check the variables SSL_CERT_FILE and SSL_CERT_DIR",
        ) from None


def allow_open_files(wanted: int) -> float:
    """Ask for as many open files as are wanted, and return how many are allowed: every request in
    flight is one, and macOS allows 256 unless asked."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return inf if allowed == resource.RLIM_INFINITY else allowed


# ------------------------------------------------------------------ words


def _described(roles: Mapping[str, RoleSettings]) -> list[str]:
    """Describe each endpoint and model in a line, with the roles that use it."""
    users: dict[str, list[str]] = {}
    for role in roles.values():
        where = "embedded server" if role.weights else urlsplit(role.base_url or "").netloc
        key = f", key from {role.api_key_env}" if role.api_key_env else ""
        users.setdefault(f"{role.model} ({where}{key})", []).append(role.name)
    return [f"{', '.join(names)}: {what}" for what, names in users.items()]


def shaping_of(
    settings: Settings, roles: Mapping[str, RoleSettings], shapes: JSONObject
) -> JSONObject:
    """Return all that shapes replies, without how they are fetched or paid for. The embedded
    server's port changes every time; its weights file stands for it."""
    shaping: JSONObject = {"seed": settings.run.seed, "prompts": _prompts(settings), **shapes}
    jurors = [name for name, role in roles.items() if role.is_juror]
    if jurors:
        shaping["jury"] = jurors  # in their order, which a tie may turn on
    if jurors or "grader" in roles:
        examples = [example.model_dump() for example in settings.grade.examples]
        shaping["grade"] = {**_as_used(settings.grade), "examples": examples}
    classifiers = {role.name: role for role in settings.classifiers.values()}
    for name, role in {**roles, **classifiers}.items():
        described = {k: v for k, v in asdict(role).items() if k not in FETCHING}
        # Both may hold a secret, and everyone may see the settings of a run.
        described["headers"] = {k: digest(v) for k, v in role.headers.items()}
        base_url, query, value = (role.base_url or "").partition("?")
        described["base_url"] = f"{base_url}?{digest(value)}" if query else base_url
        if role.weights:
            described |= {"base_url": None, "weights": _weights_of(role)}
        shaping[name] = described
    return shaping


def _weights_of(role: RoleSettings) -> str | None:
    """Identify the embedded model: the released one by name, a file by all its bytes, since each
    training may write its own `model.gguf`."""
    from refinecli.models.local.server import MODEL_NAME, fingerprint

    if role.weights in (None, MODEL_NAME):
        return role.model
    if classifier_in(role.name):
        from refinecli.models.local.classifier import directory_digest

        return directory_digest(Path(role.weights))
    return f"{role.model} {fingerprint(role.weights, Path(role.weights))}"


def _as_used(options: GradeOptions) -> JSONObject:
    """Return the options without those that change nothing as they are, so that the settings'
    digest stays what it was before there were such options."""
    usual = asdict(GradeOptions())
    later = ("batch_items", "gate")
    used = {k: v for k, v in asdict(options).items() if k not in later or v != usual[k]}
    del used["prefix_lead"]  # which changes when requests are sent, and no reply
    return used


def _prompts(settings: Settings) -> JSONObject:
    """Return the templates, without those of several items where each is asked about alone."""
    unused = () if settings.grade.batch_items > 1 else ("grader_batch_system", "grader_batch")
    return {key: one for key, one in asdict(settings.prompts).items() if key not in unused}


def _named_classifiers(settings: Settings) -> dict[str, str]:
    """Name each classifier by the place where it is, and by what is in it: each training may write
    its own `rm`."""
    return {role.name: _place_of(role) for role in settings.classifiers.values()}


def _place_of(role: RoleSettings) -> str:
    if role.weights:
        from refinecli.models.local.classifier import directory_digest

        return f"{role.weights} {directory_digest(Path(role.weights))[:12]}"
    return shown_url(role.base_url or "")


def _named_grader(settings: Settings) -> dict[str, str]:
    """Name the grader of a run that, with code to grade everything, does not ask it."""
    return {role.name: role.model for role in settings.graders if role.model}


def _models(roles: Mapping[str, RoleSettings]) -> dict[str, str]:
    shown = {}
    for name, role in roles.items():
        below = roles.get(role_traits(name).fallback or "")
        if name == "grader" or below is None or below.model != role.model:
            shown[name] = role.model or ""
    return shown
