"""Say what a failure behind a URL means: if it may pass, what it is and what to do about it.

Each store has errors of its own, in packages that may not be installed: they are known by name.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from refinecli.errors import UsageError
from refinecli.text.urls import clean_of_credentials

# Names of classes, their own or of those they derive from.
_NETWORK = frozenset(
    """ClientConnectionError ClientPayloadError ConnectionError HTTPClientError
    TimeoutError""".split()  # noqa: SIM905
)
_CERTIFICATE = frozenset(
    {"ClientConnectorCertificateError", "SSLError", "SSLCertVerificationError"}
)
_NO_CREDENTIALS = frozenset(
    """NoCredentialsError PartialCredentialsError CredentialRetrievalError ProfileNotFound
    DefaultCredentialsError LocalTokenNotFoundError SSOError TokenRetrievalError
    UnauthorizedSSOTokenError""".split()  # noqa: SIM905
)
_PASSING = frozenset({408, 425, 429})
_FINAL = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
_FINAL_NUMBERS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ENOSPC})
_DETAIL = 200  # characters
# The variable that names trusted authorities; botocore knows none but its own.
_USUAL, _AUTHORITIES = "SSL_CERT_FILE", {"s3": "AWS_CA_BUNDLE"}
# Where each store looks for credentials first.
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login",
    "az": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and a key",
    "hf": "set HF_TOKEN, or run hf auth login",
}


def may_pass(error: BaseException) -> bool:
    """Return whether the same request may succeed a little later."""
    causes = list(_causes(error))
    names = _names(causes)
    status = _status(causes)
    if names & (_CERTIFICATE | _NO_CREDENTIALS) or _lacks_authorities(causes):
        return False
    if status is not None and status >= 400:
        return status in _PASSING or status >= 500
    if names & _NETWORK:
        return True
    final = isinstance(error, _FINAL) or getattr(error, "errno", None) in _FINAL_NUMBERS
    return isinstance(error, OSError) and not final and "FileExpired" not in names


def explained(error: BaseException, name: str, scheme: str) -> UsageError:
    """Return the error that a user sees."""
    causes = list(_causes(error))
    names, status = _names(causes), _status(causes)
    credentials = advice(scheme)
    if names & _NO_CREDENTIALS:
        return UsageError(f"{name}: no credentials: {_detail(causes)}", credentials)
    if "FileExpired" in names:
        return UsageError(
            f"{name}: has changed while it was read",
            "leave the input as it is while a run reads it; run the same command to continue",
        )
    if status in (401, 403) or isinstance(error, PermissionError):
        return UsageError(f"{name}: access is refused: {_detail(causes)}", credentials)
    if names & _CERTIFICATE:
        return UsageError(
            f"{name}: its certificate is not trusted: {_detail(causes)}",
            f"add its authority to those trusted: export {_AUTHORITIES.get(scheme, _USUAL)}=FILE",
        )
    if _lacks_authorities(causes):
        variable = _AUTHORITIES.get(scheme, _USUAL)
        return UsageError(
            f"{name}: the trusted certificates cannot be read: {_detail(causes)}",
            f"check the variable {variable}: it names a file of certificates",
        )
    if may_pass(error):
        return UsageError(
            f"{name}: cannot be reached: {_detail(causes)}",
            "check the address and the network; the same command tries again",
        )
    if _bucket_is_missing(causes):
        return UsageError(f"{name}: there is no such bucket", "check its name, or make it first")
    if isinstance(error, FileNotFoundError) or status == 404:
        return UsageError(f"{name}: there is no such file", _check_name(scheme))
    return UsageError(f"{name}: {_detail(causes)}", _check_name(scheme))


def advice(scheme: str) -> str:
    """Return where to put credentials."""
    return _CREDENTIALS.get(scheme, "check the address, which may have expired")


def _check_name(scheme: str) -> str:
    return "check its name" + (", and AWS_ENDPOINT_URL if that is set" if scheme == "s3" else "")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _names(causes: list[BaseException]) -> set[str]:
    return {kind.__name__ for one in causes for kind in type(one).__mro__}


def _status(causes: list[BaseException]) -> int | None:
    """Return the status of the reply that was an error, if there was a reply."""
    for one in causes:
        status = getattr(one, "status", None)
        if isinstance(status, int):
            return status
        response = getattr(one, "response", None)
        if isinstance(response, dict):  # botocore's
            found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if isinstance(found, int):
                return found
    return None


def _lacks_authorities(causes: list[BaseException]) -> bool:
    """Return whether botocore's client found no file of certificates where one was named."""
    return "HTTPClientError" in _names(causes) and isinstance(causes[-1], _FINAL)


def _bucket_is_missing(causes: list[BaseException]) -> bool:
    return any("NoSuchBucket" in str(one) or "bucket does not exist" in str(one) for one in causes)


def _detail(causes: list[BaseException]) -> str:
    """Return the words of the first cause that has some, in one line and without credentials."""
    for one in reversed(causes):
        status, message = getattr(one, "status", None), getattr(one, "message", None)
        text = f"{status} {message or ''}" if isinstance(status, int) else str(one)
        if line := " ".join(clean_of_credentials(text).split()):
            return line[:_DETAIL]
    return type(causes[0]).__name__
