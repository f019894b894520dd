"""What bytes are a picture, and how they are read and made."""
