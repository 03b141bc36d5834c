"""The studio: a local web page to browse the artifacts of a folder, paint lesions and run reader studies.

It has no functions of its own beyond the command line: it lists what ``mammofill list`` lists, paints and keeps fills
by `mammofill.synthesis`, and makes reader studies by `mammofill.readers`. No other package imports it, and FastAPI and
uvicorn (the extra ``web``) are imported only when it is opened.
"""
