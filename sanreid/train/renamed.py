"""The module paths of the previous version, which keep working for one version with a warning.

``sanreid.train.settings`` and its like are found by the table below. Their names are looked up in
the modules that hold them now, each with a warning.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

__all__ = ["install", "look_up", "run_command"]

_ROOT = "sanreid.train"
_MODULES = {
    "balance": "tools.balance",
    "batches": "data.batches data.crop_batches data.pair_batches",
    "camera_proxies": "losses.camera_proxies",
    "data.texture_format": "textures.format",
    "data.texture_store": "textures.store",
    "data.texture_writer": "textures.writer",
    "device": "runtime",
    "distributed": "runtime",
    "ema": "loop.ema",
    "engine": "loop.engine",
    "evaluate": "tools.evaluate evaluation.measuring evaluation.sets",
    "export": "tools.export checkpoint",
    "feeding": "data.sources data.crop_batches data.camera_colors",
    "find_lr": "tools.find_lr",
    "journal": "loop.journal",
    "learner": "loop.learner",
    "manifest_row": "tools.manifest_row loop.provenance",
    "mirroring": "textures.targets",
    "network": "networks.initialization networks.san",
    "objective": "losses.objective",
    "optim": "loop.optimizer loop.learner",
    "pair_quality": "evaluation.pair_quality",
    "pairs": "data.pairs tools.rendered_source",
    "pictures": "loop.pictures",
    "pit.atlas": "pit.generate.atlas pit.generate.atlas_tables",
    "pit.backdrop": "pit.generate.scenes.backdrop",
    "pit.body": "pit.generate.people.body",
    "pit.degrade": "pit.generate.scenes.degradation",
    "pit.fabrics": "pit.generate.clothing.fabrics",
    "pit.garments": "pit.generate.clothing.garments",
    "pit.making": "pit.generate.pair_writer pit.generate.pairs",
    "pit.paint": "pit.generate.clothing.painting",
    "pit.palette": "pit.generate.clothing.palette",
    "pit.people": "pit.generate.clothing.outfits pit.generate.people.identity",
    "pit.places": "pit.generate.surface",
    "pit.poses": "pit.generate.people.poses",
    "pit.preview": "pit.generate.sheets",
    "pit.props": "pit.generate.scenes.props",
    "pit.rays": "pit.generate.rays",
    "pit.render": "pit.generate.studio pit.generate.render",
    "pit.samples": "pit.generate.samples",
    "pit.scene": "pit.generate.scenes.scene",
    "pit.shells": "pit.generate.clothing.shells",
    "progress": "loop.progress",
    "read_ahead": "data.prefetch",
    "reports": "loop.reports",
    "sa_dec": "networks.sa_dec",
    "san": "networks.san",
    "settings": "config.loader",
    "start": "networks.initialization loop.provenance",
    "stopping": "loop.stopping",
    "targets": "textures.targets",
    "transforms": "data.transforms data.camera_colors networks.normalization",
    "version": "loop.provenance",
}
_NAMES = {  # names that changed besides their module
    "CameraLooks": "CameraColorStats",
    "HeldTextures": "DecodedTextures",
    "MakingSettings": "PairSettings",
    "Places": "Surface",
    "Pull": "TermGradient",
    "ReadAhead": "Prefetcher",
    "Receipt": "StepResult",
    "StopWish": "StopRequest",
    "camera_looks": "camera_color_stats",
    "in_step": "mirrored_targets",
    "draw_colour": "draw_color",
    "learned_before": "inherited_training_data",
    "measure_places": "measure_surface",
    "require_extra": "check_pit_extra",
    "running_statistics_kept": "_running_statistics_kept",
    "sent": "to_device",
    "start": "join_group",
    "stop": "leave_group",
}
_COMMANDS = ("pairs",)  # modules that were programs


def install() -> None:
    """Make old module paths importable; a second call changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def look_up(old: str, name: str, modules: str) -> Any:  # noqa: ANN401 - any public object
    """Return the object that ``old`` had under ``name``, with a warning.

    Args:
        old: The old module, for the messages.
        name: The name in it.
        modules: The modules below ``sanreid.train`` that hold its names now, by spaces.

    Raises:
        AttributeError: None of them has it.
    """
    if name.startswith("__"):  # what the import system asks for
        raise AttributeError(f"module {old!r} has no attribute {name!r}")
    for module in modules.split():
        home = f"{_ROOT}.{module}"
        names = vars(import_module(home))
        for known in (name, _NAMES.get(name, name)):
            found = names.get(known)
            # Not what the module itself imports: the warning names where it is defined. Of a
            # constant, __module__ is where its type is defined, or there is none.
            defined = known in names["__all__"] or getattr(found, "__module__", home) == home
            if found is not None and defined:
                message = f"{old}.{name} is now {home}.{known}"
                warnings.warn(message, DeprecationWarning, stacklevel=3)
                return found
    raise AttributeError(f"module {old!r} has no attribute {name!r}")


class _Finder(MetaPathFinder):
    """Finds the modules of the table; asked last, so that it hides no present module."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - as the protocol has it
        target: ModuleType | None = None,  # noqa: ARG002 - as above
    ) -> ModuleSpec | None:
        if fullname.removeprefix(f"{_ROOT}.") not in _MODULES:
            return None
        return ModuleSpec(fullname, _Loader(), origin=__file__)  # runpy makes argv[0] of it


class _Loader(InspectLoader):
    def exec_module(self, module: ModuleType) -> None:
        modules = _MODULES[module.__name__.removeprefix(f"{_ROOT}.")]

        def look_up_here(name: str) -> Any:  # noqa: ANN401 - any public object
            return look_up(module.__name__, name, modules)

        module.__dict__["__getattr__"] = look_up_here

    def get_source(self, fullname: str) -> str | None:  # noqa: ARG002 - there is none
        return None

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the program of a module that was one, for ``python -m``."""
        name = fullname.removeprefix(f"{_ROOT}.")
        if name not in _COMMANDS:
            return None
        text = f"from {_ROOT}.renamed import run_command; run_command({name!r})"
        return compile(text, fullname, "exec")


def run_command(name: str) -> None:
    """Run ``python -m sanreid.train NAME`` for ``python -m sanreid.train.NAME``, then exit."""
    main = import_module(f"{_ROOT}.commands").main  # not before: it imports the whole of train
    warnings.simplefilter("default", DeprecationWarning)  # so that users of the command see it
    message = f"python -m {_ROOT}.{name} is now python -m {_ROOT} {name}"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    sys.exit(main([name, *sys.argv[1:]]))
