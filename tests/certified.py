"""A certificate of a throw-away authority, for a PostgreSQL that speaks TLS."""

import os
from pathlib import Path

import trustme

from holdfast.services.account import account_for


def certify(folder: Path, authority: trustme.CA) -> dict[str, str]:
    """Write a certificate for `localhost`, and give the settings of the server that name it."""
    issued = authority.issue_cert("localhost")
    key, certificate = folder / "server.key", folder / "server.pem"
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    key.chmod(0o600)
    if account := account_for(folder):
        os.chown(key, account.uid, account.gid)
    return {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
