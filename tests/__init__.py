"""The tests mirror the modules; a folder for each package, and one for each thing that takes the whole of flowmesh."""
