"""What the cluster runs on: PostgreSQL and Redis from Debian."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from typing import TYPE_CHECKING

from debian import program
from processes import HOST, Processes, free_port
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

#: The system user that Debian's package makes; PostgreSQL refuses to run as root.
POSTGRES_USER = "postgres"


def start_postgres(processes: Processes, folder: Path) -> Engine:
    """Start a PostgreSQL of its own in a new folder, and return the way to its database."""
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
    initdb = [server.with_name("initdb"), "-D", data, "-U", POSTGRES_USER, "-E", "UTF8", "--locale=C.UTF-8"]
    initdb += ["-A", "scram-sha-256", "--no-sync"]
    processes.run("initdb", 60, *initdb, f"--pwfile={password_file}", user=user)
    port = free_port()
    # The data is thrown away in the end: nothing is gained by waiting for the disk.
    options = {"listen_addresses": HOST, "port": port, "unix_socket_directories": "", "fsync": "off"}
    flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    processes.start("postgres", server, "-D", data, *flags, user=user)
    url = f"postgresql+psycopg2://{POSTGRES_USER}:{password}@{HOST}:{port}/postgres"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    processes.wait_for("PostgreSQL answers", 60, lambda: _answers(engine))
    return engine


def _answers(engine: Engine) -> bool:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except OperationalError:
        return False
    return True


def start_redis(processes: Processes, folder: Path) -> int:
    """Start a Redis of its own that keeps nothing on disk, and return its port."""
    server = program("redis-server", "redis-server")
    folder.mkdir()
    port = free_port()
    flags = ["--bind", HOST, "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no"]
    processes.start("redis", server, *flags)
    processes.wait_for("Redis listens", 30, lambda: _listens(port))
    return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
