"""The files that a configuration names, and the secrets in it or in them (B12)."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import SecretStr

from sip2gw.config.problems import Problems
from sip2gw.config.reading import open_file, read_file
from sip2gw.config.tables.terminals import PASSWORD_CHARACTERS_MAX

_SECRET_BYTES_MAX = 4_096
_CREDENTIALS = "$CREDENTIALS_DIRECTORY/"

LEFT_OUT = "left out of the backup"
"""What a backup writes in place of a secret (B90)."""


class Files:
    """Finds and reads what the configuration file `file` names; adds errors to `problems`."""

    def __init__(self, file: Path, problems: Problems) -> None:
        self._file = file
        self._problems = problems

    def path(self, name: str | None) -> Path | None:
        """`name` relative to the configuration file, or among the credentials from systemd."""
        if name is None:
            return None
        if name.startswith(_CREDENTIALS):
            directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
            return Path(directory, name.removeprefix(_CREDENTIALS))
        return self._file.parent / name

    def readable(self, where: str, name: str | None) -> Path | None:
        """The same for the value of the key `where`, which must be readable now."""
        path = self.path(name)
        if path is not None:
            try:
                open_file(path).close()
            except OSError as error:
                self._problems.add(where, f"cannot be read: {error.strerror}", got=str(path))
        return path

    def secret(self, where: str, given: SecretStr | None, name: str | None) -> SecretStr | None:
        """The given secret, or the one in its file without what editors add around it."""
        if given is not None and name is not None:
            self._problems.add(where, "is given twice; keep either this key or the file")
        if given is not None:
            return self._sound(where, given.get_secret_value())
        path = self.path(name)
        if path is None:
            return None
        where = f"{where}_file"
        try:
            text = read_file(path, _SECRET_BYTES_MAX).decode("utf-8-sig")
        except OSError as error:
            self._problems.add(where, f"cannot be read: {error.strerror}", got=name)
        except UnicodeDecodeError:
            self._problems.add(where, "is not UTF-8 text", got=name)
        else:
            return self._sound(where, text.rstrip())
        return None

    def password(self, where: str, given: SecretStr | None, name: str | None) -> SecretStr | None:
        """The same for a secret that goes over SIP2."""
        password = self.secret(where, given, name)
        if password is not None and "|" in password.get_secret_value():
            self._problems.add(where, "contains a |, which SIP2 cannot carry")
        return password

    def left_out(self, where: str, secret: str) -> bool:
        """Note that a backup has left out this secret: its mask is no secret, all can read it."""
        if secret != LEFT_OUT:
            return False
        self._problems.add(
            where,
            "was left out of the backup; set it again, or take this file from a backup made with"
            " --with-secret (`sip2gw restore FILE --files DIR`)",
        )
        return True

    def _sound(self, where: str, secret: str) -> SecretStr | None:
        if self.left_out(where, secret):
            return None
        if not secret:
            self._problems.add(where, "is empty, so everybody would know it")
        elif len(secret) > PASSWORD_CHARACTERS_MAX or not secret.isprintable():
            self._problems.add(
                where, f"must be one line of at most {PASSWORD_CHARACTERS_MAX} characters"
            )
        return SecretStr(secret)
