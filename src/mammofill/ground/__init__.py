"""The base: what every room (subpackage) may use. Nothing here imports a room."""
