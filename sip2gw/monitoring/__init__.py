"""What watches gateways: a dashboard for Grafana and alert rules for Prometheus, as files.

Their queries are checked against the metrics that a gateway really has (`tests/monitoring`).
"""

from importlib.resources import files

DASHBOARD, ALERTS = "dashboard.json", "alerts.yaml"


def text_of(name: str) -> str:
    """The content of `DASHBOARD` or `ALERTS`."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
