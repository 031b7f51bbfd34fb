"""The page: its tabs, sliders and charts."""
