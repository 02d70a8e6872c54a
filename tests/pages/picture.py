"""The picture in the README: the HTML report of a run of the embedded model, in a real browser.

python -m tests.pages.picture

Takes a minute. The run is best-of-n, four drafts each, over 24 prompts.
"""

from __future__ import annotations

import base64
import subprocess
import tempfile
from pathlib import Path

from tests.conftest import CLEAN, REFINECLI
from tests.support.report_pages import browser

PICTURE = Path(__file__).parents[2] / ".github" / "report.png"
WIDTH, HEIGHT = 1000, 1000


def make_report(folder: Path) -> Path:
    """The report of the run, as anybody would make it."""
    for line in (
        "generate-data keywords -n 24 -o in.jsonl",
        "refine in.jsonl -o best-of-n.jsonl --strategy best-of-n --drafts 4 --seed 2 -q",
        "report best-of-n.jsonl --html report.html",
    ):
        subprocess.run([*REFINECLI, *line.split()], cwd=folder, env=CLEAN, check=True)
    return folder / "report.html"


def take(page: Path, target: Path) -> None:
    """Write the first screen of a page, in the light theme, as a PNG."""
    with browser(WIDTH) as window:
        window.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": "light"}]},
        )
        window.open(page)
        window.wait("document.readyState == 'complete'")
        shot = window.driver.execute_cdp_cmd(
            "Page.captureScreenshot",
            {
                "captureBeyondViewport": True,
                "clip": {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT, "scale": 1},
            },
        )
    target.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        take(make_report(Path(name)), PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")
