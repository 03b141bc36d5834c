"""Artifacts in object stores, and wherever else fsspec has a file system for: pushed there, and pulled from there.

Below its URL a pushed artifact is ``objects/<SHA-256>``, one for each content, and ``pushed.json``, written last, which
says which file is which object. `remote` (a folder in a store), `pushed` (what ``pushed.json`` says), `push`, `pull`.
"""
