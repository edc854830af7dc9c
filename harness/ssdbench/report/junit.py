"""A check as JUnit XML, which continuous integration shows beside the tests."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from ssdbench.report.check import Check

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(check: Check) -> str:
    """Return one test case for each metric of each row. A row without numbers fails, and a new row is skipped."""
    root = Xml.Element("testsuites")
    suite = Xml.SubElement(root, "testsuite", name=_plain(f"ssdbench.{check.suite}"))

    def case(row: str, name: str, seconds: float = 0.0) -> Xml.Element:
        return Xml.SubElement(
            suite, "testcase", classname=_plain(row), name=_plain(name), time=f"{seconds:.3f}"
        )

    def fail(element: Xml.Element, kind: str, text: str) -> None:
        Xml.SubElement(element, "failure", type=kind, message=_plain(text)).text = _plain(text)

    for row in check.rows:
        if row.problem is not None:
            fail(case(row.name, "result"), "missing", row.problem)
        for number, one in enumerate(row.metrics):
            element = case(row.name, one.header, row.seconds if number == 0 else 0.0)
            if not one.passed:
                fail(element, one.status, one.text)
    for name in check.new:
        Xml.SubElement(case(name, "result"), "skipped", message="not in the baseline")
    counted = {"tests": ".", "failures": "failure", "skipped": "skipped"}
    suite.attrib |= {name: str(len(suite.findall(f"testcase/{tag}"))) for name, tag in counted.items()}
    suite.attrib |= {"errors": "0"}
    Xml.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _plain(text: str) -> str:
    """Drop the characters that XML cannot hold."""
    return _NOT_XML.sub("", text)
