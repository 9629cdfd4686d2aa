"""``torch.hub.load("OWNER/sanreid", "san_r50")``: the released encoders as plain networks."""

dependencies = ["torch", "numpy", "PIL", "safetensors", "huggingface_hub", "tqdm"]


def san_r50(device: str = "auto") -> object:
    """Return SA-Enc with the weights ``san-r50``, a ``torch.nn.Module`` in eval mode.

    It takes crops (N, 3, 256, 128), RGB, normalised by ImageNet's mean and standard deviation, and
    returns a named tuple whose ``embedding`` (N, 512) is not yet L2-normalised. For images in and
    embeddings out, with the preprocessing, use :class:`sanreid.SANEncoder`.

    Args:
        device: ``"auto"`` (CUDA where there is a device, else the CPU) or what torch takes.
    """
    return _module("san-r50", device)


def san_r50_rendered(device: str = "auto") -> object:
    """Return SA-Enc with the weights ``san-r50-rendered``, trained on crops of rendered people.

    It takes normalised crops, (N, 3, 192, 96). Its argument is that of :func:`san_r50`.
    """
    return _module("san-r50-rendered", device)


def _module(name: str, device: str) -> object:
    from sanreid import SANEncoder  # noqa: PLC0415 - torch.hub lists names without it

    return SANEncoder.from_pretrained(name, device=device).module
