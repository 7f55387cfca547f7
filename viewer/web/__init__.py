"""The web player: one HTML page with an avatar, its program and no other file.

The program is in `src`, where each folder imports only from those before it: `container` reads the file, `avatar` poses
it, `draw` and `draw_cpu` render it on the graphics card or without one, `motions` and `face` are what drives it (files,
speech, a live source; the camera), and `page` has the scripts of the page, the element and the worker.
"""
