"""TOML as text, read without a traceback whatever stands there."""

from __future__ import annotations

from typing import Any


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
