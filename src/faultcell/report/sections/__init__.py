"""The parts of a study's page: each turns what it finds in the folder into a section."""
