"""Where is a file that a prototxt names?"""

from __future__ import annotations

from pathlib import Path

from netdef.data.faults import BadData


def candidates(path: str, base_dir: Path | None) -> tuple[Path, ...]:
    """The places to look: the working folder as Caffe does, then the folder of the file that names it."""
    here = Path(path)
    return (here,) if base_dir is None or here.is_absolute() else (here, base_dir / here)


def find(path: str, base_dir: Path | None) -> Path | None:
    """The first place that exists, or None."""
    return next((place for place in candidates(path, base_dir) if _exists(place)), None)


def locate(path: str, base_dir: Path | None, what: str, field: str = "source") -> Path:
    """The first place that exists; BadData ND0501 names every place that was tried. `field` holds the path."""
    found = find(path, base_dir)
    if found is None:
        raise missing(path, base_dir, what, field)
    return found


def missing(path: str, base_dir: Path | None, what: str, field: str = "source") -> BadData:
    """The fault of a file that is at none of its places."""
    tried = dict.fromkeys(str(place.absolute()) for place in candidates(path, base_dir))
    return BadData("ND0501", f'{what} "{path}" is not there', help="looked for " + " and ".join(tried), field=field)


def _exists(place: Path) -> bool:
    try:
        return place.is_file() or place.is_dir()  # a device has no end
    except (OSError, ValueError):  # a name too long for the system, or with a null character
        return False
