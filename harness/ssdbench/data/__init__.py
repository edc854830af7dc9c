"""Images, labels and latents."""
