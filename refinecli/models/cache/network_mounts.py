"""Network file systems, where SQLite's write-ahead log does not work: it
needs memory that all who use the file share (https://sqlite.org/wal.html)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|afs|afpfs|webdav|9p|ceph|lustre|glusterfs|gpfs|beegfs|pvfs2|orangefs"
    r"|fuse\.(?!ext|ntfs|fuse-overlayfs|overlay).*"
)


def on_network(path: Path) -> bool:
    """Return whether a path lies on a network file system, as far as is known: only Linux lists its
    mounts in a file."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    except OSError:
        return False
    return _NETWORK.fullmatch(file_system(path.resolve(), mounts.split("\n"))) is not None


def file_system(path: Path, mounts: Iterable[str]) -> str:
    """Return the type of the file system that a resolved path is on, given `mountinfo`'s lines
    (proc(5)): fields, a lone hyphen, then the type."""
    longest, found = -1, ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= longest:
            longest, found = len(point.parts), after.split(" ")[0]
    return found
