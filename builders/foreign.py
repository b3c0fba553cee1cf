"""What in a wheel does not go with its project's name and may be in another's way, or runs by itself. Pure.

All of it is the author's right, and often a mistake: `tests` at the top of a hundred wheels overwrite each other. So
it is said, in the log, the API and the record, and kept from nobody.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name

from buildthrough.builders.build_log import plain_line
from buildthrough.builders.facts import ForeignFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST: Final = 50
_SHARED: Final = frozenset({
    "benchmark", "benchmarks", "bin", "build", "conf", "config", "conftest", "core", "data", "demo", "dist", "doc",
    "docs", "example", "examples", "ez_setup", "lib", "license", "licenses", "readme", "resources", "sample", "samples",
    "scripts", "setup", "src", "static", "templates", "test", "testing", "tests", "tools", "utils", "versioneer",
})  # fmt: skip
_KNOWN: Final = """
    _distutils_hack:setuptools aiohttp:aiohttp anyio:anyio attr:attrs attrs:attrs babel:babel bs4:beautifulsoup4
    boto3:boto3 botocore:botocore celery:celery certifi:certifi cffi:cffi _cffi_backend:cffi chardet:chardet
    charset_normalizer:charset-normalizer click:click colorama:colorama coverage:coverage
    cryptography:cryptography Cython:cython dateutil:python-dateutil defusedxml:defusedxml django:django
    docutils:docutils dotenv:python-dotenv fastapi:fastapi flask:flask fsspec:fsspec google.protobuf:protobuf
    greenlet:greenlet grpc:grpcio h11:h11 h5py:h5py httpcore:httpcore httpx:httpx idna:idna
    importlib_metadata:importlib-metadata iniconfig:iniconfig IPython:ipython itsdangerous:itsdangerous
    jinja2:jinja2 jmespath:jmespath joblib:joblib jsonschema:jsonschema jwt:pyjwt keyring:keyring kombu:kombu
    lxml:lxml markdown:markdown markupsafe:markupsafe matplotlib:matplotlib mock:mock msgpack:msgpack
    multidict:multidict mypy:mypy networkx:networkx numpy:numpy oauthlib:oauthlib OpenSSL:pyopenssl
    packaging:packaging pandas:pandas paramiko:paramiko pathspec:pathspec pbr:pbr PIL:pillow pip:pip
    pkg_resources:setuptools platformdirs:platformdirs pluggy:pluggy psutil:psutil psycopg2:psycopg2 py:py
    pyarrow:pyarrow pyasn1:pyasn1 pycparser:pycparser pydantic:pydantic pygments:pygments pymongo:pymongo
    pyparsing:pyparsing pytest:pytest _pytest:pytest pytz:pytz redis:redis regex:regex requests:requests
    rich:rich rsa:rsa s3transfer:s3transfer scipy:scipy setuptools:setuptools simplejson:simplejson six:six
    sklearn:scikit-learn sniffio:sniffio sphinx:sphinx sqlalchemy:sqlalchemy starlette:starlette
    tensorflow:tensorflow toml:toml tomli:tomli torch:torch tornado:tornado tqdm:tqdm twisted:twisted
    typing_extensions:typing-extensions tzdata:tzdata urllib3:urllib3 uvicorn:uvicorn virtualenv:virtualenv
    wcwidth:wcwidth websockets:websockets werkzeug:werkzeug wheel:wheel wrapt:wrapt yaml:pyyaml _yaml:pyyaml
    yarl:yarl zope.interface:zope-interface
