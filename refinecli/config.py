"""Flags, `--set`, environment, config file, defaults -> Settings, and where each value came from.

    flag > --set section.key=value > REFINECLI_SECTION__KEY > --config FILE > default

Pure: it is handed the environment and reads only the files that it is told to. A key is never a
setting: settings hold the name of the environment variable it is in.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from refinecli.errors import UsageError
from refinecli.prompts import Prompts
from refinecli.types import JSONObject

OPENAI = "https://api.openai.com/v1"
_PREFIX = "REFINECLI_"
# Where these stand in a header's name, its value is a secret, and secrets are not written in files.
_SECRET_WORDS = ("authorization", "api-key", "apikey", "token", "secret", "cookie", "password")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


Positive = Annotated[int, Field(ge=1)]


class RoleConfig(_Section):
    """One role as it is written down; what is not set comes from the role it falls back to."""

    model: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    api_key_header: str | None = None
    headers: dict[str, str] = {}
    extra_body: JSONObject = {}
    system: str | None = None
    temperature: Annotated[float, Field(ge=0)] | Literal["default"] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Positive | None = None
    timeout: Annotated[float, Field(gt=0)] | None = None
    retries: Annotated[int, Field(ge=0)] | None = None

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if any(word in name.lower() for word in _SECRET_WORDS):
                raise ValueError(
                    f"{name} holds a secret: name its variable in api_key_env, "
                    f'and set api_key_header = "{name}"'
                )
        return headers

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an http:// or https:// URL")
        if parts.username or parts.password:
            raise ValueError("a URL must not hold a password: use api_key_env")
        return url


class RefineConfig(_Section):
    """`[refine]`: how far to go."""

    max_iterations: Annotated[int, Field(ge=0)] = 3
    drafts: Positive = 1
    threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None


class RunConfig(_Section):
    """`[run]`: what does not shape results, and the seed."""

    concurrency: Positive = 64
    max_calls: Annotated[int, Field(ge=0)] | None = None
    max_errors: str = "0"
    seed: int | None = None

    @field_validator("max_errors")
    @classmethod
    def _count_or_percent(cls, text: str) -> str:
        number = text.removesuffix("%")
        if not number.replace(".", "", 1).isdigit() or ("." in number and not text.endswith("%")):
            raise ValueError("a count such as 3, or a share such as 1%")
        return text

    def errors_allowed(self, datapoints: int) -> float:
        """How many of so many datapoints may fail or stay ungraded."""
        number = float(self.max_errors.removesuffix("%"))
        return number / 100 * datapoints if self.max_errors.endswith("%") else number


class PromptConfig(_Section):
    """`[prompts]`: files that replace the templates of `prompts.py`."""

    grader_system: Path | None = None
    grader: Path | None = None
    grader_retry: Path | None = None
    rewrite: Path | None = None


class Config(_Section):
    """Everything that can be set."""

    policy: RoleConfig = RoleConfig()
    reviser: RoleConfig = RoleConfig()
    grader: RoleConfig = RoleConfig()
    refine: RefineConfig = RefineConfig()
    run: RunConfig = RunConfig()
    prompts: PromptConfig = PromptConfig()


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """One role, resolved. Exactly one of `base_url` and `weights` is set; `weights` is what
    `--model` said (`local` or a path) and is served by the embedded server. `model` is None where
    the endpoint has to be asked for its only one."""

    name: str
    model: str | None
    base_url: str | None
    weights: str | None
    api_key_env: str | None
    api_key_header: str
    headers: Mapping[str, str]
    extra_body: JSONObject
    system: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    timeout: float
    retries: int


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one run; `sources` says of each `section.key` where it came from."""

    policy: RoleSettings
    reviser: RoleSettings
    grader: RoleSettings
    refine: RefineConfig
    run: RunConfig
    prompts: Prompts
    sources: Mapping[str, str]

    @property
    def roles(self) -> tuple[RoleSettings, RoleSettings, RoleSettings]:
        return self.policy, self.reviser, self.grader


