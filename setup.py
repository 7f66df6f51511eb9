"""What pyproject.toml cannot say: the folder `specs/` is installed as `archscope/specs`."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["archscope", "archscope.*"]), "archscope.specs"],
    package_dir={"archscope.specs": "specs"},
)
