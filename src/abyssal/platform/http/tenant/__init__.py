"""The routes of what a tenant owns: one table, and the ASGI routes made from it."""

from __future__ import annotations

from abyssal.platform.http.tenant.endpoints import TENANT_ENDPOINTS, TenantEndpoint
from abyssal.platform.http.tenant.routes import tenant_routes

__all__ = ["TENANT_ENDPOINTS", "TenantEndpoint", "tenant_routes"]
