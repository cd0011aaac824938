"""Recipe: BlendGAN's style encoder, by contrast alone (Liu et al. 2021, arXiv 2110.11728, 3.1).

Two affine views of each picture must get near codes, those of other pictures far ones:

    picture -> Gram matrices of features -> MLP -> z_style -> MLP -> NT-Xent

The supplement (A) gives: pictures of 256 px, both MLPs of equalised layers with leaky ReLU, affine
augmentations and no colour ones, Adam with betas 0 and 0.99 at 0.002, batches of 256, 500,000
iterations. Its features are those of VGG-19, frozen: `--vgg` takes torchvision's file. Without it a
narrow extractor is learned from nothing together with the MLP; that, the temperature and the sizes
of the second MLP are ours.

Every picture is contrasted with the whole batch, also where several processes share it. The style
pack it ends in draws photos still; train.blend goes on with it.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from engine.card import STYLE_ENCODER_FILE
from engine.checkpoints import read_container
from engine.errors import CheckpointError, DataError, OptionError
from engine.models.blendgan import INPUT_SIZE, StyleEncoder
from engine.models.loading import load_exactly
from train.config import run_recipe
from train.contrast import ProjectionHead, affine_view, agreement, nt_xent
from train.data import ImageSet, as_float, draw, load_images
from train.distributed import join_processes, num_processes, of_all_processes, take_step
from train.loop import Run, autocast
from train.packs import load_source, preview_of, save_style

NARROW = {"widths": (8, 16, 32, 64), "depths": (1, 1, 1, 1), "hidden": (256,)}
NEIGHBOURS, SAMPLES = 7, 8


@dataclass(frozen=True)
class StyleEncoderConfig:
    """Settings of train.style_encoder; the defaults are those of the paper."""

    data: str = field(
        default="",
        metadata={"holds": "exemplars", "help": "folder of aligned pictures of many styles"},
    )
    about: str = field(default="", metadata={"help": "the pictures and their licence"})
    base: str = field(default="engine/packs/base", metadata={"help": "base pack of the style"})
    pack: str = field(default="", metadata={"help": "style pack to write at the end"})
    out: str = field(default="runs/style_encoder", metadata={"help": "run folder"})
    title: str = field(default="", metadata={"help": "what people read in the gallery"})
    vgg: str = field(default="", metadata={"help": "torchvision's vgg19-dcbb9e9d.pth, or nothing"})
    iterations: int = field(default=500_000, metadata={"help": "steps"})
    batch: int = field(default=256, metadata={"help": "pictures per step, each seen twice"})
    lr: float = field(default=0.002, metadata={"help": "Adam, betas 0 and 0.99"})
    temperature: float = field(default=0.1, metadata={"help": "of NT-Xent"})
    sample_every: int = field(default=10_000, metadata={"help": "iterations between grids"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.iterations < 1 or self.batch < 2:
            raise OptionError(
                f"--iterations {self.iterations} must be at least 1 and --batch {self.batch} at "
                "least 2: a picture is contrasted with the others of its batch"
            )
        if not self.temperature > 0:
            raise OptionError(f"--temperature {self.temperature} must be above 0: try 0.1")


PRESETS = {
    "paper": StyleEncoderConfig(),
    "cpu": StyleEncoderConfig(iterations=300, batch=24, lr=0.001, sample_every=100),
}


def train(config: StyleEncoderConfig) -> None:
    """Train, resume by rerunning, and write the style pack at the end."""
    runtime = join_processes()
    source = load_source(config.base)
    data = load_images(config.data, INPUT_SIZE).to(runtime.device)
    if len(data) < 2:
        raise DataError(f"{config.data} has one picture; a contrast needs at least 2")
    torch.manual_seed(config.seed)
    some = as_float(data.images[:32])
    encoder = new_encoder(config.vgg, source.G.mapping.z_dim, some).to(runtime.device)
    head = ProjectionHead(encoder.style_dim).to(runtime.device)
    modules = (encoder.mlp, head) if config.vgg else (encoder, head)
    trained = [p for module in modules for p in module.parameters()]
    optimizer = torch.optim.Adam(trained, config.lr, (0.0, 0.99), fused=True)
    run = Run(
        config.out,
        config,
        total=config.iterations * config.batch,
        batch=config.batch,
        state={"encoder": encoder, "head": head, "optimizer": optimizer},
        seed=config.seed,
        device=runtime.device,
        tick=10 * config.batch,
    )
    with run, autocast(runtime):
        for generator in run.steps():
            x = draw(data, run.cur_nimg, config.batch, config.seed, mirror=False)
            (share,) = run.shares("views")
            own = [share.rows(affine_view(x, generator)) for _ in range(2)]
            views = [of_all_processes(head(encoder(view)).float()) for view in own]
            loss = nt_xent(*views, config.temperature)
            optimizer.zero_grad(set_to_none=True)
            (num_processes() * loss).backward()
            take_step(optimizer)
            run.record({"nt_xent": loss, "agreement": agreement(*views)})
            if run.leads and run.due(config.sample_every * config.batch):
                _save_samples(encoder, data, run)
    if config.pack and run.leads and not run.stopped:
        record = {"recipe": "train.style_encoder", "pictures": len(data), **run.record_of_run}
        source.G.to(runtime.device)
        with torch.no_grad():
            z = torch.randn(4, source.G.mapping.z_dim, generator=generator_of(config.seed))
            faces = source.G(z.to(runtime.device), truncation_psi=0.7)
        save_style(
            config.pack,
            source.G,
            source,
            title=config.title,
            attributes=[""],
            record={"style_encoder": record},
            preview=preview_of(faces),
            method="BlendGAN",
            files={STYLE_ENCODER_FILE: encoder.state_dict()},
            encoder_space=source.pack.card.encoder_space,
        )


def new_encoder(vgg: str, style_dim: int, some: Tensor) -> StyleEncoder:
    """The published encoder on the features of a file, or a narrow one with features of its own.

    Args:
        vgg: torchvision's VGG-19, or "".
        style_dim: length of a code.
        some: pictures [N, 3, R, R] in [-1, 1], which tell how large Gram matrices are.

    Raises:
        CheckpointError: the file is unreadable or no VGG-19.
    """
    encoder = StyleEncoder(style_dim=style_dim) if vgg else _narrow_encoder(style_dim)
    if vgg:
        _load_vgg(encoder, vgg)
    with torch.no_grad():  # tiny inputs would drown in the biases: see each at about 1
        scale = encoder.grams(some.cpu()).square().mean().sqrt()
        encoder.mlp[0].weight.div_(scale)
    return encoder


def generator_of(seed: int) -> torch.Generator:
    """A CPU random generator."""
    return torch.Generator().manual_seed(seed)


def _narrow_encoder(style_dim: int) -> StyleEncoder:
    encoder = StyleEncoder(**NARROW, style_dim=style_dim)
    for layer in encoder.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return encoder


def _load_vgg(encoder: StyleEncoder, file: str) -> None:
    own = encoder.features.state_dict()
    found = read_container(file).data
    found = found if isinstance(found, dict) else {}
    features = {name: found.get(f"features.{name}", torch.empty(0)) for name in own}
    try:
        load_exactly(encoder.features, features, "the features of torchvision's VGG-19")
    except CheckpointError as error:
        raise CheckpointError(
            f"{file}: {error}; give vgg19-dcbb9e9d.pth, or leave --vgg out"
        ) from error
    encoder.features.requires_grad_(False)


@torch.no_grad()
def style_codes(encoder: StyleEncoder, data: ImageSet) -> Tensor:
    """z_style [N, style_dim] of all pictures, at the root mean square of N(0, I).

    The mapping network looks at the direction of a code only, so that this changes nothing for it
    and keeps the inputs of a discriminator in range.
    """
    device = next(encoder.parameters()).device
    codes = [encoder(as_float(chunk.to(device))).float() for chunk in data.images.split(16)]
    return nn.functional.normalize(torch.cat(codes), dim=1) * encoder.style_dim**0.5


def _save_samples(encoder: StyleEncoder, data: ImageSet, run: Run) -> None:
    """Some pictures, each followed by the pictures whose codes are nearest to its own."""
    data = ImageSet(data.images[:512], data.attributes[:512], data.files[:512])
    codes = style_codes(encoder, data)
    rows = torch.arange(0, len(data), max(1, len(data) // SAMPLES))[:SAMPLES]
    nearest = (codes[rows] @ codes.T).topk(min(NEIGHBOURS + 1, len(data))).indices
    pictures = as_float(data.images[nearest.flatten().to(data.images.device)])
    small = nn.functional.avg_pool2d(pictures, 2)
    run.save_samples(small, columns=nearest.shape[1])


if __name__ == "__main__":
    run_recipe(StyleEncoderConfig, PRESETS, train, __doc__)
