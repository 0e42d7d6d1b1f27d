"""What the four dashboards show: a title and rows of panels, by dashboard. A row is a heading and its panels."""

from __future__ import annotations

from panels import Panel

from content import development, executive, operations, security

Rows = list[tuple[str, list[Panel]]]
DASHBOARDS: dict[str, tuple[str, Rows]] = {
    "operations": ("Operations", operations.ROWS),
    "executive": ("Executive", executive.ROWS),
    "development": ("Development", development.ROWS),
    "security": ("Security", security.ROWS),
}
