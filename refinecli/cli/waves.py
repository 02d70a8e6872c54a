"""Run a command in waves, whose results a user puts into a folder or a provider's batches bring."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from refinecli.cli.complaints import as_flags
from refinecli.errors import RefineError, WaveError
from refinecli.stats.wording import plural
from refinecli.text.clean import as_line

if TYPE_CHECKING:
    from refinecli.cli.batch import BatchOptions
    from refinecli.cli.waves_ahead import WavesAhead
    from refinecli.models.batch.submitted import Batches
    from refinecli.models.batch.waves import Waves
    from refinecli.models.cache.store import Facts
    from refinecli.models.traffic import Traffic
    from refinecli.runs.lifecycle import Ended
    from refinecli.settings.load import Settings
    from refinecli.settings.roles import RoleSettings
    from refinecli.types import JSONObject

# Runs the command once over all rows: in waves or live, after passes with that traffic.
Pass: TypeAlias = Callable[["Waves | None", "Traffic"], "Ended"]


@dataclass(frozen=True)
class WaveRun:
    """A run in waves: its options, the folder of its waves, and the roles that it asks."""

    batch: BatchOptions
    folder: Path
    settings: Settings
    asked: Sequence[RoleSettings]
    quiet: bool = False

    def check(self) -> None:
        """Raise UsageError where nobody says which models are to answer."""
        from refinecli.models.batch.waves import check_models

        check_models(
            self.folder,
            "batch" if self.batch.submits else "batch_files",
            local=any(role.weights for role in self.asked),
            unnamed=any(role.model is None for role in self.asked),
        )

    def check_owner(self, place: JSONObject, *, restart: bool) -> None:
        """Raise UsageError where the folder belongs to a run at another place."""
        from refinecli.runs.wave_folder import WaveFolder

        WaveFolder(self.folder, place).check(restart=restart)

    def run(self, run_pass: Pass, place: JSONObject, *, restart: bool) -> Ended:
        """Run passes in a folder that belongs to the run at that place; return how the last one
        ended."""
        from refinecli.runs.wave_folder import WaveFolder

        folder = WaveFolder(self.folder, place)
        with folder.held(restart=restart):
            ended = self._passes(run_pass)
            if ended.whole and ended.code in (0, 1):  # it is over, as its call cache is
                if self.batch.batch_files is None:
                    shutil.rmtree(self.folder, ignore_errors=True)
                else:
                    folder.release()
            return ended

    def _passes(self, run_pass: Pass) -> Ended:
        """Run passes until no wave waits, each answered by batches where that is asked for."""
        from refinecli.models.batch.waves import Waves
        from refinecli.models.traffic import Traffic

        before, live = Traffic(), False
        while True:
            waves = None if live else Waves(self.folder, self.settings.run.batch_discount)
            ended = run_pass(waves, before)
            if waves is None or ended.code != WaveError.exit_code or not self.batch.batch:
                return ended
            if not waves.requests:  # a file of results is damaged: to submit again is to pay again
                return ended
            live = waves.requests < self.batch.batch_min and not self._is_submitted
            if not live and not self._answered(ended):
                return ended
            before = ended.traffic

    @property
    def _is_submitted(self) -> bool:
        """True if the latest wave is in a batch, which is paid for."""
        from refinecli.models.batch.submitted import read_submitted
        from refinecli.models.batch.wave_files import latest_wave

        latest = latest_wave(self.folder)
        return any(one.wave == latest and one.begun for one in read_submitted(self.folder))

    def cancel(self) -> int:
        """Cancel the open batches, and list them."""
        from refinecli.runs.signals import execute

        async def stop(batches: Batches) -> None:
            found = await batches.cancel()
            for batch in found:
                self._say(f"batch {batch.id}: {batch.status}")
            if not found:
                self._say("no batch is open")

        execute(self._with_batches(stop))
        return 0

    def ahead(self, facts: Facts | None) -> WavesAhead:
        """Return all that is known of the waves to come; `facts` are those of the call cache."""
        from refinecli.cli.waves_ahead import WavesAhead
        from refinecli.models.batch.waves import WaveAhead

        wave = WaveAhead(self.folder, self.settings.run.batch_discount)
        return WavesAhead(wave, wave.look(facts), self.settings, self.asked)

    def list_open(self) -> None:
        """List the batches that were submitted and have not delivered yet."""
        from refinecli.models.batch.submitted import read_submitted

        for one in read_submitted(self.folder):
            if one.id and not one.done:
                self._say(
                    f"open: batch {one.id} with {plural(one.requests, 'request')} of {one.file}"
                )

    def _answered(self, ended: Ended) -> bool:
        """Return whether the wave that waits is answered; otherwise note in `ended` why not."""
        from refinecli.models.batch.wave_files import files_of, latest_wave
        from refinecli.runs.signals import Interrupted, execute

        wave = latest_wave(self.folder)

        async def answer(batches: Batches) -> None:
            stay = self.batch.batch_wait == "yes"
            await batches.answer(wave, files_of(self.folder, wave), stay=stay)

        try:
            execute(self._with_batches(answer))
        except Interrupted as interrupted:
            ended.code, ended.early, ended.error = interrupted.code, str(interrupted), None
            return False
        except RefineError as error:
            ended.code, ended.early, ended.error = error.exit_code, error.message, error
            return False
        return True

    async def _with_batches(self, use: Callable[[Batches], Awaitable[None]]) -> None:
        from refinecli.models.batch.provider import Provider
        from refinecli.models.batch.submitted import Batches
        from refinecli.models.batch.wave_files import names_of
        from refinecli.models.http import HttpClient, joined

        urls = {role.name: joined(role.base_url or "", "/chat/completions") for role in self.asked}
        roles = {(urls[role.name], role.model or ""): role for role in self.asked}
        client = HttpClient(tls=any(url.startswith("https:") for url in urls.values()))
        try:
            batches = Batches(
                self.folder,
                {
                    end: Provider(client, roles[place], asyncio.sleep, self._say)
                    for place, end in names_of(roles).items()
                },
                asyncio.sleep,
                self._say,
                self.settings.run.batch_seconds,
                self.settings.policy.retries,
            )
            await use(batches)
        finally:
            await client.aclose()

    def _say(self, line: str) -> None:
        if not self.quiet:
            print(as_line(as_flags(line)), file=sys.stderr, flush=True)
