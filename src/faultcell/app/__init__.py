"""The page: draw from a model by moving sliders, in a browser or over HTTP, on this machine alone (extra `app`).

    controls.py   what can be asked of a model, and the ranges of it that the model has seen
    registry.py   the models, curves and results that are served, by id
    normals.py    normal curves that faults can be drawn from, by cell, cycle and half-cycle
    uploads.py    a visitor's own curve set, read within bounds
    requests.py   a request, as JSON
    server.py     all of it together, bound to one address
    api/          the HTTP API (routes.py, responses.py), the guard before it, limits on connections
    worker/       the queue of draws, the process that works through it, what it does and gives
    page/         the page, its tabs, sliders and charts

Only `page/` and `server.py` know NiceGUI.
"""
