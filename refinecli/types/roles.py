"""Define the roles, and a completer for each."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, NamedTuple, Self, get_type_hints

from refinecli.types.completion import Completer

_JURY = "jury."  # begins a juror's role name
_CLASSIFIER = "classifier."


def juror_role(name: str) -> str:
    """Return the name of a juror's role."""
    return _JURY + name


def juror_in(role: str) -> str | None:
    """Return the juror's name in the name of its role; None for every other role."""
    return role.removeprefix(_JURY) if role.startswith(_JURY) else None


def classifier_role(name: str) -> str:
    """Return the name of a classifier's role."""
    return _CLASSIFIER + name


def classifier_in(role: str) -> str | None:
    """Return the classifier's name in the name of its role; None for every other role."""
    return role.removeprefix(_CLASSIFIER) if role.startswith(_CLASSIFIER) else None


class RoleTraits(NamedTuple):
    """The traits of a role.

    A role that is not set is its `fallback`. A role that gives verdicts is asked at temperature 0
    by default. A role that speaks for itself inherits where the fallback is asked, but not its
    system prompt and sampling. Only an optional role may be absent.
    """

    fallback: str | None = None
    gives_verdicts: bool = False
    speaks_for_itself: bool = False
    optional: bool = False


class Roles(NamedTuple):
    """The models that answer, rewrite, grade, turn a response into feedback and pick between
    responses.

    The judge, held out for reports, has no fallback and is none. A `jury`, by role names, grades in
    the grader's place. A field here is all that a new role takes: settings, the engine and
    `--show-config` read them.
    """

    policy: Annotated[Completer, RoleTraits()]
    reviser: Annotated[Completer, RoleTraits("policy")]
    grader: Annotated[Completer, RoleTraits("policy", gives_verdicts=True, speaks_for_itself=True)]
    critic: Annotated[Completer, RoleTraits("grader")]
    selector: Annotated[Completer, RoleTraits("grader", gives_verdicts=True)]
    judge: Annotated[Completer | None, RoleTraits(gives_verdicts=True, optional=True)] = None
    jury: Mapping[str, Completer] = MappingProxyType({})

    @property
    def graders(self) -> Mapping[str, Completer]:
        """The graders by role names: the jury, or the grader alone."""
        return self.jury or {"grader": self.grader}

    def wrapped(self, wrap: Callable[[str, Completer], Completer]) -> Self:
        """Return the same roles with `wrap` around each completer, given its role's name."""
        own = {name: getattr(self, name) for name in ROLES}
        return self._replace(
            **{name: wrap(name, completer) for name, completer in own.items() if completer},
            jury={name: wrap(name, completer) for name, completer in self.jury.items()},
        )


def _declared_roles() -> dict[str, RoleTraits]:
    hints = get_type_hints(Roles, include_extras=True)
    return {
        name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")
    }


# Every role but the jurors, by name.
ROLES: Mapping[str, RoleTraits] = MappingProxyType(_declared_roles())
JUROR = RoleTraits("grader", gives_verdicts=True)


def role_traits(name: str) -> RoleTraits:
    """Return the traits of a role, which may be a juror."""
    return ROLES[name] if juror_in(name) is None else JUROR
