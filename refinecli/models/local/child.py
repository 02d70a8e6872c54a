"""Run the embedded model: llama.cpp's server on its own loopback port.

    python -m refinecli.models.local.child MODEL.gguf --slots 4 --context 4096

It reads an API key from the first line of stdin, prints one line such as
`{"url": "http://127.0.0.1:33181"}` once it can answer, and ends as soon as stdin does. It is a
separate process because native code may abort, which must not take the caller along, and it
imports nothing of refinecli, so that it also runs as a plain file. This is the ONLY import of
xllamacpp.
"""

import argparse
import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path

# OpenMP threads that wait for each other spin for ages by default: with a second thread on a
# busy two-core machine that cost nine tenths of the tokens per second.
GOMP_SPINCOUNT = "1000"

ERRORS_ONLY = 1  # llama.cpp's verbosity: 0 would also hide why a model cannot be loaded


def thread_count() -> int:
    """Return how many threads to use: all of up to two processors, half of more, at most four.

    On an idle two-core machine two threads made about 155 tokens a second where one made 85; with
    other work on one core they made 60 where one made 85. More cores are a guess, not measured.
    """
    count = processors()
    return min(4, count, max(2, count // 2))


def processors() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # knows cpusets; Linux only
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def start(weights: Path, api_key: str, slots: int, context: int) -> tuple[object, str]:
    """Load the weights and listen; return the server, which ends when collected, and its URL."""
    os.environ.setdefault("GOMP_SPINCOUNT", GOMP_SPINCOUNT)  # is read once, at the import below
    import xllamacpp  # type: ignore[import-not-found, import-untyped, unused-ignore]

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {weights.stem}  # else /v1/models and every reply show the whole path
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the system picks a free one: no clash, no race for a port found beforehand
    params.api_keys = [api_key]
    params.n_parallel = slots
    params.n_ctx = slots * context  # the slots share it
    params.cpuparams.n_threads = thread_count()
    params.cpuparams_batch.n_threads = thread_count()
    params.cache_ram_mib = 0  # the default cache of prompts grew to 1 GB
    params.cache_idle_slots = False  # needs that cache
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_metrics = False
    params.verbosity = ERRORS_ONLY
    server = xllamacpp.Server(params)  # chat_template stays unset: the one in the file is used
    return server, str(server.listening_address)


def claim_stdout() -> int:
    """Return a descriptor for the ready line; what native code prints to stdout goes to stderr."""
    ready = os.dup(1)
    os.dup2(2, 1)
    return ready


def main() -> int:
    """Serve until stdin ends, which it also does when the parent dies by kill -9."""
    parser = argparse.ArgumentParser(prog="python -m refinecli.models.local.child")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--context", type=int, default=4096, help="tokens per slot")
    options = parser.parse_args()
    ready = claim_stdout()
    # From stdin, because other users of the machine can read a command line.
    api_key = sys.stdin.readline().strip()
    if not api_key:
        print("no API key on the first line of stdin", file=sys.stderr)
        return 2
    watch = _end_with_parent()
    try:
        _server, url = start(options.weights, api_key, options.slots, options.context)
    except (ImportError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    os.write(ready, json.dumps({"url": url}).encode() + b"\n")
    os.close(ready)
    watch.join()
    return 0


def _end_with_parent() -> threading.Thread:
    """Begin to watch stdin, so that the process ends with its parent while it is loading too."""
    with contextlib.suppress(OSError, AttributeError):  # Linux has it
        # The thread below may have to wait for native code that loads.
        ctypes.CDLL(None).prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGKILL)

    def wait() -> None:
        try:
            while os.read(0, 4096):
                pass
        finally:
            # Not the server's destructor: it may wait for requests that nobody waits for any more.
            os._exit(0)

    watch = threading.Thread(target=wait, daemon=True)
    watch.start()
    return watch


_SIGNAL_AT_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    sys.exit(main())
