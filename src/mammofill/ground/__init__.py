"""The ground floor: what every room may stand on. Nothing here knows any room."""
