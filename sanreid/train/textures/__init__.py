"""Target textures: made by a generator, stored, mirrored."""
