"""Settings: schema, defaults, loading."""
