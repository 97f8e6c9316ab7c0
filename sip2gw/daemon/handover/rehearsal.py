"""What a start tries before the gateway that runs is asked to leave (B89).

What would end this start would otherwise end it when nobody serves terminals any more.
"""

from __future__ import annotations

from sip2gw.backend.base import Access
from sip2gw.backend.factory import rehearse_opening
from sip2gw.config import Config
from sip2gw.serving.tls import contexts_of


def rehearse(config: Config, access: Access) -> bool:
    """Read the certificates, and look at the store without changing anything there. Blocks.

    Returns:
        Whether the other gateway must leave before the store is opened (`rehearse_opening`).

    Raises:
        BackendError: the store cannot be opened; the text says why.
        ConfigError: a certificate cannot be used.
    """
    contexts_of(config)
    return rehearse_opening(config, access)
