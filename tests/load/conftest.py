"""What the tests of load share with those of the whole server."""

from tests.e2e.conftest import pip_agent

__all__ = ["pip_agent"]
