"""Draw docs/images/page.png: the page of `slt-hf serve` on a desk and on a phone, while a synthetic signer signs.

python scripts/draw_page_picture.py        # needs playwright and a Chromium of the system
"""

from __future__ import annotations

import argparse
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

SEED = 7
VIEWS = (({"width": 1180, "height": 780}, "light"), ({"width": 390, "height": 780}, "dark"))
GAP, GROUND = 24, (255, 255, 255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/images/page.png"))
    asked = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "slt_hf.cli.main", "serve", "--open", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen(command)
    try:
        wait_for(f"http://127.0.0.1:{port}/health/ready")
        pictures = photographed(f"http://127.0.0.1:{port}/")
    finally:
        server.terminate()
        server.wait(40)
    side_by_side(pictures).convert("P", palette=Image.Palette.ADAPTIVE, colors=192).save(asked.output, optimize=True)
    print(asked.output)


def wait_for(address: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the server did not come up within two minutes")


def photographed(address: str) -> list[Image.Image]:
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("expected a Chromium, found none; apt-get install chromium")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        pictures = [photograph(browser, address, *view) for view in VIEWS]
        browser.close()
    return pictures


def photograph(browser: Any, address: str, size: dict[str, int], theme: str) -> Image.Image:
    """Two utterances stand, and the third is being signed."""
    from playwright.sync_api import expect

    page = browser.new_page(viewport=size, color_scheme=theme)
    page.goto(address)
    expect(page.locator("#model option")).to_have_count(1)
    for number in range(3):
        page.evaluate(f"Math.random = () => {(SEED + number + 0.5) / 1000}")
        page.get_by_role("button", name="Watch the synthetic signer").click()
        if number < 2:
            expect(page.locator("#transcript li")).to_have_count(number + 1, timeout=60_000)
    expect(page.locator("#tentative")).to_have_text(re.compile(r"\w+ \w+"), timeout=60_000)
    return Image.open(BytesIO(page.screenshot())).convert("RGB")


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures)), GROUND)
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + GAP
    return sheet


if __name__ == "__main__":
    main()
