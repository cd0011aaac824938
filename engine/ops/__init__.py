"""StyleGAN2's primitive operations: plain PyTorch, and CUDA kernels where they pay."""
