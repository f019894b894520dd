"""ComfyUI: a graph of nodes in, a run that can be followed, asked about and canceled by its id."""
