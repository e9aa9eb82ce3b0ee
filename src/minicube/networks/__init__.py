"""Networks, one a file. The only room, with training, that imports torch at the top."""

from minicube.networks.unet3d import UNet3d, UNet3dConfig

__all__ = ["UNet3d", "UNet3dConfig"]
