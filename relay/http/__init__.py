"""HTTP on :9100: metrics, health and the status page. Reads everything, changes nothing."""

from relay.http.server import HttpServer, ListenError
from relay.http.status import Status, UpstreamStatus

__all__ = ["HttpServer", "ListenError", "Status", "UpstreamStatus"]
