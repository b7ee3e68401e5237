"""The `flowmesh-worker` command."""
