"""Pretrain every embedded model on one GPU: ``python tools/pretrain prepare FILE`` and then ``... train FILE OUT``.

The shipped weights come from here. It takes the networks, the noise schedules and the losses of the package, and lays a
whole training step into one CUDA graph, so that models this small fill a GPU: all of them train at the same time, each
on a stream of its own. What is drawn comes from torch's generator on the device, not from the package's per-sample one,
so that a second run gives other weights of the same quality.

``prepare`` (CPU) writes the 50,000 images of Fashion-MNIST's training split that are no reference images, their labels
and captions; it needs the whole data set. ``train`` needs nothing but that file and the package:

1. the autoencoder, on 32 and 64 pixels, and a classifier of the images;
2. with its encoder frozen: the denoisers on its latents, and the decoder once more, against a discriminator;
``measure`` takes distances at several numbers of evaluations; ``card`` prints them as the tables of the models' card.

``--start FOLDER`` skips the first part and trains the weights of FOLDER on, at half the rate; ``--only`` names some.
"""

from __future__ import annotations

import argparse
import copy
import json
import lzma
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawing import Images, draw, encode, prepare
from job import run
from losses import autoencoder_job, classifier_job, decoder_job, denoiser_job
from quality import Scale, card, decode, grid, samples
from torch import nn

from ssdbench.data.datasets import load_images
from ssdbench.diffusion.noise import normal
from ssdbench.methods.denoising_loss import projector
from ssdbench.metrics.frechet import Gaussian, frechet_distance
from ssdbench.metrics.garments import GarmentClassifier
from ssdbench.models.catalog import MODELS, load_denoiser, save_denoiser
from ssdbench.models.checkpoint import recast
from ssdbench.models.vae import Autoencoder, build_vae, latent_scale, to_uint8

DENOISERS = {  # file: model, resolution, seed, share of the steps
    "dit-mini-32": ("dit-mini", 32, 0, 1.0),
    "dit-mini-32-seed1": ("dit-mini", 32, 1, 1.0),
    "sit-mini-32": ("sit-mini", 32, 0, 1.0),
    "repa-mini-32": ("repa-mini", 32, 0, 1.0),
    "dit-mini-b-32": ("dit-mini-b", 32, 0, 1.0),
    "dit-mini-s-32": ("dit-mini-s", 32, 0, 1.0),
    "dit-mini-64": ("dit-mini", 64, 0, 1.0),
    "sit-mini-64": ("sit-mini", 64, 0, 1.0),
    "sd-mini-32": ("sd-mini", 32, 0, 1.0),
}


