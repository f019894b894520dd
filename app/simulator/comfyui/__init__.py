"""ComfyUI 0.33 (and 0.3.64, when it is told to be that), as recordings of real servers have it."""
