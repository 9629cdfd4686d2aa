"""A gallery as a service over HTTP: embed, search, identify, enrol, forget.

Needs the extra ``serve`` (FastAPI and uvicorn), which is imported when an application is made.
"""

from __future__ import annotations

from sanreid.serve.application import create_app
from sanreid.serve.running import run
from sanreid.serve.settings import Limits, read_token

__all__ = ["Limits", "create_app", "read_token", "run"]
