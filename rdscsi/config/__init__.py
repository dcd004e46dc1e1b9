"""Settings: what there is, where it comes from, and every check on it. Knows no command and opens no connection.

One definition per setting in `settings`; parsers in `values`; precedence and the list of mistakes in `sources`.
"""

from rdscsi.config.settings import ControllerSettings, NodeSettings, ProcessSettings
from rdscsi.config.sources import Backends, Sources, read_controller, read_driver, read_file, read_node
from rdscsi.config.values import Endpoint, LeaseName

__all__ = [
    "Backends",
    "ControllerSettings",
    "Endpoint",
    "LeaseName",
    "NodeSettings",
    "ProcessSettings",
    "Sources",
    "read_controller",
    "read_driver",
    "read_file",
    "read_node",
]
