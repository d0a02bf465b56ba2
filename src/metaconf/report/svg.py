"""Makes a matplotlib SVG fit to stand inside a page with a strict content-security policy.

Style attributes and elements are blocked there, ids of several charts would collide, and fixed
colours would be lost in the dark: styles become presentation attributes, ids get a prefix, and
the palette's colours become the page's CSS variables.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_DROPPED = {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}

COLOURS = {
    "#22282e": "currentColor",
    "#5f6871": "var(--muted)",
    "#d5d9dd": "var(--line)",
    "#b0532c": "var(--s0)",
    "#1a6c82": "var(--s1)",
    "#687588": "var(--s2)",
    "#9c7a1f": "var(--s3)",
    "#7d588f": "var(--s4)",
    "#5f7a37": "var(--s5)",
}
"""Colour on paper → colour in the page."""

INK, MUTED, LINE, BEFORE, AFTER, *OTHERS = COLOURS


def inline(text: str, prefix: str, label: str) -> str:
    """An SVG document from matplotlib as an element for HTML, named `label` for screen readers.

    Only for SVG that this package drew: ElementTree is no parser for files of unknown origin.
    """
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in _DROPPED]:
            parent.remove(child)
    for element in root.iter():
        _rewrite(element, prefix)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", label)
    return ElementTree.tostring(root, encoding="unicode")


def _rewrite(element: ElementTree.Element, prefix: str) -> None:
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = declaration.partition(":")
        if value:
            _presentation(element, name.strip(), value.strip())
    if _HREF in element.attrib:
        element.set("href", element.attrib.pop(_HREF))
    for name, value in list(element.attrib.items()):
        if name == "id":
            value = f"{prefix}-{value}"
        elif name == "href":
            value = value.replace("#", f"#{prefix}-")
        value = re.sub(r"url\(#", f"url(#{prefix}-", value)
        element.set(name, COLOURS.get(value, value))


def _presentation(element: ElementTree.Element, name: str, value: str) -> None:
    """The page's own font replaces the chart's; its size and weight stay."""
    if name == "font":
        sizes = re.findall(r"([\d.]+)px", value)
        element.set("font-size", sizes[0] if sizes else "8")
        if "bold" in value or re.search(r"\b[67]00\b", value):
            element.set("font-weight", "600")
    elif name not in {"font-family", "font-stretch", "font-variant"}:
        element.set(name, value.removesuffix("px") if name == "font-size" else value)
