"""HTTP for operators: metrics, health and the status page. Reads everything, changes nothing."""

from relay.http.page import Page
from relay.http.server import HttpServer

__all__ = ["HttpServer", "Page"]
