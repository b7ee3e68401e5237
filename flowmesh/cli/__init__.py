"""The `flowmesh` command: one module per verb, imported only when that verb is asked for."""
