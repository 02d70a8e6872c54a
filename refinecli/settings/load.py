"""Flags, `--set`, environment, config file, defaults -> Settings, and where each value came from.

    flag > --set section.key=value > REFINECLI_SECTION__KEY > --config FILE > default

Pure: it is handed the environment and reads only the files that it is told to. A key is never a
setting: settings hold the name of the environment variable it is in.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, ValidationError, field_validator

from refinecli.errors import UsageError
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.refining.strategies import OPTIONS, STRATEGIES
from refinecli.settings.roles import (
    ROLES,
    Positive,
    RoleConfig,
    RoleSettings,
    Section,
    chain,
    fallback,
    inherited,
    later_place_wins,
    resolved,
)
from refinecli.settings.sources import flag, layers, place_of, put
from refinecli.types import Combine, juror_role


class RefineConfig(Section):
    """`[refine]`: which loop, and how far to go."""

    strategy: str = "refine"
    max_iterations: Annotated[int, Field(ge=0)] = 3
    drafts: Positive = 1
    threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None
    accept: Literal["better", "not-worse", "pairwise"] = "better"
    patience: Positive | None = None
    stop_on_repeat: bool = True
    show_rubric: bool = False
    principles: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = ()


class GradeConfig(Section):
    """`[grade]`: how a grader is asked for a verdict, and what several amount to. A file that
    `grade --calibrate` writes."""

    mode: Literal["explain", "verdict", "logprobs"] = "explain"
    format: Literal["text", "json"] = "text"
    examples: Path | None = None
    pass_probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    combine: Combine = "median"


class RunConfig(Section):
    """`[run]`: what does not shape results, and the seed."""

    concurrency: Positive = 64
    max_calls: Annotated[int, Field(ge=0)] | None = None
    max_total_tokens: Annotated[int, Field(ge=0)] | None = None
    max_cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    max_errors: str = "0"
    seed: int | None = None

    @field_validator("max_errors")
    @classmethod
    def _count_or_percent(cls, text: str) -> str:
        if not re.fullmatch(r"[0-9]+|[0-9]+(?:\.[0-9]+)?%", text):
            raise ValueError("a count such as 3, or a share such as 1%")
        return text

    def errors_allowed(self, datapoints: int) -> float:
        """How many of so many datapoints may fail or stay ungraded."""
        number = float(self.max_errors.removesuffix("%"))
        return number / 100 * datapoints if self.max_errors.endswith("%") else number


class PromptConfig(Section):
    """`[prompts]`: files that replace the templates of `prompts`."""

    grader_system: Path | None = None
    grader: Path | None = None
    verdict: Path | None = None
    grader_retry: Path | None = None
    rewrite: Path | None = None
    show_rubric: Path | None = None
    critic_system: Path | None = None
    feedback: Path | None = None
    self_rewrite: Path | None = None
    improve: Path | None = None
    improve_retry: Path | None = None
    selector_system: Path | None = None
    compare: Path | None = None
    pick: Path | None = None
    selector_retry: Path | None = None
    rewrite_from_all: Path | None = None
    rubric_system: Path | None = None
    rubric: Path | None = None
    rubric_retry: Path | None = None


# A juror's name stands in TOML headers and in paths of figures.
JurorName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=40)]


class Config(Section):
    """Everything that can be set."""

    policy: RoleConfig = RoleConfig()
    reviser: RoleConfig = RoleConfig()
    grader: RoleConfig = RoleConfig()
    critic: RoleConfig = RoleConfig()
    selector: RoleConfig = RoleConfig()
    judge: RoleConfig = RoleConfig()
    refine: RefineConfig = RefineConfig()
    jury: Mapping[JurorName, RoleConfig] = Field(default_factory=dict)
    grade: GradeConfig = GradeConfig()
    run: RunConfig = RunConfig()
    prompts: PromptConfig = PromptConfig()


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one run; `sources` says of each `section.key` where it came from. `grading`
    is `grade` with its files read. A `jury`, where there is one, grades in the grader's place."""

    policy: RoleSettings
    reviser: RoleSettings
    grader: RoleSettings
    critic: RoleSettings
    selector: RoleSettings
    judge: RoleSettings | None
    jury: tuple[RoleSettings, ...]
    refine: RefineConfig
    grade: GradeConfig
    grading: GradeOptions
    run: RunConfig
    prompts: Prompts
    sources: Mapping[str, str]

    @property
    def roles(self) -> tuple[RoleSettings, ...]:
        """All roles there are, the judge only where it was named."""
        judge = () if self.judge is None else (self.judge,)
        grading = (self.grader, *self.jury)
        return (self.policy, self.reviser, *grading, self.critic, self.selector, *judge)

    @property
    def graders(self) -> tuple[RoleSettings, ...]:
        """Who grades: the jury, or the grader alone."""
        return self.jury or (self.grader,)

    def asked(self, names: Collection[str]) -> list[RoleSettings]:
        """The roles of a command that knows them by these names: "grader" means whoever grades."""
        graders = self.graders if "grader" in names else ()
        return [
            role
            for role in self.roles
            if role in graders or (role.name in names and role.name != "grader")
        ]


