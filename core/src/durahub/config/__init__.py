"""What users write down: Dapr `Configuration` files, read without starting anything.

    load_configuration             files -> Configuration, with every error at its file, line and key
    validate_store_configuration   the part that only the selected backend understands
    load_components                Dapr Component files -> the state stores in them

Values under `spec.workflow` may be secrets and are in no message and no `repr`.
"""

from durahub.config.components import Component, load_components, load_secret_stores
from durahub.config.load import load_configuration
from durahub.config.model import Configuration, StoreConfiguration
from durahub.config.referenced import referenced_values
from durahub.config.secret_stores import SecretStores
from durahub.config.sections import ApiRule, LoggingSection, TokenSection
from durahub.config.store import validate_store_configuration
from durahub.config.workflow import NamedLimit, StateRetentionPolicy

__all__ = [
    "ApiRule",
    "Component",
    "Configuration",
    "LoggingSection",
    "NamedLimit",
    "SecretStores",
    "StateRetentionPolicy",
    "StoreConfiguration",
    "TokenSection",
    "load_components",
    "load_configuration",
    "load_secret_stores",
    "referenced_values",
    "validate_store_configuration",
]
