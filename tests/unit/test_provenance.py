"""Records of wheels: others can read them, nothing that a build learnt is left out, and they are signed."""

from __future__ import annotations

import ast
import base64
import importlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import SSlibKey
from tests.fakes.records import a_request, digest

from buildthrough.builders.artifact import CheckedWheel
from buildthrough.builders.facts import BuildFacts, UsedWheel
from buildthrough.builders.provenance import PAYLOAD_TYPE, Builder, plain, statement
from buildthrough.builders.request import Build, BuildState
from buildthrough.builders.sandbox import Limits
from buildthrough.proxy.attestation import Attester, MalformedRecord, read_record
from buildthrough.proxy.signing import SigningUnavailable, UnusableKey, read_signing_key, read_verifying_key

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
BUILD = Build(
    id=7,
    request=a_request(),
    state=BuildState.RUNNING,
    attempts=1,
    created=NOW,
    started=datetime(2026, 1, 2, tzinfo=UTC),
)
WHEEL = CheckedWheel(
    path=Path("docopt-0.6.2-py3-none-any.whl"),
    filename="docopt-0.6.2-py3-none-any.whl",
    sha256=digest("wheel"),
    size=5,
    metadata=b"",
    requires_python=None,
    warnings=("a .pth file",),
)
FACTS = BuildFacts(
    isolation="2",
    sdist_path="files/docopt/packages/docopt-0.6.2.tar.gz",
    limits=Limits(memory_bytes=123),
    source_date_epoch=1_000_000_000,
    requirements=(
        UsedWheel(
            project="setuptools", version="80.0+x", filename="setuptools-80.0+x-py3-none-any.whl", sha256="a" * 64
        ),
        UsedWheel(project="old", version="1", filename="old-1-py3-none-any.whl", sha256=None),
    ),
    toolchain={"cc": "gcc 12"},
)
BUILDER = Builder(public_url="https://packages.example.org/", versions={"buildthrough": "1"})


def said(facts=FACTS, builder=BUILDER, log="f" * 64):
    return statement(BUILD, WHEEL, facts, builder=builder, log_sha256=log, finished=NOW)


@pytest.mark.parametrize("builder", [BUILDER, Builder(versions={})])
@pytest.mark.parametrize("facts", [FACTS, BuildFacts()])
@pytest.mark.parametrize("log", ["f" * 64, None])
def test_others_can_read_it(facts, builder, log):
    document = json.loads(json.dumps(said(facts, builder, log)))
    found = json_format.ParseDict(document, StatementMessage())
    Statement.copy_from_pb(found).validate()
    # Strict: a field that the specification does not know is refused.
    provenance = json_format.ParseDict(document["predicate"], Provenance())
    descriptors = (*provenance.build_definition.resolved_dependencies, *provenance.run_details.byproducts)
    for descriptor in descriptors:
        ResourceDescriptor.copy_from_pb(descriptor).validate()
    assert provenance.build_definition.build_type
    assert provenance.run_details.builder.id
    assert provenance.run_details.metadata.finished_on.ToJsonString() == "2026-01-02T03:04:05.678Z"


def test_what_it_says():
    document = said()
    definition = document["predicate"]["buildDefinition"]
    assert document["subject"] == [{"name": WHEEL.filename, "digest": {"sha256": WHEEL.sha256}}]
    assert definition["externalParameters"] == {
        "project": "docopt",
        "version": "0.6.2",
        "target": BUILD.request.target,
        "sdist": "docopt-0.6.2.tar.gz",
    }
    sdist, setuptools, old = definition["resolvedDependencies"]
    assert sdist == {
        "name": "docopt-0.6.2.tar.gz",
        "uri": "pkg:pypi/docopt@0.6.2?file_name=docopt-0.6.2.tar.gz",
        "digest": {"sha256": BUILD.request.sdist_sha256},
        "downloadLocation": "https://packages.example.org/files/docopt/packages/docopt-0.6.2.tar.gz",
    }
    assert setuptools["uri"] == "pkg:pypi/setuptools@80.0%2Bx?file_name=setuptools-80.0%2Bx-py3-none-any.whl"
    assert setuptools["digest"] == {"sha256": "a" * 64}
    assert "digest" not in old
    inside = definition["internalParameters"]
    assert (inside["isolation"], inside["limits"]["memoryBytes"], inside["toolchain"]) == ("2", 123, {"cc": "gcc 12"})
    assert (inside["warnings"], inside["sourceDateEpoch"]) == (["a .pth file"], 1_000_000_000)
    assert document["predicate"]["runDetails"]["byproducts"][0]["digest"] == {"sha256": "f" * 64}


def example(kind, word):
    """Return a value of a type in which every text begins with a word."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        return example(next(each for each in arguments if each is not type(None)), word)
    if origin is tuple or origin is frozenset:
        return origin([example(arguments[0], word)])
    if origin in {Mapping, dict}:
        return {example(arguments[0], f"{word}-key"): example(arguments[1], word)}
    if origin is typing.Literal:
        return arguments[0]
    if is_dataclass(kind):
        hints = hints_of(kind)
        return kind(**{each.name: example(hints[each.name], f"{word}.{each.name}") for each in fields(kind)})
    simple = {
        typing.Any: word,
        str: word,
        int: 1 + sum(map(ord, word)),
        float: float(sum(map(ord, word))),
        bool: True,
        datetime: NOW,
    }
    assert kind in simple, f"{word} is a {kind}: teach `plain` and this test what it looks like in a record"
    return simple[kind]


def hints_of(kind):
    """Return the types of a record's fields, also where a module imports them for annotations alone."""
    module = sys.modules[kind.__module__]
    known = dict(vars(module))
    for block in ast.parse(inspect.getsource(module)).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for line in block.body:
                known |= {each.name: getattr(importlib.import_module(line.module), each.name) for each in line.names}
    return typing.get_type_hints(kind, known)


