"""Runs one command and prints what it took, as JSON.

    python -I -S launch.py CPU COMMAND…      # CPU: a number to pin it to, or `any`

A process of its own, because the peak memory that Linux reports for a child includes that of the
process which started it: this one imports next to nothing.
"""

import json
import os
import sys
import time

cpu, *command = sys.argv[1:]
if cpu != "any":
    os.sched_setaffinity(0, {int(cpu)})
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
started_at = time.monotonic()
pid = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
_, status, usage = os.wait4(pid, 0)
ended_at = time.monotonic()
peak = usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024
print(
    json.dumps(
        {
            "code": os.waitstatus_to_exitcode(status),
            "started_at": started_at,
            "wall": ended_at - started_at,
            "cpu": usage.ru_utime + usage.ru_stime,
            "peak_bytes": peak,
        }
    )
)
