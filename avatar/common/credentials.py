"""Content credentials (C2PA) of films and pictures of an avatar: a signed statement that no camera filmed them.

The statement (https://c2pa.org/specifications) names headsplat, the avatars and the notes on consent in their files.
It is signed with a key that this machine makes at its first use: it shows that the file was not changed since, not who
made it, so readers call the signer untrusted. Needs c2pa-python (`pip install 'headsplat[credentials]'`).
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from avatar.common.cache import user_cache
from avatar.common.files import atomic_path
from avatar.errors import HeadsplatError

#: Files that can have credentials.
SUFFIXES = (".mp4", ".mov", ".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif")
#: Media made by a model that was trained on captured content (IPTC, digital source types).
_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
#: Captured media with parts made by such a model.
_COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_LABEL = "org.headsplat.avatars"
#: A thumbnail in each file would cost 48 of 50 ms and 55 kB of an image of 512x512, and shows nothing new.
_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}}
_KEY_FILE = "signer.json"
_YEARS = 10
#: Extended key usages that C2PA accepts of a signer: of documents, of mail.
_USAGES = "1.3.6.1.5.5.7.3.36", "1.3.6.1.5.5.7.3.4"


@dataclass(frozen=True)
class ShownAvatar:
    """An avatar in a film or picture."""

    name: str
    consent: str = ""  # the note in its file


def can_mark(path: Path) -> bool:
    """Whether c2pa-python is installed and a file of this kind, or the images in a folder, can have credentials."""
    files = images_in(path) if path.is_dir() else [path]
    kinds = {file.suffix.lower() for file in files}
    return bool(kinds) and kinds <= set(SUFFIXES) and importlib.util.find_spec("c2pa") is not None


def images_in(folder: Path) -> list[Path]:
    """The numbered images of a sequence, in order."""
    return sorted(path for path in folder.iterdir() if path.stem.isdigit() and path.suffix in (".png", ".exr"))


def mark(path: Path, avatars: Iterable[ShownAvatar] = (), *, composite: bool = False) -> bool:
    """Add signed content credentials to a complete file or each image of a folder; pixels and sound keep their bits.

    Args:
        path: the file or folder.
        avatars: what it shows.
        composite: the avatars are in frames that a camera filmed.

    Returns:
        False where they cannot be added: see `can_mark`.

    Raises:
        HeadsplatError: a file cannot be signed or written; it is then unchanged, and so are the images after it.
    """
    if not can_mark(path):
        return False
    import c2pa

    import avatar

    agent = {"name": "headsplat", "version": avatar.__version__}
    source = _COMPOSITE if composite else _SOURCE
    created = {"action": "c2pa.created", "digitalSourceType": source, "softwareAgent": agent}
    assertions = [
        {"label": "c2pa.actions", "data": {"actions": [created]}},
        {"label": _LABEL, "data": {"avatars": [asdict(one) for one in avatars]}},
    ]
    chain, key = _signer()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo("es256", chain, key, None))
    context = c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))
    for file in images_in(path) if path.is_dir() else [path]:
        manifest = {"claim_generator_info": [agent], "title": file.name, "assertions": assertions}
        try:
            with atomic_path(file) as temporary:
                c2pa.Builder(json.dumps(manifest), context).sign_file(file, temporary, signer)
        except c2pa.C2paError as error:
            raise HeadsplatError(
                f"{file}: content credentials cannot be added ({error}); the file is as before"
            ) from error
    return True


def reason_without_mark(path: Path, avatars: Iterable[ShownAvatar] = (), *, composite: bool = False) -> str:
    """`mark` of a file that is to be kept in any case: why it has no credentials; empty where nothing went wrong."""
    try:
        mark(path, avatars, composite=composite)
    except HeadsplatError as error:
        return str(error)
    return ""


def read_credentials(path: Path) -> dict[str, Any] | None:
    """What the credentials of a file say, in JSON types; None without any, or without c2pa-python.

    Returns:
        `state` ("valid": unchanged since it was signed; "trusted": by a known signer, too; "invalid"), `tool`,
        `signer`, `synthetic` (made by a model, or a part of it is), and `avatars`, the note on consent of each by name,
        where headsplat made it.
    """
    if path.is_dir() or not can_mark(path):
        return None
    import c2pa

    try:
        with c2pa.Reader(path) as reader:
            stored, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError:
        return None
    manifest = stored["manifests"].get(stored.get("active_manifest"), {})
    data = {one["label"]: one.get("data", {}) for one in manifest.get("assertions", ())}
    actions = [action for label, one in data.items() if label.startswith("c2pa.actions") for action in one["actions"]]
    avatars = data.get(_LABEL, {}).get("avatars", ())
    tools = [f"{one.get('name', '')} {one.get('version', '')}".strip() for one in manifest["claim_generator_info"]]
    return {
        "state": str(state).lower(),
        "tool": ", ".join(tools),
        "signer": manifest.get("signature_info", {}).get("common_name", ""),
        "synthetic": any(action.get("digitalSourceType") in (_SOURCE, _COMPOSITE) for action in actions),
        "avatars": {str(one.get("name")): str(one.get("consent", "")) for one in avatars},
    }


def _signer() -> tuple[bytes, bytes]:
    """Certificates and private key of this machine, PEM; made at the first use, readable by the user alone."""
    path = user_cache("credentials") / _KEY_FILE
    try:
        stored = json.loads(path.read_text())
        if datetime.fromisoformat(stored["until"]) > datetime.now(timezone.utc):
            return stored["chain"].encode(), stored["key"].encode()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # none yet, or a damaged one
    until = datetime.now(timezone.utc) + timedelta(days=365 * _YEARS)
    chain, key = _make_signer(until)
    content = {"until": until.isoformat(), "chain": chain.decode(), "key": key.decode()}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # no one else reads the key
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content))
    return chain, key


def _make_signer(until: datetime) -> tuple[bytes, bytes]:
    """A new root and a signer under it (C2PA does not accept a signer that signed itself), valid until a time."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID, ObjectIdentifier

    def named(text: str) -> x509.Name:
        names = (NameOID.ORGANIZATION_NAME, "headsplat"), (NameOID.COMMON_NAME, text)
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in names])

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    certificates = []
    for text, own, is_root in (("a key of one machine", key, False), ("root of one machine", root_key, True)):
        usage = x509.KeyUsage(not is_root, False, False, False, False, is_root, is_root, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(text))
            .issuer_name(named("root of one machine"))
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(timezone.utc) - timedelta(days=1))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(is_root, 0 if is_root else None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )
        if not is_root:
            usages = x509.ExtendedKeyUsage([ObjectIdentifier(name) for name in _USAGES])
            builder = builder.add_extension(usages, critical=False)
        certificates.append(builder.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return b"".join(certificates), private
