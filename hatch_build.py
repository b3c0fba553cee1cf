"""Link the three source folders under their import name when the project is installed for editing."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("proxy", "builders", "config")


class EditableLinks(BuildHookInterface):
    """Make ``.editable/buildthrough/<folder>`` links, the path that an editable install puts on ``sys.path``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Create the links, only for ``version == "editable"``: a wheel gets its layout from ``sources``."""
        if version != "editable":
            return
        package = Path(self.root, ".editable", "buildthrough")
        package.mkdir(parents=True, exist_ok=True)
        for folder in FOLDERS:
            link = package / folder
            link.unlink(missing_ok=True)
            link.symlink_to(Path("..", "..", folder), target_is_directory=True)
