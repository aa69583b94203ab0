"""HTTP for operators: metrics, health and the status page. Reads everything, changes nothing."""

from relay.http.connections import Limits
from relay.http.page import Page
from relay.http.server import HttpServer

__all__ = ["HttpServer", "Limits", "Page"]
