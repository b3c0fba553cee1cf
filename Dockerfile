# The server with all that builds need. A build inside a container needs user namespaces, which the default profile of
# docker refuses: see compose.yaml for the flags. Without them the server passes through and builds nothing, and says so.
FROM python:3.13-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap build-essential pkg-config util-linux \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /var/lib/buildthrough --shell /usr/sbin/nologin buildthrough

WORKDIR /opt/buildthrough
COPY pyproject.toml hatch_build.py README.md CHANGELOG.md LICENSE ./
COPY config config
COPY builders builders
COPY proxy proxy
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check '.[sign]'

# The image's Python, its headers and /opt/venv are readable for everybody, as builds under another user need them.
ENV PATH=/opt/venv/bin:$PATH \
    BUILDTHROUGH_STORAGE__DIR=/var/lib/buildthrough/data
RUN install --directory --owner buildthrough --group buildthrough --mode 0700 /var/lib/buildthrough/data \
    && install --directory --owner buildthrough --group buildthrough /var/lib/buildthrough/work /run/buildthrough
USER buildthrough
WORKDIR /var/lib/buildthrough
VOLUME /var/lib/buildthrough/data
EXPOSE 8018
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8018/health/live', timeout=4)"]
ENTRYPOINT ["buildthrough"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8018"]
