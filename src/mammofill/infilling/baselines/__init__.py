"""What a trained infiller has to be better than: lesions pasted as they are, and tissue painted without any lesion."""
