"""The studio: a page in the browser on what lies in a folder; to look, to paint, and to have readers read.

It knows nothing that the command line does not: what it lists is what ``mammofill list`` lists, what it paints and
keeps is what `mammofill.synthesis` paints and keeps, and a reader study is what `mammofill.readers` makes. The rooms
below never import it, and FastAPI and uvicorn (the extra ``web``) are imported only when it is opened.
"""
