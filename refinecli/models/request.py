"""A request as it goes over the wire: body, seed, headers; pure but for reading keys."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
import json
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from refinecli.completers import wire_seed
from refinecli.errors import UsageError, option
from refinecli.settings.roles import RoleSettings
from refinecli.types import Draw, JSONObject, JSONReply, Message, Usable, Wants, juror_in


class Request(NamedTuple):
    """One request as it goes out; `data` is its body, and `key` the name of its reply in the
    cache."""

    body: JSONObject
    data: bytes
    key: bytes
    draw: Draw
    usable: Usable | None = None
    wants: Wants | None = None


def body_of(
    role: RoleSettings,
    messages: Sequence[Message],
    draw: Draw,
    seed: int | None,
    wants: Wants | None = None,
) -> JSONObject:
    """Return the request as intended, before dropping what its endpoint refuses."""
    body: JSONObject = {
        "model": role.model,
        "messages": with_system(role.system, messages),
        "temperature": role.temperature,
        "top_p": role.top_p,
        "max_tokens": role.max_tokens,
        "seed": None if seed is None else wire_seed(seed, draw),
    }
    # Only None means absent: temperature 0 and seed 0 must reach the wire.
    if wants is not None:
        body |= params_of(wants)
    return {k: v for k, v in body.items() if v is not None} | role.extra_body


def params_of(wants: Wants) -> JSONObject:
    """Return the parameters by which a request says what it wants."""
    if not isinstance(wants, JSONReply):
        top = {"logprobs": True, "top_logprobs": wants.alternatives}
        return {**top, "max_tokens": wants.max_tokens}
    if wants.schema is None:
        return {"response_format": {"type": "json_object"}}
    named = {"name": wants.name, "strict": True, "schema": wants.schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def name_of(wants: Wants) -> str:
    """Return the words that users read, and the call cache remembers, when it is refused."""
    if not isinstance(wants, JSONReply):
        return f"top_logprobs {wants.alternatives}"
    return "response_format json_object" if wants.schema is None else "response_format json_schema"


def with_system(system: str | None, messages: Sequence[Message]) -> list[Message]:
    """Return the messages with a role's system prompt before the conversation's own, in one
    message."""
    if not system:
        return list(messages)
    if not messages or messages[0]["role"] != "system":
        return [{"role": "system", "content": system}, *messages]
    own = messages[0].get("content") or ""
    merged: Message = {**messages[0], "content": f"{system}\n\n{own}"}
    if isinstance(own, list):
        merged["content"] = [{"type": "text", "text": system}, *own]
    return [merged, *messages[1:]]


def sample_index(body: Mapping[str, object], draw: Draw) -> str:
    """Return what distinguishes this sample of a request from others; nothing at temperature 0,
    where all are the same. Jurors may send the same request, and have a vote each."""
    if body.get("temperature") == 0:
        return ""
    juror = f".{draw.role}" if juror_in(draw.role) else ""
    return f"{draw.convo_occurrence}.{draw.iteration}.{draw.sample}{juror}"


def encoded(body: JSONObject) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # lone surrogates have no UTF-8; no tokenizer could take them either
        text = json.dumps(body, ensure_ascii=False).encode("utf-16", "surrogatepass")
        return text.decode("utf-16", "replace").encode()


def api_key(role: RoleSettings) -> str:
    """Return the key in the role's environment variable, if it names one; raises UsageError where
    that is not set."""
    if role.api_key_env is None:
        return ""
    key = os.environ.get(role.api_key_env, "").strip()
    if not key:
        raise UsageError(
            f"{role.name}: the environment variable {role.api_key_env} is not set",
            f"export {role.api_key_env}=…, or, if the endpoint needs no key: "
            f"{option(f'{role.name}.api_key_env')}",
        )
    if not (key.isascii() and key.isprintable()):
        raise UsageError(
            f"{role.name}: the key in {role.api_key_env} has characters that a key cannot have",
            "copy the key alone, and all of it",
        )
    return key


def headers(role: RoleSettings, secret: str) -> dict[str, str]:
    result = {"content-type": "application/json", **role.headers}
    if secret:
        bearer = role.api_key_header.lower() == "authorization"
        result[role.api_key_header] = f"Bearer {secret}" if bearer else secret
    return result
