"""All scenes by name."""

from tests.trust import creations, ingests, takings
from tests.trust.place import Scene

SCENES: dict[str, Scene] = {**creations.SCENES, **ingests.SCENES, **takings.SCENES}
