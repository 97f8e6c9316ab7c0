"""A small client of REST for programs in Python, with the types of its documents (B84).

    client = Client("http://127.0.0.1:9102", token)
    for payment in client.payments(since="2026-03-01"):
        print(payment["id"], payment["amount"])

What is refused is an error of the kind that it is; what has no method here, `Client.ask` and
`Client.listed` can do.
"""

from sip2gw.client.calls import Client, Patron
from sip2gw.client.errors import (
    ChangedError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    MissingError,
    RestError,
    TooFastError,
    UnauthorizedError,
    UnavailableError,
)

__all__ = [
    "ChangedError",
    "Client",
    "ConflictError",
    "ForbiddenError",
    "InvalidError",
    "MissingError",
    "Patron",
    "RestError",
    "TooFastError",
    "UnauthorizedError",
    "UnavailableError",
]
