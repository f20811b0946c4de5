"""`slt-hf env`."""

from __future__ import annotations

from typing import Annotated

import typer


def env(json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Versions, devices and memory, and what is missing for what."""
    from slt_hf.cli.output import print_json
    from slt_hf.environment import describe_environment

    found = describe_environment()
    if json:
        print_json(**found)
        return
    print(f"Python {found['python']} on {found['platform']}")
    print(f"{found['processors']} processors, {found['memory_gib']} GiB memory")
    for device in found["devices"]:
        extra = f" ({device['model']}, {device['memory_gib']} GiB)" if "model" in device else ""
        print(f"device {device['name']}{extra}")
    for name, version in found["versions"].items():
        print(f"{name:24} {version or '-'}")
    print(f"pose extraction          {found['pose_extraction']}")
    print(f"Hub token                {found['hub_token']}")
    for use, gap in found["missing"].items():
        print(f"to {use}: missing {', '.join(gap['packages'])}: {gap['remedy']}")
