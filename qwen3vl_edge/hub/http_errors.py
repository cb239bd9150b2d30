"""What can go wrong between here and the hub, in the words of this package."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2
from huggingface_hub.errors import (
    DeviceCodeError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    OIDCError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from qwen3vl_edge.errors import CheckpointError, EdgeError

__all__ = ["BUSY", "HubUnreachableError", "plain_errors", "shown_url"]

BUSY = frozenset((408, 429, 500, 502, 503, 504))
"""HTTP statuses that may be gone a moment later; those that huggingface_hub tries again."""


class HubUnreachableError(EdgeError):
    """No connection, no answer, or an answer that says "later"."""


@contextmanager
def plain_errors(endpoint: str, repo_id: str) -> Iterator[None]:
    """Turn errors of huggingface_hub and httpx into ours. Their text stays out: it may quote headers.

    Raises:
        HubUnreachableError: there is no connection, or the hub at `endpoint` is down.
        CheckpointError: no such repository or revision, no access.
        EdgeError: the login cannot be renewed.
    """
    try:
        yield
    except HfHubHTTPError as failure:
        raise _refusal(failure, shown_url(endpoint), repo_id) from failure
    except (OIDCError, DeviceCodeError) as failure:
        raise EdgeError("huggingface_hub cannot renew the login; run `hf auth login`") from failure
    except (httpx2.HTTPError, httpx2.InvalidURL, OfflineModeIsEnabled) as failure:
        reason = " ".join(str(failure).split()) if isinstance(failure, httpx2.ConnectError) else ""
        raise HubUnreachableError(
            f"{shown_url(endpoint)} cannot be reached ({reason or type(failure).__name__})"
        ) from failure


def shown_url(endpoint: str) -> str:
    """Return `endpoint` without the name and password that a URL can hold."""
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _refusal(failure: HfHubHTTPError, hub: str, repo_id: str) -> EdgeError:
    status = failure.response.status_code
    if isinstance(failure, RevisionNotFoundError):
        return CheckpointError(
            f"{repo_id}: no such branch, tag or commit; {hub}/{repo_id}/commits/main shows what there is"
        )
    if isinstance(failure, RepositoryNotFoundError) and not isinstance(failure, GatedRepoError):
        return CheckpointError(
            f"{repo_id}: no such repository at {hub}, or it is private; check the name, give the path of a "
            "folder, or set HF_TOKEN or run `hf auth login`"
        )
    if status in {401, 403}:
        return CheckpointError(
            f"{repo_id}: no access (HTTP {status}); accept its terms at {hub}/{repo_id}, then set HF_TOKEN "
            "or run `hf auth login`"
        )
    if status in BUSY:
        return HubUnreachableError(f"{hub} answers HTTP {status}")
    return CheckpointError(
        f"{repo_id}: {hub} answers HTTP {status}; is the name right, and HF_ENDPOINT if it is set?"
    )
