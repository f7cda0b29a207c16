"""The configuration file that pytest uses, and how single keys of it are set.

Invariant: setting keys changes the lines of these keys alone; every other byte of the file
stays as it is. What was made is read back first, and a file in which that does not come out
is not touched.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_resilience.exceptions import ConfigurationError

#: Where pytest looks, in its order; in a folder, the first that speaks of pytest counts.
NAMES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml",
         "tox.ini", "setup.cfg")  # fmt: skip
#: Files that are pytest's own, whatever they hold.
_OWN = NAMES[:4]
_INI, _NATIVE = ("tool", "pytest", "ini_options"), ("tool", "pytest")


@dataclass(frozen=True)
class Configuration:
    """A file that configures pytest.

    Attributes:
        table: Names of the tables around pytest's keys, outermost first; of an ini file, the
            one section.
        values: What the file says, by key.
        typed: Whether values have to be text because pytest takes them with their types.
    """

    path: Path
    table: tuple[str, ...]
    values: Mapping[str, Any]
    typed: bool = False

    def text_of(self, key: str) -> str | None:
        """Return the value of `key` as pytest hands it on, None if the file has none."""
        return str(self.values[key]) if key in self.values else None

    def set(self, values: Mapping[str, int | float]) -> None:
        """Set keys in the file.

        Raises:
            ConfigurationError: The file cannot be written, or not without touching more than
                these keys; it is as it was, and the message says what to write by hand.
        """
        old = self._with_table(_text(self.path))
        new = self._edited(old, values)
        if _without(new, values) != _without(old, values):
            raise self._by_hand(values, "other lines of it would change")
        read = _parsed(self.path, new)
        if read is None or any(read.text_of(k) != str(v) for k, v in values.items()):
            raise self._by_hand(values, "it would not be read as it was written")
        try:
            _replace(self.path, new)
        except OSError as error:
            raise self._by_hand(values, error.strerror or str(error)) from error

    def _with_table(self, text: str) -> str:
        """Return `text` with an empty table at its end if pytest's own file has none yet."""
        head = rf"^[ \t]*\[[ \t]*{self.table[0]}[ \t]*\]"
        if self.values or self.path.name not in _OWN or re.search(head, text, re.MULTILINE):
            return text
        return f"{_ended(text)}[{self.table[0]}]{_end_of_line(text)}"

    def _edited(self, text: str, values: Mapping[str, int | float]) -> str:
        if self.path.suffix == ".toml":
            return self._edited_toml(text, values)
        return self._edited_ini(text, values)

    def _edited_toml(self, text: str, values: Mapping[str, int | float]) -> str:
        try:
            import tomlkit
        except ImportError as error:
            why = "it takes tomlkit to edit: pip install 'pytest-resilience[tune]'"
            raise self._by_hand(values, why) from error

        try:
            document = tomlkit.parse(text)
            table: Any = document
            for name in self.table:
                table = table[name]
            for key, value in values.items():
                as_text = self.typed or isinstance(table.get(key), str)
                item = tomlkit.item(str(value) if as_text else value)
                if key not in table:
                    item.trivia.trail = _end_of_line(text)
                table[key] = item
            return tomlkit.dumps(document)
        # Which of its errors it is depends on how unusual the file is.
        except Exception as error:
            raise self._by_hand(values, f"tomlkit cannot edit it ({error})") from error

    def _edited_ini(self, text: str, values: Mapping[str, int | float]) -> str:
        lines = text.splitlines(keepends=True)
        found = (n for n, line in enumerate(lines) if _heading(line) == self.table[0])
        first = next(found, None)
        if first is None:
            raise self._by_hand(values, "its section is not written in the usual way")
        later = (n for n, line in enumerate(lines) if n > first and _heading(line))
        last = next(later, len(lines))
        while not lines[last - 1].strip():
            last -= 1
        for key, value in values.items():
            pattern = re.compile(rf"({re.escape(key)}[ \t]*[=:][ \t]*)[^\r\n]*")
            for number in range(first + 1, last):
                if match := pattern.match(lines[number]):
                    lines[number] = f"{match[1]}{value}{lines[number][match.end() :]}"
                    break
            else:
                if not lines[last - 1].endswith("\n"):
                    lines[last - 1] += _end_of_line(text)
                lines.insert(last, f"{key} = {value}{_end_of_line(text)}")
                last += 1
        return "".join(lines)

    def _by_hand(self, values: Mapping[str, int | float], why: str) -> ConfigurationError:
        quote = '"' if self.typed else ""
        wanted = "; ".join(f"{key} = {quote}{v}{quote}" for key, v in values.items())
        return ConfigurationError(
            f"{self.path} was left as it is, because {why}. To do it by hand, write under"
            f" [{'.'.join(self.table)}]: {wanted}"
        )


