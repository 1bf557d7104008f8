"""Values and decisions that need no world: everything here is pure."""
