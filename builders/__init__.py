"""From a build request to a checked wheel: targets, requirements, sandbox, pool."""