@pytest.mark.parametrize("fact", [each.name for each in fields(BuildFacts)])
def test_no_fact_is_left_out(fact):
    value = example(hints_of(BuildFacts)[fact], fact)
    document = json.dumps(said(BuildFacts(**{fact: value})))
    words = [each for each in _leaves(plain(value)) if not isinstance(each, bool)]
    assert words
    for word in words:
        assert json.dumps(word) in document or str(word) in document


def _leaves(value):
    if isinstance(value, dict):
        return [leaf for pair in value.items() for each in pair[1:] for leaf in _leaves(each)]
    return [leaf for each in value for leaf in _leaves(each)] if isinstance(value, list) else [value]


def test_what_json_cannot_say_is_said_as_text():
    value = {"limits": types.MappingProxyType({"seconds": float("inf")}), "when": NOW, "tags": frozenset("ab")}
    assert plain(value) == {"limits": {"seconds": "inf"}, "when": "2026-01-02T03:04:05.678000Z", "tags": ["a", "b"]}


def test_what_has_no_form_is_refused():
    with pytest.raises(TypeError, match="the record cannot say"):
        plain({"path": Path("x")})


@pytest.fixture
def key_file(tmp_path):
    return write_key(tmp_path / "key.pem", Ed25519PrivateKey.generate())


def write_key(file, key, encryption=None):
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    return file


def attested(key=None):
    return Attester(builder=BUILDER, key=key).record(BUILD, WHEEL, FACTS, log_sha256="f" * 64, finished=NOW)


def test_others_can_check_the_signature(key_file):
    key = read_signing_key(key_file)
    record = attested(key)
    envelope = OtherEnvelope.from_dict(json.loads(record))
    other = SSlibKey.from_crypto(load_pem_public_key(key.public.pem.encode()), keyid=key.public.keyid)
    assert envelope.verify([other], 1).keys() == {key.public.keyid}
    assert envelope.payload_type == PAYLOAD_TYPE
    assert json.loads(envelope.payload) == said()


def test_a_record_is_read_back(key_file, tmp_path):
    key = read_signing_key(key_file)
    (tmp_path / "key.pub").write_text(key.public.pem)
    public = read_verifying_key(tmp_path / "key.pub")
    assert public.keyid == key.public.keyid
    stranger = read_signing_key(write_key(tmp_path / "other.pem", Ed25519PrivateKey.generate()))
    for record, is_signed in ((attested(), False), (attested(key), True), (attested(stranger), False)):
        found = read_record(record)
        assert (found.statement, found.sha256) == (said(), WHEEL.sha256)
        assert found.is_signed_by(public) is is_signed


def test_a_changed_record_is_not_signed(key_file):
    key = read_signing_key(key_file)
    document = json.loads(attested(key))
    payload = base64.b64decode(document["payload"]).replace(b"gcc 12", b"gcc 13")
    changed = {**document, "payload": base64.b64encode(payload).decode()}
    assert not read_record(json.dumps(changed).encode()).is_signed_by(key.public)
    other = {**document, "signatures": [{"sig": "AAAA"}, *document["signatures"]]}
    assert read_record(json.dumps(other).encode()).is_signed_by(key.public)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no statement"),
        (b"{}", "no statement"),
        (json.dumps({**said(), "_type": "https://in-toto.io/Statement/v0.1"}).encode(), "no statement"),
        (json.dumps({**said(), "predicateType": "x"}).encode(), "no statement"),
        (json.dumps({**said(), "subject": []}).encode(), "no statement"),
        (json.dumps({**said(), "subject": said()["subject"] * 2}).encode(), "no statement"),
        (b'{"payload": "e30=", "payloadType": "x", "signatures": [{"sig": ""}]}', "not of the type"),
        (b'{"payload": "e30=", "payloadType": "x", "signatures": []}', "0 signatures"),
        (b'{"payload": "e30=", "payloadType": "x", "signatures": [{}]}', "no sig"),
        (b'{"payload": "%", "payloadType": "x", "signatures": [{"sig": ""}]}', "not base64"),
        (b'{"payload": 1}', "an envelope has"),
        (b" " * (17 << 20), "more than"),
    ],
)
def test_what_is_no_record_is_refused(data, why):
    with pytest.raises(MalformedRecord, match=why):
        read_record(data)


def test_keys_that_are_none_are_refused(tmp_path, key_file):
    (tmp_path / "text").write_text("hello")
    locked = write_key(tmp_path / "locked.pem", Ed25519PrivateKey.generate(), BestAvailableEncryption(b"x"))
    other = write_key(tmp_path / "other.pem", generate_private_key(SECP256R1()))
    for file, why in (
        (tmp_path / "none", "cannot be read"),
        (tmp_path / "text", "holds no private key"),
        (locked, "not encrypted"),
        (other, "no Ed25519 private key"),
    ):
        with pytest.raises(UnusableKey, match=why):
            read_signing_key(file)
    with pytest.raises(UnusableKey, match="no public key"):
        read_verifying_key(key_file)


def test_without_the_extra_it_is_said_what_to_install(key_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(SigningUnavailable, match=r"install buildthrough\[sign\]"):
        read_signing_key(key_file)
    with pytest.raises(SigningUnavailable, match=r"cannot check a signature: install buildthrough\[sign\]"):
        read_verifying_key(key_file)