"""
OWNERS: Final = {name.casefold(): project for name, _, project in (pair.partition(":") for pair in _KNOWN.split())}
"""Whose well-known top-level modules are: the project that brings each, by the module's name in lower case."""
_COMMANDS: Final = frozenset({
    "apt", "awk", "bash", "bzip2", "cat", "chmod", "chown", "cp", "curl", "cut", "date", "dd", "df", "docker",
    "dpkg", "echo", "env", "find", "g++", "gcc", "git", "grep", "gzip", "head", "id", "kill", "kubectl", "ld",
    "less", "ln", "ls", "make", "mkdir", "mount", "mv", "nc", "node", "npm", "openssl", "patch", "perl", "ping",
    "pip", "pip3", "podman", "ps", "pwd", "pydoc", "python", "python2", "python3", "rm", "rsync", "ruby", "scp",
    "sed", "sh", "sleep", "sort", "ssh", "su", "sudo", "systemctl", "tail", "tar", "tee", "test", "top",
    "touch", "tr", "uv", "uvx", "vi", "vim", "wget", "which", "xargs", "zip",
})  # fmt: skip
_OWN_COMMANDS: Final = {"pip": {"pip", "pip3"}, "uv": {"uv", "uvx"}}
_AT_START: Final = frozenset({"sitecustomize.py", "usercustomize.py"})


def find_foreign(files: Iterable[str], project: str, scripts: Iterable[str] = ()) -> tuple[ForeignFile, ...]:
    """Return what is odd about the places of a wheel's files, at most `MOST`.

    ``files`` are the paths in the wheel, ``scripts`` the names of the commands that its entry points make.
    """
    own = canonicalize_name(project)
    found = {**dict(_odd_scripts(scripts, own))}
    for path in files:
        found.update(_odd(path, own))
    told = (ForeignFile(name=plain_line(name, 200), why=why) for name, why in sorted(found.items()))
    return tuple(told)[:MOST]


def _odd(path: str, project: str) -> Iterator[tuple[str, str]]:
    top, _, rest = path.partition("/")
    if top.endswith(".dist-info"):
        return
    if not top.endswith(".data"):
        yield from _odd_module(path, project)
        return
    scheme, _, below = rest.partition("/")
    if scheme in {"purelib", "platlib"}:
        yield from _odd_module(below, project)
    elif scheme == "scripts":
        yield from _odd_scripts([below], project)
    elif scheme == "data":
        yield from _odd_data(below)


def _odd_module(path: str, project: str) -> Iterator[tuple[str, str]]:
    top, _, below = path.partition("/")
    module = top if below else top.partition(".")[0]
    if not below and top.endswith(".pth"):
        yield top, "it runs, or changes where modules come from, at every start of the interpreter"
    elif not below and top in _AT_START:
        yield top, "it runs at every start of the interpreter"
    elif canonicalize_name(module) == project:
        return
    elif (owner := OWNERS.get(module.casefold())) is not None and owner != project:
        yield top, f"it takes the place of the module of {owner}"
    elif below and (owner := OWNERS.get(f"{module}.{below.partition('/')[0]}".casefold())) not in {None, project}:
        yield f"{top}/{below.partition('/')[0]}", f"it takes the place of the module of {owner}"
    elif module.casefold() in _SHARED:
        yield top, "many projects have one at this place, and overwrite each other's"
    elif module in sys.stdlib_module_names and (below or top.endswith((".py", ".so"))):
        yield top, "a module of the standard library has this name"


def _odd_scripts(names: Iterable[str], project: str) -> Iterator[tuple[str, str]]:
    for name in names:
        if name.casefold() in _COMMANDS and name not in _OWN_COMMANDS.get(project, ()):
            yield f"bin/{name}", "it hides a well-known command while the environment is active"


def _odd_data(path: str) -> Iterator[tuple[str, str]]:
    """Look at what is put below the environment's own folder (``share`` and ``etc`` are what that is for)."""
    first = path.partition("/")[0]
    if "site-packages/" in path or "dist-packages/" in path:
        yield path, "it is put among the modules of all projects, past what the wheel says of its modules"
    elif first in {"bin", "Scripts", "lib", "lib64", "include", "pyvenv.cfg"}:
        yield path, "it is put into the environment's own folders"
