"""Which part of the project may import which, and what has to be installed for it: the tables."""

PACKAGES = ("demo", "engine", "motion", "train")
OURS = (*PACKAGES, "app", "tests")

# Module prefix -> what it may import of ours; the longest matching prefix counts.
ENGINE_PARTS = (
    *("engine.errors", "engine.options", "engine.option_fields", "engine.runtime", "engine.image"),
    "engine.png",
    *("engine.align", "engine.edges", "engine.warp", "engine.color", "engine.finish"),
    "engine.eyes",
    *("engine.around", "engine.compose", "engine.distance", "engine.enlarge", "engine.likeness"),
    *("engine.provenance", "engine.credentials"),
    *("engine.ops", "engine.models", "engine.latent", "engine.surgery", "engine.inversion"),
    "engine.sefa",
    *("engine.detect", "engine.checkpoints", "engine.card", "engine.pack", "engine.eight_bits"),
    *("engine.catalogue", "engine.download", "engine.importing"),
    *("engine.base", "engine.style", "engine.library", "engine.portraits", "engine.reference"),
    *("engine.live", "engine.exporting"),
)
MAY_IMPORT = {
    "engine": ENGINE_PARTS,
    "engine.errors": (),
    "engine.options": ("engine.errors", "engine.option_fields"),
    "engine.option_fields": ("engine.errors",),
    "engine.runtime": ("engine.errors",),
    "engine.image": ("engine.errors", "engine.png"),
    "engine.png": (),
    "engine.provenance": ("engine.errors",),
    "engine.credentials": ("engine.provenance", "engine.errors"),
    "engine.warp": ("engine.errors", "engine.image"),
    "engine.color": ("engine.errors", "engine.warp"),
    "engine.distance": ("engine.errors",),
    "engine.edges": ("engine.warp",),
    "engine.eyes": ("engine.options", "engine.warp"),
    "engine.align": (
        *("engine.errors", "engine.image", "engine.edges", "engine.warp", "engine.color"),
        "engine.eyes",
    ),
    "engine.finish": ("engine.image", "engine.options"),
    "engine.around": (
        *("engine.color", "engine.image", "engine.live", "engine.options", "engine.style"),
        "engine.warp",
    ),
    "engine.compose": (
        *("engine.align", "engine.color", "engine.finish", "engine.options", "engine.portraits"),
        *("engine.around", "engine.enlarge", "engine.style", "engine.warp"),
    ),
    "engine.enlarge": ("engine.base", "engine.image", "engine.models", "engine.runtime"),
    "engine.latent": ("engine.errors",),
    "engine.ops": ("engine.ops", "engine.errors", "engine.runtime"),
    "engine.models": ("engine.models", "engine.ops", "engine.errors"),
    "engine.sefa": ("engine.errors",),
    "engine.inversion": (
        *("engine.inversion", "engine.latent", "engine.sefa", "engine.models"),
        *("engine.runtime", "engine.errors"),
    ),
    "engine.surgery": ("engine.models", "engine.errors"),
    "engine.checkpoints": ("engine.checkpoints", "engine.models", "engine.errors"),
    "engine.catalogue": ("engine.errors",),
    "engine.download": (
        *("engine.download", "engine.catalogue", "engine.errors", "engine.runtime"),
    ),
    "engine.importing": (
        *("engine.importing", "engine.checkpoints", "engine.card", "engine.pack"),
        *("engine.models", "engine.errors"),
    ),
    "engine.card": ("engine.errors", "engine.options"),
    "engine.eight_bits": ("engine.errors",),
    "engine.pack": ("engine.card", "engine.eight_bits", "engine.errors", "engine.runtime"),
    "engine.base": (
        *("engine.card", "engine.pack", "engine.models", "engine.latent", "engine.sefa"),
        *("engine.runtime", "engine.errors"),
    ),
    "engine.style": (
        *("engine.base", "engine.card", "engine.pack", "engine.models", "engine.surgery"),
        *("engine.latent", "engine.sefa", "engine.errors", "engine.ops"),
    ),
    "engine.live": (
        *("engine.base", "engine.card", "engine.image", "engine.models", "engine.runtime"),
        "engine.style",
    ),
    "engine.exporting": (
        *("engine.exporting", "engine.base", "engine.card", "engine.errors", "engine.image"),
        *("engine.latent", "engine.live", "engine.models", "engine.ops", "engine.pack"),
        "engine.style",
    ),
    "engine.library": (
        *("engine.base", "engine.card", "engine.pack", "engine.style"),
        *("engine.runtime", "engine.errors"),
    ),
    # Measures whatever the engine has; nothing in the engine needs it.
    "engine.benchmark": (*ENGINE_PARTS, "engine.benchmark"),
    # Time lies on top of the engine: frames are detected, framed, encoded and pasted by its parts.
    "motion": ("motion", "engine"),
    "train": ("train", "engine", "motion"),
    "demo": ("demo", "engine", "motion"),
    **{
        f"demo.tabs.{name}": ("demo", "engine", "motion", "train")
        for name in ("train", "train_parts", "train_runs", "train_set", "train_state", "train_view")
    },
    "app": ("demo", "engine.errors"),
    "tests": OURS,
}
# ops stay portable: torch and the standard library, nothing else.
MAY_IMPORT_OUTSIDE = {"engine.ops": {"torch"}}
# Packages that are imported under another name than they are installed under.
INSTALLED_AS = {
    **{"cv2": "opencv-python", "PIL": "pillow", "gradio_client": "gradio"},
    **{"skimage": "scikit-image", "sklearn": "scikit-learn", "c2pa": "c2pa-python"},
}
# Used where they are installed; users need not have them (spaces is there on ZeroGPU only).
OPTIONAL = {"c2pa-python", "onnx", "onnxruntime", "onnxscript", "spaces"}
# The GPU machine that trains has none of these.
ABSENT_WHEN_TRAINING = ("gradio", "lpips", "face_alignment", "pillow_heif")
