"""Inference engine: generators, encoders, detection, alignment, styles, the pipeline."""
