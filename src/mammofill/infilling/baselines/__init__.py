"""Baselines for trained infillers: real lesions pasted, and tissue synthesised without any lesion."""
