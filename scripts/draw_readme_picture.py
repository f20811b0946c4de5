"""Draw the picture of the README: what `slt-hf demo` draws, as a sheet and as an animation.

python scripts/draw_readme_picture.py --seed 7 --output docs/images
"""

from __future__ import annotations

import argparse
from pathlib import Path

from slt_hf import SignTranslator
from slt_hf.demonstration import sign_unseen
from slt_hf.visualization import draw_animation, draw_sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, help="chooses sentence and signer, as in slt-hf demo")
    parser.add_argument("--output", type=Path, default=Path("docs/images"), help="folder")
    options = parser.parse_args()
    reference, clip, _ = sign_unseen(seed=options.seed)
    text = SignTranslator.from_pretrained()(clip).text
    draw_sheet(clip, options.output / "demo.png", caption=text)
    draw_animation(clip, options.output / "demo.gif", text=text)
    print(f"{reference} -> {text}")


if __name__ == "__main__":
    main()