def train(args: argparse.Namespace) -> None:
    """Train and save everything below ``args.out``."""
    began = time.monotonic()
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    with lzma.open(args.file) as file:
        arrays = dict(np.load(file))
    if args.tiny:
        arrays = {k: v if k == "texts" else v[:64] for k, v in arrays.items()}
    data = Images(
        torch.from_numpy(arrays["images"]).to(device), torch.from_numpy(arrays["labels"]).long().to(device)
    )
    captions = torch.from_numpy(arrays["captions"]).long().to(device)
    texts = torch.from_numpy(arrays["texts"]).to(device)

    def generator(seed: int) -> torch.Generator:
        return torch.Generator(device).manual_seed(seed)

    size, probe = (16, 1) if args.tiny else (args.batch, 20)
    rate, warmup = (1e-3, 1000) if args.start is None else (5e-4, 200)

    # 1. The autoencoder and the classifier.
    torch.manual_seed(0)
    classifier = GarmentClassifier().to(device)
    if args.start is None:
        vae: Any = build_vae((40, 80, 80), 1).to(device).to(memory_format=torch.channels_last)
        jobs = [
            autoencoder_job(vae, data, size // 2, generator(1), 1e-5),
            classifier_job(classifier, data, size, generator(2), 0.7),
        ]
        run(jobs, 60 * args.minutes[0], out / "first.json", "first", probe)
        padded = np.pad(arrays["images"][:1000, ..., None], ((0, 0), (2, 2), (2, 2), (0, 0)))
        vae.register_to_config(scaling_factor=latent_scale(vae.eval(), padded, args.device))
        save_classifier(classifier, out)
    else:
        vae = Autoencoder(args.start / "vae-mini", args.device).model.to(memory_format=torch.channels_last)
        classifier = load_classifier(args.start).to(device)
    vae.eval().requires_grad_(False)
    classifier.eval().requires_grad_(False)
    scale = float(vae.config["scaling_factor"])

    # 2. The denoisers, and the decoder once more.
    latents = {r: encode(vae, data, r, scale) for r in {DENOISERS[name][1] for name in args.only}}
    features = torch.cat(
        [classifier.spatial(data.at(slice(i, i + 1000), 32)).half() for i in range(0, len(data.pixels), 1000)]
    )
    tuned = copy.deepcopy(vae)
    jobs, models = [], {}
    if args.decoder:
        tuned.decoder.requires_grad_(True)
        tuned.post_quant_conv.requires_grad_(True)
        jobs.append(decoder_job(tuned, classifier, data, size // 4, generator(3), 0.7, 0.5))
    for name in args.only:
        known, resolution, seed, share = DENOISERS[name]
        batch = size if resolution == 32 and known != "sd-mini" else size // 2
        facts = MODELS[known]
        text = facts.text is not None
        torch.manual_seed(seed)
        weights = None if args.start is None else args.start / name
        model = load_denoiser(weights, facts.shapes[resolution], texts[-1:].cpu() if text else None).to(
            device
        )
        align = None
        if known == "repa-mini":
            align = (features, projector(128, features.shape[-1], 256).to(device))
        model.train()
        jobs.append(
            denoiser_job(
                name, model, latents[resolution], captions if text else data.labels, texts[:-1] if text else None,
                texts[-1:] if text else model.null.to(device), batch, generator(100 + seed + 1000 * len(jobs)),
                flow=facts.flow, share=share, lr=rate, align=align,
            )
        )  # fmt: skip
        models[name] = (model, facts, resolution)
    for job in jobs:
        job.warmup = warmup if job.name != "decoder" else job.warmup
    run(jobs, 60 * args.minutes[1], out / "second.json", "second", probe)
    for name, (model, facts, _) in models.items():
        model.eval().requires_grad_(False)
        save_denoiser(model, out / name, prediction=facts.prediction)
        recast(out / name, "float16")
    save_vae(vae, out / "vae-plain")
    save_vae(tuned.eval().requires_grad_(False), out / "vae-tuned")
    (out / "steps.json").write_text(json.dumps({job.name: job.steps for job in jobs}, indent=1))
    print(f"trained after {time.monotonic() - began:.0f} s", flush=True)


@torch.no_grad()
def measure(args: argparse.Namespace) -> None:
    """The classifier's accuracy, distances of each decoder in the folder, and of all denoisers with the best decoder.

    Writes ``quality.json`` into the folder, and pictures beside it.
    """
    device = torch.device(args.device)
    folder: Path = args.folder
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    def held(name: str) -> Images:
        images = load_images(name, 28)
        return Images(
            torch.from_numpy(images.pixels[: args.images, ..., 0].copy()).to(device),
            torch.from_numpy(images.labels[: args.images]).to(device),
        )

    test, reference = held("fashion-mnist"), held("fashion-mnist-reference")
    quality: dict[str, Any] = {"test images": len(test.labels), "reference images": len(reference.labels)}
    quality["device"] = torch.cuda.get_device_name() if device.type == "cuda" else args.device
    classifier = load_classifier(folder).to(device)
    guesses = [classifier(part).argmax(1) for part in test.at(slice(None), 32).split(1000)]
    quality["classifier accuracy on the test split"] = (
        (torch.cat(guesses) == test.labels).float().mean().item()
    )
    meter = Scale(device)
    decoders = {path.name: Autoencoder(path, args.device) for path in sorted(folder.glob("vae-*"))}
    references: dict[tuple[int, str], Gaussian] = {}
    quality["real images, raw reference"] = {}
    for resolution in args.resolutions:
        references[resolution, "raw"] = meter.gaussian(to_uint8(reference.at(slice(None), resolution)))
        real = meter.gaussian(to_uint8(test.at(slice(None), resolution)))
        quality["real images, raw reference"][str(resolution)] = round(
            frechet_distance(real, references[resolution, "raw"]), 1
        )
    every = {}
    for which, vae in decoders.items():
        every[which] = found = {}
        for resolution in args.resolutions:
            both = [
                decode(vae.model, encode(vae.model, images, resolution, vae.scale, 250).mean, vae.scale)
                for images in (reference, test)
            ]
            grid(both[1][:40], folder / f"reconstructed-{which}-{resolution}.png")
            references[resolution, which], moments = (meter.gaussian(images) for images in both)
            found[str(resolution)] = {
                "raw": round(frechet_distance(moments, references[resolution, "raw"]), 1),
                "through": round(frechet_distance(moments, references[resolution, which]), 1),
            }
        print(which, json.dumps(found), flush=True)
    best = min(every, key=lambda which: every[which][str(args.resolutions[0])]["raw"])
    vae = decoders[best]
    quality |= {"decoder": best, "reconstructions": every[best], "other decoders": every}
    quality |= {"seed": 100, "samples": args.samples, "models": {}}
    with lzma.open(args.file) as file:
        arrays = dict(np.load(file))
    texts = torch.from_numpy(arrays["texts"]).to(device)
    index = draw(args.samples, len(arrays["captions"]), torch.Generator().manual_seed(9))
    captions = texts[torch.from_numpy(arrays["captions"]).long()[index].to(device)]
    for name in args.only:
        known, resolution, _, _ = DENOISERS[name]
        if resolution not in args.resolutions or not (folder / name).is_dir():
            continue
        facts = MODELS[known]
        text = facts.text is not None
        model = load_denoiser(folder / name, facts.shapes[resolution], texts[-1:].cpu() if text else None)
        model.to(device).eval().requires_grad_(False)
        cond = captions if text else torch.arange(args.samples, device=device) % 10
        shape = (4, resolution // 4, resolution // 4)
        noise = normal(shape, 100, "pretrain/quality", range(args.samples)).to(device)
        guidance, channels = (2.0, None) if text else (1.5, None if facts.flow == 1 else 3)
        row = quality["models"].setdefault(name, {})
        for nfe in args.nfe:
            latents = samples(model, nfe, cond, guidance, channels, facts.flow, noise)
            images = decode(vae.model, latents, vae.scale)
            grid(images[:40], folder / f"{name}-{nfe}.png")
            moments = meter.gaussian(images)
            row[f"{guidance} {nfe}"] = {
                "raw": round(frechet_distance(moments, references[resolution, "raw"]), 1),
                "through": round(frechet_distance(moments, references[resolution, best]), 1),
            }
        print(name, json.dumps(row), flush=True)
    (folder / "quality.json").write_text(json.dumps(quality, indent=1))


def save_vae(vae: Any, folder: Path) -> None:
    """In diffusers' layout, float16."""
    vae.save_pretrained(folder, safe_serialization=True)
    recast(folder, "float16")


def load_classifier(folder: Path) -> GarmentClassifier:
    """The classifier that :func:`save_classifier` wrote, float32."""
    from safetensors.torch import load_file

    network = GarmentClassifier()
    network.load_state_dict(load_file(folder / "garments.safetensors"), strict=False)
    return network.eval().requires_grad_(False)


def save_classifier(network: nn.Module, out: Path) -> None:
    """One safetensors file, float16."""
    from safetensors.torch import save_file

    state = {
        k: v.detach().half().cpu().contiguous()
        for k, v in network.state_dict().items()
        if v.is_floating_point()
    }
    save_file(state, out / "garments.safetensors")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python tools/pretrain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("prepare", help="write the images").add_argument("file", type=Path)
    on = verbs.add_parser("train", help="train, save and measure")
    on.add_argument("file", type=Path, help="what prepare wrote")
    on.add_argument("out", type=Path)
    on.add_argument("--start", type=Path, help="a folder of weights to train on")
    on.add_argument("--only", nargs="+", choices=DENOISERS, default=list(DENOISERS))
    on.add_argument("--decoder", action=argparse.BooleanOptionalAction, default=True, help="the decoder too")
    on.add_argument("--device", default="cuda")
    on.add_argument("--batch", type=int, default=512)
    on.add_argument(
        "--minutes", type=float, nargs=2, default=(4.0, 12.0), help="of the first and second part"
    )
    on.add_argument("--tiny", action="store_true", help="64 images, to try the script")
    meter = verbs.add_parser("measure", help="write FOLDER/quality.json")
    meter.add_argument("file", type=Path, help="what prepare wrote: its captions are used")
    meter.add_argument("folder", type=Path)
    meter.add_argument("--only", nargs="*", choices=DENOISERS, default=list(DENOISERS))
    meter.add_argument("--resolutions", type=int, nargs="+", default=[32, 64])
    meter.add_argument("--nfe", type=int, nargs="+", default=[4, 5, 6, 8, 10, 16, 20, 50, 100])
    meter.add_argument("--samples", type=int, default=5000, help="of a model's distance")
    meter.add_argument("--images", type=int, default=10_000, help="of the test split and of the reference")
    meter.add_argument("--device", default="cuda")
    verbs.add_parser("card", help="print the tables of FOLDER/quality.json").add_argument("folder", type=Path)
    args = parser.parse_args()
    if args.verb == "prepare":
        prepare(args.file)
    elif args.verb == "card":
        print(card(args.folder))
    elif args.verb == "measure":
        measure(args)
    else:
        train(args)


if __name__ == "__main__":
    main()
