"""``torch.hub.load("OWNER/sanreid", "san_r50")``: the released encoder as a plain network."""

dependencies = ["torch", "numpy", "PIL", "safetensors", "huggingface_hub", "tqdm"]


def san_r50(device: str = "auto") -> object:
    """Return SA-Enc with the weights ``san-r50``, a ``torch.nn.Module`` in eval mode.

    It takes normalised crops, (N, 3, 256, 128). For images in and embeddings out, with the
    preprocessing, use :class:`sanreid.SANEncoder`.

    Args:
        device: ``"auto"`` (CUDA where there is a device, else the CPU) or what torch takes.
    """
    from sanreid import SANEncoder  # noqa: PLC0415 - torch.hub lists names without it

    return SANEncoder.from_pretrained("san-r50", device=device).module
