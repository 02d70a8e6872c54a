"""List the sections that can be set, each one type, and read a section's table as its type."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    with_config,
)

from refinecli.errors import UsageError
from refinecli.field_errors import worded
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.refining.strategies import RefineOptions
from refinecli.settings.classifiers import ClassifierConfig
from refinecli.settings.roles import RoleConfig
from refinecli.settings.sources import NAMED, Given, place_of
from refinecli.types import ROLES

T = TypeVar("T")


def _count_or_percent(text: str) -> str:
    if not re.fullmatch(r"[0-9]+|[0-9]+(?:\.[0-9]+)?%", text):
        raise ValueError("must be a count such as 3, or a share such as 1%")
    return text


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True))
@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of `[run]`, which do not shape results, and the seed."""

    concurrency: Annotated[int, Field(ge=1)] = 64
    max_calls: Annotated[int, Field(ge=0)] | None = None
    max_total_tokens: Annotated[int, Field(ge=0)] | None = None
    max_cost: Annotated[float, Field(ge=0)] | None = None
    max_errors: Annotated[str, AfterValidator(_count_or_percent)] = "0"
    max_line_mb: Annotated[float, Field(gt=0, le=1_000_000)] = 64.0
    seed: int | None = None
    batch_discount: Annotated[float, Field(ge=0, le=1)] = 0.5
    batch_seconds: Annotated[float, Field(gt=0)] = 60.0

    @property
    def line_bytes(self) -> int:
        """The most bytes in a line of the input."""
        from refinecli.data.sources import MEGABYTE  # which reads by asyncio; settings need none

        return int(self.max_line_mb * MEGABYTE)

    def errors_allowed(self, datapoints: int) -> float:
        """Return how many of `datapoints` may fail or stay ungraded."""
        number = float(self.max_errors.removesuffix("%"))
        return number / 100 * datapoints if self.max_errors.endswith("%") else number


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass(frozen=True, slots=True)
class RayOptions:
    """The options of `[ray]`, which say how shards run on a cluster and shape no results."""

    address: str | None = None
    shards: Annotated[int, Field(ge=1, le=99_999)] = 16
    workers: Annotated[int, Field(ge=1)] | None = None
    # Ray counts in ten-thousandths.
    cpus: Annotated[float, Field(ge=1e-4), AfterValidator(lambda cpus: round(cpus, 4))] = 1.0
    copy_seconds: Annotated[float, Field(gt=0)] = 120.0
    retries: Annotated[int, Field(ge=0)] = 3


# Sections besides the roles and the jury, in the order that they are shown in.
SECTIONS: Mapping[str, type] = MappingProxyType(
    {
        "refine": RefineOptions,
        "grade": GradeOptions,
        "run": RunOptions,
        "ray": RayOptions,
        "prompts": Prompts,
    }
)
# Sections of which there may be several, each with a name.
KINDS: Mapping[str, type] = MappingProxyType({"jury": RoleConfig, "classifier": ClassifierConfig})
# Such a name stands in TOML headers and in paths of figures.
_NAME = r"[A-Za-z0-9_-]{1,40}"


def check_names(given: Given) -> None:
    """Raise UsageError where something is set that does not exist."""
    for section, table in given.tables.items():
        if section in NAMED:
            for name, one in table.items():
                _check_named(section, name, one, given)
        elif section in ROLES:
            _check_keys([section], table, RoleConfig, given)
        elif section in SECTIONS:
            _check_keys([section], table, SECTIONS[section], given)
        else:
            raise _unknown([section], [*ROLES, *NAMED, *SECTIONS], given)


def _check_named(section: str, name: str, table: object, given: Given) -> None:
    if not re.fullmatch(_NAME, name) or not isinstance(table, dict):
        what = {"jury": "juror"}.get(section, section)
        raise UsageError(
            f"{given.source_within(f'{section}.{name}', f'{section}.')}: {section}.{name} is not a "
            f"{what}",
            f"write [{section}.NAME], a section like [grader]; NAME is of letters, digits, - and _",
        )
    _check_keys([section, name], table, KINDS[section], given)


def _check_keys(path: list[str], table: Mapping[str, Any], kind: type, given: Given) -> None:
    known = keys_of(kind)
    for key in table:
        if key not in known:
            raise _unknown([*path, key], known, given)


def keys_of(kind: type) -> list[str]:
    """Return the names of a section's settings."""
    if is_dataclass(kind):
        return [field.name for field in fields(kind)]
    assert issubclass(kind, BaseModel)
    return list(kind.model_fields)


def places() -> list[str]:
    """Return `section.key` of every setting; of those with a name, `section.NAME.key`."""
    roles = dict.fromkeys(ROLES, RoleConfig)
    named = {f"{section}.NAME": KINDS[section] for section in NAMED}
    kinds: dict[str, type] = {**roles, **named, **SECTIONS}
    return [f"{section}.{key}" for section, kind in kinds.items() for key in keys_of(kind)]


def _unknown(path: list[str], known: Sequence[str], given: Given) -> UsageError:
    dotted = ".".join(path)
    close = difflib.get_close_matches(path[-1], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"use one of: {', '.join(known)}"
    if path[-1] == "api_key":
        hint = "name the variable that holds the key in api_key_env"
    source = given.sources.get(dotted) or given.source_within(f"{dotted}.")
    return UsageError(f"{source}: there is no setting {dotted}", hint)


def section(kind: type[T], path: Sequence[str], table: object, given: Given) -> T:
    """Return a section's table as its type; raise UsageError naming what is wrong, and where."""
    if not table and is_dataclass(kind):  # to build a type's checks takes milliseconds
        return kind()
    try:
        return TypeAdapter(kind).validate_python(table)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_context=False)[0]
        dotted = place_of([*path, *map(str, detail["loc"])])
        message = worded(detail["msg"]).replace("valid tuple", "list")
        source = given.sources.get(dotted) or given.source_within(f"{'.'.join(path)}.")
        place = source.names(dotted) if source else dotted
        raise UsageError(f"{place}: {message}") from None