def load(
    flags: Mapping[str, object],
    sets: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    paths: Sequence[Path] = (),
) -> Settings:
    """Settle every value. `flags` maps `section.key` to a value, None where the flag was not given.
    Of several files the later one wins.

    Raises UsageError naming the flag, variable or file that is wrong.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    ranks: dict[str, int] = {}
    for rank, layer in enumerate(layers(flags, sets, environ, paths)):
        for source, dotted, value in layer:
            keys = dotted.split(".")
            put(merged, keys, value, source)
            sources[place_of(keys)], ranks[place_of(keys)] = source, rank
    for name in ROLES:
        later_place_wins(name, merged.get(name), ranks)
    if isinstance(jury := merged.get("jury"), dict):
        for name, juror in jury.items():
            later_place_wins(juror_role(name), juror, ranks)
    if isinstance(given := merged.get("refine", {}), dict):
        merged["refine"] = _settled(given, sources)
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        raise _usage_error(error, sources) from None

    written = {name: getattr(config, name) for name in ROLES}
    written |= {juror_role(name): juror for name, juror in config.jury.items()}
    merged_roles: dict[str, RoleConfig] = {}
    for name, own in written.items():
        below = fallback(name)
        merged_roles[name] = inherited(name, own, merged_roles[below]) if below else own

    def role(name: str) -> RoleSettings:
        places = [f"{place}.base_url" for place in chain(name)]
        source = next((sources[place] for place in places if place in sources), "")
        return resolved(name, merged_roles[name], source, environ)

    judge = config.judge
    if judge != RoleConfig() and judge.model is None and judge.base_url is None:
        source = next(s for place, s in sources.items() if place.startswith("judge."))
        raise UsageError(f"{source}: the judge needs a model of its own", "set judge.model")
    grade = config.grade
    if grade.examples:
        file = _meant(grade.examples, sources["grade.examples"], paths)
        grade = grade.model_copy(update={"examples": file})
    return Settings(
        policy=role("policy"),
        reviser=role("reviser"),
        grader=role("grader"),
        critic=role("critic"),
        selector=role("selector"),
        judge=None if judge == RoleConfig() else role("judge"),
        jury=_jury([role(juror_role(name)) for name in config.jury], config.grade, sources),
        refine=config.refine,
        grade=grade,
        grading=_grading(grade),
        run=config.run,
        prompts=_prompts(config.prompts, paths, sources),
        sources=sources,
    )


def _jury(
    jurors: Sequence[RoleSettings], grade: GradeConfig, sources: Mapping[str, str]
) -> tuple[RoleSettings, ...]:
    """Those who grade in the grader's place: at least two, and each with a vote of its own."""
    if len(jurors) == 1:
        (juror,) = jurors
        source = next(s for place, s in sources.items() if place.startswith(juror.name))
        raise UsageError(
            f"{source}: {juror.name} is a jury of one",
            "give it a second [jury.NAME], or set what it says in [grader]",
        )
    for juror, other in combinations(jurors, 2):
        alike = juror.asks_the_same(other)
        if alike and (juror.temperature == 0 or grade.mode == "logprobs"):
            raise UsageError(
                f"{juror.name} and {other.name} are the same model, asked in the same way: they "
                "would always vote alike",
                f"give one of them another model or system prompt, or leave {other.name} out",
            )
    return tuple(jurors)


# ------------------------------------------------------------------ strategies


