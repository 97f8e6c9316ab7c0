"""A small XML reader for files from elsewhere.

It refuses a document type declaration, so there are no entities to expand, and it never opens
anything outside the file; size and depth are limited.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from msgspec import Struct

from sip2gw.convert.source import BYTES_MAX, SourceError
from sip2gw.protocol.structs import Opaque

DEPTH_MAX = 32


class Element(Opaque, Struct):
    """An element without its namespace. It may hold passwords, so `repr` shows none."""

    name: str
    attributes: dict[str, str] = {}
    children: list[Element] = []
    text: str = ""

    def named(self, name: str) -> Iterator[Element]:
        """The children with that name."""
        return (child for child in self.children if child.name == name)

    def below(self, *names: str) -> list[Element]:
        """The elements at the end of a path of names."""
        found = [self]
        for name in names:
            found = [child for element in found for child in element.named(name)]
        return found

    def values(self) -> dict[str, str]:
        """The attributes, and the elements that contain only text."""
        texts = {
            child.name: child.text.strip()
            for child in self.children
            if not child.children and not child.attributes
        }
        return texts | self.attributes


def read_xml(data: bytes) -> Element:
    """The top element of the document `data`.

    Raises:
        SourceError: it is not XML, has a document type, or is too big or too deep.
    """
    if len(data) > BYTES_MAX:
        raise SourceError(f"is larger than {BYTES_MAX} bytes")
    parser = expat.ParserCreate()
    top = Element("")
    open_elements = [top]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(open_elements) > DEPTH_MAX:
            raise SourceError(f"has elements more than {DEPTH_MAX} deep")
        local = {
            _local(key): value for key, value in attributes.items() if not key.startswith("xmlns")
        }
        element = Element(_local(name), local)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_name: str) -> None:
        open_elements.pop()

    def text(characters: str) -> None:
        open_elements[-1].text += characters

    def doctype(*_: object) -> None:
        raise SourceError("has a document type declaration (DTD), which is not allowed; remove it")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise SourceError(
            f"is not XML: line {error.lineno}: {expat.ErrorString(error.code)}"
        ) from None
    except (LookupError, ValueError):
        raise SourceError("is not XML: its encoding is unknown") from None
    return top.children[0]


def _local(name: str) -> str:
    return name.rpartition(":")[2]
