"""nginx, twice: as a server of ready files, and as a cache that rewrites the URLs on pages."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, ClassVar

from bench.installing import debian
from bench.peer import Peer
from bench.process import Child, free_port

if TYPE_CHECKING:
    from pathlib import Path

COMMON = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 2048; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_requests 100000000;
    open_file_cache max=2000;
    default_type application/vnd.pypi.simple.v1+json;
    types {{ application/octet-stream whl; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
"""

STATIC = """
    gzip_static on;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {folder}/www;
        location /simple/ {{ index index.json; }}
        location /files/ {{ }}
    }}
}}
"""

CACHE = """
    proxy_cache_path {folder}/cache keys_zone=all:20m max_size=50g inactive=30d use_temp_path=off;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        proxy_cache all;
        proxy_cache_lock on;
        proxy_cache_lock_timeout 300s;
        proxy_cache_lock_age 300s;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $proxy_host;
        proxy_set_header Accept-Encoding "";
        proxy_max_temp_file_size 0;
        location /simple/ {{
            proxy_pass {upstream};
            proxy_cache_valid 200 1h;
            proxy_cache_key $uri$http_accept;
            proxy_ignore_headers Vary Cache-Control;
            sub_filter '"url":"{upstream}/packages/' '"url":"http://$http_host/packages/';
            sub_filter_once off;
            sub_filter_types application/vnd.pypi.simple.v1+json;
            {gzip}
        }}
        location /packages/ {{
            proxy_pass {upstream};
            proxy_cache_valid 200 30d;
            proxy_cache_key $uri;
        }}
    }}
}}
"""


class Nginx(Peer):
    """What both have in common."""

    template: ClassVar[str]
    gzip: ClassVar[str] = ""

    @classmethod
    def _program(cls) -> Path:
        return debian("nginx") / "usr" / "sbin" / "nginx"

    @classmethod
    def install(cls) -> None:
        """Unpack Debian's package."""
        cls._program()

    @classmethod
    def version(cls) -> str:
        """Return what it says."""
        said = subprocess.run([cls._program(), "-v"], capture_output=True, text=True, check=True).stderr
        return said.strip().rpartition("/")[2]

    def launch(self, upstream: str) -> Child:
        """Write the configuration and start one worker: one core, as every other peer has."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        user = f"user {'root' if os.geteuid() == 0 else ''};" if os.geteuid() == 0 else ""
        text = (COMMON + self.template).format(
            folder=self.folder, port=port, upstream=upstream, user=user, gzip=self.gzip
        )
        (self.folder / "nginx.conf").write_text(text)
        return Child.start([self._program(), "-e", self.folder / "log", "-c", self.folder / "nginx.conf"], self.folder)


class Static(Nginx):
    """Serves what is put into its folder ``www``: pages with their gzip forms beside them, and files."""

    name = "nginx static"
    template = STATIC

    def put(self, project: str, plain: bytes, packed: bytes) -> None:
        """Lay a page down."""
        folder = self.folder / "www" / "simple" / project
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.json").write_bytes(plain)
        (folder / "index.json.gz").write_bytes(packed)

    def put_file(self, filename: str, held: Path) -> str:
        """Lay a file down; returns its URL."""
        folder = self.folder / "www" / "files"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / filename).unlink(missing_ok=True)
        (folder / filename).symlink_to(held)
        return f"{self.url}/files/{filename}"


class Cache(Nginx):
    """proxy_cache, and sub_filter at every answer; compresses nothing, which is what it is fastest with here."""

    name = "nginx rewriting"
    template = CACHE


class GzipCache(Cache):
    """The same, compressing each answer at the lowest level."""

    name = "nginx rewriting, gzip"
    gzip = "gzip on; gzip_types application/vnd.pypi.simple.v1+json; gzip_comp_level 1; gzip_proxied any;"
