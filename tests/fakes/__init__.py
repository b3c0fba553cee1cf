"""Legal implementations for tests: an index on a real socket, sdists, wheels, the dial guard."""
