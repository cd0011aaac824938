"""BlendGAN's style-latent discriminator: is this a picture of this style? For training only.

The trunk of StyleGAN2's discriminator with the projection of Miyato & Koyama (2018, arXiv
1802.05637, Equation 3): with h the features of the last convolution summed over all places,

    score(image, z_style) = l_out(h) + <l_style(z_style), h> / sqrt(C)

The division is ours: it makes the product of C terms as large as l_out's, whose weights equalised
learning rate scales likewise; without it the product starts 30 times as large.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from engine.models.discriminator import ConvLayer, DiscriminatorBlock, minibatch_stddev
from engine.models.stylegan2 import FullyConnected, config_f_channels, resolutions_up_to


class ProjectionDiscriminator(nn.Module):
    """Score pictures together with the style codes they should have.

    Args:
        resolution: of the pictures.
        channels: per resolution; None: those of config-f.
        style_dim: length of a style code.
    """

    def __init__(
        self, resolution: int, *, channels: Mapping[int, int] | None = None, style_dim: int = 512
    ) -> None:
        super().__init__()
        channels = channels or config_f_channels(resolution)
        self.resolution, self.channels = resolution, dict(channels)
        self.dtype = torch.float32  # what the convolutions compute in
        self.trunk = nn.Sequential(
            *(
                DiscriminatorBlock(channels[r], channels[r // 2], from_rgb=r == resolution)
                for r in resolutions_up_to(resolution)[:0:-1]
            )
        )
        self.conv = ConvLayer(channels[4] + 1, channels[4], 3)
        self.l_out = FullyConnected(channels[4], 1)
        self.l_style = FullyConnected(style_dim, channels[4])

    def forward(self, image: Tensor, z_style: Tensor) -> Tensor:
        """image [N, 3, R, R] in [-1, 1], z_style [N, style_dim] -> scores, float32 [N, 1]."""
        x = self.trunk(image.to(self.dtype).contiguous(memory_format=torch.channels_last))
        x = self.conv(torch.cat([x, minibatch_stddev(x)], dim=1)).float()
        h = x.sum(dim=(2, 3))  # [N, C]
        return self.l_out(h) + projection(self.l_style(z_style), h)


def projection(style: Tensor, h: Tensor) -> Tensor:
    """Inner product of style and picture features, [N, C] each, by the root of C: [N, 1]."""
    return (style * h).sum(dim=1, keepdim=True) / h.shape[1] ** 0.5
