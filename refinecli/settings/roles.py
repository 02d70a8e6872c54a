"""Settle one role: its settings, what it inherits from another, and where its key goes."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from refinecli.errors import UsageError, option
from refinecli.settings.secrets import names_a_secret
from refinecli.settings.sources import Given, Source
from refinecli.settings.urls import checked_url
from refinecli.types import JSONObject, juror_in, role_traits

# The ways of fetching and paying; everything else about a role may change the replies.
FETCHING = frozenset(
    {
        *("timeout", "retries", "api_key_env", "api_key_header"),
        *("rpm", "tpm", "input_price", "output_price"),
    }
)

OPENAI = "https://api.openai.com/v1"


class RoleConfig(BaseModel):
    """One role as written down; what is not set comes from the role it falls back to."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True
    )

    model: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    api_key_header: str | None = None
    headers: dict[str, str] = {}
    extra_body: JSONObject = {}
    system: str | None = None
    temperature: Annotated[float, Field(ge=0)] | Literal["default"] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    timeout: Annotated[float, Field(gt=0)] | None = None
    retries: Annotated[int, Field(ge=0)] | None = None
    rpm: Annotated[float, Field(ge=0.001)] | None = None
    tpm: Annotated[float, Field(ge=0.001)] | None = None
    input_price: Annotated[float, Field(ge=0)] | None = None
    output_price: Annotated[float, Field(ge=0)] | None = None

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if names_a_secret(name):
                raise ValueError(
                    f"{name} holds a secret: name its variable in api_key_env, "
                    f'and set api_key_header = "{name}"'
                )
        return headers

    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("must name an environment variable, not hold the key itself")
        return name

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        return None if url is None else checked_url(url)


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """One role, resolved.

    Exactly one of `base_url` and `weights` is set; `weights` is the value of `--model` (`local` or
    a path), served by the embedded server. `model` is None where the endpoint has to be asked for
    its only one.
    """

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
    # Requests and tokens a minute that the provider allows; None where unknown.
    rpm: float | None = None
    tpm: float | None = None
    # For a million tokens, in any currency; None where unknown.
    input_price: float | None = None
    output_price: float | None = None

    @property
    def has_prices(self) -> bool:
        return self.input_price is not None

    @property
    def is_juror(self) -> bool:
        return juror_in(self.name) is not None

    def at(self, weights: str | None) -> Self:
        """Return the role as one that is served from files here."""
        return replace(self, base_url=None, weights=weights, api_key_env=None)

    def asks_the_same(self, other: Self) -> bool:
        """Return True where both are the same model, asked in the same way."""
        return all(
            getattr(self, field.name) == getattr(other, field.name)
            for field in fields(self)
            if field.name not in FETCHING | {"name"}
        )


def chain(name: str) -> Iterator[str]:
    """Yield the role, its fallback, and the fallback's."""
    place: str | None = name
    while place:
        yield place
        place = role_traits(place).fallback


def how_to_name(role: str) -> str:
    """Mention the option that names a role's model."""
    options = {"policy": "model", "reviser": "model", "grader": "grader_model"}
    return option(options.get(role, f"{role}.model"), "NAME")


def later_place_wins(name: str, role: object, given: Given) -> None:
    """Forget the settings of an endpoint that a higher source overruled.

    A role's model and its URL say where it is asked. If one source says `local` and another a URL,
    the higher source wins. The name of a weights file next to a URL is that of a model served
    there.
    """
    if not isinstance(role, dict) or role.get("model") != "local" or "base_url" not in role:
        return
    model, url = (given.sources[f"{name}.{key}"].level for key in ("model", "base_url"))
    if url > model:
        del role["model"]
    elif model > url:
        for key in ("base_url", "api_key_env", "api_key_header", "headers", "extra_body"):
            if key in role and given.sources[f"{name}.{key}"].level < model:
                del role[key]


def is_weights(model: object) -> bool:
    """Return True where a model's name means the embedded server: `local`, or a GGUF file."""
    return model == "local" or (isinstance(model, str) and model.lower().endswith(".gguf"))


