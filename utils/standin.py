"""The drawn stand-in: ten garment classes for tests, and machines with neither data nor network."""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

SIDE = 28

# T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot.
_GARMENTS = """
.##...##. ..#####.. ..#####.. ..#...#.. ..##.##.. ......... .##...##. ......... ..#####.. .####....
######### ..#####.. .#######. ..##.##.. .###.###. ......... ###...### ......... ..#...#.. .####....
######### ..#####.. ######### ..#####.. ####.#### ##....... ####.#### ......... ..#...#.. .####....
######### ..##.##.. ######### ...###... ####.#### #.##..... ####.#### ####..... ######### .####....
..#####.. ..##.##.. #.#####.# ...###... #.##.##.# #...##... #.#####.# #####.... ######### .####....
..#####.. ..##.##.. #.#####.# ..#####.. #.##.##.# #..#..##. #.#####.# #######.. ######### .#####...
..#####.. ..##.##.. #.#####.# ..#####.. #.##.##.# #.##....# #.#####.# ########. ######### .#######.
..#####.. ..##.##.. #.#####.# .#######. #.##.##.# ######### #.#####.# ######### ######### .########
..#####.. ..##.##.. ..#####.. ######### ..##.##.. ......... #.#####.# ######### ######### .########
"""


def draw_standin(num_images: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw garments of random class, position, size, slant, tone, direction and noise.

    Returns `images` (num_images, 28, 28) uint8 and `labels` (num_images,) int64 in 0..9, the
    classes in equal shares up to rounding and in random order; the same for the same seed.
    """
    generator = torch.Generator().manual_seed(seed)
    drawing = {"generator": generator, "dtype": torch.float32}  # whatever torch's default is

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(num_images, **drawing)

    garments = torch.tensor([[mark == "#" for mark in row] for row in _GARMENTS.split()])
    garments = garments.view(9, 10, 9).transpose(0, 1).float()  # (10, 9, 9)
    labels = torch.randperm(num_images, generator=generator) % len(garments)
    # Places run from -1 to 1. What lies at (x, y) of an image is taken from (u, v) of its garment:
    # v = down (y - middle), u = side (across (x - center) - slant v).
    across, down = SIDE / uniform(15, 24), SIDE / uniform(17, 26)
    center, middle = uniform(-1, 1) * (1 - 1 / across), uniform(-1, 1) * (1 - 1 / down)
    slant, tone = uniform(-0.25, 0.25), uniform(80, 255)
    side = 2 * (uniform(0, 1) < 0.5).float() - 1  # seen from the left or from the right
    u = side * torch.stack([across, -slant * down, slant * down * middle - across * center])
    v = torch.stack([0 * down, down, -down * middle])
    places = torch.stack([u, v]).permute(2, 0, 1)  # (num_images, 2, 3)
    images = torch.empty(num_images, SIDE, SIDE, dtype=torch.uint8)
    for part in torch.arange(num_images).split(1000):  # in slices, to save memory
        grid = affine_grid(places[part], [len(part), 1, SIDE, SIDE], align_corners=False)
        drawn = grid_sample(garments[labels[part], None], grid, align_corners=False)[:, 0]
        drawn = (2.5 * drawn - 0.75).clamp(0, 1) * tone[part, None, None]  # sharper edges
        noise = 30 * torch.randn(len(part), SIDE, SIDE, **drawing)
        images[part] = (drawn + noise).clamp(0, 255).byte()
    return images, labels
