"""What the operator allows and denies, by patterns of project names and versions. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from buildthrough.proxy.entry import sdist_identity, wheel_identity
from buildthrough.proxy.names import normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_rule = re.compile(r"\s*(?P<pattern>[A-Za-z0-9._*?-]+)\s*(?P<specifier>(?:\(.*\)|[<>=!~][^#]*)?)\s*").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a list: ``evil-* # typosquats``, ``requests<2.20 # a leak``."""

    written: str
    """What stands before the reason."""
    fits: Callable[[str], object]
    """Whether a normalised project name is meant."""
    versions: SpecifierSet | None
    """The versions that are meant (PEP 440); None: all of them, and the project itself."""
    reason: str

    def covers(self, version: str | None) -> bool:
        """Whether a file of this version is meant; of a file whose version nobody can tell, no rule knows it."""
        if self.versions is None:
            return True
        return version is not None and self.versions.contains(version, prereleases=True)


@dataclass(frozen=True, slots=True)
class Rules:
    """Both lists. Where there is something to allow, nothing else is; what is denied is denied in any case."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.allow or self.deny)

    def of(self, project: str) -> ProjectRules:
        """Return what concerns a project, by its normalised name."""
        return ProjectRules(
            project=project,
            allow=tuple(rule for rule in self.allow if rule.fits(project)) if self.allow else None,
            deny=tuple(rule for rule in self.deny if rule.fits(project)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRules:
    """What concerns one project."""

    project: str
    allow: tuple[Rule, ...] | None
    """None where everything is allowed."""
    deny: tuple[Rule, ...]

    @property
    def refusal(self) -> str | None:
        """The sentence why the whole project is refused, None where it is not."""
        for rule in self.deny:
            if rule.versions is None:
                return _denied(self.project, rule)
        if self.allow == ():
            return f"{self.project} is not on the list of what is allowed here (policy.allow)."
        return None

    @property
    def has_versions(self) -> bool:
        """Whether some rule tells versions apart, so that files have to be looked at."""
        return any(rule.versions is not None for rule in self.deny) or (
            self.allow is not None and all(rule.versions is not None for rule in self.allow)
        )

    def file_refusal(self, filename: str) -> str | None:
        """Return the sentence why a file is refused, None where it is not.

        Where a rule is about versions and the file's cannot be told from its name, the file is refused.
        """
        if self.refusal is not None:
            return self.refusal
        version = version_of(filename)
        for rule in self.deny:
            if version is None or rule.covers(version):
                return _denied(filename, rule)
        if self.allow is not None and not any(rule.covers(version) for rule in self.allow):
            return f"{filename} is not on the list of what is allowed here (policy.allow)."
        return None


def parse_rules(*, allow: Iterable[str], deny: Iterable[str]) -> Rules:
    """Read both lists. Raise ValueError, whose sentence names the line."""
    return Rules(tuple(parse_rule(line) for line in allow), tuple(parse_rule(line) for line in deny))


def parse_rule(line: str) -> Rule:
    """Read one line: a pattern of names, versions (PEP 440) if only some are meant, and a reason behind ``#``."""
    told, _, reason = line.partition("#")
    match = _rule(told)
    if match is None:
        raise ValueError(f'{line!r} is no rule: write a name with * and ?, versions, # and the reason: "evil-* # why"')
    specifier = match["specifier"].strip().removeprefix("(").removesuffix(")").strip()
    try:
        versions = SpecifierSet(specifier) if specifier else None
    except InvalidSpecifier as error:
        raise ValueError(f"{line!r} is no rule: {specifier!r} names no versions (PEP 440)") from error
    pattern = normalize(match["pattern"])
    return Rule(
        written=_one_line(told),
        fits=re.compile(translate(pattern)).match,
        versions=versions,
        reason=_one_line(reason).rstrip("."),
    )


@lru_cache(maxsize=65536)
def version_of(filename: str) -> str | None:
    """Return the version in the name of an sdist or wheel, None for any other file."""
    identity = wheel_identity(filename) or sdist_identity(filename)
    return identity[1] if identity else None


def _denied(what: str, rule: Rule) -> str:
    return f"{what} is denied here by the rule {rule.written}: {rule.reason or 'no reason is given'}."


def _one_line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
