"""Checks the permission packs of `template.yaml`, as IAM would receive them, without an account.

`packs` resolves the policies, for every pack, mode and setting that changes one. `actions` is what AWS publishes about every
action. `checks` reads the policies with that, `decisions` evaluates the requests of `requests.yaml`, `sizes` combines packs.
Exceptions to a check are in `reviewed.yaml`, each with its reason. `mutation_tests` plants a fault for each check, which must
be found.
"""
