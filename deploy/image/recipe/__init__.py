"""How the image is made: Debian packages taken apart, locked wheels, the driver; three layers, an OCI archive, an SBOM.

`deploy/image/build.py` puts it together. Nothing of it needs root, a container engine or a base image, and the same
inputs give the same bytes.
"""
