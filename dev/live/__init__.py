"""`make live`: the life of a stack in a real AWS account, recorded. docs/live.md"""
