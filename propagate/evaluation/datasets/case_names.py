"""Which of a benchmark's sequences are wanted, by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from propagate.errors import InputError
from propagate.evaluation.protocol import Case


def chosen_cases(cases: Sequence[Case], names: Sequence[str], *, where: Path) -> tuple[Case, ...]:
    """Return the cases of these names, in the order of `names`; all when there are no names.

    Args:
        cases: all of the benchmark's.
        names: a case's name, or its last part when only one case has it.
        where: the data, for messages.

    Raises:
        InputError: there are no cases at all, or none or several of a name.
    """
    if not cases:
        raise InputError(f"{where}: the list holds no sequence")
    if not names:
        return tuple(cases)
    return tuple(_one(cases, name, where=where) for name in dict.fromkeys(names))


def _one(cases: Sequence[Case], name: str, *, where: Path) -> Case:
    found = [case for case in cases if case.name == name] or [
        case for case in cases if case.name.rpartition("/")[2] == name
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{where}: several sequences are called {name}", hint=", ".join(case.name for case in found))
    near = difflib.get_close_matches(name, [case.name for case in cases], n=1)
    first = ", ".join(case.name for case in cases[:8])
    hint = f"did you mean {near[0]}?" if near else f"{len(cases)} sequences, the first are {first}"
    raise InputError(f"{where}: there is no sequence {name}", hint=hint)
