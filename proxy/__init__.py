"""The index server: web, use cases, upstream, pages, blobs, records."""
