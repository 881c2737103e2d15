"""The management routes, `/v1/platform/...`: one table, and the ASGI routes made from it."""

from __future__ import annotations

from abyssal.platform.http.management.endpoints import ENDPOINTS, Endpoint
from abyssal.platform.http.management.routes import management_routes

__all__ = ["ENDPOINTS", "Endpoint", "management_routes"]
