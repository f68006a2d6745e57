"""The shipped mappings on frames written by hand from the table of the old server's dialect."""

from __future__ import annotations

import pytest

from proxy.configuration.document import parse
from proxy.mapping.catalog import CohortBinding, build
from proxy.mapping.engine.program import Program
from tests.support.checkout import ROOT

FOLDER = ROOT / "mappings"
JOB = b'"jobId": "5d0f0c3e-6c55-4f7b-8a53-1c2c8f0f9a11"'
TIME = b'"timestamp": "2025-03-04T09:15:02.118423+00:00"'

STATUS = b', "status": "running", "message": "Working \\u2013 please wait", ' + TIME + b"}"
STATUS_NULL = b', "status": "done", "message": null, ' + TIME + b"}"
STEP = b', "agent": "architect", "message": "A \\"queue\\" will do", "order": 3, ' + TIME + b"}"
CHAT = (
    b', "role": "assistant", "sender": "analyst", "content": "Who?\\n", '
    b'"metadata": {"a": [1.10, {}]}, ' + TIME + b"}"
)
APP = b', "spec": {"pages": ["home"]}, "prdMarkdown": "# Title\\n\\ntext", ' + TIME + b"}"

KINDS = [
    ("jobStatus", "status", STATUS),
    ("jobStatus", "status", STATUS_NULL),
    ("agentDialogue", "step", STEP),
    ("stageUpdate", "chat", CHAT),
    ("prdReady", "app", APP),
]


def frame(kind: str, rest: bytes) -> bytes:
    """Write a frame as the server's `json.dumps` does: a space after each colon and comma."""
    return b'{"kind": "' + kind.encode() + b'", ' + JOB + rest


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    documents = [
        parse(file.read_text(encoding="utf-8"), file.name) for file in sorted(FOLDER.glob("*.yaml"))
    ]
    names = ("old-to-new", "new-to-old")
    catalog = build(documents, {name: CohortBinding(to_client=(name,)) for name in names})
    found = {name: catalog.for_cohort(name).to_client for name in names}
    return {name: program for name, program in found.items() if program is not None}


@pytest.mark.parametrize(("old", "new", "rest"), KINDS)
def test_old_frames_become_new(
    programs: dict[str, Program], old: str, new: str, rest: bytes
) -> None:
    assert programs["old-to-new"].apply(frame(old, rest)) == (frame(new, rest),)


@pytest.mark.parametrize(("old", "new", "rest"), KINDS)
def test_new_frames_become_old(
    programs: dict[str, Program], old: str, new: str, rest: bytes
) -> None:
    assert programs["new-to-old"].apply(frame(new, rest)) == (frame(old, rest),)


@pytest.mark.parametrize(("old", "new", "rest"), KINDS)
def test_frames_of_the_wanted_shape_pass(
    programs: dict[str, Program], old: str, new: str, rest: bytes
) -> None:
    assert programs["old-to-new"].apply(frame(new, rest)) is None
    assert programs["new-to-old"].apply(frame(old, rest)) is None


@pytest.mark.parametrize("name", ["old-to-new", "new-to-old"])
def test_errors_pass(programs: dict[str, Program], name: str) -> None:
    assert programs[name].apply(b'{"kind": "error", "message": "Only chat is understood."}') is None


def test_an_app_without_its_document_is_mapped_too(programs: dict[str, Program]) -> None:
    assert programs["new-to-old"].apply(b'{"kind": "app", "spec": {}}') == (
        b'{"kind": "prdReady", "spec": {}}',
    )
