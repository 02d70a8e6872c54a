"""`--show-config`: every setting, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from urllib.parse import urlsplit

from refinecli.cli.complaints import as_flags
from refinecli.settings.classifiers import ClassifierConfig
from refinecli.settings.files import READERS
from refinecli.settings.load import Settings
from refinecli.settings.roles import RoleSettings, chain
from refinecli.settings.secrets import hidden
from refinecli.settings.sections import SECTIONS, keys_of
from refinecli.text.toml_text import written
from refinecli.types import role_traits


def show_config(settings: Settings, roles: Sequence[str]) -> int:
    """Print it as TOML with comments; keys never, the name of the variable and the host always."""
    for role in settings.asked(roles):
        _show_role(role, settings)
    for role in settings.classifiers.values():
        _show_classifier(role, settings)
    for section in SECTIONS:
        if section != "prompts":
            _show_section(section, settings)
    print("[prompts]")
    for key, template in asdict(settings.prompts).items():
        print(f"# {key}: {len(template)} characters, {_source(f'prompts.{key}', settings)}")
    return 0


def _source(place: str, settings: Settings) -> str:
    return as_flags(str(settings.sources.get(place, "default")))


def _show_section(section: str, settings: Settings) -> None:
    print(f"[{section}]")
    options = getattr(settings, section)
    for key in (field.name for field in fields(options)):
        place = f"{section}.{key}"
        value = settings.files.get(place) if place in READERS else getattr(options, key)
        _show(key, value, _source(place, settings))
    print()


def _show_classifier(role: RoleSettings, settings: Settings) -> None:
    print(f"[{role.name}]")
    values = {**asdict(role), "url": role.base_url, "directory": role.weights}
    for key in keys_of(ClassifierConfig):
        _show(key, values[key], _source(f"{role.name}.{key}", settings))
    print()


def _show_role(role: RoleSettings, settings: Settings) -> None:
    print(f"[{role.name}]")
    for key, value in asdict(role).items():
        if key in ("name", "weights"):
            continue
        if key == "model" and role.weights:
            value = role.weights
        if key == "temperature" and value is None and _would_be_set(role.name, settings):
            value = "default"
        source = _source(f"{role.name}.{key}", settings)
        if source == "default" and value:
            source = _inherited(role.name, key, settings)
        _show(key, value, source)
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
    """Return True where the role would have a temperature if nothing were said of it."""
    traits = role_traits(name)
    return traits.gives_verdicts or (
        traits.fallback is not None and settings.roles[traits.fallback].temperature is not None
    )


def _inherited(name: str, key: str, settings: Settings) -> str:
    for other in list(chain(name))[1:]:
        if f"{other}.{key}" in settings.sources:
            return f"{_source(f'{other}.{key}', settings)}, through {other}"
    return "default"


def _show(key: str, value: object, source: str) -> None:
    if isinstance(value, Path):
        value = str(value.absolute())  # the output may be moved anywhere
    value = hidden(key, value)  # it is pasted into issues
    if value is None or value == {}:
        print(f"# {key} is not set")
    else:
        print(f"{key} = {written(value)}  # {source}")
