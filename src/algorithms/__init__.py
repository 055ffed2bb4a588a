"""Ready-made steps, one per module.

A configuration names them by module and class, for example ``"module":
"ctapipe.pipeline.algorithms.hessio_reader"`` and ``"class": "HessioReader"``. Nothing is imported
here, so that a pipeline loads only what its own steps need.
"""
