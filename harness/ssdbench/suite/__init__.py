"""Suites: YAML files to checked, resolved runs. Free of torch."""

from ssdbench.suite.author import json_schema
from ssdbench.suite.find import find_suite, list_profiles, list_suites
from ssdbench.suite.load import Suite, load_suite
from ssdbench.suite.problems import Mark
from ssdbench.suite.profiles import Profile, load_profile
from ssdbench.suite.schema import Eval, Guidance, Named, ResolvedRun, Run, run_yaml
from ssdbench.suite.select import EmptySelection, select
from ssdbench.suite.training import Autoencoder, Pretrain, Train
from ssdbench.suite.variant import VariantStep, parse_variant

__all__ = [
    "Autoencoder",
    "EmptySelection",
    "Eval",
    "Guidance",
    "Mark",
    "Named",
    "Pretrain",
    "Profile",
    "ResolvedRun",
    "Run",
    "Suite",
    "Train",
    "VariantStep",
    "find_suite",
    "json_schema",
    "list_profiles",
    "list_suites",
    "load_profile",
    "load_suite",
    "parse_variant",
    "run_yaml",
    "select",
]
