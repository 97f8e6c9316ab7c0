"""A converted configuration starts, and the kiosks log in as they always did (C86)."""

from pathlib import Path

import pytest
from proofs.process import GatewayProcess

from sip2gw.cli.failures import CommandError
from sip2gw.cli.kiosk.client import Credentials, Kiosk
from sip2gw.convert import converted
from sip2gw.protocol.messages import AcsStatus, ScStatus

SAMPLES = Path(__file__).parents[1] / "convert" / "samples"


@pytest.mark.parametrize(
    ("names", "credentials", "institution"),
    [
        (("koha.xml",), Credentials("hall-1", "rose-garden"), "NORTH"),
        (("evergreen.xml",), Credentials("branch-a", "apple"), "valley"),
        (("sip2.conf", "tenants.conf", "folio.json"), None, ""),
    ],
    ids=["Koha", "Evergreen", "edge-sip2"],
)
async def test_a_converted_configuration_starts(tmp_path, watch, names, credentials, institution):
    result = converted({name: (SAMPLES / name).read_bytes() for name in names})
    file = tmp_path / "sip2gw.toml"
    file.write_text(result.toml + "\n[admin]\nenabled = false\n", encoding="utf-8")
    async with GatewayProcess(file, create=True, program=watch.program()) as gateway:
        await gateway.start()
        address = f"127.0.0.1:{gateway.address[1]}"
        if credentials is None:
            return
        with Kiosk.connect(address) as kiosk:
            kiosk.log_in(credentials)
            status = kiosk.ask(ScStatus())
            assert isinstance(status, AcsStatus)
            assert (status.online, status.institution_id) == (True, institution)
        with Kiosk.connect(address) as kiosk, pytest.raises(CommandError, match="refused"):
            kiosk.log_in(Credentials(credentials.login, "another"))
