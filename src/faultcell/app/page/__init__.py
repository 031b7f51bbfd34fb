"""The page itself; NiceGUI is imported in this room and in `app.server`."""
