"""The configuration: text in; typed values, or every problem with its place, out.

From the bottom up: `yaml` reads a careful part of YAML, `document` keeps where each value stands,
`units` are durations, sizes and addresses, `fields` the types of single keys, `sections` (with
`sessions` and `upstream`) what stands together, `environment` the overrides, `reading` all of it.
"""
