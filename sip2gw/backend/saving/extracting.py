"""What may be taken out of a backup without making a store: the configuration, the secret."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp

from sip2gw.backend.saving.drafts import insist_on_directory
from sip2gw.backend.saving.form import GZIP, BackupError, Reading, reading
from sip2gw.backend.saving.taking import FILES, SECRET
from sip2gw.backend.sql.secret import load_pin_secret


def extract_files(backup: Reading, directory: Path) -> list[str]:
    """Put the files of the configuration into the new `directory`; their names.

    Raises:
        BackupError: it is there already, or the backup is damaged; nothing was written.
    """
    insist_on_directory(directory.parent)
    if directory.exists() or directory.is_symlink():
        raise BackupError(f"{directory}: is there already; name a directory that is not")
    # Under a name that nobody has: a directory called `DIR.part` may be somebody's.
    draft = Path(mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        names = [
            _write(draft, str(name), str(content))
            for part in backup.parts()
            if part.name == FILES
            for name, content in part.rows
        ]
        draft.rename(directory)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return names


def _write(directory: Path, name: str, content: str) -> str:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or not place.parts:
        raise BackupError("the backup names a file outside of its directory")
    file = directory / place
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        data = base64.b64decode(content, validate=True)
    except ValueError:
        raise BackupError("the backup is damaged in files") from None
    file.touch(mode=0o600)
    file.write_bytes(data)
    return name


def secret_in(file: Path) -> bytes:
    """The PIN secret in `file`: a secret's own file, or a backup that was made with it.

    Raises:
        BackendError: it holds none.
    """
    try:
        with file.open("rb") as stream:
            is_backup = stream.read(len(GZIP)) == GZIP
    except OSError as error:
        raise BackupError(f"{file}: {error.strerror}") from None
    if not is_backup:
        return load_pin_secret(file, create=False)
    with reading(file) as backup:
        found = [text for part in backup.parts() if part.name == SECRET for (text,) in part.rows]
    if not found:
        raise BackupError(f"{file}: this backup holds no PIN secret either")
    return bytes.fromhex(str(found[0]))
