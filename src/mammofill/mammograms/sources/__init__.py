"""One reader per public collection: its tables and file names become our entries. No pixel is read here."""
