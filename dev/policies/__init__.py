"""Judges the permission packs of `template.yaml`, as IAM would get them, without an account.

`packs` makes the policies, for every pack, mode and setting that changes one. `actions` knows what AWS publishes of every
action. `checks` reads the policies with that, `decisions` asks an evaluator about the requests of `requests.yaml`, `sizes`
puts packs together. What a check finds and is right all the same is in `reviewed.yaml`, with the reason. `teeth` plants a
fault for each check and wants it found.
"""
