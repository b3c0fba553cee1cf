"""Real sdists of many kinds, and how their builds end. Each is quick; the server builds two at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildable:
    """An sdist that becomes a wheel."""

    project: str
    version: str
    kind: str
    module: str | None
    """What can be imported without the package's dependencies; None where nothing can."""
    platform: str
    """``any`` or ``manylinux``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbuildable:
    """An sdist that does not become a wheel."""

    project: str
    version: str
    kind: str
    faults: tuple[str, ...]
    """How the fault's class may begin."""
    lacking: str | None = None
    """What pkg-config must not know, for the build to fail."""


def _any(project: str, version: str, module: str | None, kind: str) -> Buildable:
    return Buildable(project=project, version=version, kind=kind, module=module, platform="any")


def _native(project: str, version: str, module: str | None, kind: str) -> Buildable:
    return Buildable(project=project, version=version, kind=kind, module=module, platform="manylinux")


def _fails(project: str, version: str, kind: str, *faults: str, lacking: str | None = None) -> Unbuildable:
    return Unbuildable(project=project, version=version, kind=kind, faults=faults, lacking=lacking)


NESTED = _any("json-document", "0.8", None, "a build requirement without a wheel of its own: versiontools")

BUILDABLE = (
    NESTED,
    _any("sgmllib3k", "1.0.0", "sgmllib", "one module, setup.py of 2010"),
    _any("wget", "3.2", "wget", "a .zip"),
    _any("paho-mqtt", "1.6.1", "paho.mqtt", "setup.py with test commands"),
    _any("langdetect", "1.0.9", None, "package data"),
    _any("petl", "1.7.15", "petl", "setuptools-scm, version from PKG-INFO"),
    _any("requests-hardened", "1.0.0b3", None, "pyproject.toml alone, a pre-release"),
    _any("coverage", "4.5.4", "coverage", "an optional extension in C of an older Python's API"),
    _native("pyyaml", "5.3.1", "yaml", "an optional extension that is left out, the tag of a platform"),
    _native("crcmod", "1.7", "crcmod._crcfunext", "C, distutils"),
    _native("markupsafe", "2.0.1", "markupsafe._speedups", "C"),
    _native("zope.interface", "5.1.0", "zope.interface._zope_interface_coptimizations", "a dotted name, C"),
    _native("netifaces", "0.11.0", "netifaces", "C, probes the system with a compiler"),
    _native("mmh3", "3.0.0", "mmh3", "C++"),
    _native("cymem", "2.0.6", "cymem.cymem", "Cython at build"),
    _native("yarl", "1.7.2", None, "C that a recipe has made again by Cython"),
    _native("pendulum", "2.1.2", None, "poetry-core with a build script, C"),
)

ROTTEN = (
    _any("demjson", "2.2.4", "demjson", "asks setuptools for 2to3, which is gone since 58"),
    _native("pyyaml", "5.4.1", "yaml", "Cython 3 refuses its setup.py"),
)
"""Built with the index of their own time alone."""

SLOW = (
    _native("aiohttp", "3.8.1", None, "C that a recipe has made again by Cython"),
    _native("pandas", "1.1.5", None, "a recipe with requirements and limits of its own"),
    _native("annoy", "1.17.3", "annoy", "C++"),
    _native("thrift", "0.20.0", "thrift.protocol.fastbinary", "C++, optional"),
    _native("pycosat", "0.6.6", "pycosat", "C"),
    _native("peewee", "3.16.3", None, "Cython, a system library"),
    _native("hnswlib", "0.7.0", None, "pybind11 and numpy at build, C++"),
    _native("ruptures", "1.1.7", None, "Cython and numpy at build"),
    _native("python-rapidjson", "1.3", "rapidjson", "C++"),
    _any("ipadic", "1.0.0", "ipadic", "much data"),
)
"""Some minutes more: built with ``REAL_SDISTS=all`` in the environment."""

UNBUILDABLE = (
    _fails("pycrypto", "2.6.1", "C of an older Python's API", "capi"),
    _fails("stsci.distutils", "0.3.7", "needs pkg_resources, then what Python 3.10 lost", "incompatible.python"),
    _fails("dbus-python", "1.4.0", "meson-python, needs libdbus", "syslib.", lacking="dbus-1"),
    _fails("sklearn", "0.0.post12", "refuses", "skipped.recipe"),
    _fails("pywinpty", "2.0.10", "maturin; Windows' alone", "skipped.recipe"),
    _fails("backports.zoneinfo", "0.2.1", "part of this Python", "skipped.recipe"),
    _fails("tokenizers", "0.12.1", "crates", "network.crates", "syslib.tool"),
    _fails("vllm-nccl-cu12", "2.18.1.0.4.0", "downloads when it is built", "network.denied"),
)
