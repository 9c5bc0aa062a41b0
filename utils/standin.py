"""The drawn stand-in: ten garment classes for machines with neither data nor network.

It keeps everything runnable, tests included. Its accuracy says nothing about Fashion-MNIST.
"""

import torch
from PIL import Image, ImageDraw
from torch import Tensor

SIDE = 28

# The classes in Fashion-MNIST's order. A class is a list of strokes, painted one over the other:
# "fill" in full tone or "cut" in the background's, then the corners x,y of an outline, in percent
# of the garment's width (to the right) and height (down).
_LONG_SLEEVES = "fill 34,10 66,10 85,25 97,85 82,88 72,45 72,95 28,95 28,45 18,88 3,85 15,25"
_SHORT_SLEEVES = "fill 34,10 66,10 97,32 86,47 72,38 72,95 28,95 28,38 14,47 3,32"
_SHOE = "fill 4,45 30,42 55,60 93,68 97,85 4,85"
_GARMENTS = {
    "t-shirt": [_SHORT_SLEEVES, "cut 40,8 60,8 50,20"],
    "trouser": ["fill 30,5 70,5 76,97 24,97", "cut 50,30 56,100 44,100"],
    "pullover": [_LONG_SLEEVES],
    "dress": ["fill 32,10 68,10 72,95 28,95", "fill 40,40 60,40 84,97 16,97"],
    "coat": [_LONG_SLEEVES, "cut 48,10 52,10 53,97 47,97"],
    "sandal": [_SHOE, "cut 12,52 30,52 24,74 10,74", "cut 42,56 62,66 60,76 40,76"],
    "shirt": [_LONG_SLEEVES, "cut 38,8 62,8 50,36"],
    "sneaker": [_SHOE],
    "bag": [
        "fill 5,40 95,40 90,92 10,92",
        "fill 25,42 32,12 68,12 75,42",
        "cut 34,40 39,22 61,22 66,40",
    ],
    "ankle boot": ["fill 8,10 45,10 47,52 93,66 97,90 6,90"],
}


def draw_standin(num_images: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw garments of random class, position, size, slant, tone, direction and noise.

    Args:
        num_images: how many images to draw.
        seed: the same seed always draws the same images.

    Returns:
        `images` (num_images, 28, 28) uint8 and `labels` (num_images,) int64 in 0..9, the
        classes in equal shares up to rounding and in random order.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(num_images, generator=generator)

    labels = torch.arange(num_images) % len(_GARMENTS)
    labels = labels[torch.randperm(num_images, generator=generator)]
    width, height = uniform(15, 24), uniform(17, 26)
    left, top = uniform(0, 1) * (SIDE - width), uniform(0, 1) * (SIDE - height)
    slant, tone, mirrored = uniform(-0.25, 0.25), uniform(80, 255), uniform(0, 1) < 0.5
    places = torch.stack([left, top, width, height, slant, mirrored], dim=1).tolist()

    garments = [[_parse(stroke) for stroke in strokes] for strokes in _GARMENTS.values()]
    drawn = b"".join(_draw(garments[k], place) for k, place in zip(labels, places, strict=True))
    shapes = torch.frombuffer(bytearray(drawn), dtype=torch.uint8).view(num_images, SIDE, SIDE)
    # In slices: noise for all 70,000 images at once would take several hundred MiB.
    images = torch.empty_like(shapes)
    for part in torch.arange(num_images).split(10_000):
        noise = 30 * torch.randn(len(part), SIDE, SIDE, generator=generator)
        images[part] = (shapes[part] / 255 * tone[part, None, None] + noise).clamp(0, 255).byte()
    return images, labels


def _parse(stroke: str) -> tuple[int, list[tuple[float, float]]]:
    """A stroke's grey level, and the corners (x, y) of its outline in a unit square."""
    kind, *corners = stroke.split()
    pairs = (corner.split(",") for corner in corners)
    return 255 * (kind == "fill"), [(int(x) / 100, int(y) / 100) for x, y in pairs]


def _draw(strokes: list[tuple[int, list]], place: list[float]) -> bytes:
    """One garment in full tone on black, 28 rows of 28 bytes."""
    left, top, width, height, slant, mirrored = place
    image = Image.new("L", (SIDE, SIDE))
    for grey, outline in strokes:
        points = [
            (left + width * ((1 - x if mirrored else x) + slant * (y - 0.5)), top + height * y)
            for x, y in outline
        ]
        ImageDraw.Draw(image).polygon(points, fill=grey)
    return image.tobytes()
