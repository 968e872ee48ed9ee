"""Names to classes: read-only tables of "module:Class" strings, imported only when asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from propagate.errors import ConfigError
from propagate.settings import shown


class Registry(Mapping[str, Any]):
    """A read-only mapping from a name to an object that is imported on first use.

    Args:
        noun: what an entry is, for messages ("encoder", "label type").
        entries: name to "package.module:Object".
        former: older names of entries: looked up like the new ones, but never listed.
    """

    def __init__(self, noun: str, entries: Mapping[str, str], *, former: Mapping[str, str] | None = None) -> None:
        self.noun = noun
        self._entries = dict(entries)
        self._former = dict(former or {})

    def __getitem__(self, name: str) -> Any:
        """Return the object called `name`.

        Raises:
            ConfigError: there is no such entry; the nearest name is suggested.
        """
        name = self.present_name(name)
        if name not in self._entries:
            raise self.unknown(name)
        module, _, attribute = self._entries[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def present_name(self, name: str) -> str:
        """Return what an entry is called today."""
        return self._former.get(name, name)

    def unknown(self, name: str) -> ConfigError:
        """Return the error that there is no entry called `name`; the nearest is suggested."""
        near = difflib.get_close_matches(name, self._entries, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(self._entries)}"
        return ConfigError(f"no {self.noun} is called {shown(name)}", hint=hint)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._former
