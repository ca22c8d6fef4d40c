"""Files from the internet, kept in Keras's cache folder."""

from __future__ import annotations

import os


def get_file(
    fname=None,
    origin=None,
    md5_hash=None,
    file_hash=None,
    cache_subdir="datasets",
    hash_algorithm="auto",
    cache_dir=None,
    force_download=False,
) -> str:
    """Return the path of a file in the cache, after downloading it if it is not there.

    Args:
        fname: name in the cache, without a folder; the last part of `origin` when `None`.
        origin: address (URL) of the file.
        md5_hash, file_hash: what the file must hash to, in hexadecimal digits. A cached file with another
            hash is downloaded again; a downloaded one is discarded.
        cache_subdir: folder within the cache.
        hash_algorithm: "sha256", "md5" or "auto" (by the number of digits).
        cache_dir: the cache; the environment's `KERAS_HOME`, or else `~/.keras`, when `None`.
        force_download: download even when it is there.

    Raises:
        ValueError: an argument is not as above, or the downloaded file has another hash.
        OSError: the download failed; the message says what to put where.

    >>> get_file("notes.txt", "https://example.org/notes.txt")  # doctest: +SKIP
    '/home/ada/.keras/datasets/notes.txt'
    """
    if origin is None:
        raise ValueError('Please specify the "origin" argument (URL of the file to download).')
    fname = os.fspath(fname) if fname else origin.split("?")[0].split("#")[0].rpartition("/")[2]
    if not fname:
        raise ValueError(
            f"Can't parse the file name from the origin provided: '{origin}'. "
            "Please specify the `fname` argument."
        )
    if os.path.basename(fname) != fname or fname in (".", ".."):
        raise ValueError(
            "Paths are no longer accepted as the `fname` argument. To specify the file's parent directory, "
            f"use the `cache_dir` argument. Received: fname={fname}"
        )
    if hash_algorithm not in ("auto", "md5", "sha256"):
        raise ValueError(
            f"`hash_algorithm` must be 'auto', 'md5' or 'sha256'. Received: hash_algorithm={hash_algorithm}"
        )
    if file_hash is None and md5_hash is not None:
        file_hash, hash_algorithm = md5_hash, "md5"
    if file_hash is not None and hash_algorithm == "auto":
        hash_algorithm = "sha256" if len(file_hash) == 64 else "md5"

    target = os.path.join(os.path.expanduser(cache_dir or _keras_home()), cache_subdir, fname)
    if os.path.exists(target) and not force_download:
        if file_hash is None or _hash_file(target, hash_algorithm) == file_hash.lower():
            return target
        print(
            f"{target} is incomplete or outdated: its {hash_algorithm} hash is not {file_hash}. "
            "It will be downloaded again."
        )
    _download(origin, target, file_hash, hash_algorithm)
    return target


def _keras_home() -> str:
    return os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")


def _hash_file(path: str, algorithm: str) -> str:
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _download(origin: str, target: str, file_hash: str | None, hash_algorithm: str) -> None:
    """Fill a temporary file beside `target`, check it, and only then give it the name."""
    part = f"{target}.{os.getpid()}.{os.urandom(4).hex()}.part"
    try:
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _stream(origin, part)
        except OSError as error:  # urllib's URLError and HTTPError are OSErrors
            expected = f" (its {hash_algorithm} hash is {file_hash})" if file_hash else ""
            raise OSError(
                f"Could not download {origin} to {target}: {error}. "
                "To work without a network, download that address elsewhere and save it as "
                f"{target}{expected}; the environment variable KERAS_HOME moves the cache."
            ) from error
        if file_hash is not None and _hash_file(part, hash_algorithm) != file_hash.lower():
            raise ValueError(
                f"Incomplete or corrupted file detected. The {hash_algorithm} hash of what {origin} sent "
                f"does not match the provided value of {file_hash}. Nothing was kept; try again."
            )
        os.replace(part, target)
    finally:
        if os.path.exists(part):
            os.remove(part)


def _stream(origin: str, path: str) -> None:
    import sys
    from http.client import HTTPException
    from urllib.request import urlopen

    from tqdm import tqdm

    print(f"Downloading data from {origin}")
    live = sys.stdout.isatty() or "ipykernel" in sys.modules  # a bar in a log file is noise
    try:
        with urlopen(origin, timeout=60) as response, open(path, "xb") as file:
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
            with tqdm(total=total, unit="B", unit_scale=True, file=sys.stdout, disable=not live) as bar:
                while chunk := response.read(1 << 16):
                    file.write(chunk)
                    bar.update(len(chunk))
            if total is not None and file.tell() != total:
                raise OSError(f"the connection broke off after {file.tell()} of {total} bytes")
    except HTTPException as error:
        raise OSError(f"the connection broke off ({error!r})") from error
