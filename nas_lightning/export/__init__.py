"""One candidate for other programs: files, checks, a card."""

from nas_lightning.export.settings import ExportSettings
from nas_lightning.export.write import Exported, name_of, write_export

__all__ = ["ExportSettings", "Exported", "name_of", "write_export"]