def inherited(name: str, own: RoleConfig, other: RoleConfig) -> RoleConfig:
    """Return a role with what it inherits from the `other`, its fallback, where it is silent.

    A role with its own `base_url` inherits no key name, headers or extra_body, so that none goes to
    a host it was not meant for. Where it is asked is inherited, and so are `system` and sampling,
    except by a role that speaks for itself: the grader is not the writer under another name.
    """
    in_its_place = own.model is None and own.base_url is None
    kept = {"timeout", "retries"}
    if not (own.base_url or is_weights(own.model)):
        kept |= {"base_url", "api_key_env", "api_key_header", "headers", "extra_body"}
    if other.base_url or not (own.base_url and is_weights(other.model)):
        kept |= {"model"}
    if in_its_place:  # they belong to a model in one place
        kept |= {"rpm", "tpm", "input_price", "output_price"}
    traits = role_traits(name)
    if not traits.speaks_for_itself:
        kept |= {"system", "temperature", "top_p", "max_tokens"}
    above, below = other.model_dump(include=kept), own.model_dump(exclude_unset=True)
    if traits.fallback and role_traits(traits.fallback).gives_verdicts and in_its_place:
        # Such as the critic in the grader's place, which is asked at 0 where nothing else is said.
        above["temperature"] = 0.0 if other.temperature is None else other.temperature
    for table in ("headers", "extra_body"):
        if table in above and table in below:
            below[table] = {**above[table], **below[table]}
    return RoleConfig.model_validate({**above, **below})


def resolved(
    name: str, role: RoleConfig, url_source: Source | None, environ: Mapping[str, str]
) -> RoleSettings:
    """Return the role with every default settled."""
    model, base_url, weights = role.model, role.base_url, None
    if base_url is None and (model is None or is_weights(model)):
        model, weights = None, model or "local"
    elif base_url is None:
        base_url = _openai_url(environ) or OPENAI
    temperature = role.temperature
    if temperature is None and role_traits(name).gives_verdicts:
        temperature = 0.0
    return RoleSettings(
        name=name,
        model=model,
        base_url=base_url,
        weights=weights,
        api_key_env=_key_name(role.api_key_env, base_url, url_source, environ),
        api_key_header=role.api_key_header or "Authorization",
        headers=role.headers,
        extra_body=role.extra_body,
        system=role.system,
        temperature=None if temperature == "default" else temperature,
        top_p=role.top_p,
        max_tokens=role.max_tokens,
        timeout=role.timeout or 600.0,
        retries=5 if role.retries is None else role.retries,
        rpm=role.rpm,
        tpm=role.tpm,
        # The embedded server costs nothing.
        input_price=0.0 if weights else role.input_price,
        output_price=0.0 if weights else role.output_price,
    )


def _openai_url(environ: Mapping[str, str]) -> str | None:
    """Return the URL of the user's own gateway, if one is set."""
    text = environ.get("OPENAI_BASE_URL")
    try:
        return checked_url(text) if text and text.strip() else None
    except ValueError as error:
        raise UsageError(f"OPENAI_BASE_URL: {error}") from None


def _key_name(
    named: str | None, base_url: str | None, url_source: Source | None, environ: Mapping[str, str]
) -> str | None:
    """Return the variable with the key; an empty name says that the endpoint needs none."""
    if named is not None:
        return named or None
    return _default_key(base_url, url_source, environ)


def _default_key(
    base_url: str | None, url_source: Source | None, environ: Mapping[str, str]
) -> str | None:
    """Return OPENAI_API_KEY, but only for OpenAI, OPENAI_BASE_URL and a URL of this command."""
    if base_url is None:
        return None
    if urlsplit(base_url)[:2] == urlsplit(OPENAI)[:2]:
        return "OPENAI_API_KEY"
    here = url_source is not None and url_source.kind in ("flag", "set")
    named = here or base_url == _openai_url(environ)
    return "OPENAI_API_KEY" if named and environ.get("OPENAI_API_KEY") else None
