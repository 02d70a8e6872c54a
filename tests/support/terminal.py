"""A terminal of which a test holds both ends."""

from __future__ import annotations

import os
import pty
import termios


class Terminal:
    """Both ends of a terminal: `theirs` is a command's standard error, what it shows is `read`."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (24, 80))
        self.text = ""

    def read_until(self, words: str) -> None:
        while words not in self.text:
            self._read()

    def read_all(self) -> str:
        """To the end; the commands that had the terminal are gone."""
        os.close(self.theirs)
        try:
            while True:
                self._read()
        except OSError:  # Linux says so, where others read nothing
            return self.text
        except EOFError:
            return self.text

    def _read(self) -> None:
        data = os.read(self.ours, 65536)
        if not data:
            raise EOFError(self.text)
        self.text += data.decode("utf-8", "replace")
