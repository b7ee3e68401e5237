"""Value <-> bytes, between hosts and in files. No codec knows another, and importing one imports no heavy library.

Two steps, each with its own modules:

    value --plain | pickled--> header and blobs --raw | jpeg | exact | lz4--> encoded data

`plain` and `pickled` (in `wire`) are forms: functions that make any value bytes. The others are codecs (`codec.Codec`):
they make one blob, an array or bytes, shorter. `registry` returns a codec by its number; `selection` picks the one for
a blob.
"""
