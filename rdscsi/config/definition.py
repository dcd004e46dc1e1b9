"""What a setting is: one definition that gives flag, environment variable, file key, help, default, parser and check.

A settings class declares its fields with `setting(...)`; everything else reads the definitions off the class. No
setting is declared here: see `rdscsi.config.settings`.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from rdscsi.config.values import Kind

T = TypeVar("T")

_KEY = "rdscsi.setting"
ENVIRONMENT_PREFIX = "RDSCSI_"


@dataclass(frozen=True, slots=True)
class Computed:
    """A default that depends on the machine: how to get its text, and how the documentation names it."""

    text: Callable[[], str]
    shown: str


@dataclass(frozen=True, slots=True)
class Definition:
    """Everything about one setting. A default is text, read by the same parser as any other source; None: required."""

    name: str
    kind: Kind[Any]  # the value's type is known to the declaring field only
    help: str
    default: str | Computed | None
    environment_default: str
    """Another environment variable that is looked at before the default, such as NODE_NAME; empty for none."""

    @property
    def default_text(self) -> str | None:
        return self.default.text() if isinstance(self.default, Computed) else self.default

    @property
    def default_shown(self) -> str:
        """The default as help and documentation show it; empty for an empty one and for a required setting."""
        return self.default.shown if isinstance(self.default, Computed) else self.default or ""

    @property
    def flag(self) -> str:
        return f"--{self.name}"

    @property
    def environment(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.replace("-", "_").upper()


@dataclass(frozen=True, slots=True)
class Check:
    """A rule over several settings: `wrong` gets the values of `names` and returns what is wrong, or an empty text.

    It runs only when each of these values could be read, so one mistake is never reported twice.
    """

    names: tuple[str, ...]
    wrong: Callable[..., str]


def setting(kind: Kind[T], help: str, *, default: str | Computed | None = None, environment_default: str = "") -> T:
    """Declare a field of a settings class; without a default the setting is required.

    Typed as the value itself, as `dataclasses.field` is, so that `x: int = setting(PORT, …)` is checked.
    """
    definition = Definition("", kind, help, default, environment_default)

    def parsed_default() -> T:
        text = definition.default_text
        assert text is not None
        return kind.parse(text)

    if default is None:
        return cast("T", dataclasses.field(metadata={_KEY: definition}))
    return dataclasses.field(default_factory=parsed_default, metadata={_KEY: definition})


def definitions(section: type) -> Iterator[Definition]:
    """The settings that a settings class declares, in its order."""
    for field in dataclasses.fields(section):
        yield dataclasses.replace(field.metadata[_KEY], name=field.name.replace("_", "-"))
