"""Suites: YAML files to checked, resolved runs. Free of torch."""

from ssdbench.suite.author import json_schema as json_schema
from ssdbench.suite.find import list_profiles as list_profiles
from ssdbench.suite.find import list_suites as list_suites
from ssdbench.suite.load import Suite as Suite
from ssdbench.suite.load import load_suite as load_suite
from ssdbench.suite.schema import ResolvedRun as ResolvedRun
from ssdbench.suite.schema import run_yaml as run_yaml
from ssdbench.suite.select import EmptySelection as EmptySelection
from ssdbench.suite.select import select as select
