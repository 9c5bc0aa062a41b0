"""The drawn stand-in: ten garment classes for machines with neither data nor network.

It keeps everything runnable, tests included. Its accuracy says nothing about Fashion-MNIST.
"""

import torch
from PIL import Image, ImageDraw
from torch import Tensor

SIDE = 28

# The classes in Fashion-MNIST's order, as outlines in a unit square (x to the right, y down).
# A class is a list of strokes, a kind and an outline each; "cut" paints background over "fill".
_SLEEVELESS = [(0.32, 0.1), (0.68, 0.1), (0.72, 0.95), (0.28, 0.95)]
_LONG_SLEEVES = [
    (0.34, 0.1), (0.66, 0.1), (0.85, 0.25), (0.97, 0.85), (0.82, 0.88), (0.72, 0.45),
    (0.72, 0.95), (0.28, 0.95), (0.28, 0.45), (0.18, 0.88), (0.03, 0.85), (0.15, 0.25),
]  # fmt: skip
_SHORT_SLEEVES = [
    (0.34, 0.1), (0.66, 0.1), (0.97, 0.32), (0.86, 0.47), (0.72, 0.38),
    (0.72, 0.95), (0.28, 0.95), (0.28, 0.38), (0.14, 0.47), (0.03, 0.32),
]  # fmt: skip
_SHOE = [(0.04, 0.45), (0.3, 0.42), (0.55, 0.6), (0.93, 0.68), (0.97, 0.85), (0.04, 0.85)]
_STROKES = [
    [("fill", _SHORT_SLEEVES), ("cut", [(0.4, 0.08), (0.6, 0.08), (0.5, 0.2)])],  # t-shirt
    [  # trouser
        ("fill", [(0.3, 0.05), (0.7, 0.05), (0.76, 0.97), (0.24, 0.97)]),
        ("cut", [(0.5, 0.3), (0.56, 1.0), (0.44, 1.0)]),
    ],
    [("fill", _LONG_SLEEVES)],  # pullover
    [  # dress
        ("fill", _SLEEVELESS),
        ("fill", [(0.4, 0.4), (0.6, 0.4), (0.84, 0.97), (0.16, 0.97)]),
    ],
    [  # coat
        ("fill", _LONG_SLEEVES),
        ("cut", [(0.48, 0.1), (0.52, 0.1), (0.53, 0.97), (0.47, 0.97)]),
    ],
    [  # sandal
        ("fill", _SHOE),
        ("cut", [(0.12, 0.52), (0.3, 0.52), (0.24, 0.74), (0.1, 0.74)]),
        ("cut", [(0.42, 0.56), (0.62, 0.66), (0.6, 0.76), (0.4, 0.76)]),
    ],
    [  # shirt
        ("fill", _LONG_SLEEVES),
        ("cut", [(0.38, 0.08), (0.62, 0.08), (0.5, 0.36)]),
    ],
    [("fill", _SHOE)],  # sneaker
    [  # bag
        ("fill", [(0.05, 0.4), (0.95, 0.4), (0.9, 0.92), (0.1, 0.92)]),
        ("fill", [(0.25, 0.42), (0.32, 0.12), (0.68, 0.12), (0.75, 0.42)]),
        ("cut", [(0.34, 0.4), (0.39, 0.22), (0.61, 0.22), (0.66, 0.4)]),
    ],
    [  # ankle boot
        ("fill", [(0.08, 0.1), (0.45, 0.1), (0.47, 0.52), (0.93, 0.66), (0.97, 0.9), (0.06, 0.9)]),
    ],
]


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

    labels = torch.arange(num_images) % len(_STROKES)
    labels = labels[torch.randperm(num_images, generator=generator)]
    width, height = uniform(15, 24), uniform(17, 26)
    left, top = uniform(0, 1) * (SIDE - width), uniform(0, 1) * (SIDE - height)
    slant, tone, mirrored = uniform(-0.25, 0.25), uniform(80, 255), uniform(0, 1) < 0.5
    placement = torch.stack([left, top, width, height, slant, mirrored], dim=1).tolist()

    drawn = bytearray()
    for label, place in zip(labels.tolist(), placement, strict=True):
        drawn += _draw(label, *place).tobytes()
    shapes = torch.frombuffer(drawn, dtype=torch.uint8).view(num_images, SIDE, SIDE)
    # In slices: noise for all 70,000 images at once would take several hundred MiB.
    images = torch.empty_like(shapes)
    for part in torch.arange(num_images).split(10_000):
        noise = 30 * torch.randn(len(part), SIDE, SIDE, generator=generator)
        noisy = shapes[part] / 255 * tone[part, None, None] + noise
        images[part] = noisy.clamp(0, 255).to(torch.uint8)
    return images, labels


def _draw(
    label: int, left: float, top: float, width: float, height: float, slant: float, mirrored: float
) -> Image.Image:
    """One garment in full tone on black, (28, 28), mode "L"."""
    image = Image.new("L", (SIDE, SIDE))
    canvas = ImageDraw.Draw(image)
    for kind, outline in _STROKES[label]:
        points = [
            (left + width * ((1 - x if mirrored else x) + slant * (y - 0.5)), top + height * y)
            for x, y in outline
        ]
        canvas.polygon(points, fill=255 if kind == "fill" else 0)
    return image
