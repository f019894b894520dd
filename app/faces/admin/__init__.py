"""The operators' face: keys, orgs, providers, health."""
