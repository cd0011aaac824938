"""StyleGAN2's primitive operations; each has one public function and a plain PyTorch specification."""
