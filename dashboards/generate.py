#!/usr/bin/env python3
"""Makes the Grafana dashboards out of boards.py.

    dashboards/generate.py             writes dashboards/<board>.json
    dashboards/generate.py --check     fails if a committed one differs, and writes nothing

A query may name only metrics that are in the program's own catalogue (src/telemetry/catalogue.rs): a dashboard never
shows "no data" because a metric was renamed. And each of these is on some board. Python's standard library is all
that it needs.
"""

import json
import re
import sys
from pathlib import Path

from boards import BOARDS, Board, Panel

HERE = Path(__file__).resolve().parent
CATALOGUE = HERE.parent / "src" / "telemetry" / "catalogue.rs"
SOURCE = {"type": "prometheus", "uid": "${source}"}
PANEL_HEIGHT = {"timeseries": 8, "stat": 4}
COLUMNS = 24
# Units of Grafana's (packages/grafana-data/src/valueFormats) that the boards use.
UNITS = {"short", "s", "bytes", "ops", "reqps", "percentunit", "cpm"}


def catalogue() -> dict[str, str]:
    """Every series' name, and whether it counts, is a gauge, or belongs to a histogram."""
    names: dict[str, str] = {}
    for kind, name in re.findall(r'= MetricKind::(\w+)(?:\([^)]*\))?, "(firstcome_\w+)"', CATALOGUE.read_text()):
        if kind == "Histogram":
            names.update({f"{name}_{part}": "Histogram" for part in ("bucket", "sum", "count")})
        else:
            names[name] = kind
    if not names:
        sys.exit(f"no metrics found in {CATALOGUE}")
    return names


def families(known: dict[str, str]) -> set[str]:
    return {name.removesuffix("_bucket") for name, kind in known.items() if kind != "Histogram" or name.endswith("_bucket")}


def mistakes_of(board: Board, known: dict[str, str]) -> list[str]:
    mistakes = []
    for panel in panels_of(board):
        where = f"{board.title} / {panel.title}"
        if panel.unit not in UNITS:
            mistakes.append(f"{where}: unit {panel.unit}")
        if not panel.help.endswith(".") or len(panel.help) < 20:
            mistakes.append(f"{where}: its help is no sentence")
        mistakes += [f"{where}: no runbook {alert}" for alert in panel.runbooks if not has_runbook(alert)]
        for expression, _ in panel.queries:
            for name in re.findall(r"\bfirstcome_\w+", expression):
                if name not in known:
                    mistakes.append(f"{where}: {name} is not in the catalogue")
                if f"{name}{{@" not in expression:
                    mistakes.append(f"{where}: {name} without the chosen instances")
                counts = known.get(name) in ("Counter", "Histogram")
                rated = re.search(rf"(rate|increase)\({name}\b", expression)
                if known.get(name) == "Gauge" and rated:
                    mistakes.append(f"{where}: the rate of the gauge {name}")
                if counts and not rated and not panel.title.startswith("Evicted"):
                    mistakes.append(f"{where}: the counter {name} without a rate")
    titles = [panel.title for panel in panels_of(board)]
    return mistakes + [f"{board.title}: {title} twice" for title in set(titles) if titles.count(title) > 1]


def has_runbook(alert: str) -> bool:
    folder = HERE / "runbooks"
    return not folder.is_dir() or (folder / f"{alert}.md").exists()


def panels_of(board: Board) -> list[Panel]:
    return [panel for row in board.rows for panel in row.panels]


def expression(text: str) -> str:
    return text.replace("@", 'instance=~"$instance"').replace("[]", "[$__rate_interval]")


def targets(panel: Panel) -> list[dict]:
    return [
        {
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": expression(query),
            "legendFormat": legend,
            "range": True,
            "refId": chr(ord("A") + index),
        }
        for index, (query, legend) in enumerate(panel.queries)
    ]


def defaults(panel: Panel) -> dict:
    steps = [{"color": "green", "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in panel.steps]
    found = {
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "min": None if panel.title == "Clock" else 0,
        "thresholds": {"mode": "absolute", "steps": steps},
        "unit": panel.unit,
    }
    if panel.unit == "percentunit":
        found["max"] = 1
    if panel.kind == "timeseries":
        found["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 30 if panel.stacked else 0,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
        }
    return {name: value for name, value in found.items() if value is not None}


def options(panel: Panel) -> dict:
    if panel.kind == "stat":
        return {
            "colorMode": "background",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showPercentChange": False,
            "textMode": "auto",
            "wideLayout": True,
        }
    return {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def link(kind: str, title: str, url: str) -> dict:
    """To a page in a tab of its own, or to all dashboards of ours with the same variables."""
    ours = kind == "dashboards"
    return {
        "asDropdown": False,
        "icon": "external link" if ours else "doc",
        "includeVars": ours,
        "keepTime": ours,
        "tags": ["firstcome"] if ours else [],
        "targetBlank": not ours,
        "title": title,
        "tooltip": "",
        "type": kind,
        "url": url,
    }


def panel_json(panel: Panel, number: int, x: int, y: int) -> dict:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "gridPos": {"h": PANEL_HEIGHT[panel.kind], "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults(panel), "overrides": []},
        "options": options(panel),
        "targets": targets(panel),
        "links": [link("link", f"Runbook: {alert}", f"${{runbooks}}/{alert}.md") for alert in panel.runbooks],
    }


def all_panels(board: Board) -> list[dict]:
    made, number, y = [], 0, 0
    for row in board.rows:
        number += 1
        made.append({
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
            "panels": [],
        })
        y, x, height = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            made.append(panel_json(panel, number, x, y))
            x, height = x + panel.width, max(height, PANEL_HEIGHT[panel.kind])
        y += height
    return made


def variable(name: str, label: str, query: str) -> dict:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"qryType": 1, "query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 3,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
    }


def variables(board: Board) -> list[dict]:
    """The choices at the top: drops only on a board that shows single drops."""
    asks = any("$drop" in query for panel in panels_of(board) for query, _ in panel.queries)
    drops = [variable("drop", "Drop", 'label_values(firstcome_drop_units{instance=~"$instance"}, drop)')]
    return [
        {
            "name": "source",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "refresh": 1,
            "options": [],
        },
        variable("instance", "Instance", "label_values(firstcome_seq, instance)"),
        *(drops if asks else []),
        {
            "name": "runbooks",
            "label": "Runbooks are at",
            "type": "textbox",
            "query": "/public/runbooks",
            "current": {"selected": True, "text": "/public/runbooks", "value": "/public/runbooks"},
            "options": [],
            "hide": 2,
        },
    ]


def dashboard(board: Board) -> dict:
    return {
        "uid": f"firstcome-{board.file}",
        "title": f"firstcome: {board.title}",
        "description": board.help,
        "tags": ["firstcome"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables(board)},
        "annotations": {"list": []},
        "links": [link("dashboards", "", "")],
        "panels": all_panels(board),
    }


def main() -> int:
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 64
    known = catalogue()
    wrong = [mistake for board in BOARDS for mistake in mistakes_of(board, known)]
    asked = " ".join(query for board in BOARDS for panel in panels_of(board) for query, _ in panel.queries)
    wrong += [f"{name} is on no dashboard" for name in families(known) if not re.search(rf"\b{name}(_bucket)?\b", asked)]
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    for board in BOARDS:
        path = HERE / f"{board.file}.json"
        text = json.dumps(dashboard(board), indent=2) + "\n"
        if not sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(f"{path.name} is not what generate.py makes of boards.py: run dashboards/generate.py")
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main())
