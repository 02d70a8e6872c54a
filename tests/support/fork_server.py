"""Import the command once, then fork for each run that is asked for: `python fork_server.py FD`.

A request comes over the socket FD: the length of a JSON object, and with it four descriptors, the
run's standard streams and a pipe that is sent its process id and, at its end, its exit code. The
child leaves the loop and becomes `python -m refinecli`, but spares itself the freeing of modules at
its end, which takes longer than most runs.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import socket
import struct
import sys
import threading
from typing import Any, NoReturn

import refinecli

_LENGTH = struct.Struct("I")


def main() -> None:
    del sys.path[0]  # this file's folder
    _import_all()
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path.insert(0, request["cwd"])
    sys.argv = ["refinecli", *request["args"]]
    _leave(_run())


def _run() -> int:
    try:
        runpy.run_module("refinecli", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _import_all() -> None:
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # as `refinecli.__main__` sets it
    gc.disable()
    for module in pkgutil.walk_packages(refinecli.__path__, "refinecli."):
        if not module.name.endswith("__main__"):
            _import(module.name)
    gc.enable()
    gc.freeze()  # a collection in a child would copy every page


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("refinecli"):
            raise  # else it needs an extra that is not installed, and a run that does says so


def _leave(code: int) -> NoReturn:
    """End as the interpreter does, up to where it would free every module."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = 120  # Python's own
    os._exit(code)


def _serve(control: socket.socket) -> dict[str, Any]:
    """Fork for each request, and return it in the child; exit once nobody can ask."""
    ends: dict[int, tuple[int, int]] = {}
    ready = selectors.DefaultSelector()
    ready.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is not control:
                ready.unregister(key.fd)
                _report(key.fd, *ends.pop(key.fd))
                continue
            request, descriptors = _receive(control)
            if (pid := os.fork()) == 0:
                for number, descriptor in enumerate(descriptors[:3]):
                    os.dup2(descriptor, number)
                control.detach()
                ready.close()
                os.closerange(3, 256)
                return request
            os.write(descriptors[3], b"%d\n" % pid)
            for descriptor in descriptors[:3]:
                os.close(descriptor)
            watched = os.pidfd_open(pid)
            ends[watched] = (pid, descriptors[3])
            ready.register(watched, selectors.EVENT_READ)


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, descriptors, _, _ = socket.recv_fds(control, _LENGTH.size, 4)
    if not head:
        sys.exit()
    (left,) = _LENGTH.unpack(head)
    with control.makefile("rb", buffering=0) as file:
        data = b""
        while len(data) < left:
            data += file.read(left - len(data)) or sys.exit()
    return json.loads(data), descriptors


def _report(watched: int, pid: int, end: int) -> None:
    """Send how a child ended to the one who waits for it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        os.write(end, b"%d\n" % code)
    os.close(end)
    os.close(watched)


if __name__ == "__main__":
    main()
