"""TOML as text: values written, and files read without a traceback whatever stands there."""

from __future__ import annotations

from typing import Any

from refinecli.text.json_text import dumps


def loads(text: str) -> dict[str, Any]:
    """Parse TOML; raise ValueError with the reason where it is invalid, too deep, or has an integer
    beyond what Python reads."""
    import tomllib

    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python's advice is for programmers
        raise ValueError("an integer has too many digits") from None


def written(value: object) -> str:
    """Write a value in TOML, which differs from JSON only in its tables."""
    if isinstance(value, dict):
        pairs = (f"{dumps(k).decode()} = {written(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return dumps(value).decode()
