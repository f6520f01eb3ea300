"""The disk: where the studio writes, how much room there is, and whether a database may lie there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from t2v_studio.doctor.row import Row, row
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

LEAST_FREE_GB = 5.0
NETWORK_FILE_SYSTEMS = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "afpfs",
    "ceph",
    "lustre",
)


def folders(workspace: Workspace) -> Row:
    home = workspace.outputs.parent
    for folder in (workspace.data, workspace.outputs, workspace.run):
        probe = folder / f".doctor-{os.getpid()}"
        try:
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            return row(
                "workspace",
                "missing",
                f"{folder} cannot be written ({error.strerror})",
                "Nothing can be kept.",
                "Set T2V_HOME to a folder of yours.",
            )
    return row("workspace", "ok", f"{home} can be written")


def room(workspace: Workspace, settings: Settings) -> Row:
    free = shutil.disk_usage(workspace.outputs).free / 1e9
    used = (
        sum(path.stat().st_size for path in workspace.outputs.rglob("*") if path.is_file() and not path.is_symlink())
        / 1e9
    )
    found = f"{free:.0f} GB free; outputs hold {used:.1f} GB"
    if free < LEAST_FREE_GB:
        return row(
            "disk",
            "warning",
            found,
            "Videos and indexes may fail half way.",
            "Free some space, or set T2V_HOME to a larger disk.",
        )
    if used > settings.outputs_quota_gb:
        return row(
            "disk",
            "warning",
            found,
            f"That is more than T2V_OUTPUTS_QUOTA_GB, {settings.outputs_quota_gb:g}.",
            "Delete old videos, or raise the quota.",
        )
    return row("disk", "ok", found)


def file_system(workspace: Workspace) -> Row:
    kind = file_system_of(workspace.data)
    if kind in NETWORK_FILE_SYSTEMS:
        return row(
            "database disk",
            "warning",
            f"{kind}, a network file system",
            "SQLite's write-ahead log needs shared memory, so two processes may damage the database.",
            "Set T2V_HOME to a folder on a local disk and copy outputs/ over when done.",
        )
    return row("database disk", "ok", f"{kind or 'unknown kind'}, local")


def file_system_of(path: Path) -> str:
    """Type of the file system that holds `path`, from /proc/mounts; empty where that is not there."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, best, kind = path.resolve(), -1, ""
    for line in lines:
        fields = line.split()
        # the kernel writes a space in a path as \040
        mount = Path(fields[1].replace("\\040", " "))
        if place.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), fields[2]
    return kind
