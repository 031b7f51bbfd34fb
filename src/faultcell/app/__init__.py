"""The page: draw from a model by moving sliders, in a browser or over HTTP, on this machine alone (extra `app`).

    knobs.py    what can be asked of a model, and the ranges of it that the model has seen
    shelf.py    the models, curves and results that are served, by id
    normals.py  normal curves that faults can be drawn from, by cell, cycle and half-cycle
    uploads.py  a visitor's own curve set, read within bounds
    asked.py    a request, as JSON
    desk.py     where drawing is asked for: a bounded queue, a time limit
    worker.py   the process that draws, which can be killed
    jobs.py     what it does
    drawn.py    what a draw shows: curves, band, what was asked for beside what came
    packs.py    drawn curves as files
    api.py      the HTTP API; answers.py what it answers, as JSON
    guard.py    what every request must meet, and the headers of every answer
    wire.py     how many connections there may be, and how long one may keep the server waiting
    chart.py    what is drawn where on the charts
    page.py     the page; draw_tab.py, forms.py, dial.py and tables.py its parts
    server.py   all of it together, bound to one address

Only `page.py`, its parts and `server.py` know NiceGUI.
"""
