"""Variables while a line runs: nested scopes over one user's globals.

A name is found in the innermost scope that has it; a global is seen where `:global` named it, or everywhere on the
console's top level. Reading what nobody declared gives NOTHING (routeros.md §13.1.7).
"""

from __future__ import annotations

from collections.abc import Mapping

from rdscsi.simulator.console.values import NOTHING, Value

_GLOBAL = object()


class Scope:
    """One block's variables."""

    __slots__ = ("_names", "_outer", "environment")

    def __init__(self, environment: dict[str, Value], outer: Scope | None = None) -> None:
        self.environment = environment
        self._outer = outer
        self._names: dict[str, object] = {}

    def inner(self) -> Scope:
        return Scope(self.environment, self)

    def function(self, arguments: Mapping[str, Value]) -> Scope:
        """A function's own scope: sees its arguments and nothing of its caller."""
        scope = Scope(self.environment, Scope({}))
        scope.environment = self.environment
        scope._names.update(arguments)
        return scope

    def declare(self, name: str, value: Value) -> None:
        self._names[name] = value

    def declare_global(self, name: str) -> None:
        self._names[name] = _GLOBAL
        self.environment.setdefault(name, NOTHING)

    def get(self, name: str) -> Value:
        scope: Scope | None = self
        while scope is not None:
            if name in scope._names:
                found = scope._names[name]
                return self.environment.get(name, NOTHING) if found is _GLOBAL else found  # type: ignore[return-value]
            if scope._outer is None:
                return scope.environment.get(name, NOTHING)
            scope = scope._outer
        return NOTHING

    def set(self, name: str, value: Value) -> None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope._names and scope._names[name] is not _GLOBAL:
                scope._names[name] = value
                return
            if name in scope._names:
                break
            scope = scope._outer
        self.environment[name] = value