def locate(folder: Path) -> Configuration | None:
    """Return the configuration that pytest uses in `folder`: of it, or of one around it.

    Raises:
        ConfigurationError: A file on the way cannot be read.
    """
    for place in (folder.absolute(), *folder.absolute().parents):
        for name in NAMES:
            path = place / name
            if path.is_file():
                found = _parsed(path, _text(path))
                if found is not None:
                    return found
    return None


def load(path: Path) -> Configuration:
    """Return the configuration in `path`, as after pytest's own option ``-c``.

    Raises:
        ConfigurationError: It cannot be read, or says nothing to pytest.
    """
    found = _parsed(path, _text(path))
    if found is None:
        raise ConfigurationError(
            f"{path} does not configure pytest; expected a section [pytest] (in setup.cfg"
            " [tool:pytest], in pyproject.toml [tool.pytest.ini_options])"
        )
    return found


def _parsed(path: Path, text: str) -> Configuration | None:
    if path.suffix == ".toml":
        return _parsed_toml(path, text)
    # The reader that pytest itself uses, and comes with.
    import iniconfig

    try:
        read = iniconfig.IniConfig(str(path), data=text)
    except iniconfig.ParseError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    section = "tool:pytest" if path.suffix == ".cfg" else "pytest"
    if section in read:
        return Configuration(path, (section,), dict(read[section].items()))
    return Configuration(path, (section,), {}) if path.name in _OWN else None


def _parsed_toml(path: Path, text: str) -> Configuration | None:
    tomllib = _toml_reader()
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    tool = document.get("tool", {}).get("pytest", {})
    if path.name != "pyproject.toml" and "pytest" in document:
        return Configuration(path, ("pytest",), document["pytest"], typed=True)
    if "ini_options" in tool:
        return Configuration(path, _INI, tool["ini_options"])
    if tool:
        return Configuration(path, _NATIVE, tool, typed=True)
    return Configuration(path, ("pytest",), {}, typed=True) if path.name in _OWN else None


def _toml_reader() -> Any:
    """Return the standard library's reader, or the one that pytest brings where there is none."""
    from importlib import import_module

    try:
        return import_module("tomllib")
    except ModuleNotFoundError:
        return import_module("tomli")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _end_of_line(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _ended(text: str) -> str:
    """Return `text` with its last line ended."""
    return text if text.endswith("\n") or not text else text + _end_of_line(text)


def _heading(line: str) -> str:
    """Return the name of the section that begins with `line` of an ini file, "" if none does."""
    match = re.match(r"\[([^]#;]*)\]", line)
    return match[1] if match else ""


def _without(text: str, values: Mapping[str, int | float]) -> list[str]:
    """Return the lines that say nothing of the keys of `values`."""
    keys = "|".join(map(re.escape, values))
    spoken = re.compile(rf"""["']?(?:{keys})["']?[ \t]*[=:]""")
    lines = _ended(text).splitlines(keepends=True)
    return [line for line in lines if not spoken.match(line.lstrip())]


def _replace(path: Path, text: str) -> None:
    """Put `text` in the place of the file at once, with the rights it has."""
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        draft.write_bytes(text.encode("utf-8"))
        shutil.copymode(target, draft)
        os.replace(draft, target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
