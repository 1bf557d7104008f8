"""All scenes by name."""

from tests.trust import creations, ingests, mendings, takings
from tests.trust.place import Scene

_ALL = (creations.SCENES, ingests.SCENES, takings.SCENES, mendings.SCENES)
SCENES: dict[str, Scene] = {name: scene for scenes in _ALL for name, scene in scenes.items()}
