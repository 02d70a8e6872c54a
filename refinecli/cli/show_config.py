"""`--show-config`: every setting, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from refinecli.settings.load import Settings
from refinecli.settings.roles import RoleSettings, chain, fallback, gives_verdicts
from refinecli.text.json_text import dumps


def show_config(settings: Settings, roles: Sequence[str]) -> int:
    """Print it as TOML with comments; keys never, the name of the variable and the host always."""
    for role in settings.asked(roles):
        _show_role(role, settings)
    for section in ("refine", "grade", "run"):
        print(f"[{section}]")
        for key, value in getattr(settings, section):
            _show(section, key, value, settings.sources.get(f"{section}.{key}", "default"))
        print()
    print("[prompts]")
    for key, template in asdict(settings.prompts).items():
        source = settings.sources.get(f"prompts.{key}", "default")
        print(f"# {key}: {len(template)} characters, {source}")
    return 0


def _show_role(role: RoleSettings, settings: Settings) -> None:
    print(f"[{role.name}]")
    for key, value in asdict(role).items():
        if key in ("name", "weights"):
            continue
        if key == "model" and role.weights:
            value = role.weights
        if key == "temperature" and value is None and _would_be_set(role.name, settings):
            value = "default"
        source = settings.sources.get(f"{role.name}.{key}")
        if source is None:
            source = _inherited(role.name, key, settings) if value else "default"
        _show(role.name, key, value, source)
    host = (
        "a server of our own on loopback" if role.weights else urlsplit(role.base_url or "").netloc
    )
    if role.api_key_env:
        state = "set" if os.environ.get(role.api_key_env) else "NOT set"
        print(f"# sends the key in {role.api_key_env} ({state}) to {host}")
    else:
        print(f"# sends no key; goes to {host}")
    print()


def _would_be_set(name: str, settings: Settings) -> bool:
    """Whether the role would have a temperature if nothing were said of it."""
    below = fallback(name)
    return gives_verdicts(name) or (
        below is not None and getattr(settings, below).temperature is not None
    )


def _inherited(name: str, key: str, settings: Settings) -> str:
    for other in list(chain(name))[1:]:
        if source := settings.sources.get(f"{other}.{key}"):
            return f"{source}, through {other}"
    return "default"


def _show(section: str, key: str, value: object, source: str) -> None:
    if isinstance(value, Path):
        value = str(value.absolute())  # what is shown may be kept anywhere
    if value is None or value == {}:
        print(f"# {key} is not set")
    else:
        print(f"{key} = {_toml(value)}  # {source}")


def _toml(value: object) -> str:
    """A value in TOML, which differs from JSON only in its tables."""
    if isinstance(value, dict):
        pairs = (f"{dumps(k).decode()} = {_toml(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return dumps(value).decode()
