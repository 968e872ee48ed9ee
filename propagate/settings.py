"""What a setting is: default, range, words, unit and help are written once, in the field of a dataclass.

Checks, the options of the command line with their help, what a word on it means, and the keys of run.yaml all come from
there. Add a setting: one field in `config.PropagateConfig` or `training.config.TrainConfig`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from propagate.errors import ConfigError

_KEY = "setting"  # of a field's metadata
_YES_OR_NO = {"true": True, "yes": True, "false": False, "no": False}
# Python's own numbers have underscores, digits of other scripts, infinity, and no end.
_NUMBER = re.compile(r"[+-]?[\d.]{1,40}(e[+-]?\d{1,4})?", re.ASCII | re.IGNORECASE)
_LONGEST = 4096  # characters of a text
_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 1, 60, 60  # a YAML file's value may be nested without end


@dataclass(frozen=True)
class Setting:
    """What is known of one setting, beside its name.

    Attributes:
        default: its value when nothing is given.
        help: one sentence for the command line.
        kind: int, float, bool or str: what its value is; None takes the default's type.
        panel: under which heading its option stands; "" gives it no option.
        unit: in the plural, such as "pixels".
        low: the least that it can be.
        high: the most, beyond which no machine or grid can go.
        above: it must be more than that.
        below: it must be less than that.
        odd: it must be odd.
        choices: all that it can be.
        words: what stands for a value on the command line and in files, such as {"full": None}.
        pattern: a regular expression of texts that it can be instead.
        form: how such a text looks, such as "WxH".
        none: what it means that it is None; "" where a word says it, or where it cannot be.
        metavar: what the help calls its value; "" makes one of the unit, or of the choices.
        former: what it was called before; read for one release.
        only: the objectives, or the commands, that have it; empty: all.
        source: the paper or code that its default is from.
    """

    default: Any
    help: str
    kind: type | None = None
    panel: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    odd: bool = False
    choices: tuple[str | int, ...] = ()
    words: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pattern: str = ""
    form: str = ""
    none: str = ""
    metavar: str = ""
    former: str = ""
    only: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", self.kind or type(self.default))

    def field(self) -> Any:
        """Return it as a field of a dataclass."""
        return dataclasses.field(default=self.default, metadata={_KEY: self})

    @property
    def may_be_none(self) -> bool:
        """Whether None is one of its values."""
        return bool(self.none) or None in self.words.values()

    def accepts(self, value: object) -> bool:
        """Return whether `value` is one that it can be."""
        if value is None:
            return self.may_be_none
        if isinstance(value, str) and (value in self.words.values() or self._has_form(value)):
            return True
        if not self._is_of_kind(value):
            return False
        if self.choices:
            return value in self.choices
        return self._in_range(len(value) if isinstance(value, str) else value)

    def _has_form(self, text: str) -> bool:
        return bool(self.pattern and re.fullmatch(self.pattern, text))

    def _is_of_kind(self, value: object) -> bool:
        if isinstance(value, bool) or self.kind is bool:
            return isinstance(value, bool) and self.kind is bool
        return isinstance(value, int | float) if self.kind is float else type(value) is self.kind

    def _in_range(self, value: Any) -> bool:
        high = _LONGEST if self.kind is str else math.inf if self.high is None else self.high
        low = -math.inf if self.low is None else self.low
        above = -math.inf if self.above is None else self.above
        below = math.inf if self.below is None else self.below
        whole = self.kind is not float
        return low <= value <= high and above < value < below and not (self.odd and whole and value % 2 == 0)

    def expected(self) -> str:
        """Return in words what it can be: "a whole number from 1 to 31, or all"."""
        if self.choices or self.kind is bool:
            listed = [*(self.choices or ("true", "false")), *self.words]
            return f"one of {', '.join(map(str, listed))}"
        what = "text" if self.kind is str else "a number" if self.kind is float else "a whole number"
        what = "an odd number" if self.odd else what
        others = [*self.words, *([self.form] if self.form else [])]
        return f"{what}{self._range()}{', or ' + ' or '.join(others) if others else ''}"

    def _range(self) -> str:
        if self.kind is str:
            return ""
        limits = (
            ("above", self.above),
            ("from" if self.high is not None else "of at least", self.low),
            ("to" if self.low is not None else "up to", self.high),
            ("to below", self.below),
        )
        return "".join(f" {word} {limit:.10g}" for word, limit in limits if limit is not None)

    def parse(self, word: str) -> Any:
        """Return the value of a word on a command line.

        Raises:
            ValueError: it is neither a number nor one of the words; whether the value is in range is not asked.
        """
        if word in self.words:
            return self.words[word]
        if self.kind is str or self._has_form(word):
            return word
        if self.kind is bool and word.lower() in _YES_OR_NO:
            return _YES_OR_NO[word.lower()]
        if self.kind is bool or not _NUMBER.fullmatch(word):
            raise ValueError(word)
        return float(word) if self.kind is float else int(word)

    def spelled(self, value: object) -> str:
        """Return a value as the command line and its help spell it: "12 cells", "full"."""
        word = next((word for word, meaning in self.words.items() if meaning == value), None)
        if word is not None or value is None:
            return word or self.none
        if isinstance(value, bool):
            return "yes" if value else "no"
        number = f"{value:g}" if isinstance(value, float) else str(value)
        unit = self.unit.removesuffix("s") if number == "1" else self.unit
        return f"{number} {unit}" if unit and not isinstance(value, str) else number

    def value_name(self) -> str:
        """Return what the help calls its value: "CELLS|full"."""
        if self.metavar or self.choices:
            return self.metavar or "|".join(map(str, self.choices))
        plain = "TEXT" if self.kind is str else "X" if self.kind is float else "N"
        number = self.unit.upper().replace(" ", "-") or plain
        return "|".join([number, *([self.form] if self.form else []), *self.words])


def settings_of(config: Any) -> dict[str, Setting]:
    """Return what is known of every setting of a dataclass, or of an instance of one, by name."""
    return {field.name: field.metadata[_KEY] for field in dataclasses.fields(config)}


def check_settings(config: Any) -> None:
    """Refuse a configuration with a value that its setting cannot have.

    Raises:
        ConfigError: the first such setting, its value, and what it can be.
    """
    for name, known in settings_of(config).items():
        value = getattr(config, name)
        if not known.accepts(value):
            raise ConfigError(f"{name} is {shown(value)}, expected {known.expected()}")


def shown(value: object) -> str:
    """Return a value as a message shows it: cut, whatever its size or depth."""
    try:
        return _short.repr(value)
    except ValueError:  # Python refuses to write out a number of more than 4300 digits
        return "a number of thousands of digits"


def parse_word(kind: type, name: str, word: str, *, option: str | None = None) -> Any:
    """Return the value that a word on the command line gives a setting.

    Args:
        kind: a dataclass of settings.
        name: a setting of it.
        word: as typed.
        option: how the message names the setting; None makes `--name` of it.

    Raises:
        ConfigError: no such setting, or the word says nothing that it can be.
    """
    known = settings_of(kind)[known_name(kind, name)]
    option = option or f"--{name.replace('_', '-')}"
    try:
        value = known.parse(word)
    except ValueError as error:
        raise ConfigError(f"{option} is {shown(word)}", hint=f"expected {known.expected()}") from error
    if not known.accepts(value):
        raise ConfigError(f"{option} is {shown(word)}", hint=f"expected {known.expected()}")
    return value


def known_name(kind: type, name: str) -> str:
    """Return today's name of a setting.

    Raises:
        ConfigError: a dataclass of settings has none of this name; the nearest is suggested.
    """
    known = settings_of(kind)
    current = former_names(kind).get(name, name)
    if current not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else None
        raise ConfigError(f"no setting is called {shown(name)}", hint=hint)
    return current


def former_names(kind: type) -> dict[str, str]:
    """Return the names that settings of a dataclass had before, and those that they have."""
    return {known.former: name for name, known in settings_of(kind).items() if known.former}


def current_names(kind: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the names of today in place of former ones, without those that are gone (`kind.gone`).

    Names that are unknown stay.

    Raises:
        ConfigError: one is given by both its names.
    """
    former = former_names(kind)
    twice = next((name for name in settings if former.get(name) in settings), None)
    if twice is not None:
        raise ConfigError(f"{twice} and {former[twice]} are one setting", hint=f"leave {twice} out")
    gone = getattr(kind, "gone", ())
    return {former.get(name, name): value for name, value in settings.items() if name not in gone}


def merge(kind: type, layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of a dataclass of settings that several layers give, the later ones winning.

    Raises:
        ConfigError: a name that is no setting, with the nearest that is.
    """
    known = settings_of(kind)
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in current_names(kind, layer).items():
            words = known[known_name(kind, name)].words
            merged[name] = words.get(value, value) if isinstance(value, str) else value
    return merged
