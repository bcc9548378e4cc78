"""What leaks: a table and a contact sheet for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.markup import escape
from rich.table import Table

from trainer.leakage.measure import Attack, Leakage
from trainer.report import theme
from trainer.report.examples import grey_picture
from trainer.report.planes import to_scale

READING = (
    "SSIM: 1 is the image itself. Compare with the guesses, which know nothing of the activations: what an attacker "
    "scores above them, the cut gives away"
)


def table(found: Leakage) -> Table:
    """A row per cut, attacker and exchange: mean SSIM and PSNR over the images, the guesses first."""
    shown = Table(
        title=f"what the first cut gives away of {len(found.images)} test images of {escape(found.victim)}; the "
        f"attackers hold {found.own_images} images of {escape(', '.join(found.owners))}",
        caption=READING,
    )
    shown.add_column("cut")
    shown.add_column("sent per image")
    shown.add_column("exchange")
    shown.add_column("attacker")
    shown.add_column("SSIM", justify="right")
    shown.add_column("PSNR, dB", justify="right")
    for guess in found.guesses:
        shown.add_row("", "", "", guess.attacker, *_means(guess))
    for levels, shape in found.shapes.items():
        shown.add_section()
        place, sent = place_of(levels), " x ".join(map(str, shape))
        for attack in found.attacks:
            if attack.client_levels == levels:
                style = "bold" if levels == found.chosen else None
                shown.add_row(place, sent, attack.exchange, attack.attacker, *_means(attack), style=style)
                place = sent = ""
    return shown


def place_of(levels: int | None) -> str:
    """The cut, as `network.client_levels` names it."""
    return "the only cut" if levels is None else f"client_levels {levels}"


def as_json(found: Leakage) -> dict[str, Any]:
    """Every figure, of each image and their means."""
    return {
        "victim": found.victim,
        "attackers_images": {"of": list(found.owners), "count": found.own_images},
        "images": list(found.identifiers),
        "exchange": found.exchange,
        "client_levels": found.chosen,
        "guesses": [_row(guess, found) for guess in found.guesses],
        "attacks": [_row(attack, found) for attack in found.attacks],
    }


def as_csv(found: Leakage) -> str:
    """A line per attack and image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("client_levels", "exchange", "attacker", "image", "ssim", "psnr_db"))
    for attack in (*found.guesses, *found.attacks):
        levels = "" if attack.client_levels is None else attack.client_levels
        for name, ssim, psnr in zip(found.identifiers, attack.scores.ssim, attack.scores.psnr, strict=True):
            writer.writerow((levels, attack.exchange, attack.attacker, name, f"{ssim:.6g}", f"{psnr:.6g}"))
    return text.getvalue()


def draw_sheet(found: Leakage, most: int, aspect: float) -> bytes:
    """Up to `most` of the images as PNG: for each a row per cut, the original first, all on the original's scale.

    `aspect`: height over width of a pixel.
    """
    picks = np.unique(np.linspace(0, len(found.images) - 1, most + 2).round().astype(int)[1:-1])
    rows = [(int(pick), levels) for pick in picks for levels in found.shapes]
    columns = 1 + len(found.guesses) + len(found.attacks) // len(found.shapes)
    figure = theme.new_figure(1.2 * columns, 1.62 * len(rows) + 0.1)
    for row, (pick, levels) in enumerate(rows):
        original = _slice(found.images[pick])
        panels = [(f"{found.identifiers[pick]}\n\n{place_of(levels)}", original)]
        for attack in (*found.guesses, *(one for one in found.attacks if one.client_levels == levels)):
            exchange = f", {attack.exchange}" if attack.exchange not in ("", found.exchange) else ""
            name = attack.attacker.replace(", ", ",\n", 1)
            caption = f"{name}{exchange}\nSSIM {attack.scores.ssim[pick]:.2f}"
            panels.append((caption, _slice(attack.reconstructions[pick])))
        for column, (caption, image) in enumerate(panels):
            axes = figure.add_subplot(len(rows), columns, row * columns + column + 1)
            picture = to_scale(grey_picture(image, float(original.min()), float(original.max())), aspect)
            axes.imshow(picture, interpolation="nearest")
            axes.set_xlim(-0.5, max(picture.shape[:2]) - 0.5)  # a tall one leaves the caption below it its room
            axes.set_axis_off()
            axes.set_title(caption, fontsize=5.5, loc="left", color=theme.INK, parse_math=False, pad=2)
    theme.place(figure, columns=columns, left=0.05, right=0.05, bottom=0.05, top=0.4, gap=0.06)
    coloured, grey = io.BytesIO(), io.BytesIO()
    theme.save_png(figure, coloured)
    Image.open(coloured).convert("L").save(grey, "PNG", optimize=True)  # nothing on it has a colour
    return grey.getvalue()


def _means(attack: Attack) -> tuple[str, str]:
    return f"{attack.scores.mean_ssim:.3f}", f"{attack.scores.mean_psnr:.1f}"


def _row(attack: Attack, found: Leakage) -> dict[str, Any]:
    row: dict[str, Any] = {"attacker": attack.attacker, "knows": attack.knows}
    if attack.exchange:
        row |= {
            "client_levels": attack.client_levels,
            "shape": list(found.shapes[attack.client_levels]),
            "exchange": attack.exchange,
        }
    return row | {
        "ssim": attack.scores.mean_ssim,
        "psnr_db": attack.scores.mean_psnr,
        "ssim_of_images": list(attack.scores.ssim),
        "psnr_db_of_images": list(attack.scores.psnr),
    }


def _slice(image: Any) -> NDArray:
    """[1, H, W] as [H, W]; of a volume [1, D, H, W] the middle slice."""
    plane = image[0]
    return (plane if plane.ndim == 2 else plane[len(plane) // 2]).numpy()
