"""What a cluster runs on: PostgreSQL and Redis from Debian."""

from __future__ import annotations

import os
import secrets
import shutil
from typing import TYPE_CHECKING

import redis
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from harness.database import Database
from harness.debian import program
from harness.network import HOST, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from harness.processes import Processes

#: The system user that Debian's package makes; PostgreSQL refuses to run as root.
POSTGRES_USER = "postgres"


def start_postgres(processes: Processes, folder: Path) -> Database:
    """Start a PostgreSQL of its own in a new folder, and return its database."""
    server = program("postgres", "postgresql")
    user = POSTGRES_USER if os.geteuid() == 0 else None
    folder.mkdir()
    data, password_file = folder / "data", folder / "password"
    password = secrets.token_hex(16)
    password_file.touch(0o600)
    password_file.write_text(password)
    if user:
        for path in (folder, password_file):
            shutil.chown(path, user)
    flags = ["-D", str(data), "-U", POSTGRES_USER, "-E", "UTF8", "--locale=C.UTF-8"]
    flags += ["-A", "scram-sha-256", f"--pwfile={password_file}", "--no-sync"]
    processes.run("initdb", 60, server.with_name("initdb"), *flags, user=user)
    port = free_port()
    # The data is thrown away in the end: nothing is gained by waiting for the disk.
    options = {"listen_addresses": HOST, "port": port, "unix_socket_directories": "", "fsync": "off"}
    flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    processes.start("postgres", server, "-D", data, *flags, user=user)
    url = f"postgresql+psycopg2://{POSTGRES_USER}:{password}@{HOST}:{port}/postgres"
    database = Database(create_engine(url, isolation_level="AUTOCOMMIT"))
    processes.wait_for(
        "PostgreSQL answers", 60, lambda: database.rows("SELECT 1"), ignored=(OperationalError,)
    )
    return database


def start_redis(processes: Processes, folder: Path) -> str:
    """Start a Redis of its own that keeps nothing on disk, and return its URL."""
    server = program("redis-server", "redis-server")
    folder.mkdir()
    port = free_port()
    flags = ["--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
    processes.start("redis", server, *flags)
    url = f"redis://{HOST}:{port}/0"
    processes.wait_for("Redis answers", 30, redis.Redis.from_url(url).ping, ignored=(redis.ConnectionError,))
    return url
