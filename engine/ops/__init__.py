"""StyleGAN2's primitive operations, in plain PyTorch."""
