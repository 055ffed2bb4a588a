"""The keys of a window that listens to more than this machine."""

import os
import stat

from zmq.auth import load_certificate

from ...errors import ConfigurationError

__all__ = ["read_secret_key"]


def read_secret_key(path: str) -> tuple[bytes, bytes]:
    """The public and the secret key in a file made by `zmq.auth.create_certificates`.

    Parameters
    ----------
    path : str
        The file that ends in ``.key_secret``.

    Raises
    ------
    ConfigurationError
        If it cannot be read, has no secret key, or others may read it.
    """
    option = f"PipeGui.server_key_file: {path!r}"
    try:
        mode = os.stat(path).st_mode
        public, secret = load_certificate(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"{option} cannot be read: {error}"]) from error
    if secret is None:
        raise ConfigurationError(
            [f"{option} has no secret key; the file with it ends in .key_secret"]
        )
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError([f"{option} can be read by others: chmod 600 {path}"])
    return public, secret