def _settled(given: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Any]:
    """`[refine]` with the strategy's own defaults, and no option that would mean nothing to it."""
    name = str(given.get("strategy", "refine"))
    strategy = STRATEGIES.get(name)
    if strategy is None:
        close = difflib.get_close_matches(name, STRATEGIES, n=1)
        raise UsageError(
            f"{sources['refine.strategy']}: there is no strategy {name!r}",
            (f"did you mean {close[0]}? " if close else "") + f"known: {', '.join(STRATEGIES)}",
        )
    for option in sorted(OPTIONS - strategy.options):
        neutral = 0 if option == "max_iterations" else RefineConfig.model_fields[option].default
        value = tuple(v) if isinstance(v := given.get(option, neutral), list) else v
        if value != neutral:
            raise _means_nothing(name, option, value, sources[f"refine.{option}"])
    return {**strategy.defaults, **given}


def _means_nothing(name: str, option: str, value: object, source: str) -> UsageError:
    named = source
    if source == flag(f"refine.{option}"):
        named = f"{source} {value}"
    elif not source.startswith(("--set ", "environment ")):
        named = f"{source}: refine.{option}"
    takers = [other for other, strategy in STRATEGIES.items() if option in strategy.options]
    instead = f"use the strategy {' or '.join(takers)}"
    if (name, option) == ("best-of-n", "max_iterations"):
        instead = "give --drafts N, which are all it writes"
    return UsageError(
        f"{named} means nothing to the strategy {name}", f"leave it out, or {instead}"
    )


# ------------------------------------------------------------------ what is wrong


def _usage_error(error: ValidationError, sources: Mapping[str, str]) -> UsageError:
    detail = error.errors(include_url=False, include_context=False)[0]
    loc = [str(part) for part in detail["loc"]]
    dotted = place_of(loc)
    source = sources.get(dotted) or next(
        (s for name, s in sources.items() if name.startswith(".".join(loc[:-1] or loc) + ".")),
        next((s for name, s in sources.items() if name.startswith(loc[0] + ".")), "config"),
    )
    if loc[0] == "jury" and (len(loc) < 3 or loc[-1] == "[key]"):
        return UsageError(
            f"{source}: {'.'.join(loc[:2])} is no juror",
            "write [jury.NAME], a section like [grader]; NAME is of letters, digits, - and _",
        )
    if detail["type"] == "extra_forbidden":
        known = list(Config.model_fields)
        if len(loc) > 1:
            section = RoleConfig if loc[0] == "jury" else Config.model_fields[loc[0]].annotation
            assert isinstance(section, type)
            assert issubclass(section, BaseModel)
            known = list(section.model_fields)
        close = difflib.get_close_matches(loc[-1], known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        if loc[-1] == "api_key":
            hint = "keys come from the environment alone: name the variable in api_key_env"
        return UsageError(f"{source}: there is no setting {'.'.join(loc)}", hint)
    message = detail["msg"].removeprefix("Value error, ").replace("valid tuple", "list")
    place = source if dotted in source else f"{source}: {dotted}"
    return UsageError(f"{place}: {message[:1].lower()}{message[1:]}")


# ------------------------------------------------------------------ files that settings name


def _meant(file: Path, source: str, paths: Sequence[Path]) -> Path:
    """A path in a config file is meant from there; one given otherwise, from where we are."""
    return next((path.parent / file for path in paths if source == str(path)), file)


def _grading(config: GradeConfig) -> GradeOptions:
    given = config.model_dump(exclude={"combine"})
    if config.examples is not None:
        from refinecli.data.graded_examples import read_examples

        given["examples"] = read_examples(config.examples)
    else:
        del given["examples"]
    return GradeOptions(**given)


def _prompts(config: PromptConfig, paths: Sequence[Path], sources: Mapping[str, str]) -> Prompts:
    texts = {}
    for key, file in config:
        if file is None:
            continue
        source = sources[f"prompts.{key}"]
        full = _meant(file, source, paths)
        try:
            texts[key] = full.read_text("utf-8").rstrip("\n")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UsageError(
                f"{source}: prompts.{key}: {full}: {why}",
                "it names a file with the template; README, 'Prompts'",
            ) from None
    try:
        return Prompts(**texts)
    except ValueError as error:
        raise UsageError(f"prompts.{error}", "README, 'Prompts', lists the placeholders") from None
