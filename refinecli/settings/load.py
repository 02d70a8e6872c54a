"""Settle flags, `--set`, environment, config files and defaults, and record each value's source.

    flag > --set section.key=value > REFINECLI_SECTION__KEY > --config FILE > default

Pure: callers pass the environment and the files to read. A key is never a setting: settings hold
the name of its environment variable.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from refinecli.grading.own_templates import lost_code
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.refining.strategies import RefineOptions
from refinecli.settings import checks
from refinecli.settings.classifiers import ClassifierConfig, classifier_settings
from refinecli.settings.files import prompts_of, read_files
from refinecli.settings.roles import (
    RoleConfig,
    RoleSettings,
    chain,
    inherited,
    later_place_wins,
    resolved,
)
from refinecli.settings.sections import RayOptions, RunOptions, check_names, section
from refinecli.settings.sources import Given, Source, read
from refinecli.types import ROLES, juror_role, role_traits


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one run.

    A jury among the roles grades in the grader's place; the judge is present only if it was named.
    `sources` holds the source of each `section.key` that was set, `files` the file that it was read
    from if it names one. `ignored` are lines about options that mean nothing to the strategy.
    """

    roles: Mapping[str, RoleSettings]
    refine: RefineOptions
    grade: GradeOptions
    run: RunOptions
    prompts: Prompts
    sources: Mapping[str, Source]
    files: Mapping[str, Path]
    ignored: tuple[str, ...] = ()
    classifiers: Mapping[str, RoleSettings] = field(default_factory=dict)
    ray: RayOptions = field(default_factory=RayOptions)

    @property
    def policy(self) -> RoleSettings:
        return self.roles["policy"]

    @property
    def grader(self) -> RoleSettings:
        return self.roles["grader"]

    @property
    def jury(self) -> tuple[RoleSettings, ...]:
        return tuple(role for role in self.roles.values() if role.is_juror)

    @property
    def graders(self) -> tuple[RoleSettings, ...]:
        """The graders: the jury, or the grader alone."""
        return self.jury or (self.grader,)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings about what the settings lose without meaning to."""
        systems = [role.system or "" for role in self.graders]
        return tuple(lost_code(self.prompts, self.grade, systems))

    def without_jury(self) -> Settings:
        """Return the same settings with the grader alone."""
        return replace(self, roles={n: role for n, role in self.roles.items() if not role.is_juror})

    def asked(self, names: Collection[str]) -> list[RoleSettings]:
        """Return the roles of a command that knows them by these names, in which "grader" means all
        graders."""
        graders = self.graders if "grader" in names else ()
        return [
            role
            for role in self.roles.values()
            if role in graders or (role.name in names and role.name != "grader")
        ]


def load(
    flags: Mapping[str, object],
    sets: Sequence[str] | Mapping[str, object] = (),
    environ: Mapping[str, str] = os.environ,
    paths: Sequence[Path] = (),
) -> Settings:
    """Settle every value. `flags` maps `section.key` to a value, or to None if the flag was not
    given. Of several files the later one wins.

    Raise UsageError naming the flag, variable or file that is wrong.
    """
    given = read(flags, sets, environ, paths)
    check_names(given)
    of_strategy, ignored = checks.of_strategy(given)
    if ignored:  # a wrong value is wrong whatever the strategy
        section(RefineOptions, ["refine"], given.tables["refine"], given)
    if given.tables.get("refine", {}).keys() <= {"strategy"}:  # which has been looked up
        refine = RefineOptions(**of_strategy)
    else:
        refine = section(RefineOptions, ["refine"], of_strategy, given)
    run = section(RunOptions, ["run"], given.tables.get("run", {}), given)
    files = read_files(given)
    grade = section(GradeOptions, ["grade"], given.tables.get("grade", {}), given)
    roles = _roles(given, environ)
    settings = Settings(
        roles=roles,
        refine=refine,
        grade=grade,
        run=run,
        prompts=prompts_of(given.tables.get("prompts", {})),
        sources={
            place: source
            for place, source in given.sources.items()
            if place.removeprefix("refine.") not in ignored
        },
        files=files,
        ignored=tuple(ignored.values()),
        classifiers=_classifiers(given, environ),
        ray=section(RayOptions, ["ray"], given.tables.get("ray", {}), given),
    )
    checks.check_grading(grade, given)
    checks.check_jury(settings.jury, grade, given)
    return settings


def _roles(given: Given, environ: Mapping[str, str]) -> dict[str, RoleSettings]:
    """Return each role with what it inherits, and all defaults."""
    merged: dict[str, RoleConfig] = {}
    found: dict[str, RoleSettings] = {}
    for name, own in _written(given).items():
        traits = role_traits(name)
        if traits.optional:
            if own == RoleConfig():
                continue
            checks.check_named(name, own, given)
        merged[name] = inherited(name, own, merged[traits.fallback]) if traits.fallback else own
        checks.check_role(name, merged[name])
        places = [f"{place}.base_url" for place in chain(name)]
        source = next((given.sources[place] for place in places if place in given.sources), None)
        found[name] = resolved(name, merged[name], source, environ)
    return found


def _classifiers(given: Given, environ: Mapping[str, str]) -> dict[str, RoleSettings]:
    found = {}
    for name, table in given.tables.get("classifier", {}).items():
        written = section(ClassifierConfig, ["classifier", name], table, given)
        source = given.sources.get(f"classifier.{name}.url")
        found[name] = classifier_settings(name, written, source, environ)
    return found


def _written(given: Given) -> dict[str, RoleConfig]:
    """Return each role as written down, each after the one it falls back to."""
    tables: dict[str, object] = {}
    for name in ROLES:
        tables[name] = given.tables.get(name, {})
        if name == "grader":  # a jury stands next to it, wherever roles are listed
            jury = given.tables.get("jury", {})
            tables |= {juror_role(juror): table for juror, table in jury.items()}
    for name, table in tables.items():
        later_place_wins(name, table, given)
    return {
        name: section(RoleConfig, name.split("."), table, given) for name, table in tables.items()
    }
