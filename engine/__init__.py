"""Inference engine: generators, encoders, detection, alignment, styles, and the pipeline over them."""
