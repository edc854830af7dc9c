"""Pretrain every embedded model on one GPU: ``python tools/pretrain prepare FILE`` and then ``... train FILE OUT``.

The shipped weights come from here. It takes the networks, the noise schedules and the losses of the package, and lays a
whole training step into one CUDA graph, so that models this small fill a GPU: all of them train at the same time, each
on a stream of its own. What is drawn comes from torch's generator on the device, not from the package's per-sample one,
so that a second run gives other weights of the same quality.

``prepare`` (CPU) writes the 50,000 images of Fashion-MNIST's training split that are no reference images, their labels
and captions; it needs the whole data set. ``train`` needs nothing but that file and the package:

1. the autoencoder, on 32 and 64 pixels, and a classifier of the images;
2. with its encoder frozen: the denoisers on its latents, and the decoder once more, against a discriminator;
3. distances at several numbers of evaluations, with which the card of the models is written.

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
from torch import Tensor, nn

from ssdbench.data.datasets import load_images
from ssdbench.diffusion.noise import normal
from ssdbench.methods.denoising_loss import projector
from ssdbench.metrics.frechet import Gaussian, frechet_distance
from ssdbench.metrics.garments import GarmentClassifier
from ssdbench.models.catalog import MODELS
from ssdbench.models.checkpoint import recast
from ssdbench.models.load import load_denoiser, save_denoiser
from ssdbench.models.vae import Autoencoder, build_vae, latent_scale, to_uint8

NFES = (4, 5, 8, 10, 20, 50)
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
    quality: dict[str, Any] = {}

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
        from safetensors.torch import load_file

        vae = Autoencoder(args.start / "vae-mini", args.device).model.to(memory_format=torch.channels_last)
        classifier.load_state_dict(load_file(args.start / "garments.safetensors"), strict=False)
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
        model.train().requires_grad_(True)
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
    times = run(jobs, 60 * args.minutes[1], out / "second.json", "second", probe)
    for name, (model, facts, _) in models.items():
        model.eval().requires_grad_(False)
        save_denoiser(model, out / name, prediction=facts.prediction)
        recast(out / name, "float16")
    save_vae(vae, out / "vae-plain")
    save_vae(tuned.eval().requires_grad_(False), out / "vae-tuned")
    (out / "TRAINED").write_text("")
    print(f"trained after {time.monotonic() - began:.0f} s", flush=True)
    measure(
        args, quality, data=(captions, texts), models=models, decoders={"plain": vae, "tuned": tuned},
        classifier=classifier, scale=scale,
    )  # fmt: skip
    quality["seconds"] = {"second": times["seconds"], "all": time.monotonic() - began}
    if device.type == "cuda":
        quality["device"] = torch.cuda.get_device_name()
    (out / "quality.json").write_text(json.dumps(quality, indent=1))
    (out / "DONE").write_text("")
    print(f"all done in {time.monotonic() - began:.0f} s", flush=True)


@torch.no_grad()
def measure(
    args: argparse.Namespace, quality: dict[str, Any], *, data: tuple[Tensor, Tensor], models: dict[str, Any],
    decoders: dict[str, Any], classifier: nn.Module, scale: float,
) -> None:  # fmt: skip
    """The classifier's accuracy, distances of both decoders, and of all denoisers with the better decoder."""
    device = torch.device(args.device)
    captions, texts = data
    count = 64 if args.tiny else 10_000

    def held(name: str) -> Images:
        images = load_images(name, 28)
        return Images(
            torch.from_numpy(images.pixels[:count, ..., 0].copy()).to(device),
            torch.from_numpy(images.labels[:count]).to(device),
        )

    test, reference = held("fashion-mnist"), held("fashion-mnist-reference")
    rows = test.at(slice(None), 32).split(1000)
    right = torch.cat([classifier(part).argmax(1) for part in rows]) == test.labels
    quality["classifier accuracy on the test split"] = right.float().mean().item()
    meter = Scale(device)
    references: dict[tuple[int, str], Gaussian] = {}
    quality["test images"] = quality["reference images"] = count
    quality["real images, raw reference"] = {}
    for resolution in (32, 64):
        references[resolution, "raw"] = meter.gaussian(to_uint8(reference.at(slice(None), resolution)))
        real = meter.gaussian(to_uint8(test.at(slice(None), resolution)))
        quality["real images, raw reference"][str(resolution)] = round(
            frechet_distance(real, references[resolution, "raw"]), 1
        )
    for which, vae in decoders.items():
        quality[f"reconstructions, {which}"] = found = {}
        for resolution in (32, 64):
            references[resolution, which] = meter.gaussian(
                decode(vae, encode(vae, reference, resolution, scale).mean, scale)
            )
            again = decode(vae, encode(vae, test, resolution, scale).mean, scale)
            grid(again[:40], args.out / f"reconstructed-{which}-{resolution}.png")
            moments = meter.gaussian(again)
            found[str(resolution)] = {
                "raw": round(frechet_distance(moments, references[resolution, "raw"]), 1),
                "through": round(frechet_distance(moments, references[resolution, which]), 1),
            }
        print(which, json.dumps(found), flush=True)
    better = min(decoders, key=lambda which: quality[f"reconstructions, {which}"]["32"]["raw"])
    quality["shipped"], vae = better, decoders[better]
    quality["reconstructions"] = quality[f"reconstructions, {better}"]
    quality["samples"], quality["models"] = (64 if args.tiny else args.samples), {}
    for name, (model, facts, resolution) in models.items():
        text = facts.text is not None
        labels = torch.arange(quality["samples"], device=device) % 10
        index = draw(quality["samples"], len(captions), torch.Generator(device).manual_seed(9))
        cond = texts[captions[index]] if text else labels
        shape = (4, resolution // 4, resolution // 4)
        noise = normal(shape, 100, "pretrain/quality", range(quality["samples"])).to(device)
        guidance, channels = (2.0, None) if text else (1.5, None if facts.flow == 1 else 3)
        row = quality["models"].setdefault(name, {})
        for nfe in NFES[:1] if args.tiny else NFES:
            images = decode(vae, samples(model, nfe, cond, guidance, channels, facts.flow, noise), scale)
            moments = meter.gaussian(images)
            row[f"{guidance} {nfe}"] = {
                "raw": round(frechet_distance(moments, references[resolution, "raw"]), 1),
                "through": round(frechet_distance(moments, references[resolution, better]), 1),
            }
            if nfe in (10, 50):
                grid(images[:40], args.out / f"{name}-{nfe}.png")
        (args.out / "quality.json").write_text(json.dumps(quality, indent=1))
        print(name, json.dumps(row), flush=True)


def save_vae(vae: Any, folder: Path) -> None:
    """In diffusers' layout, float16."""
    vae.save_pretrained(folder, safe_serialization=True)
    recast(folder, "float16")


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
    on.add_argument("--samples", type=int, default=5000, help="of a distance")
    on.add_argument("--tiny", action="store_true", help="64 images, to try the script")
    verbs.add_parser("card", help="print the tables of FOLDER/quality.json").add_argument("folder", type=Path)
    args = parser.parse_args()
    if args.verb == "prepare":
        prepare(args.file)
    elif args.verb == "card":
        print(card(args.folder))
    else:
        train(args)


if __name__ == "__main__":
    main()
