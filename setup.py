"""Packaging: the lab package with topologies, scenarios and challenges inside it. docs/dependencies.md says why each requirement is there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
DATA = ("challenges", "topologies", "scenarios")


class BuildWithData(build_py):
    """Copies challenges, topologies, scenarios and the list of packages to lab/_data, where an installed lab looks for them."""

    def run(self) -> None:
        super().run()
        for folder in DATA:
            target = Path(self.build_lib) / "lab" / "_data" / folder
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(HERE / folder, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        shutil.copyfile(HERE / "packages.txt", Path(self.build_lib) / "lab" / "_data" / "packages.txt")


def version() -> str:
    """The version, from its one place."""
    found = re.search(r'__version__ = "([^"]+)"', (HERE / "lab" / "__init__.py").read_text(encoding="utf-8"))
    if not found:
        raise SystemExit("lab/__init__.py has no __version__")
    return found[1]


RUNTIME = [
    "aiohttp>=3.9,<4",
    "cryptography>=42,<60",
    "dnspython>=2.4,<3",
    "h2>=4.1,<5",
    "httptools>=0.6,<0.10",
    "mininet==2.3.0.dev6",
    "numpy>=1.24,<3",
    "pyroute2>=0.9.1,<0.10",
    "PyYAML>=6.0.1,<7",
]
CLOUD = ["boto3>=1.34,<2", "flask>=2.3,<4", "flask-cors>=4,<7", "moto>=5.2,<6"]
GRADUATION = ["kubernetes>=29,<38"]
TEST = [
    *CLOUD, *GRADUATION, "hypothesis>=6.100,<7", "pytest>=8,<10",
    "pytest-xdist>=3.6.1,<4", "scapy>=2.5,<3", "setuptools>=65,<81", "wheel>=0.40"
]  # fmt: skip
DEV = ["import-linter>=2,<3", "mypy>=1.11,<3", "ruff>=0.6", "types-PyYAML>=6,<7"]

setup(
    name="kubernetes-network-lab",
    version=version(),
    description="A Kubernetes network on one Linux machine: real kernel, real daemons, no containers",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["lab", "lab.*"]),
    package_data={"lab": ["py.typed", "challenge/*.yaml", "web/static/*", "web/static/vendor/*"]},
    install_requires=RUNTIME,
    extras_require={"cloud": CLOUD, "graduation": GRADUATION, "test": TEST, "dev": TEST + DEV},
    entry_points={
        "console_scripts": ["lab = lab.cli.main:console"],
        "pytest11": ["lab = lab.scenario.pytest_plugin"],
    },
    cmdclass={"build_py": BuildWithData},
    classifiers=[
        "Environment :: Console",
        "Intended Audience :: Education",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: System :: Networking",
    ],
)
