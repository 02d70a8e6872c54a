"""Settle `[classifier.NAME]`: a model that gives each of its labels a probability."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from refinecli.settings.roles import RoleConfig, RoleSettings, resolved
from refinecli.settings.sources import Source
from refinecli.types import JSONObject, classifier_role


class ClassifierConfig(BaseModel):
    """A classifier as written down: the URL that takes `{"inputs": …}`, or a Hugging Face directory
    that is served for the length of the run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    url: str | None = None
    directory: str | None = None
    api_key_env: str | None = None
    api_key_header: str | None = None
    headers: dict[str, str] = {}
    extra_body: JSONObject = {}
    timeout: Annotated[float, Field(gt=0)] | None = None
    retries: Annotated[int, Field(ge=0)] | None = None
    rpm: Annotated[float, Field(ge=0.001)] | None = None

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.url is None) == (self.directory is None):
            raise ValueError("needs a url or a directory, and not both")
        if self.directory is not None and not (Path(self.directory) / "config.json").is_file():
            raise ValueError(f"{self.directory} has no config.json")
        return self


def classifier_settings(
    name: str, written: ClassifierConfig, source: Source | None, environ: Mapping[str, str]
) -> RoleSettings:
    """Return the classifier as one that is asked like a role: its model is its own name, and its
    directory stands where a role has weights."""
    fields = written.model_dump(exclude_none=True, exclude={"url", "directory"})
    # Without a URL there is nobody to ask elsewhere, which the child's own address replaces.
    place = written.url or "http://127.0.0.1"
    config = RoleConfig(
        model=name,
        base_url=place,
        temperature=0.0,  # the same answer to the same question
        input_price=0.0,  # counted in calls
        output_price=0.0,
        **fields,
    )
    role = resolved(classifier_role(name), config, source, environ)
    return role if written.url else role.at(written.directory)