def load(
    flags: Mapping[str, object],
    sets: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    path: Path | None = None,
) -> Settings:
    """Settle every value. `flags` maps `section.key` to a value, None where the flag was not given.

    Raises UsageError naming the flag, variable or file that is wrong.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, dotted, value in _layers(flags, sets, environ, path):
        keys = dotted.split(".")
        _put(merged, keys, value, source)
        sources[".".join(keys[:2])] = source
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        raise _usage_error(error, sources) from None

    def role(name: str, own: RoleConfig) -> RoleSettings:
        source = sources.get(f"{name}.base_url") or sources.get("policy.base_url", "")
        merged = own
        if name != "policy":
            merged = _inherited(own, config.policy, speech=name == "reviser")
        return _resolved(name, merged, source, environ)

    return Settings(
        policy=role("policy", config.policy),
        reviser=role("reviser", config.reviser),
        grader=role("grader", config.grader),
        refine=config.refine,
        run=config.run,
        prompts=_prompts(config.prompts, path, sources),
        sources=sources,
    )


# ------------------------------------------------------------------ the layers, lowest first


def _layers(
    flags: Mapping[str, object],
    sets: Sequence[str],
    environ: Mapping[str, str],
    path: Path | None,
) -> Iterator[tuple[str, str, Any]]:
    """(where from, dotted name, value), the one that wins last."""
    for section, table in (_read(path) if path else {}).items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {section} is not a section", f"write [{section}]")
        for key, value in table.items():
            yield str(path), f"{section}.{key}", value
    for name, text in sorted(environ.items()):
        if name.startswith(_PREFIX) and "__" in name:
            dotted = name.removeprefix(_PREFIX).lower().replace("__", ".")
            yield f"environment {name}", dotted, _toml_value(text)
    for assignment in sets:
        dotted, equals, text = assignment.partition("=")
        if not equals or "." not in dotted:
            raise UsageError(
                f"--set {assignment}: expected section.key=value",
                "for example --set policy.temperature=0.7",
            )
        yield f"--set {dotted}", dotted.strip(), _toml_value(text)
    for dotted, value in flags.items():
        if value is not None:
            yield _flag(dotted), dotted, value


def _flag(dotted: str) -> str:
    section, key = dotted.split(".")
    name = f"grader-{key}" if section == "grader" else key
    return "--" + name.replace("_", "-")


def _read(path: Path) -> JSONObject:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}", "the file is TOML; configs/ has examples") from None


def _toml_value(text: str) -> object:
    """`0.5`, `true`, `[1, 2]` or `{a = 1}` as TOML reads them; anything else is text."""
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text
    return value if isinstance(value, bool | int | float | str | list | dict) else text


def _put(tree: dict[str, Any], keys: Sequence[str], value: Any, source: str) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise UsageError(f"{source}: {key} is a value, not a section")
    if isinstance(value, dict) and isinstance(tree.get(keys[-1]), dict):
        tree[keys[-1]] = {**tree[keys[-1]], **value}
    else:
        tree[keys[-1]] = value


def _usage_error(error: ValidationError, sources: Mapping[str, str]) -> UsageError:
    detail = error.errors(include_url=False, include_context=False)[0]
    loc = [str(part) for part in detail["loc"]]
    dotted = ".".join(loc[:2])
    source = sources.get(dotted) or next(
        (s for name, s in sources.items() if name.startswith(loc[0] + ".")), "config"
    )
    if detail["type"] == "extra_forbidden":
        known = list(Config.model_fields)
        if len(loc) > 1:
            section = Config.model_fields[loc[0]].annotation
            assert isinstance(section, type)
            assert issubclass(section, BaseModel)
            known = list(section.model_fields)
        close = difflib.get_close_matches(loc[-1], known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        return UsageError(f"{source}: there is no setting {'.'.join(loc)}", hint)
    message = detail["msg"].removeprefix("Value error, ")
    return UsageError(f"{source}: {dotted}: {message[:1].lower()}{message[1:]}")


# ------------------------------------------------------------------ roles


def is_weights(model: str | None) -> bool:
    """Whether a model's name means the embedded server: `local`, or a GGUF file."""
    return model == "local" or (model is not None and model.endswith(".gguf"))


def _inherited(own: RoleConfig, policy: RoleConfig, *, speech: bool) -> RoleConfig:
    """A role with what it takes over from the policy where it says nothing itself.

    A role with its own `base_url` takes over no key name, headers or extra_body, so that none goes
    to a host it was not meant for. Where to ask is taken over; how to speak (`system` and sampling)
    only with `speech`: a grader is not the writer in another place.
    """
    kept = {"timeout", "retries"}
    if not (own.base_url or is_weights(own.model)):
        kept |= {"base_url", "api_key_env", "api_key_header", "headers", "extra_body"}
    if policy.base_url or not (own.base_url and is_weights(policy.model)):
        kept |= {"model"}
    if speech:
        kept |= {"system", "temperature", "top_p", "max_tokens"}
    above, below = policy.model_dump(include=kept), own.model_dump(exclude_unset=True)
    for table in ("headers", "extra_body"):
        if table in above and table in below:
            below[table] = {**above[table], **below[table]}
    return RoleConfig.model_validate({**above, **below})


def _resolved(
    name: str, role: RoleConfig, url_source: str, environ: Mapping[str, str]
) -> RoleSettings:
    model, base_url, weights = role.model, role.base_url, None
    if base_url is None and (model is None or is_weights(model)):
        model, weights = None, model or "local"
    elif base_url is None:
        base_url = environ.get("OPENAI_BASE_URL") or OPENAI
    temperature = role.temperature
    if temperature is None and name == "grader":
        temperature = 0.0
    return RoleSettings(
        name=name,
        model=model,
        base_url=base_url,
        weights=weights,
        api_key_env=role.api_key_env or _default_key(base_url, url_source, environ),
        api_key_header=role.api_key_header or "Authorization",
        headers=role.headers,
        extra_body=role.extra_body,
        system=role.system,
        temperature=None if temperature == "default" else temperature,
        top_p=role.top_p,
        max_tokens=role.max_tokens,
        timeout=role.timeout or 600.0,
        retries=5 if role.retries is None else role.retries,
    )


def _default_key(base_url: str | None, url_source: str, environ: Mapping[str, str]) -> str | None:
    """OPENAI_API_KEY, but only for OpenAI, OPENAI_BASE_URL and what the command line named."""
    if base_url is None:
        return None
    if urlsplit(base_url).hostname == urlsplit(OPENAI).hostname:
        return "OPENAI_API_KEY"
    named = base_url == environ.get("OPENAI_BASE_URL") or url_source.startswith("--")
    return "OPENAI_API_KEY" if named and environ.get("OPENAI_API_KEY") else None


def _prompts(config: PromptConfig, path: Path | None, sources: Mapping[str, str]) -> Prompts:
    texts = {}
    for key, file in config:
        if file is None:
            continue
        source = sources[f"prompts.{key}"]
        # A path in a config file is meant from there; one given otherwise, from where we are.
        full = path.parent / file if path and source == str(path) else file
        try:
            texts[key] = full.read_text("utf-8").rstrip("\n")
        except (OSError, ValueError) as error:
            raise UsageError(f"{source}: prompts.{key}: {full}: {error}") from None
    try:
        return Prompts(**texts)
    except ValueError as error:
        raise UsageError(f"prompts.{error}", "README, 'Prompts', lists the placeholders") from None
