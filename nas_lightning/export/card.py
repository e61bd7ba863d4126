"""The card of an export as text."""

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

CARD = "card.json"
RUNS = {
    "pytorch": "PyTorch, before it was written",
    "network.py": "network.py with network.safetensors; needs torch and safetensors",
    "network.pt2": "torch.export.load; needs torch",
    "network.onnx": "onnxruntime",
}
"""What runs each network that is compared."""
OF_FAMILY = {
    "traced": {
        "network.py": "network.py with network.pt2; needs torch",
        "network.safetensors": "the network itself, narrowed, with the weights in the file; needs the package of its class",
    }
}
"""Likewise, where a family differs."""


def card_text(card: Mapping[str, Any]) -> str:
    """The content of ``card.md``, from that of ``card.json``."""
    origin, cost, data, checks, scaling = (card[key] for key in ("origin", "cost", "data", "checks", "scaling"))
    shares, runs = cost["share_of_largest"], RUNS | OF_FAMILY.get(card["family"], {})
    files = [[f"`{name}`", f"{file['bytes']:,}", f"`{file['sha256'][:12]}`"] for name, file in card["files"].items()]
    differences = [
        [f"`{name}`" if "." in name else name, runs[name], f"{value['from_pytorch']:.1e}", f"{value['alone_from_batch']:.1e}"]
        for name, value in checks["differences"].items()
        if isinstance(value, Mapping)
    ]
    others = [f"{name.replace('_', ' ')}: {value:.1e}" for name, value in checks["differences"].items() if not isinstance(value, Mapping)]
    paragraphs = [
        f"# {card['name']}",
        f"A {card['family']} network of the space {card['space']}, for the {data['classes']} classes of {data['name']}: "
        f"{cost['multiply_adds']:,} multiply-adds an image ({shares['multiply_adds']:.1%} of the largest candidate's) and "
        f"{cost['parameters']:,} parameters ({shares['parameters']:.1%}).",
        f"Architecture: `{card['architecture']}`",
        f"**{story(origin)}**",
        f"## On {card['test']['images']:,} test images",
        quality_table(card),
        "## Files",
        _table(files, ["file", "bytes", "sha256"]),
        f"It takes (batch, {scaling['channels']}, {scaling['resolution']}, {scaling['resolution']}) images in [0, 1], scaled by mean "
        f"{scaling['mean']} and std {scaling['std']}; `network.onnx` "
        + ("scales them itself." if card["settings"]["scaling"] == "first_nodes" else "has these in its metadata."),
        "## Checked",
        f"The largest difference of two logits on {checks['images']} test images; more than {checks['limit']:g} is refused.",
        _table(differences, ["network", "run by", "from PyTorch", "an image alone from the same in the batch"]),
        *others,
        "Multiply-adds and parameters as counted on the running network are those above.",
        f"## Latency, with {card['latency']['threads']} thread{'s' * (card['latency']['threads'] > 1)}",
        latency_table(card),
    ]
    return "\n\n".join(paragraphs) + "\n"


def story(origin: Mapping[str, Any]) -> str:
    """How a network was made, in a sentence or two."""
    if (start := origin.get("start")) is None:
        return (
            f"Cut out of the supernet {origin['checkpoint']} with shared weights, never trained alone. nas-standalone start=FOLDER "
            "trains it on."
        )
    return f"Trained on for {origin['epochs']} epochs with seed {origin['seed']}, from the export {start}."


def quality_table(card: Mapping[str, Any], is_plain: bool = False) -> str:
    """Top-1 and cross entropy before and after."""
    rows = [
        [when, part["norms"], f"{part['top1']:.4f}", f"{part['cross_entropy']:.4f}"]
        for when, part in card["test"].items()
        if isinstance(part, Mapping)
    ]
    return _table(rows, ["", "norms", "top-1", "cross entropy"], is_plain)


def latency_table(card: Mapping[str, Any], is_plain: bool = False) -> str:
    """Milliseconds of a pass."""
    rows = [
        [name, one["batch"], f"{one['median_ms']:.3f}", f"{one['iqr_ms']:.3f}"]
        for name, measured in card["latency"].items()
        if isinstance(measured, list)
        for one in measured
    ]
    return _table(rows, ["run by", "images", "median ms", "interquartile range"], is_plain)


def _table(rows: list[list[Any]], headers: list[str], is_plain: bool = False) -> str:
    return tabulate(rows, headers, tablefmt="simple" if is_plain else "github", disable_numparse=True)
